// Attention of some queries to the cells of a cache, tile by tile.
//
// Rules
// - The cache is read in tiles of 64 cells. A tile that few queries see is computed cell by cell
//   for those that see it; one that many see is converted once and multiplied for all of them.
//   So a prefix that sequences share is read once, and what is padding is not computed.
// - Both ways give the same bits, which depend on the query and the cells that it sees, in their
//   order, alone: a score is summed in one order, each sum over cells goes on from cell to cell, a
//   cell that is not seen adds nothing, and results are rescaled by powers of two, without rounding.
// - A sum begins anew after each SEGMENT cells that the query sees, and the sums of segments are
//   added in order. So whoever computes a segment, the result has the same bits.
// - The query heads that share a head of the cache go together, and share every load of it.
// - Sums and exponentials are 32-bit floats; the probabilities are not rounded to half floats.
#pragma once

#include "simd.h"

#ifdef KERNELS_AVAILABLE

#include <algorithm>
#include <cmath>
#include <cstring>

namespace kernels {

constexpr int TILE      = 64;                      // cells
constexpr int PARTS     = TILE / LANES;            // vectors of scores in a tile
constexpr int SEGMENT   = 256;                     // cells that a query sees whose sum is one part of its result
constexpr int QUERIES   = 64;                      // most queries of a task, all heads of a group
constexpr int ROW_BLOCK = 4;                       // queries with sums in registers
constexpr int COL_BLOCK = LANES == 16 ? 4 : 2;     // vectors beside each other in registers
constexpr int AT_ONCE_Q = LANES / 4;               // queries whose scores of four cells fill a vector

static inline size_t task_floats(int64_t width) { return (size_t) (QUERIES * (width * 3 + 16) + QUERIES * TILE + 2 * TILE * width + 4 * QUERIES + 64); }

// The most vectors beside each other, up to `most`, that a row of `vectors` is made of.
constexpr int beside(int vectors, int most) { return vectors % most == 0 ? most : beside(vectors, most - 1); }

// 2^n for whole n up to 0, 0 below the normal numbers.
static inline float two_to_the(float n) {
    const uint32_t bits = n < -126.0f ? 0 : (uint32_t) ((int) n + 127) << 23;
    float          x;
    std::memcpy(&x, &bits, sizeof(x));
    return x;
}

// One bit for each cell that a query sees: those whose mask is not minus infinity.
static inline uint64_t seen(const uint16_t * mask, int n) {
    uint64_t bits = 0;
    int      i    = 0;
#ifdef KERNELS_AVX512
    for (; i < n; i += 32) {
        const __mmask32 there = n - i >= 32 ? ~0u : (1u << (n - i)) - 1;
        const uint32_t  some  = _mm512_mask_cmpneq_epi16_mask(there, _mm512_maskz_loadu_epi16(there, mask + i), _mm512_set1_epi16((short) 0xFC00));
        bits |= (uint64_t) some << i;
    }
#else
    for (; i + 16 <= n; i += 16) {
        const __m256i none = _mm256_cmpeq_epi16(_mm256_loadu_si256((const __m256i *) (mask + i)), _mm256_set1_epi16((short) 0xFC00));
        const __m128i half = _mm_packs_epi16(_mm256_castsi256_si128(none), _mm256_extracti128_si256(none, 1));
        bits |= (uint64_t) (uint16_t) ~_mm_movemask_epi8(half) << i;
    }
#endif
    for (; i < n; i++) { bits |= (uint64_t) (mask[i] != 0xFC00) << i; }
    return bits;
}

// The lowest `most` of the bits.
static inline uint64_t lowest(uint64_t bits, int most) { return most < 64 ? _pdep_u64((1ull << most) - 1, bits) : bits; }

// The total of each of LANES vectors, as one vector.
static inline Floats totals(const Floats * x) {
#if defined(KERNELS_AVX512) && !defined(KERNELS_NARROW)
    __m512 a[8], b[4], c[2];
    for (int i = 0; i < 8; i++) {  // 4-byte pairs: x[2i], x[2i + 1]
        a[i] = _mm512_add_ps(_mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]), _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]));
    }
    for (int i = 0; i < 4; i++) {  // four results in each 128 bits
        const __m512d lo = _mm512_unpacklo_pd(_mm512_castps_pd(a[2 * i]), _mm512_castps_pd(a[2 * i + 1]));
        const __m512d hi = _mm512_unpackhi_pd(_mm512_castps_pd(a[2 * i]), _mm512_castps_pd(a[2 * i + 1]));
        b[i] = _mm512_add_ps(_mm512_castpd_ps(lo), _mm512_castpd_ps(hi));
    }
    for (int i = 0; i < 2; i++) {
        c[i] = _mm512_add_ps(_mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0x88), _mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0xDD));
    }
    return _mm512_add_ps(_mm512_shuffle_f32x4(c[0], c[1], 0x88), _mm512_shuffle_f32x4(c[0], c[1], 0xDD));
