// Products of interleaved weights with quantised inputs.
//
// Rules
// - A result is a function of its row of weights and its row of inputs alone: neither the other
//   rows of a batch nor the number of threads change a bit of it.
// - Inputs have one float scale for 32 values, as fine as the finest that ggml uses.
// - Whole numbers are summed exactly: no 16-bit sum can saturate (bounds at `GROUPED`).
#pragma once

#include "formats.h"
#include "simd.h"

#ifdef KERNELS_AVAILABLE

#include <cfloat>
#include <cmath>

namespace kernels {

constexpr int COLUMNS = 8;                       // rows of the input side by side
constexpr int AHEAD   = 4096;                    // bytes of weights: the processor itself fetches too little ahead
#if defined(KERNELS_VNNI)
constexpr int AT_ONCE = LANES == 16 ? 8 : 4;     // of them with sums in registers
#else
constexpr int AT_ONCE = 8;
#endif

// Ask for the block that lies AHEAD bytes behind block `l` of a group.
template <class F> static inline void fetch_ahead(const typename F::Group * w, int64_t l) {
    constexpr int BYTES = (int) (sizeof(*w) * BLOCK / F::SIZE);
    const char *  next  = (const char *) w + l * BYTES + AHEAD;
    for (int b = 0; b < BYTES; b += 64) { _mm_prefetch(next + b, _MM_HINT_T0); }
}

// A block of each of 8 rows of the input.
struct Panel {
    float   d[COLUMNS];            // value = d * q
    float   sum[COLUMNS];          // d * (sum of q)
    int32_t start[2][COLUMNS];     // -BIAS * (sum of q), of all or of each half
    int8_t  q[COLUMNS][BLOCK];
};
static_assert(sizeof(Panel) == 384, "panels are whole cache lines");

// Quantise 32 inputs into column `c` of a panel.
template <class F> static inline void quantise(const float * x, Panel & to, int c) {
    Floats v[BLOCK / LANES];
    Floats most = zero_f();
    for (int i = 0; i < BLOCK / LANES; i++) {
        v[i] = load_f(x + LANES * i);
        most = max_f(most, abs_f(v[i]));
    }
    const float peak = largest(most);
    // Below this 127 / peak is no float; such inputs are nothing beside any scale of weights.
    const float inverse = peak > 127.0f * FLT_MIN ? 127.0f / peak : 0.0f;
    int32_t     halves[2];
#if defined(KERNELS_AVX512) && !defined(KERNELS_NARROW)
    for (int h = 0; h < 2; h++) {
        const __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(v[h], _mm512_set1_ps(inverse)));
        _mm_storeu_si128((__m128i *) (to.q[c] + 16 * h), _mm512_cvtsepi32_epi8(q));
        halves[h] = _mm512_reduce_add_epi32(q);
    }
#else
    for (int h = 0; h < 2; h++) {
        const __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(v[2 * h], _mm256_set1_ps(inverse)));
        const __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(v[2 * h + 1], _mm256_set1_ps(inverse)));
        const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8);
        const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128((__m128i *) (to.q[c] + 16 * h), bytes);
        __m256i sum = _mm256_add_epi32(a, b);
        __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4E));
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xB1));
        halves[h] = _mm_cvtsi128_si32(s);
    }
#endif
    const float d = peak / 127.0f;
    to.d[c]   = d;
    to.sum[c] = d * (float) (halves[0] + halves[1]);
    if (F::BITS == 6) {
        to.start[0][c] = -F::BIAS * halves[0];
        to.start[1][c] = -F::BIAS * halves[1];
    } else {
        to.start[0][c] = -F::BIAS * (halves[0] + halves[1]);
        to.start[1][c] = 0;
    }
}

// Values 8P to 8P + 3 (`a`) and 8P + 4 to 8P + 7 (`b`) of every row, unsigned.
struct Pair { Ints a, b; };

static inline Pair nibbles(const uint8_t * qs) {
    const Ints z = load_i(qs), low = every_byte(15);
    return { both(z, low), both(right<4>(z), low) };
}

// `to` with those bits of `mask` that bits FROM.. of each byte have, moved to bits TO...
template <int FROM, int TO> static inline Ints with_bits(Ints to, Ints z, int mask) {
    if constexpr (FROM >= TO) {
        return with(to, right<FROM - TO>(z), every_byte(mask));
    } else {
        return with(to, left<TO - FROM>(z), every_byte(mask));
    }
}

