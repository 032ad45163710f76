// Flash attention for ggml: which shapes are ours, how the work is cut, and the joining of parts.
//
// Rules
// - A task is some positions of one head of the cache, with all query heads that share it.
// - When there are fewer tasks than threads can share, segments are computed apart and joined
//   afterwards. How the work is cut changes no bit of a result.
// - Cells are taken in the order of their sequence's positions.
#include "kernels.h"

#include "attention.h"
#include "order.h"
#include "simd.h"
#include "walk.h"

#include "ggml-cpu-impl.h"
#include "ggml-impl.h"
#include "ggml.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#ifndef KERNELS_AVAILABLE

bool kernels_attention(const ggml_compute_params *, ggml_tensor *) { return false; }

size_t kernels_attention_work(const ggml_tensor *, int) { return 0; }

#else

namespace kernels {

struct Shape {
    int64_t width, queries, heads, kv_heads, group, cells, batch;
    int64_t rows_at_once;  // positions of a task
    int64_t row_tasks;
    int64_t parts;     // that the segments of a position are shared among
    int64_t segments;  // at most
};

// Shared with `kernels_attention_work`: how the work is cut.
static Shape shape_of(const ggml_tensor * dst, int threads) {
    const ggml_tensor * q = dst->src[0], * k = dst->src[1];
    Shape s{};
    s.width = q->ne[0]; s.queries = q->ne[1]; s.heads = q->ne[2]; s.batch = q->ne[3];
    s.kv_heads = k->ne[2]; s.cells = k->ne[1];
    s.group = s.heads / s.kv_heads;
    const int64_t wanted = 4 * threads;
    const int64_t most   = std::max<int64_t>(1, QUERIES / s.group);
    s.rows_at_once = std::clamp<int64_t>(s.queries * s.kv_heads * s.batch / wanted, 1, most);
    s.row_tasks    = (s.queries + s.rows_at_once - 1) / s.rows_at_once;
    const int64_t tasks = s.row_tasks * s.kv_heads * s.batch;
    // Fewer tasks than are wanted have one position each.
    s.segments = (s.cells + SEGMENT - 1) / SEGMENT;
    s.parts    = tasks >= wanted || threads == 1 ? 1 : std::clamp<int64_t>(wanted / tasks, 1, s.segments);
    return s;
}

static bool supported(const ggml_tensor * dst) {
    const ggml_tensor * q = dst->src[0], * k = dst->src[1], * v = dst->src[2], * mask = dst->src[3];
    float softcap;
    std::memcpy(&softcap, (const float *) dst->op_params + 2, sizeof(float));
    const int64_t width = q->ne[0];
    return !kernels_refused(KERNELS_ATTENTION) && !dst->src[4] && softcap == 0.0f
        && q->type == GGML_TYPE_F32 && k->type == GGML_TYPE_F16 && v->type == GGML_TYPE_F16 && dst->type == GGML_TYPE_F32
        && k->ne[0] == width && v->ne[0] == width && (width == 32 || width == 64 || width == 80 || width == 96 || width == 128 || width == 256)
        && q->nb[0] == sizeof(float) && k->nb[0] == sizeof(ggml_fp16_t) && v->nb[0] == sizeof(ggml_fp16_t)
        && k->ne[2] == v->ne[2] && k->ne[3] == v->ne[3] && q->ne[2] % k->ne[2] == 0 && q->ne[3] % k->ne[3] == 0
        && q->ne[2] / k->ne[2] <= QUERIES
        && (!mask || (mask->type == GGML_TYPE_F16 && mask->ne[2] == 1 && mask->nb[0] == sizeof(ggml_fp16_t)));
}

static float slope_of(const ggml_tensor * dst, int64_t head) {
    float bias;
    std::memcpy(&bias, (const float *) dst->op_params + 1, sizeof(float));
    if (bias <= 0.0f) { return 1.0f; }
    const int64_t heads = dst->src[0]->ne[2], power = 1ll << (int) std::floor(std::log2((double) heads));
    return head < power ? std::pow(std::pow(2.0f, -bias / (float) power), (float) (head + 1))
                        : std::pow(std::pow(2.0f, -(bias / 2.0f) / (float) power), (float) (2 * (head - power) + 1));
}

template <int WIDTH> static void run_task(const ggml_tensor * dst, const Shape & s, const Order * order, int64_t index, float * work, float * parts) {
    const ggml_tensor * q = dst->src[0], * k = dst->src[1], * v = dst->src[2], * mask = dst->src[3];
    const int64_t part = index % s.parts, task = index / s.parts;
    const int64_t kv_head = task % s.kv_heads, row_task = task / s.kv_heads % s.row_tasks, i3 = task / (s.kv_heads * s.row_tasks);
    const int64_t first = row_task * s.rows_at_once;
    const int     positions = (int) std::min(s.rows_at_once, s.queries - first), group = (int) s.group;
    float scale;
    std::memcpy(&scale, (const float *) dst->op_params + 0, sizeof(float));

    Task<WIDTH> t(work, positions, group);
    Walk        walk(order, s.cells, positions);
    float       slope[QUERIES];
    for (int h = 0; h < group; h++) { slope[h] = slope_of(dst, kv_head * group + h); }
    for (int p = 0; p < positions; p++) {
        if (mask) { walk.masks[p] = (const uint16_t *) ((const char *) mask->data + (first + p) * mask->nb[1] + i3 % mask->ne[3] * mask->nb[3]); }
        for (int h = 0; h < group; h++) {
            t.query(p * group + h, (const float *) ((const char *) q->data + (first + p) * q->nb[1] + (kv_head * group + h) * q->nb[2] + i3 * q->nb[3]), scale);
        }
    }
    float * apart[QUERIES];  // of each head: its segments, of which this task writes some
    int64_t unused = 0;      // after its own
    if (s.parts > 1) {
        const int64_t segments = ((mask ? walk.total() : s.cells) + SEGMENT - 1) / SEGMENT;
        const int64_t from = segments * part / s.parts, end = segments * (part + 1) / s.parts;
        for (int h = 0; h < group; h++) {
            const int64_t row = (i3 * s.queries + first) * s.heads + kv_head * group + h;
            apart[h] = parts + (row * s.segments + from) * part_floats(WIDTH);
        }
        unused = part == s.parts - 1 ? s.segments - segments : 0;
        for (int64_t i = end - from; i < end - from + unused; i++) {
            for (int h = 0; h < group; h++) { apart[h][i * part_floats(WIDTH) + WIDTH + 1] = 0.0f; }
        }
        t.apart(apart, from * SEGMENT, (end - from) * SEGMENT);
    }
    const int64_t k3 = i3 / (q->ne[3] / k->ne[3]);
    const char *  keys = (const char *) k->data + kv_head * k->nb[2] + k3 * k->nb[3];
    const char *  vals = (const char *) v->data + kv_head * v->nb[2] + k3 * v->nb[3];
    for (int64_t c = mask ? walk.first() : 0; c < walk.count() && t.open(); c += TILE) {
        const int64_t base = walk.base(c);
        t.tile(keys + base * k->nb[1], k->nb[1], vals + base * v->nb[1], v->nb[1], walk.at(c), walk.size(c), mask ? walk.seen_by_each(c) : nullptr, slope);
    }
    if (s.parts > 1) {
        t.finish_apart();
        return;
    }
    for (int r = 0; r < positions * group; r++) {
        const int64_t head = kv_head * group + r % group, row = first + r / group;
        t.finish(r, (float *) ((char *) dst->data + (i3 * dst->ne[2] * dst->ne[1] + head + row * dst->ne[1]) * dst->nb[1]));
    }
}

// Join the segments of the queries of this thread.
template <int WIDTH> static void join(const ggml_compute_params * params, ggml_tensor * dst, const Shape & s, float * parts) {
    const int64_t rows = s.batch * s.queries * s.heads;
    for (int64_t r = params->ith; r < rows; r += params->nth) {
        float * part = parts + r * s.segments * part_floats(WIDTH);
        for (int64_t i = 1; i < s.segments; i++) {
            const float * next = part + i * part_floats(WIDTH);
            if (next[WIDTH + 1] == 0.0f) { break; }
            add_part<WIDTH>(part, next[WIDTH], next[WIDTH + 1], next);
        }
        float * to = (float *) ((char *) dst->data + r * dst->nb[1]);
        if (part[WIDTH + 1] != 0.0f) { finish_part<WIDTH>(part[WIDTH + 1], part, to); } else { std::fill(to, to + WIDTH, 0.0f); }
    }
}

template <int WIDTH> static void run(const ggml_compute_params * params, ggml_tensor * dst, const Shape & s) {
    const size_t                       each  = task_floats(WIDTH);
    float *                            base  = (float *) GGML_PAD((uintptr_t) params->wdata, 64);
    float *                            parts = base + each * params->nth;
    const int64_t                      tasks = s.row_tasks * s.kv_heads * s.batch * s.parts;
    const std::shared_ptr<const Order> order = dst->src[3] ? order_of(dst->src[3]->data) : nullptr;

    if (params->ith == 0) { ggml_threadpool_chunk_set(params->threadpool, params->nth); }
    ggml_barrier(params->threadpool);
    for (int64_t i = params->ith; i < tasks; i = ggml_threadpool_chunk_add(params->threadpool, 1)) {
        run_task<WIDTH>(dst, s, order.get(), i, base + each * params->ith, parts);
    }
    if (s.parts > 1) {
        ggml_barrier(params->threadpool);
        join<WIDTH>(params, dst, s, parts);
    }
}

}  // namespace kernels

size_t kernels_attention_work(const ggml_tensor * dst, int n_tasks) {
    if (!kernels::supported(dst)) { return 0; }
    size_t most = 0;
    for (int threads = 1; threads <= n_tasks; threads++) {  // fewer may take part than were planned for
        const kernels::Shape s = kernels::shape_of(dst, threads);
        const size_t parts = s.parts == 1 ? 0 : (size_t) (s.batch * s.queries * s.heads * s.segments) * kernels::part_floats(s.width);
        most = std::max(most, parts);
    }
    return sizeof(float) * (kernels::task_floats(dst->src[0]->ne[0]) * n_tasks + most) + 64;
}

bool kernels_attention(const ggml_compute_params * params, ggml_tensor * dst) {
    using namespace kernels;
    if (params->use_ref || !supported(dst)) { return false; }
    const Shape s = shape_of(dst, params->nth);
    switch (s.width) {
        case 32: run<32>(params, dst, s); break;
        case 64: run<64>(params, dst, s); break;
        case 80: run<80>(params, dst, s); break;
        case 96: run<96>(params, dst, s); break;
        case 128: run<128>(params, dst, s); break;
        default: run<256>(params, dst, s); break;
    }
    return true;
}

#endif  // KERNELS_AVAILABLE
