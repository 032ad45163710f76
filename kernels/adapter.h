// What an adapter of low rank adds to a product: sum = to + scale * B (A x), column by column.
//
// Rules
// - A has a row for each rank and B a column, both in half or single floats; all else is single floats.
// - A result depends on its column alone and is summed in one order: the same bits for any batch and
//   any number of threads.
#pragma once

#include "simd.h"

#ifdef KERNELS_AVAILABLE

#include <algorithm>

namespace kernels {

constexpr int64_t LARGEST_RANK = 256;
constexpr int     A_ROWS       = 4;  // at once, so that their sums stay in registers
constexpr int     A_COLUMNS    = LANES == 16 ? 4 : 2;
constexpr int     B_COLUMNS    = 8;

static inline Floats load_as_f(const float * p) { return load_f(p); }
static inline Floats load_as_f(const uint16_t * p) { return load_half(p); }

// t = A x for up to A_COLUMNS columns. `width` is a multiple of LANES; a stride is in elements.
template <class T>
static void to_rank(const T * a, int64_t stride, int64_t width, int64_t rank, const float * const * x, float * const * t, int columns) {
    for (int64_t r = 0; r < rank; r += A_ROWS) {
        const int rows = (int) std::min<int64_t>(A_ROWS, rank - r);
        const T * row[A_ROWS];
        Floats    sums[A_ROWS][A_COLUMNS];
        for (int i = 0; i < A_ROWS; i++) {
            row[i] = a + (r + std::min(i, rows - 1)) * stride;
            for (int c = 0; c < A_COLUMNS; c++) { sums[i][c] = zero_f(); }
        }
        for (int64_t k = 0; k < width; k += LANES) {
            Floats y[A_COLUMNS];
            for (int c = 0; c < A_COLUMNS; c++) { y[c] = load_f(x[std::min(c, columns - 1)] + k); }
            for (int i = 0; i < A_ROWS; i++) {
                const Floats w = load_as_f(row[i] + k);
                for (int c = 0; c < A_COLUMNS; c++) { sums[i][c] = fma(w, y[c], sums[i][c]); }
            }
        }
        for (int i = 0; i < rows; i++) {
            for (int c = 0; c < columns; c++) { t[c][r + i] = total(sums[i][c]); }
        }
    }
}

// LANES rows of B, or those that there are, so that a vector has one value of each.
template <class T> static void turn(const T * b, int64_t stride, int64_t rank, int rows, float * turned) {
    float values[LARGEST_RANK + LANES];
    std::fill(turned, turned + rank * LANES, 0.0f);
    for (int l = 0; l < rows; l++) {
        const T * row = b + l * stride;
        int64_t   k   = 0;
        for (; k + LANES <= rank; k += LANES) { store_f(values + k, load_as_f(row + k)); }
        for (; k < rank; k++) { values[k] = single(row[k]); }
        for (k = 0; k < rank; k++) { turned[k * LANES + l] = values[k]; }
    }
}

// LANES rows of the sum for some columns; `to` and `sum` may be the same memory.
template <int C>
static void from_rank(const float * turned, int64_t rank, float scale, const float * const * t, const float * const * to, float * const * sum) {
    Floats sums[C];
    for (int c = 0; c < C; c++) { sums[c] = zero_f(); }
    for (int64_t k = 0; k < rank; k++) {
        const Floats w = load_f(turned + k * LANES);
        for (int c = 0; c < C; c++) { sums[c] = fma(w, every(t[c][k]), sums[c]); }
    }
    for (int c = 0; c < C; c++) { store_f(sum[c], fma(every(scale), sums[c], load_f(to[c]))); }
}

}  // namespace kernels

#endif  // KERNELS_AVAILABLE
