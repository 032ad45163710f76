// What the rest of ggml's CPU backend calls: four functions and a buffer type.
#pragma once

#include "ggml-backend.h"

#include <stddef.h>

struct ggml_cgraph;
struct ggml_compute_params;
struct ggml_tensor;

#ifdef __cplusplus

// Where interleaved weights lie; null where this build has no kernels.
ggml_backend_buffer_type_t kernels_buffer_type(void);

// Computes flash attention; false where the shapes are not ours, and nothing is done.
bool kernels_attention(const struct ggml_compute_params * params, struct ggml_tensor * dst);

extern "C" {
#endif

// Bytes of work memory that `kernels_attention` needs; 0 where the shapes are not ours.
size_t kernels_attention_work(const struct ggml_tensor * dst, int n_tasks);

// Computes what an adapter adds to a product, if the nodes from `node` are that; how many further
// nodes it computed with the first, or 0, and nothing is done.
int kernels_adapter(const struct ggml_compute_params * params, const struct ggml_cgraph * graph, int node);

// What is not to be used, as a bit for each: see KERNELS_NAMES in weights.cpp. Before a model is
// loaded; what was loaded before stays as it is.
__attribute__((visibility("default"))) void kernels_refuse(unsigned bits);

// The names of the kernels of this build that run here, with commas, in the order of the bits; "" for none.
__attribute__((visibility("default"))) const char * kernels_names(void);

// The instructions that this build uses here: "avx512-vnni amx-bf16", "avx512-vnni", "avx512",
// "avx2-vnni", "avx2" or "".
__attribute__((visibility("default"))) const char * kernels_instructions(void);

bool kernels_refused(unsigned bit);

// Whether the products from here on are those of prompts, which take tiles: another result than
// without (tiles.h). Returns whether they do.
__attribute__((visibility("default"))) unsigned kernels_prompt(unsigned on);

// Note what multiplies the weights of a product, if its first matrix holds weights.
void kernels_note(const struct ggml_tensor * product);

// What has multiplied weights in this process, as a bit for each: see KERNELS_PATHS in weights.cpp.
__attribute__((visibility("default"))) unsigned kernels_multiplied(void);

// The names of all that can, with commas, in the order of the bits.
__attribute__((visibility("default"))) const char * kernels_paths(void);

#ifdef __cplusplus
}
#endif

#define KERNELS_ATTENTION 6u  // the bits after those of the formats
#define KERNELS_ADAPTER   7u
#define KERNELS_TILES     8u
