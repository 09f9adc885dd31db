/* How are sums taken in vector registers, and kept right?
 *
 * `pass` reads every value once and gives the sum, the sum of squares, the number of positive values and the number of
 * NaN or infinite ones; `paired` gives products of two arrays. Sums are float32 within a block of at most CHAIN additions
 * and float64 above. A block whose float32 sums cannot be trusted is read again in float64, while it is still in the
 * cache: where squares vanish or overflow, where the mean is so large that the variance would cancel, and where a value
 * is not finite, which shows as a sum of squares that is not. So sums of squares and variances are right to 1e-6 for
 * every finite float32.
 *
 * Vectors are those of GCC and clang, as wide as the machine's registers: compilers expand wider ones element by element.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#define MACHINE "AVX-512, 16 lanes"
#elif defined(__AVX2__)
#define LANES 8
#define MACHINE "AVX2, 8 lanes"
#elif defined(__ARM_NEON)
#define LANES 4
#define MACHINE "NEON, 4 lanes"
#elif defined(__SSE2__)
#define LANES 4
#define MACHINE "SSE2, 4 lanes"
#else
#define LANES 4
#define MACHINE "4 lanes"
#endif
#define HALF (LANES / 2)
#define STEP (4 * LANES) /* values an iteration takes: four chains of additions that do not wait for each other */
#define CHAIN 32         /* additions in float32 before a move to float64: they lose at most 32 * 2^-24 = 2e-6 */
#define CHUNK 8192       /* values that stay in the first cache while channels are looked at */
#define MAX_THREADS 64
#define SMALL 16384 /* values below which a second thread costs more than it gives */
#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef double vd __attribute__((vector_size(HALF * 8)));
typedef double vdd __attribute__((vector_size(LANES * 8)));
typedef union {
    vdd both;
    vd half[2];
} pair;
typedef float v4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint32_t word __attribute__((may_alias));
#define AT(p) (*(const vf *)(p))
/* A whole register at a time: GCC 12 converts half of one element by element. */
#define WIDE(v) {__builtin_convertvector(v, vdd)}
#if defined(__clang__) || __GNUC__ >= 12
#define MIX(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
typedef int32_t i4 __attribute__((vector_size(16)));
#define MIX(a, b, i, j, k, l) __builtin_shuffle(a, b, (i4){i, j, k, l})
#endif

typedef struct {
    double sum, square, positive, nonfinite;
} sums;
typedef struct {
    double ab, aa, bb;
} products;

INLINE double lanes_f(vf v) {
    double s = 0;
    for (int i = 0; i < LANES; i++) s += v[i];
    return s;
}

INLINE double lanes_d(vd v) {
    double s = 0;
    for (int i = 0; i < HALF; i++) s += v[i];
    return s;
}

INLINE double lanes_i(vi v) {
    int64_t s = 0;
    for (int i = 0; i < LANES; i++) s += v[i];
    return (double)s;
}

static int64_t nonfinite_in(const float *x, int64_t n) {
    int64_t bad = 0;
    for (int64_t i = 0; i < n; i++) bad += (((const word *)x)[i] & 0x7f800000u) == 0x7f800000u;
    return bad;
}

/* Whether float32 sums that gave this sum of squares lost nothing to underflow or overflow. */
INLINE int in_range(double square) { return square > 1e-26 && square < 1e37; }

/* The same, and the values are not nearly all alike (mean / deviation < sqrt 3), so their variance does not cancel. */
INLINE int trusted(const sums *s, int64_t n, int full) {
    return in_range(s->square) && (!full || s->sum * s->sum < 0.75 * (double)n * s->square);
}

/* Sums of whole steps in float32. Without `full` only the squares. */
INLINE sums narrow(const float *x, int64_t n, int full) {
    vf q0 = {0}, q1 = {0}, q2 = {0}, q3 = {0}, s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    vi p0 = {0}, p1 = {0};
    for (const float *end = x + n; x < end; x += STEP) {
        vf a = AT(x), b = AT(x + LANES), c = AT(x + 2 * LANES), d = AT(x + 3 * LANES);
        q0 += a * a; q1 += b * b; q2 += c * c; q3 += d * d;
        if (full) {
            s0 += a; s1 += b; s2 += c; s3 += d;
            p0 -= a > 0; p1 -= b > 0; p0 -= c > 0; p1 -= d > 0;
        }
    }
    sums s = {0, lanes_f((q0 + q1) + (q2 + q3)), 0, 0};
    if (full) s.sum = lanes_f((s0 + s1) + (s2 + s3)), s.positive = lanes_i(p0 + p1);
    return s;
}

