// Products of prompts on the tiles of a processor (AMX), in 16-bit floats (bfloat16).
//
// Rules
// - Weights and inputs are rounded to 16 bits, their products summed as floats: of each 32 values the
//   even and the odd ones apart, then both to the sum. That is the instruction's own order.
// - A result is a function of its row of weights and its row of inputs alone, as in product.h, and
//   another one than there. So a token's place in its prompt chooses the path, never its company
//   (`kernels_prompt`).
// - A block of 16 rows, as floats, is a B tile; a block of 16 inputs is an A tile; their products are
//   16 results of each of 16 inputs as they lie in memory.
// - Weights become floats in pieces of DEPTH blocks, which stay in the second cache while all
//   inputs meet them; two groups and two tiles of inputs at once, so that each load serves twice.
// - `Emulated` does in plain C++ as the instructions do, so that every processor tests the kernel.
#pragma once

#include "product.h"

#ifdef KERNELS_AVAILABLE

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__AMX_TILE__) && defined(__AVX512BF16__) && defined(__x86_64__)
#define KERNELS_TILED 1
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace kernels {

constexpr int DEPTH = 32;  // blocks of a piece: 32 KiB of each group
constexpr int SIDE  = 16;  // inputs of a tile

// A block of 16 inputs, or of 16 rows of weights: then line k holds values 2k and 2k + 1 of all rows.
struct alignas(64) Tile { uint16_t value[SIDE][BLOCK]; };
static_assert(sizeof(Tile) == 1024, "what a tile register holds");

// Which register is what: sums (of a tile of inputs with two groups, then of the next), inputs, weights.
enum : int { SUMS = 0, INPUTS = 4, WEIGHTS = 6, TILES = 8 };

static inline float of_bits(uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof(x));
    return x;
}

// To the nearest 16-bit float, of two the even one; what has no exponent becomes a zero.
static inline uint16_t rounded(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof(bits));
    if (std::isnan(x)) { return (uint16_t) (bits >> 16 | 64); }
    if (std::fabs(x) < FLT_MIN) { return (uint16_t) (bits >> 16 & 0x8000); }
    return (uint16_t) ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

// The instructions, one by one.
class Emulated {
  public:
    template <int T> void zero() { std::memset(tile_[T], 0, sizeof(tile_[T])); }

    template <int T> void load(const void * from, size_t stride) {
        for (int r = 0; r < SIDE; r++) { std::memcpy(tile_[T][r], (const char *) from + r * stride, sizeof(tile_[T][r])); }
    }

    template <int T> void store(void * to, size_t stride) const {
        for (int r = 0; r < SIDE; r++) { std::memcpy((char *) to + r * stride, tile_[T][r], sizeof(tile_[T][r])); }
    }

    // tdpbf16ps: numbers without an exponent count and become zeros.
    template <int C, int A, int B> void add_products() {
        for (int m = 0; m < SIDE; m++) {
            for (int n = 0; n < SIDE; n++) {
                float sum[2] = {};
                for (int k = 0; k < SIDE; k++) {
                    for (int i = 0; i < 2; i++) { sum[i] = whole(std::fma(half(tile_[A][m][k], i), half(tile_[B][k][n], i), sum[i])); }
                }
                const float both = whole(of_bits(tile_[C][m][n])) + whole(sum[0] + sum[1]), found = whole(both);
                std::memcpy(&tile_[C][m][n], &found, sizeof(found));
            }
        }
    }

  private:
    static float whole(float x) { return std::fabs(x) < FLT_MIN ? std::copysign(0.0f, x) : x; }
    static float half(uint32_t pair, int i) { return whole(of_bits(i ? pair & 0xFFFF0000 : pair << 16)); }

    uint32_t tile_[TILES][SIDE][SIDE] = {};
};

#ifdef KERNELS_TILED

// The shapes of the tiles are the thread's own; those of before come back, since ggml sets its own but once.
class Real {
  public:
    Real() {
        _tile_storeconfig(&before_);
        Shapes shapes;
        shapes.palette = 1;
        std::fill_n(shapes.bytes, TILES, (uint16_t) 64);
        std::fill_n(shapes.rows, TILES, (uint8_t) SIDE);
        _tile_loadconfig(&shapes);
    }
    ~Real() { _tile_loadconfig(&before_); }
    Real(const Real &) = delete;
    Real & operator=(const Real &) = delete;

    // The compiler's names for the instructions want literal numbers.
    template <int T> void zero() {
        if constexpr (T == 0) { _tile_zero(0); } else if constexpr (T == 1) { _tile_zero(1); } else if constexpr (T == 2) { _tile_zero(2); } else { _tile_zero(3); }
    }

