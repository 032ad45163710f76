// The cells of a cache as a task meets them: tile by tile, in their order, with the masks of its positions.
//
// Rules
// - Without an order it goes from cell to cell; with one, masks are gathered.
// - Tiles begin at the first cell that a position sees, and so do its segments: where nothing lies
//   between, no segment ends within a tile.
#pragma once

#include "attention.h"
#include "order.h"

#ifdef KERNELS_AVAILABLE

namespace kernels {

class Walk {
  public:
    const uint16_t * masks[QUERIES];  // of each position, for all cells of the cache

    Walk(const Order * order, int64_t cells, int positions)
        : order_(order), count_(order ? (int64_t) order->size() : cells), positions_(positions) {
        for (int i = 0; i < TILE; i++) { numbers_[i] = (uint32_t) i; }
    }

    int64_t count() const { return count_; }

    int size(int64_t c) const { return (int) std::min<int64_t>(TILE, count_ - c); }

    // The numbers of the cells from place `c` on, and the cell from which they count.
    const uint32_t * at(int64_t c) const { return order_ ? order_->data() + c : numbers_; }

    int64_t base(int64_t c) const { return order_ ? 0 : c; }

    // What a position, or each, sees of them.
    const uint16_t * seen_by(int p, int64_t c) {
        if (!order_) { return masks[p] + c; }
        for (int i = 0; i < size(c); i++) { gathered_[p][i] = masks[p][(*order_)[(size_t) (c + i)]]; }
        return gathered_[p];
    }

    const uint16_t * const * seen_by_each(int64_t c) {
        for (int p = 0; p < positions_; p++) { here_[p] = seen_by(p, c); }
        return here_;
    }

    // The first place that any position sees.
    int64_t first() {
        for (int64_t c = 0; c < count_; c += TILE) {
            uint64_t bits = 0;
            for (int p = 0; p < positions_; p++) { bits |= seen(seen_by(p, c), size(c)); }
            if (bits) { return c + __builtin_ctzll(bits); }
        }
        return count_;
    }

    // How many cells the only position sees.
    int64_t total() {
        int64_t sum = 0;
        for (int64_t c = 0; c < count_; c += TILE) { sum += __builtin_popcountll(seen(seen_by(0, c), size(c))); }
        return sum;
    }

  private:
    const Order *    order_;
    int64_t          count_;
    int              positions_;
    uint32_t         numbers_[TILE];
    const uint16_t * here_[QUERIES];
    uint16_t         gathered_[QUERIES][TILE];
};

}  // namespace kernels

#endif  // KERNELS_AVAILABLE
