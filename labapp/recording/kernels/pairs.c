/* What are the products of two tensors, whatever memory format each has? And how are magnitudes spread? */
#include "lanes.h"

#define ROW 1024 /* values of one channel that are turned at a time */

INLINE void put_products(double *out, const products *parts, const int64_t *bad, int threads) {
    for (int t = 0; t < threads; t++)
        out[0] += parts[t].ab, out[1] += parts[t].aa, out[2] += parts[t].bb, out[3] += (double)bad[t];
}

/* out[4] += <a,b>, <a,a>, <b,b> of two arrays of n values in the same order, and the non-finite values of b. */
void labapp_inner(const float *a, const float *b, int64_t n, double *out, int threads) {
    products parts[MAX_THREADS];
    int64_t bad[MAX_THREADS];
    threads = clamp(threads, n);
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (int t = 0; t < threads; t++) {
        int64_t from = share(n, t, threads), m = share(n, t + 1, threads) - from;
        parts[t] = paired(a + from, b + from, m, 0);
        bad[t] = parts[t].bb < INFINITY ? 0 : nonfinite_in(b + from, m);
    }
    put_products(out, parts, bad, threads);
}

/* to[ch * stride + i] = from[i * c + ch] for rows channels and n positions: 4 x 4 values in registers at a time. */
static void turn(const float *from, int64_t n, int64_t rows, int64_t c, float *to, int64_t stride) {
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        int64_t ch = 0;
        for (; ch + 4 <= rows; ch += 4) {
            const float *at = from + i * c + ch;
            v4 a = *(const v4 *)at, b = *(const v4 *)(at + c), d = *(const v4 *)(at + 2 * c), e = *(const v4 *)(at + 3 * c);
            v4 ab = MIX(a, b, 0, 4, 1, 5), AB = MIX(a, b, 2, 6, 3, 7), de = MIX(d, e, 0, 4, 1, 5), DE = MIX(d, e, 2, 6, 3, 7);
            float *put = to + ch * stride + i;
            *(v4 *)put = MIX(ab, de, 0, 1, 4, 5);
            *(v4 *)(put + stride) = MIX(ab, de, 2, 3, 6, 7);
            *(v4 *)(put + 2 * stride) = MIX(AB, DE, 0, 1, 4, 5);
            *(v4 *)(put + 3 * stride) = MIX(AB, DE, 2, 3, 6, 7);
        }
        for (; ch < rows; ch++)
            for (int k = 0; k < 4; k++) to[ch * stride + i + k] = from[(i + k) * c + ch];
    }
    for (; i < n; i++)
        for (int64_t ch = 0; ch < rows; ch++) to[ch * stride + i] = from[i * c + ch];
}

/* The same where a is (n, c, p) and b is (n, p, c): b is turned in tiles that stay in the cache. With `swapped` the caller
 * calls a what is b here: <a,a> and <b,b> change places, and the non-finite values are those of a. */
void labapp_crossed(const float *a, const float *b, int64_t n, int64_t c, int64_t p, int swapped, double *out,
                    int threads) {
    products parts[MAX_THREADS];
    int64_t bad[MAX_THREADS];
    /* A short plane is turned whole, several channels making one run; rows of a long one are padded, because rows at
     * distances of 4096 bytes would compete for the same lines of the cache. */
    const int whole = p < ROW / 2;
    const int64_t length = whole ? p : ROW, stride = whole ? p : ROW + 16, rows = whole ? CHUNK / p < c ? CHUNK / p : c : 8;
    const int64_t tiles = (c + rows - 1) / rows;
    threads = clamp(threads, n * c * p);
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (int t = 0; t < threads; t++) {
        float turned[CHUNK + 8 * 16];
        products total = {0, 0, 0};
        bad[t] = 0;
        for (int64_t unit = share(n * tiles, t, threads); unit < share(n * tiles, t + 1, threads); unit++) {
            const int64_t first = unit % tiles * rows, some = first + rows < c ? rows : c - first;
            const float *u = a + (unit / tiles * c + first) * p, *v = b + unit / tiles * p * c + first;
            for (int64_t at = 0; at < p; at += length) {
                const int64_t m = at + length < p ? length : p - at;
                turn(v + at * c, m, some, c, turned, stride);
                for (int64_t row = 0; row < (whole ? 1 : some); row++) {
                    const int64_t size = whole ? some * p : m;
                    products one = paired(u + row * p + at, turned + row * stride, size, 0);
                    if (swapped) {
                        double aa = one.aa;
                        one.aa = one.bb, one.bb = aa;
                    }
                    total.ab += one.ab; total.aa += one.aa; total.bb += one.bb;
                    if (!(one.bb < INFINITY))
                        bad[t] += nonfinite_in(swapped ? u + row * p + at : turned + row * stride, size);
                }
            }
        }
        parts[t] = total;
    }
    put_products(out, parts, bad, threads);
}

/* counts[256] += the histogram of the float32 exponent field: bin e holds 2^(e-127) <= |x| < 2^(e-126); 0 holds zero and
 * subnormals, 255 NaN and Inf. Four tables a thread, because two increments of one counter in a row wait for each other. */
void labapp_exponents(const float *x, int64_t n, int64_t *counts, int threads) {
    int64_t parts[MAX_THREADS][256];
    threads = clamp(threads, n);
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (int t = 0; t < threads; t++) {
        uint32_t table[4][256];
        const word *bits = (const word *)x;
        int64_t i = share(n, t, threads), to = share(n, t + 1, threads);
        memset(parts[t], 0, sizeof parts[t]);
        while (i < to) {
            int64_t stop = to - i < (1 << 30) ? to : i + (1 << 30);
            memset(table, 0, sizeof table);
            for (; i + 4 <= stop; i += 4)
                for (int k = 0; k < 4; k++) table[k][(bits[i + k] >> 23) & 255]++;
            for (; i < stop; i++) table[0][(bits[i] >> 23) & 255]++;
            for (int e = 0; e < 256; e++)
                parts[t][e] += (int64_t)table[0][e] + table[1][e] + table[2][e] + table[3][e];
        }
    }
    for (int t = 0; t < threads; t++)
        for (int e = 0; e < 256; e++) counts[e] += parts[t][e];
}
