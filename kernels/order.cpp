// The orders that are kept, in the library that llama.cpp and every CPU library share.
#include "order.h"

#include <mutex>
#include <thread>
#include <unordered_map>

namespace kernels {

struct Kept {
    std::thread::id              thread;
    std::shared_ptr<const Order> order;
};

static std::mutex                             lock;
static std::unordered_map<const void *, Kept> kept;

void order_keep(const void * mask, std::shared_ptr<const Order> order) {
    const std::lock_guard<std::mutex> hold(lock);
    if (order) { kept[mask] = { std::this_thread::get_id(), std::move(order) }; } else { kept.erase(mask); }
}

void order_forget() {
    const std::lock_guard<std::mutex> hold(lock);
    for (auto it = kept.begin(); it != kept.end();) { it = it->second.thread == std::this_thread::get_id() ? kept.erase(it) : std::next(it); }
}

std::shared_ptr<const Order> order_of(const void * mask) {
    const std::lock_guard<std::mutex> hold(lock);
    const auto                        found = kept.find(mask);
    return found == kept.end() ? nullptr : found->second.order;
}

}  // namespace kernels
