// The floor of a training step: its matrix products by BLAS, and one pass over parameters and optimizer state.
#include <stdint.h>

typedef void gemm(const char *, const char *, const int *, const int *, const int *, const float *, const float *,
                  const int *, const float *, const int *, const float *, float *, const int *);

// One row-major product c (m x n) = a (m x k) b (k x n); a or b may be stored transposed.
typedef struct {
    const float *a, *b;
    float *c;
    int m, n, k, a_transposed, b_transposed;
} Product;

void products(gemm *sgemm, const Product *p, int64_t count) {
    const float one = 1, zero = 0;
    for (int64_t q = 0; q < count; q++) {
        int lda = p[q].a_transposed ? p[q].m : p[q].k, ldb = p[q].b_transposed ? p[q].k : p[q].n;
        sgemm(p[q].b_transposed ? "T" : "N", p[q].a_transposed ? "T" : "N", &p[q].n, &p[q].m, &p[q].k, &one, p[q].b,
              &ldb, p[q].a, &lda, &zero, p[q].c, &p[q].n);
    }
}

// Reads and writes each value once.
void pass(float *values, int64_t count, int threads) {
#pragma omp parallel for simd num_threads(threads) if (threads > 1 && count > 1 << 16)
    for (int64_t i = 0; i < count; i++) values[i] = values[i] * 0.999f + 1e-6f;
}

void steps(gemm *sgemm, const Product *p, int64_t count, float *values, int64_t size, int threads, int64_t times) {
    for (int64_t s = 0; s < times; s++) {
        products(sgemm, p, count);
        pass(values, size, threads);
    }
}
