// A multilayer perceptron with ReLU between the layers, squared loss and plain SGD on single rows, in double precision.
// Compiled with -DSIZES=2,5,5,1 -DLAYERS=3 -DWIDEST=5, so that every loop has a constant length.
// Parameters: for each layer w (inputs x outputs), then b (outputs).
#include <stdint.h>

static const int n[] = {SIZES};
#define BLOCK 32 // rows that an evaluation takes through the net together, one vector lane a row

static inline __attribute__((always_inline)) double step(const double *x, double t, double *const w[], double rate) {
    double a[LAYERS + 1][WIDEST], d[2][WIDEST];
    for (int i = 0; i < n[0]; i++) a[0][i] = x[i];
#pragma GCC unroll 8
    for (int l = 0; l < LAYERS; l++) {
        const double *v = w[2 * l], *b = w[2 * l + 1];
        for (int j = 0; j < n[l + 1]; j++) a[l + 1][j] = b[j];
        for (int i = 0; i < n[l]; i++)
            for (int j = 0; j < n[l + 1]; j++) a[l + 1][j] += a[l][i] * v[i * n[l + 1] + j];
        if (l < LAYERS - 1)
            for (int j = 0; j < n[l + 1]; j++) a[l + 1][j] = a[l + 1][j] > 0 ? a[l + 1][j] : 0;
    }
    double loss = 0;
    for (int j = 0; j < n[LAYERS]; j++) {
        double e = a[LAYERS][j] - t;
        loss += e * e;
        d[LAYERS & 1][j] = 2 * e;
    }
#pragma GCC unroll 8
    for (int l = LAYERS - 1; l >= 0; l--) {
        double *v = w[2 * l], *b = w[2 * l + 1];
        const double *g = d[(l + 1) & 1];
        for (int i = 0; i < n[l]; i++) {
            double sum = 0, scaled = rate * a[l][i];
            for (int j = 0; j < n[l + 1]; j++) {
                sum += v[i * n[l + 1] + j] * g[j];
                v[i * n[l + 1] + j] -= scaled * g[j];
            }
            d[l & 1][i] = a[l][i] > 0 ? sum : 0;
        }
        for (int j = 0; j < n[l + 1]; j++) b[j] -= rate * g[j];
    }
    return loss;
}

// The sum of the loss over up to BLOCK rows.
static inline double block(const double *x, const double *t, int rows, double *const w[]) {
    double a[2][WIDEST][BLOCK];
    for (int i = 0; i < n[0]; i++)
        for (int r = 0; r < BLOCK; r++) a[0][i][r] = r < rows ? x[r * n[0] + i] : 0;
#pragma GCC unroll 8
    for (int l = 0; l < LAYERS; l++) {
        const double *v = w[2 * l], *b = w[2 * l + 1];
        for (int j = 0; j < n[l + 1]; j++) {
            double sum[BLOCK];
            for (int r = 0; r < BLOCK; r++) sum[r] = b[j];
            for (int i = 0; i < n[l]; i++)
                for (int r = 0; r < BLOCK; r++) sum[r] += a[l & 1][i][r] * v[i * n[l + 1] + j];
            for (int r = 0; r < BLOCK; r++) a[(l + 1) & 1][j][r] = l == LAYERS - 1 || sum[r] > 0 ? sum[r] : 0;
        }
    }
    double sum = 0;
    for (int j = 0; j < n[LAYERS]; j++)
        for (int r = 0; r < rows; r++) sum += (a[LAYERS & 1][j][r] - t[r]) * (a[LAYERS & 1][j][r] - t[r]);
    return sum;
}

static double evaluate(const double *x, const double *t, int64_t rows, double *const w[]) {
    double sum = 0;
    int64_t r = 0;
    for (; r + BLOCK <= rows; r += BLOCK) sum += block(x + r * n[0], t + r, BLOCK, w);
    if (r < rows) sum += block(x + r * n[0], t + r, rows - r, w);
    return sum / rows;
}

void train(const double *x, const double *t, int64_t rows, const int64_t *drawn, int64_t steps, int64_t every,
           double rate, double *const w[], double *losses, double *records) {
    for (int64_t s = 0; s < steps; s++) {
        if (s % every == 0) records[s / every] = evaluate(x, t, rows, w);
        losses[s] = step(x + drawn[s] * n[0], t[drawn[s]], w, rate);
    }
    records[(steps + every - 1) / every] = evaluate(x, t, rows, w);
}