/* Sums of any number of values below 2^31 in float64, where nothing is lost. */
static sums wide(const float *x, int64_t n, int full) {
    vd q0 = {0}, q1 = {0}, q2 = {0}, q3 = {0}, s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    vi p0 = {0}, p1 = {0};
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        vf a = AT(x + i), b = AT(x + i + LANES);
        pair u = WIDE(a), v = WIDE(b);
        q0 += u.half[0] * u.half[0]; q1 += u.half[1] * u.half[1];
        q2 += v.half[0] * v.half[0]; q3 += v.half[1] * v.half[1];
        s0 += u.half[0]; s1 += u.half[1]; s2 += v.half[0]; s3 += v.half[1];
        p0 -= a > 0; p1 -= b > 0;
    }
    sums s = {lanes_d((s0 + s1) + (s2 + s3)), lanes_d((q0 + q1) + (q2 + q3)), lanes_i(p0 + p1), 0};
    for (; i < n; i++) {
        s.sum += x[i];
        s.square += (double)x[i] * x[i];
        s.positive += x[i] > 0;
    }
    if (!(s.square < INFINITY)) s.nonfinite = (double)nonfinite_in(x, n);
    if (!full) s.sum = s.positive = 0;
    return s;
}

INLINE void add(sums *to, const sums *s) {
    to->sum += s->sum; to->square += s->square; to->positive += s->positive; to->nonfinite += s->nonfinite;
}

/* Values of the next block: whole steps, no more than `most` of them. */
INLINE int64_t block(int64_t left, int64_t most) { return left < most * STEP ? left / STEP * STEP : most * STEP; }

/* The sums of n consecutive values. After a block that had to be read in float64 the next one is at once. */
INLINE sums pass(const float *x, int64_t n, int full) {
    sums total = {0, 0, 0, 0};
    int careful = 0;
    while (n >= STEP) {
        int64_t m = block(n, CHAIN);
        sums one;
        if (!careful) one = narrow(x, m, full);
        if (careful || !trusted(&one, m, full)) one = wide(x, m, full);
        careful = !trusted(&one, m, full);
        add(&total, &one);
        x += m; n -= m;
    }
    sums rest = wide(x, n, full);
    add(&total, &rest);
    return total;
}

/* {<a,b>, <a,a>, <b,b>} of n pairs; with `change`, {-, <b,b>, <a-b,a-b>} in the places of aa and bb. */
INLINE products paired(const float *a, const float *b, int64_t n, int change) {
    products total = {0, 0, 0};
    while (n > 0) {
        int64_t m = n >= STEP ? block(n, CHAIN / 2) : n;
        products one = {0, 0, 0};
        if (n >= STEP) {
            vf w0 = {0}, w1 = {0}, u0 = {0}, u1 = {0}, v0 = {0}, v1 = {0};
            for (int64_t i = 0; i < m; i += 2 * LANES) {
                vf a0 = AT(a + i), a1 = AT(a + i + LANES), b0 = AT(b + i), b1 = AT(b + i + LANES);
                if (change) {
                    vf c0 = a0 - b0, c1 = a1 - b1;
                    a0 = b0, a1 = b1, b0 = c0, b1 = c1;
                } else {
                    w0 += a0 * b0; w1 += a1 * b1;
                }
                u0 += a0 * a0; u1 += a1 * a1; v0 += b0 * b0; v1 += b1 * b1;
            }
            one = (products){lanes_f(w0 + w1), lanes_f(u0 + u1), lanes_f(v0 + v1)};
        }
        if (!(in_range(one.aa) && in_range(one.bb))) {
            one = (products){0, 0, 0};
            for (int64_t i = 0; i < m; i++) {
                double u = change ? b[i] : a[i], v = change ? (double)a[i] - b[i] : b[i];
                one.ab += u * v; one.aa += u * u; one.bb += v * v;
            }
        }
        total.ab += one.ab; total.aa += one.aa; total.bb += one.bb;
        a += m; b += m; n -= m;
    }
    return total;
}

INLINE int clamp(int threads, int64_t values) {
    return threads < 1 || values < SMALL ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
}

INLINE int64_t share(int64_t n, int part, int parts) { return n / parts * part + n % parts * part / parts; }
