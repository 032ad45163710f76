// Interleaved weights as a buffer type of ggml, the matrix product with them, and rows read back:
// an embedding that is also the output is in memory once.
//
// Rules
// - Two-dimensional weights of the formats below, of any number of rows; the last group is filled
//   with zeros. All else stays with ggml's own buffer types.
// - They lie in large pages where the system has them: one token reads all of them, and a processor
//   fetches ahead within a page only.
// - A tensor is repacked once, when its bytes are set, from memory that is only read, by as many
//   threads as there are processors.
// - Threads take groups of rows as they come, so that a slow one gets fewer.
#include "kernels.h"

#include "formats.h"
#include "product.h"
#include "simd.h"
#include "tiles.h"

#include "ggml-backend-impl.h"
#include "ggml-cpu.h"
#include "ggml-cpu-impl.h"
#include "ggml-impl.h"
#include "ggml.h"
#include "traits.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

static std::atomic<unsigned> refused{0};

void kernels_refuse(unsigned bits) { refused = bits; }

bool kernels_refused(unsigned bit) { return (refused >> bit) & 1; }

const char * kernels_names(void) {
#if defined(KERNELS_AVAILABLE)
    const char * all = "Q4_0,Q4_1,Q4_K,Q5_0,Q6_K,Q8_0,attention,adapter,tiles";  // KERNELS_NAMES: the order of the bits
    return kernels::tiles_permitted() ? all : "Q4_0,Q4_1,Q4_K,Q5_0,Q6_K,Q8_0,attention,adapter";
#else
    return "";
#endif
}

const char * kernels_instructions(void) {
#if !defined(KERNELS_AVAILABLE)
    return "";
#elif defined(KERNELS_TILED)
    return kernels::tiles_permitted() ? "avx512-vnni amx-bf16" : "avx512-vnni";
#elif defined(KERNELS_VNNI)
    return kernels::LANES == 16 ? "avx512-vnni" : "avx2-vnni";
#else
    return kernels::LANES == 16 ? "avx512" : "avx2";
#endif
}

static std::atomic<unsigned> multiplied{0};

enum Path : unsigned { OURS, TILED, AMX, REPACKED, PLAIN };

unsigned kernels_multiplied(void) { return multiplied; }

const char * kernels_paths(void) { return "ours,tiles,amx,repacked,plain"; }  // KERNELS_PATHS: the order of the bits

void kernels_note(const ggml_tensor * product) {
    const ggml_backend_buffer_t buffer = product->src[0]->buffer;
    if (!buffer || ggml_backend_buffer_get_usage(buffer) != GGML_BACKEND_BUFFER_USAGE_WEIGHTS) { return; }
    Path path = OURS;
    if (buffer->buft != kernels_buffer_type()) {
        const char * name = ggml_backend_buft_name(buffer->buft);
        path = !std::strcmp(name, "AMX") ? AMX : !std::strcmp(name, "CPU_REPACK") ? REPACKED : PLAIN;
    }
    if (!(multiplied >> path & 1)) { multiplied |= 1u << path; }
}

#ifndef KERNELS_AVAILABLE

ggml_backend_buffer_type_t kernels_buffer_type(void) { return nullptr; }

unsigned kernels_prompt(unsigned) { return 0; }

#else

static std::atomic<bool> tiled{false};

unsigned kernels_prompt(unsigned on) { return tiled = on && !kernels_refused(KERNELS_TILES) && kernels::tiles_permitted(); }

namespace kernels {

constexpr uintptr_t PAGE = 4096;
constexpr int64_t CHUNK = 64;  // rows of the input for which a chunk of weights stays in the cache

// Where the results of an input row go.
struct Output {
    char *  data;
    int64_t ne1, ne2;
    size_t  nb1, nb2, nb3;

    float * column(int64_t r) const {
        const int64_t i3 = r / (ne1 * ne2), i2 = r / ne1 % ne2, i1 = r % ne1;
        return (float *) (data + i1 * nb1 + i2 * nb2 + i3 * nb3);
    }
};

class Weights : public ggml::cpu::tensor_traits {
  public:
    explicit Weights(unsigned bit) : bit_(bit) {}