#else
    __m256 a[4], b[2];
    for (int i = 0; i < 4; i++) { a[i] = _mm256_hadd_ps(x[2 * i], x[2 * i + 1]); }
    for (int i = 0; i < 2; i++) { b[i] = _mm256_hadd_ps(a[2 * i], a[2 * i + 1]); }
    return _mm256_add_ps(_mm256_permute2f128_ps(b[0], b[1], 0x20), _mm256_permute2f128_ps(b[0], b[1], 0x31));
#endif
}

// A part of a result: the sum of the values, the largest power, and the sum of the probabilities.
static inline size_t part_floats(int64_t width) { return (size_t) (width + 16); }  // whole cache lines

template <int WIDTH> static inline void set_part(float * to, float most, float sum, const float * values) {
    for (int d = 0; d < WIDTH; d += LANES) { store_f(to + d, load_f(values + d)); }
    to[WIDTH]     = most;
    to[WIDTH + 1] = sum;
}

// Take in the part of the next segment.
template <int WIDTH> static inline void add_part(float * to, float most, float sum, const float * values) {
    const float both = std::max(to[WIDTH], most), before = two_to_the(to[WIDTH] - both), after = two_to_the(most - both);
    for (int d = 0; d < WIDTH; d += LANES) {
        store_f(to + d, fma(load_f(values + d), every(after), mul(load_f(to + d), every(before))));
    }
    to[WIDTH]     = both;
    to[WIDTH + 1] = std::fma(sum, after, to[WIDTH + 1] * before);
}

template <int WIDTH> static inline void finish_part(float sum, const float * values, float * to) {
    const float inverse = sum == 0.0f ? 0.0f : 1.0f / sum;
    for (int d = 0; d < WIDTH; d += LANES) { store_f(to + d, mul(load_f(values + d), every(inverse))); }
}

