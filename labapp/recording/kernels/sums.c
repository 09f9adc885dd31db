/* What are the sums over this tensor, in one pass over its memory?
 *
 * The work is split over the threads in fixed, equal parts: a result depends on the number of threads and on nothing
 * else. Every function adds to what `out` holds, so the micro-batches of one optimizer step join by themselves.
 */
#include "lanes.h"

const char *labapp_machine(void) {
#if defined(__clang__)
    return "clang " __clang_version__ ", " MACHINE;
#else
    return "gcc " __VERSION__ ", " MACHINE;
#endif
}

INLINE void put(double *out, const sums *parts, int threads) {
    sums t = {0, 0, 0, 0};
    for (int i = 0; i < threads; i++) add(&t, parts + i);
    out[0] += t.sum; out[1] += t.square; out[2] += t.positive; out[3] += t.nonfinite;
}

static sums full_pass(const float *x, int64_t n) { return pass(x, n, 1); }
static sums square_pass(const float *x, int64_t n) { return pass(x, n, 0); }

/* out[4] += sum, sum of squares, positives, non-finite ones of n values in any order; with `full` = 0 only the second
 * and the last. */
void labapp_flat(const float *x, int64_t n, int full, double *out, int threads) {
    sums parts[MAX_THREADS];
    threads = clamp(threads, n);
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (int t = 0; t < threads; t++) {
        int64_t from = share(n, t, threads), to = share(n, t + 1, threads);
        parts[t] = full ? full_pass(x + from, to - from) : square_pass(x + from, to - from);
    }
    put(out, parts, threads);
}

/* Two threads can only ever write the same 1. */
INLINE int lives(const uint8_t *alive) { return __atomic_load_n(alive, __ATOMIC_RELAXED); }
INLINE void mark(uint8_t *alive) { __atomic_store_n(alive, 1, __ATOMIC_RELAXED); }

static int any_positive(const float *x, int64_t n) {
    int64_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        vi m = (AT(x + i) > 0) | (AT(x + i + LANES) > 0) | (AT(x + i + 2 * LANES) > 0) | (AT(x + i + 3 * LANES) > 0);
        if (lanes_i(m) != 0) return 1;
    }
    for (; i < n; i++)
        if (x[i] > 0) return 1;
    return 0;
}

/* The same of a (n, c, p) array, and alive[ch] = 1 where channel ch has any positive value. A channel that is known to
 * live is not looked at again, so this costs little where few are dead. */
void labapp_planes(const float *x, int64_t n, int64_t c, int64_t p, double *out, uint8_t *alive, int threads) {
    sums parts[MAX_THREADS];
    const int64_t together = p < CHUNK ? CHUNK / p : 1;
    threads = clamp(threads, n * c * p);
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (int t = 0; t < threads; t++) {
        sums total = {0, 0, 0, 0};
        int64_t plane = share(n * c, t, threads), to = share(n * c, t + 1, threads), channel = plane % c;
        while (plane < to) {
            int64_t stop = plane + together < to ? plane + together : to;
            sums one = full_pass(x + plane * p, (stop - plane) * p);
            add(&total, &one);
            for (; plane < stop; plane++, channel = channel + 1 == c ? 0 : channel + 1)
                if (one.positive > 0 && !lives(alive + channel) && any_positive(x + plane * p, p)) mark(alive + channel);
        }
        parts[t] = total;
    }
    put(out, parts, threads);
}

/* Marks the channels of (rows, width) values, column j being channel j % c; width is at least LANES. */
static void mark_columns(const float *x, int64_t rows, int64_t width, int64_t c, uint8_t *alive) {
    for (int64_t first = 0; first < width; first += LANES) {
        const int64_t j = first + LANES <= width ? first : width - LANES;
        int open = 0;
        for (int l = 0; l < LANES; l++) open |= !lives(alive + (j + l) % c);
        if (!open) continue;
        vi m = {0};
        for (int64_t r = 0; r < rows; r++) m |= AT(x + r * width + j) > 0;
        for (int l = 0; l < LANES; l++)
            if (m[l]) mark(alive + (j + l) % c);
    }
}

/* The same of a (rows, c) array. Few channels are taken LANES rows at a time, so that a row is at least a vector. */
void labapp_columns(const float *x, int64_t rows, int64_t c, double *out, uint8_t *alive, int threads) {
    sums parts[MAX_THREADS];
    const int64_t fold = c < LANES ? LANES : 1, width = c * fold, together = width < CHUNK ? CHUNK / width : 1;
    threads = clamp(threads, rows * c);
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (int t = 0; t < threads; t++) {
        sums total = {0, 0, 0, 0};
        int64_t row = share(rows / fold, t, threads), to = share(rows / fold, t + 1, threads), open = 0;
        while (row < to) {
            int64_t stop = row + together < to ? row + together : to;
            sums one = full_pass(x + row * width, (stop - row) * width);
            add(&total, &one);
            while (open < c && lives(alive + open)) open++; /* channels before `open` live */
            if (one.positive > 0 && open < c) mark_columns(x + row * width, stop - row, width, c, alive);
            row = stop;
        }
        parts[t] = total;
    }
    const int64_t done = rows / fold * width;
    sums rest = full_pass(x + done, rows * c - done);
    add(parts, &rest);
    put(out, parts, threads);
    for (int64_t i = done; i < rows * c; i++)
        if (x[i] > 0) mark(alive + i % c);
}

/* Many arrays in one call: out[2i] = norm of now[i]; with `before`, out[2i] = norm of before[i] and out[2i+1] = norm of
 * now[i] - before[i]. */
void labapp_norms(const float *const *now, const float *const *before, const int64_t *sizes, int64_t count, double *out,
                  int threads) {
    for (int64_t i = 0; i < count; i++) {
        products parts[MAX_THREADS];
        int use = clamp(threads, sizes[i] / 4);
#pragma omp parallel for num_threads(use) schedule(static, 1) if (use > 1)
        for (int t = 0; t < use; t++) {
            int64_t from = share(sizes[i], t, use), n = share(sizes[i], t + 1, use) - from;
            if (before) parts[t] = paired(now[i] + from, before[i] + from, n, 1);
            else parts[t] = (products){0, square_pass(now[i] + from, n).square, 0};
        }
        double norm = 0, change = 0;
        for (int t = 0; t < use; t++) norm += parts[t].aa, change += parts[t].bb;
        out[2 * i] = sqrt(norm); out[2 * i + 1] = sqrt(change);
    }
}