    virtual size_t size(const ggml_tensor * t) const                    = 0;
    virtual void   repack(ggml_tensor * t, const void * data) const     = 0;

    unsigned bit() const { return bit_; }

    bool work_size(int, const ggml_tensor * op, size_t & size) override {
        if (op->op == GGML_OP_GET_ROWS) { size = 0; return true; }
        if (op->op != GGML_OP_MUL_MAT) { return false; }
        const int64_t rows = ggml_nrows(op->src[1]), blocks = op->src[1]->ne[0] / BLOCK;
        size = (size_t) ((rows + COLUMNS - 1) / COLUMNS * blocks) * sizeof(Panel) + 64;
        if (tiles_permitted()) { size = std::max(size, (size_t) ((rows + SIDE - 1) / SIDE * blocks) * sizeof(Tile) + 64); }
        return true;
    }

  private:
    unsigned bit_;
};

template <class F> class WeightsOf : public Weights {
  public:
    using Weights::Weights;

    size_t size(const ggml_tensor * t) const override {
        return (size_t) ((t->ne[1] + ROWS - 1) / ROWS * (t->ne[0] / F::SIZE)) * sizeof(typename F::Group);
    }

    void repack(ggml_tensor * t, const void * data) const override {
        const int64_t groups = (t->ne[1] + ROWS - 1) / ROWS;
        const int64_t most   = std::min<int64_t>(std::min(std::thread::hardware_concurrency(), 8u), (int64_t) (ggml_nbytes(t) >> 20));
        std::vector<std::thread> threads;
        int64_t next = 0;
        try {
            for (int64_t i = 1; i < most; i++, next += groups / most) {
                threads.emplace_back(repack_groups, t, data, next, next + groups / most);
            }
        } catch (const std::system_error &) {}  // no thread more: what is left is done here
        repack_groups(t, data, next, groups);
        for (std::thread & thread : threads) { thread.join(); }
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override {
        if (op->op == GGML_OP_GET_ROWS) { read_rows(params, op); return true; }
        if (op->op != GGML_OP_MUL_MAT) { return false; }
        const ggml_tensor * w = op->src[0], * x = op->src[1];
        GGML_ASSERT(x->type == GGML_TYPE_F32 && op->type == GGML_TYPE_F32);
        GGML_ASSERT(x->nb[0] == sizeof(float) && op->nb[0] == sizeof(float));
        GGML_ASSERT(op->ne[0] == w->ne[1] && x->ne[0] == w->ne[0] && w->ne[2] * w->ne[3] == 1);
        const int64_t blocks = w->ne[0] / BLOCK, rows = ggml_nrows(x), groups = (w->ne[1] + ROWS - 1) / ROWS;
        void * inputs = (void *) GGML_PAD((uintptr_t) params->wdata, 64);
        size_t needed;
        GGML_ASSERT(work_size(params->nth, op, needed) && needed <= params->wsize);
        const bool tiled = ::tiled && x->ne[2] * x->ne[3] == 1;
        // By blocks, so that no two threads write into one block.
        const int64_t first = blocks * params->ith / params->nth, last = blocks * (params->ith + 1) / params->nth;
        each_row(x, [&](int64_t r, const float * row) {
            for (int64_t l = first; l < last; l++) {
                if (tiled) { round_inputs(row + BLOCK * l, ((Tile *) inputs)[r / SIDE * blocks + l], (int) (r % SIDE)); }
                else { quantise<F>(row + BLOCK * l, ((Panel *) inputs)[r / COLUMNS * blocks + l], (int) (r % COLUMNS)); }
            }
        });

        const int64_t chunk = std::clamp<int64_t>(groups / (params->nth * 4) / 2 * 2, 2, 64);
        if (params->ith == 0) { ggml_threadpool_chunk_set(params->threadpool, params->nth); }
        ggml_barrier(params->threadpool);
        const Output output{ (char *) op->data, x->ne[1], x->ne[2], op->nb[1], op->nb[2], op->nb[3] };
        std::optional<TiledProduct<Real, F>> tiles;
        if (tiled) {
            tiles.emplace();
            multiplied |= 1u << TILED;
        }
        int64_t next = params->ith;
        while (next * chunk < groups) {
            const int64_t from = next * chunk, end = std::min(groups, from + chunk);
            if (tiles) {
                tiles->multiply((const typename F::Group *) w->data, w->ne[1], blocks, from, end, (const Tile *) inputs, rows, (float *) op->data, (int64_t) (op->nb[1] / sizeof(float)));
            }
            for (int64_t some = 0; some < rows && !tiles; some += CHUNK) {
                for (int64_t g = from; g < end; g++) { multiply(w, (const Panel *) inputs, output, blocks, g, some, std::min(rows, some + CHUNK)); }
            }
            next = ggml_threadpool_chunk_add(params->threadpool, 1);
        }
        return true;
    }

  private:
    static void repack_groups(const ggml_tensor * t, const void * data, int64_t begin, int64_t end) {
        const auto *  from   = (const typename F::Row *) data;
        auto *        to     = (typename F::Group *) t->data;
        const int64_t blocks = t->ne[0] / F::SIZE;
        for (int64_t g = begin; g < end; g++) {
            const int n = (int) std::min<int64_t>(ROWS, t->ne[1] - ROWS * g);
            for (int64_t l = 0; l < blocks; l++) {
                auto & group = to[g * blocks + l];
                if (n < ROWS) { std::memset((void *) &group, 0, sizeof(group)); }
                for (int r = 0; r < n; r++) { F::pack(group, r, from[(ROWS * g + r) * blocks + l]); }
            }
        }
    }

    static void read_rows(const ggml_compute_params * params, ggml_tensor * op) {
        const ggml_tensor * w = op->src[0], * index = op->src[1];
        const int64_t       blocks = w->ne[0] / F::SIZE;
        for (int64_t i = params->ith; i < ggml_nelements(index); i += params->nth) {
            const int64_t r = *(const int32_t *) ((const char *) index->data + i * index->nb[0]);
            GGML_ASSERT(r >= 0 && r < w->ne[1]);
            const auto * group = (const typename F::Group *) w->data + r / ROWS * blocks;
            auto *       to = (float *) ((char *) op->data + i * op->nb[1]);
            for (int64_t l = 0; l < blocks; l++) { F::unpack(group[l], (int) (r % ROWS), to + F::SIZE * l); }
        }
    }

    template <class Use> static void each_row(const ggml_tensor * x, Use && use) {
        for (int64_t r = 0; r < ggml_nrows(x); r++) {
            const int64_t i3 = r / (x->ne[1] * x->ne[2]), i2 = r / x->ne[1] % x->ne[2], i1 = r % x->ne[1];
            use(r, (const float *) ((const char *) x->data + i1 * x->nb[1] + i2 * x->nb[2] + i3 * x->nb[3]));
        }
    }

    static void multiply(const ggml_tensor * w, const Panel * panels, const Output & output, int64_t blocks, int64_t g, int64_t from, int64_t end) {
        const auto * group = (const typename F::Group *) w->data + g * (w->ne[0] / F::SIZE);
        const int    rows  = (int) std::min<int64_t>(ROWS, w->ne[1] - ROWS * g);
        for (int64_t r = from; r < end; r += COLUMNS) {
            const int n = (int) std::min<int64_t>(COLUMNS, end - r);
            float *   to[COLUMNS];
            for (int c = 0; c < n; c++) { to[c] = output.column(r + c) + ROWS * g; }
            panel_times<F>(group, blocks, panels + r / COLUMNS * blocks, n, rows, to);
        }
    }
};

// The kernel for a tensor, or null.
static Weights * weights_of(const ggml_tensor * t) {
    static WeightsOf<Q4_0> q4_0(0);
    static WeightsOf<Q4_1> q4_1(1);
    static WeightsOf<Q4_K> q4_k(2);
    static WeightsOf<Q5_0> q5_0(3);
    static WeightsOf<Q6_K> q6_k(4);
    static WeightsOf<Q8_0> q8_0(5);

    if (t->ne[2] * t->ne[3] != 1 || !ggml_is_contiguous(t)) { return nullptr; }
    Weights * found = nullptr;
    switch (t->type) {
        case GGML_TYPE_Q4_0: found = &q4_0; break;
        case GGML_TYPE_Q4_1: found = &q4_1; break;
        case GGML_TYPE_Q4_K: found = &q4_k; break;
        case GGML_TYPE_Q5_0: found = &q5_0; break;
        case GGML_TYPE_Q6_K: found = &q6_k; break;
        case GGML_TYPE_Q8_0: found = &q8_0; break;
        default: break;
    }
    return found && !kernels_refused(found->bit()) ? found : nullptr;
}

static ggml_status init_tensor(ggml_backend_buffer_t, ggml_tensor * t) {
    t->extra = static_cast<ggml::cpu::tensor_traits *>(weights_of(t));
    return GGML_STATUS_SUCCESS;
}

static void set_tensor(ggml_backend_buffer_t, ggml_tensor * t, const void * data, size_t offset, size_t size) {
    GGML_ASSERT(offset == 0 && size == ggml_nbytes(t) && t->extra);
    static_cast<Weights *>((ggml::cpu::tensor_traits *) t->extra)->repack(t, data);
}

static ggml_backend_buffer_t alloc_buffer(ggml_backend_buffer_type_t type, size_t size) {
    ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), size);
    if (buffer) {
        const uintptr_t base = (uintptr_t) ggml_backend_buffer_get_base(buffer), first = GGML_PAD(base, PAGE), end = (base + size) / PAGE * PAGE;
        if (first < end) { (void) madvise((void *) first, end - first, MADV_HUGEPAGE); }  // at worst refused
        buffer->buft              = type;
        buffer->iface.init_tensor = init_tensor;
        buffer->iface.set_tensor  = set_tensor;
        buffer->iface.get_tensor  = nullptr;
        buffer->iface.cpy_tensor  = nullptr;
    }
    return buffer;
}

