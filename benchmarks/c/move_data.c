// The rows move along the gradient of the hinge loss, the linear classifier stays; the loss over all every `every` steps.
#include <stdint.h>

static double evaluate(const double *x, const double *t, int64_t rows, const double *w) {
    double sum = 0, a = w[0], b = w[1], c = w[2];
    for (int64_t r = 0; r < rows; r++) {
        double m = 1 - t[r] * (x[2 * r] * a + x[2 * r + 1] * b + c);
        sum += m > 0 ? m : 0;
    }
    return sum / rows;
}

int64_t move(double *x, const double *t, int64_t rows, const int64_t *drawn, int64_t steps, int64_t every, double rate,
             const double *w, double *losses, double *records) {
    double a = w[0], b = w[1], c = w[2];
    int64_t updates = 0;
    for (int64_t s = 0; s < steps; s++) {
        if (s % every == 0) records[s / every] = evaluate(x, t, rows, w);
        int64_t r = drawn[s];
        double m = 1 - t[r] * (x[2 * r] * a + x[2 * r + 1] * b + c);
        losses[s] = m > 0 ? m : 0;
        if (m > 0) {
            x[2 * r] += rate * t[r] * a;
            x[2 * r + 1] += rate * t[r] * b;
            updates++;
        }
    }
    records[(steps + every - 1) / every] = evaluate(x, t, rows, w);
    return updates;
}
