/* What are the sums over this tensor, in one pass over its memory?
 *
 * Each function reads every value once and keeps, in vector registers, the sum, the sum of squares, the number of positive
 * values and the number of NaN or infinite ones. Partial sums are float32 over at most BLOCK vectors and float64 above, so the
 * relative rounding error of a sum of squares stays near 1e-6 whatever the size of the tensor. The work is split over the
 * threads in fixed, equal parts, so a result depends on the number of threads and on nothing else.
 *
 * Every function adds to what `out` holds, so the micro-batches of one optimizer step join by themselves.
 *
 * GCC's vector extensions (also in clang) are lowered to whatever the machine has: AVX-512, AVX2, NEON.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES 16
#define BLOCK 256 /* vectors between two moves to float64 */

typedef float vf __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

typedef struct {
    double sum, square, positive, nonfinite;
} sums;

static inline vi not_finite(vf v) {
    const vi exponent = (vi){} + 0x7f800000;
    return (((vi)v) & exponent) == exponent; /* -1 where NaN or Inf */
}

static inline double lanes_f(vf v) {
    double s = 0;
    for (int i = 0; i < LANES; i++) s += v[i];
    return s;
}

static inline double lanes_i(vi v) {
    int64_t s = 0;
    for (int i = 0; i < LANES; i++) s += v[i];
    return (double)s;
}

/* The sums of n consecutive values. */
static sums run_of(const float *x, int64_t n) {
    sums total = {0, 0, 0, 0};
    int64_t i = 0;
    while (i + LANES <= n) {
        int64_t vectors = (n - i) / LANES;
        if (vectors > BLOCK) vectors = BLOCK;
        vf s0 = {0}, s1 = {0}, q0 = {0}, q1 = {0};
        vi p0 = {0}, p1 = {0}, b0 = {0}, b1 = {0};
        int64_t k = 0;
        for (; k + 2 <= vectors; k += 2, i += 2 * LANES) {
            vf a = *(const vf *)(x + i), b = *(const vf *)(x + i + LANES);
            s0 += a; s1 += b;
            q0 += a * a; q1 += b * b;
            p0 -= a > 0; p1 -= b > 0;
            b0 -= not_finite(a); b1 -= not_finite(b);
        }
        for (; k < vectors; k++, i += LANES) {
            vf a = *(const vf *)(x + i);
            s0 += a; q0 += a * a; p0 -= a > 0; b0 -= not_finite(a);
        }
        total.sum += lanes_f(s0) + lanes_f(s1);
        total.square += lanes_f(q0) + lanes_f(q1);
        total.positive += lanes_i(p0 + p1);
        total.nonfinite += lanes_i(b0 + b1);
    }
    for (; i < n; i++) {
        float a = x[i];
        uint32_t bits;
        memcpy(&bits, &a, 4);
        total.sum += a;
        total.square += (double)a * a;
        total.positive += a > 0;
        total.nonfinite += (bits & 0x7f800000u) == 0x7f800000u;
    }
    return total;
}

/* sums[0] = sum of squares of `before`, sums[1] = that of now - before. */
static void change_of(const float *now, const float *before, int64_t n, double *sums) {
    double norm = 0, change = 0;
    int64_t i = 0;
    while (i + LANES <= n) {
        int64_t vectors = (n - i) / LANES;
        if (vectors > BLOCK) vectors = BLOCK;
        vf q = {0}, d = {0};
        for (int64_t k = 0; k < vectors; k++, i += LANES) {
            vf a = *(const vf *)(now + i), b = *(const vf *)(before + i), c = a - b;
            q += b * b; d += c * c;
        }
        norm += lanes_f(q); change += lanes_f(d);
    }
    for (; i < n; i++) {
        float c = now[i] - before[i];
        norm += (double)before[i] * before[i];
        change += (double)c * c;
    }
    sums[0] = norm; sums[1] = change;
}

static inline void share(int64_t n, int part, int parts, int64_t *from, int64_t *to) {
    *from = n * part / parts;
    *to = n * (part + 1) / parts;
}