template <class F, int P> static inline Pair pair_of(const uint8_t * qs, const uint8_t * qh) {
    if constexpr (F::BITS == 8) {
        return { load_i(qs + 128 * P), load_i(qs + 128 * P + 64) };
    } else {
        Pair pair = nibbles(qs + 64 * P);
        if constexpr (F::BITS == 5) {
            const Ints z = load_i(qh);
            pair.a = with_bits<2 * P, 4>(pair.a, z, 16);
            pair.b = with_bits<2 * P + 1, 4>(pair.b, z, 16);
        } else if constexpr (F::BITS == 6) {
            const Ints z = load_i(qh + 64 * (P / 2));
            pair.a = with_bits<4 * (P % 2), 4>(pair.a, z, 48);
            pair.b = with_bits<4 * (P % 2) + 2, 4>(pair.b, z, 48);
        }
        return pair;
    }
}

#ifdef KERNELS_VNNI

template <class F, int NC, int P, int END>
static inline void sum_pairs(const uint8_t * qs, const uint8_t * qh, const Panel & y, int c0, Ints * acc) {
    if constexpr (P < END) {
        const Pair pair = pair_of<F, P>(qs, qh);
        for (int c = 0; c < NC; c++) { acc[c] = bytes_times(acc[c], pair.a, four_bytes(y.q[c0 + c] + 8 * P)); }
        for (int c = 0; c < NC; c++) { acc[c] = bytes_times(acc[c], pair.b, four_bytes(y.q[c0 + c] + 8 * P + 4)); }
        sum_pairs<F, NC, P + 1, END>(qs, qh, y, c0, acc);
    }
}

#else

// Pairs whose products may be added in 16 bits: a product of two bytes is at most
// 2 * 127 * (2^BITS - 1), a pair adds two of them. 4 bits: 4 * 2 * 3,810 = 30,480; 5 bits:
// 2 * 2 * 7,874 = 31,496; 6 bits: 1 * 2 * 16,002 = 32,004; the limit is 32,767. 8 bits are
// multiplied as two nibbles.
template <int BITS> constexpr int GROUPED = BITS == 5 ? 2 : BITS == 6 ? 1 : 4;

template <class F, int NC, int P, int END>
static inline void add_pairs(const uint8_t * qs, const uint8_t * qh, const Panel & y, int c0, Ints * low, Ints * high) {
    if constexpr (P < END) {
        const Pair pair = pair_of<F, P>(qs, qh);
        if constexpr (F::BITS == 8) {
            const Ints mask = every_byte(15);
            const Ints al = both(pair.a, mask), ah = both(right<4>(pair.a), mask);
            const Ints bl = both(pair.b, mask), bh = both(right<4>(pair.b), mask);
            for (int c = 0; c < NC; c++) {
                const Ints s = four_bytes(y.q[c0 + c] + 8 * P), t = four_bytes(y.q[c0 + c] + 8 * P + 4);
                low[c]  = settled(add16(low[c], products16(al, s)));
                high[c] = settled(add16(high[c], products16(ah, s)));
                low[c]  = settled(add16(low[c], products16(bl, t)));
                high[c] = settled(add16(high[c], products16(bh, t)));
            }
        } else {
            for (int c = 0; c < NC; c++) {
                const Ints s = four_bytes(y.q[c0 + c] + 8 * P), t = four_bytes(y.q[c0 + c] + 8 * P + 4);
                low[c] = settled(add16(low[c], products16(pair.a, s)));
                low[c] = settled(add16(low[c], products16(pair.b, t)));
            }
        }
        add_pairs<F, NC, P + 1, END>(qs, qh, y, c0, low, high);
    }
}

template <class F, int NC, int P, int END>
static inline void sum_pairs(const uint8_t * qs, const uint8_t * qh, const Panel & y, int c0, Ints * acc) {
    if constexpr (P < END) {
        constexpr int NEXT = P + GROUPED<F::BITS> < END ? P + GROUPED<F::BITS> : END;
        Ints low[NC], high[NC];
        for (int c = 0; c < NC; c++) { low[c] = high[c] = zero_i(); }
        add_pairs<F, NC, P, NEXT>(qs, qh, y, c0, low, high);
        for (int c = 0; c < NC; c++) {
            acc[c] = add_i(acc[c], pairs16(low[c]));
            if constexpr (F::BITS == 8) { acc[c] = add_i(acc[c], left32<4>(pairs16(high[c]))); }
        }
        sum_pairs<F, NC, NEXT, END>(qs, qh, y, c0, acc);
    }
}

#endif

