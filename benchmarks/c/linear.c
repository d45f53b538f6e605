// A linear model of two inputs with bias, trained on single rows; the loss over all rows every `every` steps.
#include <stdint.h>

static double slope(double y, double t, int hinge) {
    if (hinge) return t * y < 1 ? -t : 0;
    return 2 * (y - t);
}

static double value(double y, double t, int hinge) {
    if (hinge) return t * y < 1 ? 1 - t * y : 0;
    return (y - t) * (y - t);
}

static double evaluate(const double *x, const double *t, int64_t rows, const double *w, int hinge) {
    double sum = 0, a = w[0], b = w[1], c = w[2];
    for (int64_t r = 0; r < rows; r++) sum += value(x[2 * r] * a + x[2 * r + 1] * b + c, t[r], hinge);
    return sum / rows;
}

static inline void train(const double *x, const double *t, int64_t rows, const int64_t *drawn, int64_t steps,
                         int64_t every, double rate, double *w, double *losses, double *records, int hinge) {
    double a = w[0], b = w[1], c = w[2];
    for (int64_t s = 0; s < steps; s++) {
        if (s % every == 0) records[s / every] = evaluate(x, t, rows, (double[]){a, b, c}, hinge);
        int64_t r = drawn[s];
        double y = x[2 * r] * a + x[2 * r + 1] * b + c;
        losses[s] = value(y, t[r], hinge);
        double g = rate * slope(y, t[r], hinge);
        a -= g * x[2 * r];
        b -= g * x[2 * r + 1];
        c -= g;
    }
    w[0] = a, w[1] = b, w[2] = c;
    records[(steps + every - 1) / every] = evaluate(x, t, rows, w, hinge);
}

void squared(const double *x, const double *t, int64_t rows, const int64_t *drawn, int64_t steps, int64_t every,
             double rate, double *w, double *losses, double *records) {
    train(x, t, rows, drawn, steps, every, rate, w, losses, records, 0);
}

void hinge(const double *x, const double *t, int64_t rows, const int64_t *drawn, int64_t steps, int64_t every,
           double rate, double *w, double *losses, double *records) {
    train(x, t, rows, drawn, steps, every, rate, w, losses, records, 1);
}