static inline void put(double *out, const sums *parts, int threads) {
    sums t = {0, 0, 0, 0};
    for (int i = 0; i < threads; i++) {
        t.sum += parts[i].sum;
        t.square += parts[i].square;
        t.positive += parts[i].positive;
        t.nonfinite += parts[i].nonfinite;
    }
    out[0] += t.sum; out[1] += t.square; out[2] += t.positive; out[3] += t.nonfinite;
}

#define MAX_THREADS 64

/* out[4] += sum, sum of squares, positives, non-finite ones of n values in any order. */
void labapp_flat(const float *x, int64_t n, double *out, int threads) {
    sums parts[MAX_THREADS];
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    if (n < 16384 || threads < 1) threads = 1;
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (int t = 0; t < threads; t++) {
        int64_t from, to;
        share(n, t, threads, &from, &to);
        parts[t] = run_of(x + from, to - from);
    }
    put(out, parts, threads);
}

/* The same of a (n, c, p) array, and alive[ch] = 1 where channel ch has any positive value. `alive` starts as zeros. */
void labapp_planes(const float *x, int64_t n, int64_t c, int64_t p, double *out, uint8_t *alive, int threads) {
    sums parts[MAX_THREADS];
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    if (n * c * p < 16384 || threads < 1) threads = 1;
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (int t = 0; t < threads; t++) {
        int64_t from, to;
        sums total = {0, 0, 0, 0};
        share(n * c, t, threads, &from, &to);
        for (int64_t plane = from; plane < to; plane++) {
            sums one = run_of(x + plane * p, p);
            total.sum += one.sum;
            total.square += one.square;
            total.positive += one.positive;
            total.nonfinite += one.nonfinite;
            if (one.positive > 0) {
                /* two threads can only ever write the same 1 */
#pragma omp atomic write
                alive[plane % c] = 1;
            }
        }
        parts[t] = total;
    }
    put(out, parts, threads);
}

/* The same of a (rows, c) array. A channel's sign bits are joined in integer vectors; no count is needed to know who lives. */
void labapp_columns(const float *x, int64_t rows, int64_t c, double *out, uint8_t *alive, int32_t *scratch, int threads) {
    sums parts[MAX_THREADS];
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    if (rows * c < 16384 || threads < 1) threads = 1;
    /* A period of whole rows that is a whole number of vectors: lane j of the period is channel j % c. */
    int64_t period = c;
    while (period % LANES) period += c;
    int64_t per = period / c;
    /* scratch holds threads * period marks */
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (int t = 0; t < threads; t++) {
        int64_t from, to;
        int32_t *marks = scratch + t * period;
        memset(marks, 0, period * sizeof(int32_t));
        share(rows / per, t, threads, &from, &to);
        sums total = {0, 0, 0, 0};
        for (int64_t start = from; start < to;) {
            int64_t stop = start + (BLOCK * LANES + period - 1) / period;
            if (stop > to) stop = to;
            for (int64_t j = 0; j < period; j += LANES) {
                vf s = {0}, q = {0};
                vi p = {0}, b = {0};
                const float *at = x + start * period + j;
                for (int64_t r = start; r < stop; r++, at += period) {
                    vf a = *(const vf *)at;
                    s += a; q += a * a; p -= a > 0; b -= not_finite(a);
                }
                *(vi *)(marks + j) |= p;
                total.sum += lanes_f(s);
                total.square += lanes_f(q);
                total.positive += lanes_i(p);
                total.nonfinite += lanes_i(b);
            }
            start = stop;
        }
        parts[t] = total;
    }
    put(out, parts, threads);
    for (int t = 0; t < threads; t++)
        for (int64_t j = 0; j < period; j++)
            if (scratch[t * period + j]) alive[j % c] = 1;
    for (int64_t i = rows / per * period; i < rows * c; i++) {
        sums one = run_of(x + i, 1);
        out[0] += one.sum; out[1] += one.square; out[2] += one.positive; out[3] += one.nonfinite;
        if (one.positive > 0) alive[i % c] = 1;
    }
}

/* Many arrays in one call. Without `before` (NULL): out[2i] = norm of now[i]. With it: out[2i] = norm of before[i],
 * out[2i+1] = norm of now[i] - before[i]. */