// The values of block `i` of a group, and its scales, for LANES rows from row `at` on. The second
// scale is that of the minimum, or of the second half.
template <class F> struct Part {
    const uint8_t * qs, * qh = nullptr;
    Floats          d, second;

    Part(const typename F::Group & g, int i, int at) {
        if constexpr (F::BITS == 6) {
            qs = g.qs[i] + 4 * at;
            qh = g.qh[i] + 4 * at;
            const Floats all = load_half(g.d + at);
            d      = mul(all, load_s8(g.scale[2 * i] + at));
            second = mul(all, load_s8(g.scale[2 * i + 1] + at));
        } else if constexpr (F::SIZE == 256) {
            d      = mul(load_half(g.d + at), load_u8(g.scale[i] + at));
            second = mul(load_half(g.dmin + at), load_u8(g.min[i] + at));
            qs     = g.qs[i] + 4 * at;
        } else {
            qs = g.qs + 4 * at;
            d  = load_half(g.d + at);
            if constexpr (F::HAS_MIN) { second = load_half(g.m + at); }
            if constexpr (F::BITS == 5) { qh = g.qh + 4 * at; }
        }
    }

    // `sum` and the whole-number sum of a block with column `c`.
    Floats taken(Floats sum, Ints whole, const Panel & y, int c) const {
        sum = fma(mul(to_f(whole), d), every(y.d[c]), sum);
        if constexpr (F::HAS_MIN) { sum = F::SIZE == 256 ? fnma(second, every(y.sum[c]), sum) : fma(second, every(y.sum[c]), sum); }
        return sum;
    }

    // The same of two halves: first the one, then both.
    Floats half(Ints whole) const { return mul(to_f(whole), d); }

    Floats taken(Floats sum, Floats half, Ints whole, const Panel & y, int c) const {
        return fma(fma(to_f(whole), second, half), every(y.d[c]), sum);
    }
};

// Products of LANES rows of a group, from row `at` on, with NC columns of the panels.
template <class F, int NC>
static void lanes_times(const typename F::Group * w, int64_t blocks, const Panel * y, int c0, int at, Floats * out) {
    Floats sum[NC];
    for (int c = 0; c < NC; c++) { sum[c] = zero_f(); }
    for (int64_t l = 0; l < blocks; l++) {
        constexpr int PER = F::SIZE / BLOCK;  // blocks that share a group
        const auto &  g = w[l / PER];
        const int     i = (int) (l % PER);
        const Panel & p = y[l];
        Ints          acc[NC];
        fetch_ahead<F>(w, l);
        for (int c = 0; c < NC; c++) { acc[c] = every_i(p.start[0][c0 + c]); }
        const Part<F> part(g, i, at);
        if constexpr (F::BITS == 6) {
            Floats half[NC];
            sum_pairs<F, NC, 0, 2>(part.qs, part.qh, p, c0, acc);
            for (int c = 0; c < NC; c++) {
                half[c] = part.half(acc[c]);
                acc[c]  = every_i(p.start[1][c0 + c]);
            }
            sum_pairs<F, NC, 2, 4>(part.qs, part.qh, p, c0, acc);
            for (int c = 0; c < NC; c++) { sum[c] = part.taken(sum[c], half[c], acc[c], p, c0 + c); }
        } else {
            sum_pairs<F, NC, 0, 4>(part.qs, part.qh, p, c0, acc);
            for (int c = 0; c < NC; c++) { sum[c] = part.taken(sum[c], acc[c], p, c0 + c); }
        }
    }
    for (int c = 0; c < NC; c++) { out[c] = sum[c]; }
}

// Products of `rows` (at most 16) rows of a group with columns c0 to c0 + NC of the panels.
template <class F, int NC>
static void group_times(const typename F::Group * w, int64_t blocks, const Panel * y, int c0, int rows, float * const * to) {
    for (int at = 0; at < rows; at += LANES) {
        Floats out[NC];
        lanes_times<F, NC>(w, blocks, y, c0, at, out);
        for (int c = 0; c < NC; c++) {
            if (at + LANES <= rows) {
                store_f(to[c0 + c] + at, out[c]);
            } else {
                float last[LANES];
                store_f(last, out[c]);
                std::memcpy(to[c0 + c] + at, last, (size_t) (rows - at) * sizeof(float));
            }
        }
    }
}

template <class F, int NC = AT_ONCE>
static void some_columns(const typename F::Group * w, int64_t blocks, const Panel * y, int c0, int n, int rows, float * const * to) {
    if constexpr (NC > 0) {
        if (n == NC) {
            group_times<F, NC>(w, blocks, y, c0, rows, to);
        } else {
            some_columns<F, NC - 1>(w, blocks, y, c0, n, rows, to);
        }
    }
}

// Products of a group with the first `n` (at most 8) columns of the panels; `to[c]` is where the
// results of column c go.
template <class F>
static void panel_times(const typename F::Group * w, int64_t blocks, const Panel * y, int n, int rows, float * const * to) {
    for (int c = 0; c < n; c += AT_ONCE) { some_columns<F>(w, blocks, y, c, n - c < AT_ONCE ? n - c : AT_ONCE, rows, to); }
}

}  // namespace kernels

#endif  // KERNELS_AVAILABLE