template <int WIDTH> class Task {
    static constexpr int VECTORS = WIDTH / LANES;

  public:
    // `n` queries in `group` heads: query r is position r / group, head r % group.
    Task(float * work, int positions, int group) : positions_(positions), group_(group), n_(positions * group) {
        q_     = work;
        out_   = q_ + QUERIES * WIDTH;
        score_ = out_ + QUERIES * WIDTH;
        keys_  = score_ + QUERIES * TILE;
        vals_  = keys_ + TILE * WIDTH;
        max_   = vals_ + TILE * WIDTH;
        sum_   = max_ + QUERIES;
        done_  = sum_ + QUERIES;
        for (int p = 0; p < positions_; p++) {
            begin(p);
            segments_[p] = 0;
        }
    }

    void query(int r, const float * from, float scale) {
        for (int i = 0; i < VECTORS; i++) { store_f(q_ + r * WIDTH + LANES * i, mul(load_f(from + LANES * i), every(scale))); }
    }

    // Of the cells that the only position sees, leave out the first `skipped` and take the `taken`
    // after them; the segments of query r go to `to[r]`, one after the other, and are not added up.
    void apart(float * const * to, int64_t skipped, int64_t taken) {
        apart_   = to;
        skipped_ = skipped;
        taken_   = taken;
    }

    // Whether it takes more cells.
    bool open() const { return !apart_ || taken_ > 0; }

    // Take in `n` cells: those that `at` names of the cache at `k` and `v`. `mask[p]` is the mask of
    // position p for them.
    void tile(const char * k, size_t nbk, const char * v, size_t nbv, const uint32_t * at, int n, const uint16_t * const * mask, const float * slope) {
        uint64_t all[QUERIES], now[QUERIES], later[QUERIES], any = 0;
        for (int p = 0; p < positions_; p++) { any |= later[p] = all[p] = mask ? seen(mask[p], n) : n == 64 ? ~0ull : (1ull << n) - 1; }
        if (!any) { return; }
        if (apart_) { later[0] = wanted(later[0]); }
        for (bool more = true; more;) {
            int active = 0, pairs = 0;
            more = false;
            for (int p = 0; p < positions_; p++) {
                now[p] = 0;
                if (!later[p]) { continue; }
                if (count_[p] == SEGMENT) { end(p); }
                now[p] = lowest(later[p], SEGMENT - count_[p]);
                later[p] ^= now[p];
                more |= later[p] != 0;
                const int count = __builtin_popcountll(now[p]);
                count_[p] += count;
                pairs     += count;
                active++;
            }
            if (pairs) { take({ k, v, nbk, nbv, at, n }, all, now, pairs, active, mask, slope); }
        }
    }

    // The result of query r.
    void finish(int r, float * to) {
        const int     p    = r / group_;
        const float * done = done_ + r * part_floats(WIDTH);
        if (segments_[p] && count_[p]) { end(p); }
        if (segments_[p]) {
            finish_part<WIDTH>(done[WIDTH + 1], done, to);
        } else {
            finish_part<WIDTH>(sum_[r], out_ + (size_t) r * WIDTH, to);
        }
    }

    // The last segment goes where the others went.
    void finish_apart() {
        if (count_[0]) { end(0); }
    }

  private:
    // Some cells of the cache.
    struct Some {
        const char *     k, * v;
        size_t           nbk, nbv;
        const uint32_t * at;
        int              n;

        const uint16_t * key(int c) const { return (const uint16_t *) (k + at[c] * nbk); }
        const uint16_t * value(int c) const { return (const uint16_t *) (v + at[c] * nbv); }

        // Ask for the cell: the heads' rows of neighbours lie too far apart for the processor to do so.
        void fetch(int c) const {
            for (int i = 0; i < WIDTH; i += 32) {
                _mm_prefetch((const char *) (key(c) + i), _MM_HINT_T0);
                _mm_prefetch((const char *) (value(c) + i), _MM_HINT_T0);
            }
        }
    };

    // The sums of a position begin.
    void begin(int p) {
        count_[p] = 0;
        std::fill(max_ + p * group_, max_ + (p + 1) * group_, -INFINITY);
        std::fill(sum_ + p * group_, sum_ + (p + 1) * group_, 0.0f);
        std::fill(out_ + (size_t) p * group_ * WIDTH, out_ + (size_t) (p + 1) * group_ * WIDTH, 0.0f);
    }

    // A segment of a position is whole.
    void end(int p) {
        for (int r = p * group_; r < (p + 1) * group_; r++) {
            const float * values = out_ + (size_t) r * WIDTH;
            float *       done   = done_ + r * part_floats(WIDTH);
            if (apart_) {
                set_part<WIDTH>(apart_[r] + segments_[p] * part_floats(WIDTH), max_[r], sum_[r], values);
            } else if (segments_[p] == 0) {
                set_part<WIDTH>(done, max_[r], sum_[r], values);
            } else {
                add_part<WIDTH>(done, max_[r], sum_[r], values);
            }
        }
        segments_[p]++;
        begin(p);
    }

    // Of the cells that the only position sees next, those that are not left out.
    uint64_t wanted(uint64_t bits) {
        const int64_t n = __builtin_popcountll(bits), skipped = std::min(n, skipped_);
        skipped_ -= skipped;
        bits ^= lowest(bits, (int) skipped);
        const int64_t taken = std::min(n - skipped, taken_);
        taken_ -= taken;
        return lowest(bits, (int) taken);
    }

    // Take in the cells of `now`, for `active` positions; `all` are those that the masks show.
    void take(const Some & cells, const uint64_t * all, const uint64_t * now, int pairs, int active, const uint16_t * const * mask, const float * slope) {
        // Operations on vectors, for 64 values: a cell alone is loaded (8) and multiplied and
        // summed for each head (12); a tile is converted (16 a cell), then costs 10 for a query.
        if (pairs * (8 + 12 * group_) <= TILE * (16 + 10 * active * group_)) {
            for (int p = 0; p < positions_; p++) {
                if (now[p]) { few(cells, now[p], p, mask ? mask[p] : nullptr, slope); }
            }
        } else {
            whole(cells, all, now, mask, slope);
        }
    }

    // New scores of a query, padded with minus infinity: they become probabilities.
    void probabilities(int r, float * score, int vectors) {
        Floats most = load_f(score);
        for (int i = 1; i < vectors; i++) { most = max_f(most, load_f(score + LANES * i)); }
        const float power = nearest_power(largest(most));
        if (power > max_[r]) {
            const float factor = two_to_the(max_[r] - power);
            for (int i = 0; i < VECTORS; i++) { store_f(out_ + r * WIDTH + LANES * i, mul(load_f(out_ + r * WIDTH + LANES * i), every(factor))); }
            sum_[r] *= factor;
            max_[r] = power;
        }
        for (int i = 0; i < vectors; i++) { store_f(score + LANES * i, exponential(load_f(score + LANES * i), max_[r])); }
    }

    // Cell by cell: the queries of one position, and the cells that it sees.
    void few(const Some & cells, uint64_t bits, int position, const uint16_t * mask, const float * slope) {
        uint8_t index[TILE];
        int     n = 0;
        for (uint64_t b = bits; b; b &= b - 1) { index[n++] = (uint8_t) __builtin_ctzll(b); }
        for (int i = 0; i < n; i++) { cells.fetch(index[i]); }
        const int vectors = (n + LANES - 1) / LANES;
        float *   score = score_ + (size_t) position * group_ * TILE;
        for (int part = 0; part < vectors; part++) {
            const int       count = std::min(LANES, n - part * LANES);
            const uint8_t * here = index + part * LANES;
            Floats          bias = zero_f();
            if (mask && count == LANES && here[LANES - 1] - here[0] == LANES - 1) {
                bias = load_half(mask + here[0]);  // all of them side by side
            } else if (mask) {
                float value[LANES] = {};
                for (int i = 0; i < count; i++) { value[i] = single(mask[here[i]]); }
                bias = load_f(value);
            }
            const float * q = q_ + (size_t) position * group_ * WIDTH;
            for (int h = 0; h < group_; h += ROW_BLOCK) {
                float * to = score + h * TILE + LANES * part;
                switch (group_ - h) {
                    case 1: some_scores<1>(cells, here, count, q + h * WIDTH, bias, slope + h, to); break;
                    case 2: some_scores<2>(cells, here, count, q + h * WIDTH, bias, slope + h, to); break;
                    case 3: some_scores<3>(cells, here, count, q + h * WIDTH, bias, slope + h, to); break;
                    default: some_scores<ROW_BLOCK>(cells, here, count, q + h * WIDTH, bias, slope + h, to); break;
                }
            }
        }
        for (int h = 0; h < group_; h++) {
            for (int i = n; i < vectors * LANES; i++) { score[h * TILE + i] = -INFINITY; }
            probabilities(position * group_ + h, score + h * TILE, vectors);
        }
        values(cells, index, n, position, score);
    }

    // Scores of up to LANES cells for some heads, which share every load of a cell.
    template <int HEADS>
    static void some_scores(const Some & cells, const uint8_t * index, int count, const float * q, Floats bias, const float * slope, float * to) {
        Floats sums[HEADS][LANES];
        for (int i = 0; i < LANES; i++) {
            Floats a[HEADS];
            for (int h = 0; h < HEADS; h++) { a[h] = zero_f(); }
            if (i < count) {
                const uint16_t * key = cells.key(index[i]);
                for (int j = 0; j < VECTORS; j++) {
                    const Floats x = load_half(key + LANES * j);
                    for (int h = 0; h < HEADS; h++) { a[h] = fma(x, load_f(q + h * WIDTH + LANES * j), a[h]); }
                }
            }
            for (int h = 0; h < HEADS; h++) { sums[h][i] = a[h]; }
        }
        for (int h = 0; h < HEADS; h++) { store_f(to + h * TILE, fma(bias, every(slope[h]), totals(sums[h]))); }
    }

    // Add what the cells of `index` hold, as much of each as its probability.
    void values(const Some & cells, const uint8_t * index, int n, int position, const float * score) {
        constexpr int BESIDE = beside(VECTORS, 5);
        for (int j = 0; j < VECTORS; j += BESIDE) {
            int h = 0;
            for (; h + ROW_BLOCK <= group_; h += ROW_BLOCK) { some_values<ROW_BLOCK, BESIDE>(cells, index, n, position * group_ + h, score + h * TILE, j); }
            switch (group_ - h) {
                case 3: some_values<3, BESIDE>(cells, index, n, position * group_ + h, score + h * TILE, j); break;
                case 2: some_values<2, BESIDE>(cells, index, n, position * group_ + h, score + h * TILE, j); break;
                case 1: some_values<1, BESIDE>(cells, index, n, position * group_ + h, score + h * TILE, j); break;
                default: break;
            }
        }
    }

    template <int HEADS, int BESIDE>
    void some_values(const Some & cells, const uint8_t * index, int n, int r, const float * score, int j) {
        Floats acc[HEADS][BESIDE];
        float  sum[HEADS];
        for (int h = 0; h < HEADS; h++) {
            sum[h] = sum_[r + h];
            for (int i = 0; i < BESIDE; i++) { acc[h][i] = load_f(out_ + (size_t) (r + h) * WIDTH + LANES * (j + i)); }
        }
        for (int c = 0; c < n; c++) {
            const uint16_t * value = cells.value(index[c]) + LANES * j;
            Floats           p[HEADS];
            for (int h = 0; h < HEADS; h++) {
                p[h] = every(score[h * TILE + c]);
                sum[h] += score[h * TILE + c];
            }
            for (int i = 0; i < BESIDE; i++) {
                const Floats x = load_half(value + LANES * i);
                for (int h = 0; h < HEADS; h++) { acc[h][i] = fma(p[h], x, acc[h][i]); }
            }
        }
        for (int h = 0; h < HEADS; h++) {
            if (j == 0) { sum_[r + h] = sum[h]; }
            for (int i = 0; i < BESIDE; i++) { store_f(out_ + (size_t) (r + h) * WIDTH + LANES * (j + i), acc[h][i]); }
        }
    }

    // All queries of the task that see any of the tile, as two products of matrices.
    void whole(const Some & cells, const uint64_t * all, const uint64_t * now, const uint16_t * const * mask, const float * slope) {
        const int n = cells.n;
        for (int c = 0; c < n; c++) { cells.fetch(c); }
        for (int c = 0; c < n; c++) {
            convert(keys_ + c * WIDTH, cells.key(c));
            convert(vals_ + c * WIDTH, cells.value(c));
        }
        std::fill(keys_ + n * WIDTH, keys_ + (n + 3) / 4 * 4 * WIDTH, 0.0f);
        int rows[QUERIES], active = 0;
        for (int r = 0; r < n_; r++) {
            if (now[r / group_]) { rows[active++] = r; }
        }
        for (int a = 0; a < active; a += AT_ONCE_Q) { scores(rows + a, std::min(AT_ONCE_Q, active - a), n); }
        for (int a = 0; a < active; a++) {
            const int r = rows[a];
            float *   score = score_ + (size_t) r * TILE;
            if (mask) {
                const uint16_t * m = mask[r / group_];
                const Floats     s = every(slope[r % group_]);
                int              c = 0;
                for (; c + LANES <= n; c += LANES) { store_f(score + c, fma(load_half(m + c), s, load_f(score + c))); }
                for (; c < n; c++) { score[c] = std::fma(single(m[c]), slope[r % group_], score[c]); }
            }
            for (uint64_t b = all[r / group_] ^ now[r / group_]; b; b &= b - 1) { score[__builtin_ctzll(b)] = -INFINITY; }
            for (int c = n; c < TILE; c++) { score[c] = -INFINITY; }
            probabilities(r, score, PARTS);
        }
        for (int a = 0; a < active; a += ROW_BLOCK) { some_results(rows + a, std::min(ROW_BLOCK, active - a), n); }
    }

    static void convert(float * to, const uint16_t * from) {
        for (int j = 0; j < WIDTH; j += LANES) { store_f(to + j, load_half(from + j)); }
    }

    // Scores of `count` (at most AT_ONCE_Q) queries for the first `n` cells of keys_.
    void scores(const int * rows, int count, int n) {
        const float * q[AT_ONCE_Q];
        for (int a = 0; a < AT_ONCE_Q; a++) { q[a] = q_ + (size_t) rows[std::min(a, count - 1)] * WIDTH; }
        for (int c = 0; c < n; c += 4) {
            const float * key = keys_ + c * WIDTH;
            Floats        sums[LANES];
            for (int i = 0; i < LANES; i++) { sums[i] = zero_f(); }
            for (int j = 0; j < WIDTH; j += LANES) {
                Floats x[4];
                for (int i = 0; i < 4; i++) { x[i] = load_f(key + i * WIDTH + j); }
                for (int a = 0; a < AT_ONCE_Q; a++) {
                    const Floats y = load_f(q[a] + j);
                    for (int i = 0; i < 4; i++) { sums[4 * a + i] = fma(x[i], y, sums[4 * a + i]); }
                }
            }
            float found[LANES];
            store_f(found, totals(sums));
            for (int a = 0; a < count; a++) { std::memcpy(score_ + (size_t) rows[a] * TILE + c, found + 4 * a, 4 * sizeof(float)); }
        }
    }

    void some_results(const int * rows, int count, int n) {
        switch (count) {
            case 4: results<4>(rows, n); break;
            case 3: results<3>(rows, n); break;
            case 2: results<2>(rows, n); break;
            default: results<1>(rows, n); break;
        }
    }

    // out_ += score_ * vals_, and the same for the sums.
    template <int COUNT> void results(const int * rows, int n) {
        const float * p[COUNT];
        float *       to[COUNT], sum[COUNT];
        for (int a = 0; a < COUNT; a++) {
            p[a]   = score_ + (size_t) rows[a] * TILE;
            to[a]  = out_ + (size_t) rows[a] * WIDTH;
            sum[a] = sum_[rows[a]];
        }
        constexpr int COLUMNS = beside(VECTORS, COL_BLOCK);
        for (int j = 0; j < WIDTH; j += COLUMNS * LANES) {
            Floats acc[COUNT][COLUMNS];
            for (int a = 0; a < COUNT; a++) {
                for (int i = 0; i < COLUMNS; i++) { acc[a][i] = load_f(to[a] + j + LANES * i); }
            }
            for (int c = 0; c < n; c++) {
                Floats x[COLUMNS];
                for (int i = 0; i < COLUMNS; i++) { x[i] = load_f(vals_ + c * WIDTH + j + LANES * i); }
                for (int a = 0; a < COUNT; a++) {
                    const Floats y = every(p[a][c]);
                    if (j == 0) { sum[a] += p[a][c]; }
                    for (int i = 0; i < COLUMNS; i++) { acc[a][i] = fma(y, x[i], acc[a][i]); }
                }
            }
            for (int a = 0; a < COUNT; a++) {
                for (int i = 0; i < COLUMNS; i++) { store_f(to[a] + j + LANES * i, acc[a][i]); }
            }
        }
        for (int a = 0; a < COUNT; a++) { sum_[rows[a]] = sum[a]; }
    }

    int             positions_, group_, n_;
    float *         q_, * out_, * score_, * keys_, * vals_, * max_, * sum_, * done_;
    int             count_[QUERIES], segments_[QUERIES];  // of the segment, and those before it
    int64_t         skipped_ = 0, taken_ = 0;
    float * const * apart_ = nullptr;
};

}  // namespace kernels

#endif  // KERNELS_AVAILABLE
