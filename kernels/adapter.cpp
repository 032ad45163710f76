// Adapters for ggml: four nodes of its graph, A x, B (A x), the scale and the sum, computed as two.
//
// Rules
// - ggml says whether nodes may be fused. What none of ours reads afterwards is not written: the
//   product with B and its scaled form.
// - The sum may lie where its first part lies, and nowhere over A x or B.
#include "kernels.h"

#include "adapter.h"
#include "simd.h"

#include "ggml-cpu-impl.h"
#include "ggml-impl.h"
#include "ggml.h"

#include <cstring>

#ifndef KERNELS_AVAILABLE

int kernels_adapter(const ggml_compute_params *, const ggml_cgraph *, int) { return 0; }

#else

namespace kernels {

struct Adapter {
    const ggml_tensor * a, * b, * x, * to;
    ggml_tensor *       t, * sum;
    float               scale;
};

static bool plain(const ggml_tensor * m) {
    return (m->type == GGML_TYPE_F32 || m->type == GGML_TYPE_F16) && !m->extra && m->ne[2] * m->ne[3] == 1 && ggml_is_contiguous(m);
}

static bool floats(const ggml_tensor * m) { return m->type == GGML_TYPE_F32 && ggml_is_contiguous(m); }

static bool apart(const ggml_tensor * one, const ggml_tensor * other) {
    const char * a = (const char *) one->data, * b = (const char *) other->data;
    return a + ggml_nbytes(one) <= b || b + ggml_nbytes(other) <= a;
}

// Whether the four nodes from `n` are what an adapter adds, in shapes that are ours.
static bool found(const ggml_cgraph * graph, int n, Adapter & f) {
    if (n + 3 >= graph->n_nodes || graph->nodes[n + 3]->op != GGML_OP_ADD || graph->nodes[n + 2]->op != GGML_OP_SCALE) { return false; }
    f.t = graph->nodes[n];
    const ggml_tensor * product = graph->nodes[n + 1], * scaled = graph->nodes[n + 2];
    f.sum = graph->nodes[n + 3];
    if (product->op != GGML_OP_MUL_MAT || product->src[1] != f.t || !ggml_node_has_n_uses(graph, n, 1)
        || !ggml_can_fuse(graph, n + 1, { GGML_OP_MUL_MAT, GGML_OP_SCALE, GGML_OP_ADD })) {
        return false;
    }
    f.a = f.t->src[0]; f.x = f.t->src[1]; f.b = product->src[0];
    f.to = f.sum->src[0] == scaled ? f.sum->src[1] : f.sum->src[0];
    float shift;
    std::memcpy(&f.scale, scaled->op_params, sizeof(float));
    std::memcpy(&shift, (const float *) scaled->op_params + 1, sizeof(float));
    return shift == 0.0f && f.to != scaled && plain(f.a) && plain(f.b) && f.a->type == f.b->type
        && floats(f.x) && floats(f.t) && floats(f.to) && floats(f.sum) && ggml_are_same_shape(f.to, f.sum)
        && f.a->ne[0] % LANES == 0 && f.a->ne[1] <= LARGEST_RANK && apart(f.t, f.sum) && apart(f.b, f.sum)
        && (f.to->data == f.sum->data || apart(f.to, f.sum));
}

template <class T> static void add(const ggml_compute_params * params, const Adapter & f) {
    const int64_t width = f.a->ne[0], rank = f.a->ne[1], rows = f.sum->ne[0], count = ggml_nrows(f.sum);
    const auto *  x = (const float *) f.x->data, * to = (const float *) f.to->data;
    auto *        t = (float *) f.t->data, * sum = (float *) f.sum->data;

    const int64_t first = count * params->ith / params->nth, last = count * (params->ith + 1) / params->nth;
    for (int64_t i = first; i < last; i += A_COLUMNS) {
        const int     n = (int) std::min<int64_t>(A_COLUMNS, last - i);
        const float * from[A_COLUMNS];
        float *       into[A_COLUMNS];
        for (int c = 0; c < n; c++) { from[c] = x + (i + c) * width; into[c] = t + (i + c) * rank; }
        to_rank((const T *) f.a->data, width, width, rank, from, into, n);
    }
    ggml_barrier(params->threadpool);

    float         turned[LARGEST_RANK * LANES];
    const int64_t groups = (rows + LANES - 1) / LANES;
    for (int64_t g = groups * params->ith / params->nth; g < groups * (params->ith + 1) / params->nth; g++) {
        const int64_t row = g * LANES;
        const int     n   = (int) std::min<int64_t>(LANES, rows - row);
        turn((const T *) f.b->data + row * rank, rank, rank, n, turned);
        for (int64_t i = 0; i < count;) {
            const float * columns[B_COLUMNS], * parts[B_COLUMNS];
            float *       sums[B_COLUMNS];
            float         short_rows[LANES] = {};
            const int     c = n == LANES && count - i >= B_COLUMNS ? B_COLUMNS : 1;
            for (int j = 0; j < c; j++) {
                columns[j] = t + (i + j) * rank; parts[j] = to + (i + j) * rows + row; sums[j] = sum + (i + j) * rows + row;
            }
            if (c > 1) {
                from_rank<B_COLUMNS>(turned, rank, f.scale, columns, parts, sums);
            } else if (n == LANES) {
                from_rank<1>(turned, rank, f.scale, columns, parts, sums);
            } else {
                std::copy(parts[0], parts[0] + n, short_rows);
                parts[0] = short_rows;
                float * whole[] = { short_rows };
                from_rank<1>(turned, rank, f.scale, columns, parts, whole);
                std::copy(short_rows, short_rows + n, sums[0]);
            }
            i += c;
        }
    }
}

}  // namespace kernels

int kernels_adapter(const ggml_compute_params * params, const ggml_cgraph * graph, int node) {
    using namespace kernels;
    Adapter f;
    if (!found(graph, node, f) || kernels_refused(KERNELS_ADAPTER)) { return 0; }
    if (f.a->type == GGML_TYPE_F16) { add<uint16_t>(params, f); } else { add<float>(params, f); }
    return 3;
}

#endif  // KERNELS_AVAILABLE