    template <int T> void load(const void * from, size_t stride) {
        __asm__ volatile("" ::: "memory");  // gcc does not say that the instruction reads memory
        if constexpr (T == 0) { _tile_loadd(0, from, stride); } else if constexpr (T == 1) { _tile_loadd(1, from, stride); }
        else if constexpr (T == 2) { _tile_loadd(2, from, stride); } else if constexpr (T == 3) { _tile_loadd(3, from, stride); }
        else if constexpr (T == 4) { _tile_loadd(4, from, stride); } else if constexpr (T == 5) { _tile_loadd(5, from, stride); }
        else if constexpr (T == 6) { _tile_loadd(6, from, stride); } else { _tile_loadd(7, from, stride); }
    }

    template <int T> void store(void * to, size_t stride) const {
        if constexpr (T == 0) { _tile_stored(0, to, stride); } else if constexpr (T == 1) { _tile_stored(1, to, stride); } else if constexpr (T == 2) { _tile_stored(2, to, stride); } else { _tile_stored(3, to, stride); }
    }

    template <int C, int A, int B> void add_products() {
        static_assert(A == INPUTS + C / 2 && B == WEIGHTS + C % 2, "of the tiles of one sum");
        if constexpr (C == 0) { _tile_dpbf16ps(0, 4, 6); } else if constexpr (C == 1) { _tile_dpbf16ps(1, 4, 7); } else if constexpr (C == 2) { _tile_dpbf16ps(2, 5, 6); } else { _tile_dpbf16ps(3, 5, 7); }
    }

  private:
    struct alignas(64) Shapes { uint8_t palette = 0, start = 0, reserved[14] = {}; uint16_t bytes[16] = {}; uint8_t rows[16] = {}; };
    static_assert(sizeof(Shapes) == 64, "what the processor reads");

    Shapes before_;
};

// Whether the processor multiplies 16-bit floats and the system lets this process use tiles; asked once.
static inline bool tiles_permitted() {
    constexpr int REQUEST = 0x1023, DATA = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    static const bool permitted = [] {
        unsigned a = 0, b = 0, c = 0, d = 0;
        return __get_cpuid_count(7, 0, &a, &b, &c, &d) && d >> 22 & 1 && syscall(SYS_arch_prctl, REQUEST, DATA) == 0;
    }();
    return permitted;
}

#else

using Real = Emulated;
static inline bool tiles_permitted() { return false; }

#endif

// A pair of each lane's floats, `a` in the lower half.
static inline Ints rounded_pairs(Floats a, Floats b) {
#ifdef KERNELS_TILED
    alignas(64) static constexpr uint16_t ORDER[32] = { 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31 };
    return _mm512_permutexvar_epi16(load_i(ORDER), (__m512i) _mm512_cvtne2ps_pbh(b, a));
#else
    float    each[2][LANES];
    uint32_t pairs[LANES];
    store_f(each[0], a);
    store_f(each[1], b);
    for (int i = 0; i < LANES; i++) { pairs[i] = (uint32_t) rounded(each[1][i]) << 16 | rounded(each[0][i]); }
    return load_i(pairs);
#endif
}

// 32 inputs as row `r` of a tile.
static inline void round_inputs(const float * x, Tile & to, int r) {
#ifdef KERNELS_TILED
    store_i(to.value[r], (__m512i) _mm512_cvtne2ps_pbh(load_f(x + LANES), load_f(x)));
#else
    for (int i = 0; i < BLOCK; i++) { to.value[r][i] = rounded(x[i]); }
#endif
}

// Block `i` of a group as floats.
template <class F> static void unpack_block(const typename F::Group & g, int i, Tile & to) {
    fetch_ahead<F>(&g, i);
    for (int at = 0; at < ROWS; at += LANES) {
        const Part<F> part(g, i, at);
        const Floats  bias = every(-(float) F::BIAS);
        Floats        scale[2] = { part.d, part.d }, least[2];
        if constexpr (F::BITS == 6) { scale[1] = part.second; }
        for (int h = 0; h < 2; h++) {
            if constexpr (!F::HAS_MIN) { least[h] = mul(scale[h], bias); } else { least[h] = F::SIZE == 256 ? sub(zero_f(), part.second) : part.second; }
        }
        const auto four = [&](int line, int h, Ints bytes) {  // values of each row
            const Floats v[4] = { byte_of<0>(bytes), byte_of<1>(bytes), byte_of<2>(bytes), byte_of<3>(bytes) };
            for (int k = 0; k < 2; k++) { store_i(to.value[line + k] + 2 * at, rounded_pairs(fma(v[2 * k], scale[h], least[h]), fma(v[2 * k + 1], scale[h], least[h]))); }
        };
        const auto put = [&](int p, Pair pair) {
            four(4 * p, p / 2, pair.a);
            four(4 * p + 2, p / 2, pair.b);
        };
        put(0, pair_of<F, 0>(part.qs, part.qh));
        put(1, pair_of<F, 1>(part.qs, part.qh));
        put(2, pair_of<F, 2>(part.qs, part.qh));
        put(3, pair_of<F, 3>(part.qs, part.qh));
    }
}

