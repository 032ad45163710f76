// The order in which attention takes in the cells of a cache: for each sequence that of its positions.
//
// A token gets a cell that is free, so a sequence may have a later token in an earlier cell. Sums
// round by their order, and a result must depend on positions alone.
//
// Rules
// - Where the cells of all sequences of a batch lie in the order of positions, there is no order to
//   keep: attention goes from cell to cell.
// - Else the order names each cell that one of the sequences has once, and those of a sequence lie
//   beside each other as far as shared cells allow, so that a tile stays dense.
// - An order belongs to the mask for which it was made, until the same thread fills its next masks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace kernels {

using Order = std::vector<uint32_t>;

// Keep the order of a mask's cells; drop those that this thread kept.
__attribute__((visibility("default"))) void order_keep(const void * mask, std::shared_ptr<const Order> order);
__attribute__((visibility("default"))) void order_forget();

// The order for a mask; null where it is that of the cells.
__attribute__((visibility("default"))) std::shared_ptr<const Order> order_of(const void * mask);

// An order of the cells of some sequences, each of them a range of (position, cell) by position;
// null where it is that of the cells. `size` is more than any cell.
template <class Cells>
static std::shared_ptr<const Order> order_for(const std::vector<const Cells *> & sequences, size_t size) {
    bool right = true;
    for (const Cells * cells : sequences) {
        int64_t last = -1;
        for (const auto & [position, cell] : *cells) {
            right &= last < (int64_t) cell;
            last = cell;
        }
    }
    if (right) { return nullptr; }
    struct Cell { uint16_t owners = 0, here = 0; };  // sequences that have it; those that came to it
    struct Place { typename Cells::const_iterator at, end; bool here = false; };
    std::vector<Cell>  all(size);
    std::vector<Place> places;
    size_t             left = 0;
    for (const Cells * cells : sequences) {
        places.push_back({ cells->begin(), cells->end() });
        for (const auto & [position, cell] : *cells) { left += all[cell].owners++ == 0; }
    }
    auto order = std::make_shared<Order>();
    order->reserve(left);
    // A sequence goes on up to a cell to which others have yet to come. They all have come to the
    // one of the lowest position, so each round takes one at least.
    while (order->size() < left) {
        for (Place & place : places) {
            for (; place.at != place.end; ++place.at, place.here = false) {
                const uint32_t number = place.at->second;
                Cell &         cell   = all[number];
                if (cell.owners == 0) { continue; }  // taken with another sequence
                cell.here += !place.here;
                place.here = true;
                if (cell.here < cell.owners) { break; }
                cell.owners = 0;
                order->push_back(number);
            }
        }
    }
    return order;
}

}  // namespace kernels