void labapp_norms(const float *const *now, const float *const *before, const int64_t *sizes, int64_t count, double *out,
                  int threads) {
    double parts[MAX_THREADS][2];
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    for (int64_t i = 0; i < count; i++) {
        int use = sizes[i] < 65536 || threads < 1 ? 1 : threads;
#pragma omp parallel for num_threads(use) schedule(static, 1) if (use > 1)
        for (int t = 0; t < use; t++) {
            int64_t from, to;
            share(sizes[i], t, use, &from, &to);
            if (!before) {
                parts[t][0] = run_of(now[i] + from, to - from).square;
                parts[t][1] = 0;
            } else {
                change_of(now[i] + from, before[i] + from, to - from, parts[t]);
            }
        }
        double norm = 0, change = 0;
        for (int t = 0; t < use; t++) norm += parts[t][0], change += parts[t][1];
        out[2 * i] = sqrt(norm);
        out[2 * i + 1] = sqrt(change);
    }
}

/* out[4] += <a, b>, <a, a>, <b, b> of two arrays of n values in the same order, and the non-finite values of b. */
void labapp_inner(const float *a, const float *b, int64_t n, double *out, int threads) {
    double parts[MAX_THREADS][4];
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    if (n < 16384 || threads < 1) threads = 1;
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (int t = 0; t < threads; t++) {
        int64_t i, to;
        double ab = 0, aa = 0, bb = 0, bad = 0;
        share(n, t, threads, &i, &to);
        while (i + LANES <= to) {
            int64_t vectors = (to - i) / LANES;
            if (vectors > BLOCK) vectors = BLOCK;
            vf sab = {0}, saa = {0}, sbb = {0};
            vi sbad = {0};
            for (int64_t k = 0; k < vectors; k++, i += LANES) {
                vf u = *(const vf *)(a + i), v = *(const vf *)(b + i);
                sab += u * v; saa += u * u; sbb += v * v; sbad -= not_finite(v);
            }
            ab += lanes_f(sab); aa += lanes_f(saa); bb += lanes_f(sbb); bad += lanes_i(sbad);
        }
        for (; i < to; i++) {
            sums one = run_of(b + i, 1);
            ab += (double)a[i] * b[i]; aa += (double)a[i] * a[i]; bb += one.square; bad += one.nonfinite;
        }
        parts[t][0] = ab; parts[t][1] = aa; parts[t][2] = bb; parts[t][3] = bad;
    }
    for (int t = 0; t < threads; t++)
        for (int k = 0; k < 4; k++) out[k] += parts[t][k];
}

/* counts[256] += the histogram of the float32 exponent field: bin e holds 2^(e-127) <= |x| < 2^(e-126); 0 holds zero and subnormals, 255 NaN and Inf.
 * Four tables a thread, because two increments of one counter in a row wait for each other. */
void labapp_exponents(const float *x, int64_t n, int64_t *counts, int threads) {
    int64_t parts[MAX_THREADS][256];
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    if (n < 16384 || threads < 1) threads = 1;
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (int t = 0; t < threads; t++) {
        int64_t i, to;
        uint32_t table[4][256];
        const uint32_t *bits = (const uint32_t *)x;
        memset(parts[t], 0, sizeof parts[t]);
        share(n, t, threads, &i, &to);
        while (i < to) {
            int64_t stop = i + (1 << 30);
            if (stop > to) stop = to;
            memset(table, 0, sizeof table);
            for (; i + 4 <= stop; i += 4) {
                table[0][(bits[i] >> 23) & 255]++;
                table[1][(bits[i + 1] >> 23) & 255]++;
                table[2][(bits[i + 2] >> 23) & 255]++;
                table[3][(bits[i + 3] >> 23) & 255]++;
            }
            for (; i < stop; i++) table[0][(bits[i] >> 23) & 255]++;
            for (int e = 0; e < 256; e++)
                parts[t][e] += (int64_t)table[0][e] + table[1][e] + table[2][e] + table[3][e];
        }
    }
    for (int t = 0; t < threads; t++)
        for (int e = 0; e < 256; e++) counts[e] += parts[t][e];
}