// Products of a matrix with inputs.
template <class Tiles, class F> class TiledProduct {
  public:
    // Groups `from` to before `end` of a matrix of `height` rows with the `rows` inputs of `x`, which has
    // the blocks of 16 inputs one after another; `to` has the results of the first input, those of the
    // next `stride` floats further on.
    void multiply(const typename F::Group * w, int64_t height, int64_t blocks, int64_t from, int64_t end, const Tile * x, int64_t rows, float * to, int64_t stride) {
        for (int64_t first = 0; first < blocks; first += DEPTH) {
            const int count = (int) std::min<int64_t>(DEPTH, blocks - first);
            for (int64_t g = from; g < end; g += 2) {
                const bool two = end - g > 1;
                for (int j = 0; j <= two; j++) {
                    const auto * group = w + (g + j) * (blocks / PER);
                    for (int l = 0; l < count; l++) { unpack_block<F>(group[(first + l) / PER], (int) ((first + l) % PER), weights_[j][l]); }
                }
                for (int64_t r = 0; r < rows; r += 2 * SIDE) {
                    const bool more = rows - r > SIDE;
                    const Tile * y = x + r / SIDE * blocks + first, * next = y + blocks;
                    const Results out{ to + r * stride + ROWS * g, stride, rows - r, height - ROWS * g };
                    begin<0>(out, first);
                    if (two) { begin<1>(out, first); }
                    if (more) { begin<2>(out, first); }
                    if (two && more) { begin<3>(out, first); }
                    for (int l = 0; l < count; l++) {
                        tiles_.template load<INPUTS>(y + l, sizeof(y->value[0]));
                        tiles_.template load<WEIGHTS>(weights_[0] + l, sizeof(y->value[0]));
                        tiles_.template add_products<0, INPUTS, WEIGHTS>();
                        if (two) { tiles_.template load<WEIGHTS + 1>(weights_[1] + l, sizeof(y->value[0])); tiles_.template add_products<1, INPUTS, WEIGHTS + 1>(); }
                        if (!more) { continue; }
                        tiles_.template load<INPUTS + 1>(next + l, sizeof(y->value[0]));
                        tiles_.template add_products<2, INPUTS + 1, WEIGHTS>();
                        if (two) { tiles_.template add_products<3, INPUTS + 1, WEIGHTS + 1>(); }
                    }
                    end_of<0>(out);
                    if (two) { end_of<1>(out); }
                    if (more) { end_of<2>(out); }
                    if (two && more) { end_of<3>(out); }
                }
            }
        }
    }

  private:
    static constexpr int PER = F::SIZE / BLOCK;

    // Where the results of two tiles of inputs with two groups go, of which so many are there.
    struct Results {
        float * to;
        int64_t stride, rows, columns;

        float * at(int s) const { return to + s / 2 * SIDE * stride + s % 2 * ROWS; }
        int     down(int s) const { return (int) std::min<int64_t>(SIDE, rows - s / 2 * SIDE); }
        int     across(int s) const { return (int) std::min<int64_t>(ROWS, columns - s % 2 * ROWS); }
        bool    whole(int s) const { return down(s) == SIDE && across(s) == ROWS; }
    };

    template <int S> void begin(const Results & out, int64_t first) {
        if (!first) { tiles_.template zero<SUMS + S>(); return; }
        if (out.whole(S)) { tiles_.template load<SUMS + S>(out.at(S), (size_t) out.stride * sizeof(float)); return; }
        for (int r = 0; r < out.down(S); r++) { std::memcpy(edge_[r], out.at(S) + r * out.stride, (size_t) out.across(S) * sizeof(float)); }
        tiles_.template load<SUMS + S>(edge_, sizeof(edge_[0]));
    }

    template <int S> void end_of(const Results & out) {
        if (out.whole(S)) { tiles_.template store<SUMS + S>(out.at(S), (size_t) out.stride * sizeof(float)); return; }
        tiles_.template store<SUMS + S>(edge_, sizeof(edge_[0]));
        for (int r = 0; r < out.down(S); r++) { std::memcpy(out.at(S) + r * out.stride, edge_[r], (size_t) out.across(S) * sizeof(float)); }
    }

    Tiles tiles_;
    Tile  weights_[2][DEPTH];
    alignas(64) float edge_[SIDE][ROWS] = {};
};

}  // namespace kernels

#endif  // KERNELS_AVAILABLE
