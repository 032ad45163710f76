// Products of 16 inputs and more on the tiles of a processor (AMX), to the bits of product.h.
//
// Rules
// - A tile instruction adds products of bytes as whole numbers, which is exact, and a block's sum is
//   scaled by the operations of product.h in their order. So the number of inputs may choose the
//   path: no bit of a result tells which it was.
// - A group of weights, unpacked, is a B tile as it lies; the inputs of a panel are an A tile.
// - A group is unpacked in pieces of DEPTH blocks, which stay in the first cache while all inputs
//   of a chunk meet them.
// - `Emulated` does in plain C++ as the instructions do, so that every processor tests the kernel.
#pragma once

#include "product.h"

#ifdef KERNELS_AVAILABLE

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__AMX_TILE__) && defined(__AMX_INT8__) && defined(__x86_64__)
#define KERNELS_TILED 1
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace kernels {

constexpr int DEPTH = 32;           // blocks unpacked at once: 16 KiB
constexpr int WIDE  = 2 * COLUMNS;  // inputs of a step: two panels
constexpr int STEPS = 4;            // of a chunk

// Which tile is what: sums (of two panels, twice), inputs of two panels, weights.
enum : int { SUMS = 0, INPUTS = 4, WEIGHTS = 6, TILES = 7 };

// The shapes of the tiles: `values` of a block at once.
struct alignas(64) Shapes {
    uint8_t  palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {};
    uint8_t  rows[16]  = {};

    explicit Shapes(int values) {
        for (int t = 0; t < TILES; t++) {
            rows[t]  = (uint8_t) (t == WEIGHTS ? values / 4 : COLUMNS);
            bytes[t] = (uint16_t) (t == INPUTS || t == INPUTS + 1 ? values : 64);
        }
    }
};
static_assert(sizeof(Shapes) == 64, "what the processor reads");

// The instructions, one by one.
class Emulated {
  public:
    explicit Emulated(int values) : shapes_(values) {}

    template <int T> void zero() { std::memset(tile_[T], 0, sizeof(tile_[T])); }

    template <int T> void load(const void * from, size_t stride) {
        std::memset(tile_[T], 0, sizeof(tile_[T]));
        for (int r = 0; r < shapes_.rows[T]; r++) { std::memcpy(tile_[T][r], (const char *) from + r * stride, shapes_.bytes[T]); }
    }

    template <int T> void store(void * to, size_t stride) const {
        for (int r = 0; r < shapes_.rows[T]; r++) { std::memcpy((char *) to + r * stride, tile_[T][r], shapes_.bytes[T]); }
    }

    // tdpbsud: signed bytes of A times unsigned bytes of B, four into each sum.
    template <int C, int A, int B> void add_products() {
        for (int m = 0; m < shapes_.rows[C]; m++) {
            for (int k = 0; k < shapes_.bytes[A] / 4; k++) {
                for (int n = 0; n < shapes_.bytes[C] / 4; n++) {
                    int32_t sum;
                    std::memcpy(&sum, tile_[C][m] + 4 * n, 4);
                    for (int i = 0; i < 4; i++) { sum += (int8_t) tile_[A][m][4 * k + i] * tile_[B][k][4 * n + i]; }
                    std::memcpy(tile_[C][m] + 4 * n, &sum, 4);
                }
            }
        }
    }

  private:
    Shapes  shapes_;
    uint8_t tile_[TILES][16][64] = {};
};

#ifdef KERNELS_TILED

// The shapes are the thread's own; those of before come back, since ggml sets its own but once.
class Real {
  public:
    explicit Real(int values) {
        const Shapes shapes(values);
        _tile_storeconfig(&before_);
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
        if constexpr (T == 4) { _tile_loadd(4, from, stride); } else if constexpr (T == 5) { _tile_loadd(5, from, stride); } else { _tile_loadd(6, from, stride); }
    }

    template <int T> void store(void * to, size_t stride) const {
        if constexpr (T == 0) { _tile_stored(0, to, stride); } else if constexpr (T == 1) { _tile_stored(1, to, stride); } else if constexpr (T == 2) { _tile_stored(2, to, stride); } else { _tile_stored(3, to, stride); }
    }

    template <int C, int A, int B> void add_products() {
        static_assert(B == WEIGHTS && A == INPUTS + C % 2, "of the tiles of one panel");
        if constexpr (C == 0) { _tile_dpbsud(0, 4, 6); } else if constexpr (C == 1) { _tile_dpbsud(1, 5, 6); } else if constexpr (C == 2) { _tile_dpbsud(2, 4, 6); } else { _tile_dpbsud(3, 5, 6); }
    }

  private:
    Shapes before_{ BLOCK };
};

// Whether the system lets this process use tiles; it is asked once.
static inline bool tiles_permitted() {
    constexpr int  REQUEST = 0x1023, DATA = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    static const bool permitted = syscall(SYS_arch_prctl, REQUEST, DATA) == 0;
    return permitted;
}

#else

using Real = Emulated;
static inline bool tiles_permitted() { return false; }

#endif

// Values that share a scale of the weights.
template <class F> constexpr int SCALED = F::BITS == 6 ? BLOCK / 2 : BLOCK;

// Block `i` of a group as bytes: line k holds values 4k to 4k + 3 of all rows.
template <class F> static void unpack_block(const typename F::Group & g, int i, uint8_t * to) {
    for (int at = 0; at < ROWS; at += LANES) {
        const Part<F> part(g, i, at);
        const auto    put = [&](int p, Pair pair) {
            store_i(to + 128 * p + 4 * at, pair.a);
            store_i(to + 128 * p + 64 + 4 * at, pair.b);
        };
        put(0, pair_of<F, 0>(part.qs, part.qh));
        put(1, pair_of<F, 1>(part.qs, part.qh));
        put(2, pair_of<F, 2>(part.qs, part.qh));
        put(3, pair_of<F, 3>(part.qs, part.qh));
    }
}

template <class Tiles, class F> class TiledProduct {
  public:
    TiledProduct() : tiles_(SCALED<F>) {}

    // Products of a group with up to STEPS times WIDE inputs; `to[c]` is where the results
    // of input c go, of which the first `rows` are there.
    void multiply(const typename F::Group * w, int64_t blocks, const Panel * y, int steps, int rows, float * const * to) {
        for (int64_t from = 0; from < blocks; from += DEPTH) {
            const int count = (int) std::min<int64_t>(DEPTH, blocks - from);
            for (int l = 0; l < count; l++) { unpack_block<F>(w[(from + l) / PER], (int) ((from + l) % PER), values_[l]); }
            for (int s = 0; s < steps; s++) { piece(w, from, count, y + 2 * s * blocks, blocks, sums_[s], from == 0); }
        }
        for (int c = 0; c < steps * WIDE; c++) { std::memcpy(to[c], sums_[c / WIDE][c % WIDE], (size_t) rows * sizeof(float)); }
    }

  private:
    static constexpr int PER = F::SIZE / BLOCK, PARTS = ROWS / LANES;

    // Take some blocks into the sums of two panels, of which the second lies `apart` further on.
    void piece(const typename F::Group * w, int64_t from, int count, const Panel * y, int64_t apart, float (*sums)[ROWS], bool first) {
        Floats sum[WIDE][PARTS];
        for (int c = 0; c < WIDE; c++) {
            for (int p = 0; p < PARTS; p++) { sum[c][p] = first ? zero_f() : load_f(sums[c] + LANES * p); }
        }
        for (int l = 0; l < count; l++) {
            const auto &  g    = w[(from + l) / PER];
            const int     i    = (int) ((from + l) % PER);
            const Panel * side = y + from + l;
            if constexpr (SCALED<F> < BLOCK) {
                add_up<SUMS>(side, apart, l, 0, found_[0]);
                add_up<SUMS + 2>(side, apart, l, SCALED<F>, found_[1]);
            } else if (l % 2) {
                add_up<SUMS + 2>(side, apart, l, 0, found_[1]);
            } else {
                add_up<SUMS>(side, apart, l, 0, found_[0]);
            }
            for (int p = 0; p < PARTS; p++) {
                const Part<F> part(g, i, LANES * p);
                for (int c = 0; c < WIDE; c++) {
                    const Panel & panel  = side[c / COLUMNS * apart];
                    const int     column = c % COLUMNS;
                    if constexpr (SCALED<F> < BLOCK) {
                        const Floats half = part.half(whole(0, c, p, panel.start[0][column]));
                        sum[c][p] = part.taken(sum[c][p], half, whole(1, c, p, panel.start[1][column]), panel, column);
                    } else {
                        sum[c][p] = part.taken(sum[c][p], whole(l % 2, c, p, panel.start[0][column]), panel, column);
                    }
                }
            }
        }
        for (int c = 0; c < WIDE; c++) {
            for (int p = 0; p < PARTS; p++) { store_f(sums[c] + LANES * p, sum[c][p]); }
        }
    }

    Ints whole(int which, int c, int p, int32_t start) const { return add_i(load_i(found_[which][c] + LANES * p), every_i(start)); }

    // The sums of products of a block's values from `value` on, with both panels.
    template <int C> void add_up(const Panel * y, int64_t apart, int l, int value, int32_t (*to)[ROWS]) {
        tiles_.template zero<C>();
        tiles_.template zero<C + 1>();
        tiles_.template load<WEIGHTS>(values_[l] + 16 * value, 64);
        tiles_.template load<INPUTS>(y[0].q[0] + value, BLOCK);
        tiles_.template load<INPUTS + 1>(y[apart].q[0] + value, BLOCK);
        tiles_.template add_products<C, INPUTS, WEIGHTS>();
        tiles_.template add_products<C + 1, INPUTS + 1, WEIGHTS>();
        tiles_.template store<C>(to, sizeof(*to));
        tiles_.template store<C + 1>(to + COLUMNS, sizeof(*to));
    }

    Tiles tiles_;
    alignas(64) uint8_t values_[DEPTH][16 * BLOCK];
    alignas(64) float   sums_[STEPS][WIDE][ROWS];
    alignas(64) int32_t found_[2][WIDE][ROWS];
};

}  // namespace kernels

#endif  // KERNELS_AVAILABLE