static const char * get_name(ggml_backend_buffer_type_t) { return "CPU_INTERLEAVED"; }

static size_t get_alignment(ggml_backend_buffer_type_t) { return 64; }

static size_t get_alloc_size(ggml_backend_buffer_type_t, const ggml_tensor * t) {
    const Weights * weights = weights_of(t);
    return weights ? std::max(weights->size(t), ggml_nbytes(t)) : ggml_nbytes(t);
}

class BufferType : public ggml::cpu::extra_buffer_type {
    bool supports_op(ggml_backend_dev_t, const ggml_tensor * op) override {
        if (!ours(op) || !weights_of(op->src[0])) { return false; }
        const ggml_tensor * x = op->src[1];
        const ggml_type     wanted = op->op == GGML_OP_MUL_MAT ? GGML_TYPE_F32 : GGML_TYPE_I32;
        return x->type == wanted && (!x->buffer || ggml_backend_buft_is_host(x->buffer->buft));
    }

    ggml::cpu::tensor_traits * get_tensor_traits(const ggml_tensor * op) override {
        return ours(op) ? (ggml::cpu::tensor_traits *) op->src[0]->extra : nullptr;
    }

    static bool ours(const ggml_tensor * op) {
        return (op->op == GGML_OP_MUL_MAT || op->op == GGML_OP_GET_ROWS) && op->src[0]->buffer && op->src[0]->buffer->buft == kernels_buffer_type();
    }
};

}  // namespace kernels

ggml_backend_buffer_type_t kernels_buffer_type(void) {
    static ggml_backend_buffer_type type = {
        /* .iface   = */ {
            /* .get_name       = */ kernels::get_name,
            /* .alloc_buffer   = */ kernels::alloc_buffer,
            /* .get_alignment  = */ kernels::get_alignment,
            /* .get_max_size   = */ nullptr,
            /* .get_alloc_size = */ kernels::get_alloc_size,
            /* .is_host        = */ nullptr,
        },
        /* .device  = */ ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0),
        /* .context = */ new kernels::BufferType(),
    };
    return &type;
}

#endif  // KERNELS_AVAILABLE
