"""Adds the kernels of `kernels/` to the source of llama.cpp, before it is built.

Rules
- Each change names the text that it replaces; the text must be there exactly once, or the build
  stops.
- Additions and changes decide the wheel, so `digest` is part of the recipe's key.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from installer.bundle.steps import BundleError

KERNELS: Final = Path(__file__).resolve().parents[2] / "kernels"
VARIANTS: Final = "APPLIANCE_CPU_VARIANTS"
"""The CMake variable that names the CPU variants to build."""
_SOURCE: Final = "vendor/llama.cpp/ggml/src"
_CPU: Final = f"{_SOURCE}/ggml-cpu"
_LLAMA: Final = "vendor/llama.cpp/src"
_ADDED: Final = ("*.cpp", "*.h")


@dataclass(frozen=True)
class Change:
    """One replacement in one file of the sdist."""

    file: str
    before: str
    after: str


CHANGES: Final = (
    # Of the variants, those that are asked for; of llama.cpp, what the package needs.
    Change(
        f"{_SOURCE}/CMakeLists.txt",
        "function(ggml_add_cpu_backend_variant tag_name)\n",
        "function(ggml_add_cpu_backend_variant tag_name)\n"
        f"    if (DEFINED {VARIANTS} AND NOT tag_name IN_LIST {VARIANTS})\n"
        "        return()\n    endif()\n",
    ),
    Change(
        "CMakeLists.txt",
        "    set(LLAMA_BUILD_COMMON ON CACHE BOOL",
        "    set(LLAMA_BUILD_COMMON OFF CACHE BOOL",
    ),
    Change(
        f"{_CPU}/CMakeLists.txt",
        "        ggml-cpu/ggml-cpu.c\n        ggml-cpu/ggml-cpu.cpp\n",
        "        ggml-cpu/ggml-cpu.c\n        ggml-cpu/ggml-cpu.cpp\n"
        "        ggml-cpu/kernels/adapter.cpp\n        ggml-cpu/kernels/attention.cpp\n"
        "        ggml-cpu/kernels/weights.cpp\n",
    ),
    # The buffer type, before AMX and ggml's own repacking.
    Change(
        f"{_CPU}/ggml-cpu.cpp",
        '#include "amx/amx.h"\n',
        '#include "amx/amx.h"\n#include "kernels/kernels.h"\n',
    ),
    Change(
        f"{_CPU}/ggml-cpu.cpp",
        "        std::vector<ggml_backend_buffer_type_t> bufts;\n",
        "        std::vector<ggml_backend_buffer_type_t> bufts;\n\n"
        "        if (kernels_buffer_type()) {\n"
        "            bufts.push_back(kernels_buffer_type());\n        }\n",
    ),
    # Attention, the order of its cells, and its work memory.
    Change(
        f"{_SOURCE}/CMakeLists.txt",
        "            ggml-backend-meta.cpp\n            ggml-opt.cpp\n",
        "            ggml-backend-meta.cpp\n            ggml-opt.cpp\n"
        "            ggml-cpu/kernels/order.cpp\n",
    ),
    Change(
        f"{_LLAMA}/llama-kv-cache.cpp",
        '#include "llama-kv-cache.h"\n',
        '#include "llama-kv-cache.h"\n#include "../ggml/src/ggml-cpu/kernels/order.h"\n',
    ),
    Change(
        f"{_LLAMA}/llama-kv-cache.cpp",
        "    if (dst->type == GGML_TYPE_F16) {\n        set_input_kq_mask_impl<ggml_fp16_t>(",
        "    if (n_stream == 1) {\n"
        "        const auto & cells = v_cells.at(seq_to_stream[ubatch->seq_id_unq[0]]);\n"
        "        std::vector<const std::set<std::pair<llama_pos, uint32_t>> *> sequences;\n"
        "        for (uint32_t s = 0; s < ubatch->n_seqs_unq; ++s) {\n"
        "            sequences.push_back(&cells.seq_pos_get(ubatch->seq_id_unq[s]));\n"
        "        }\n"
        "        kernels::order_keep(dst->data, kernels::order_for(sequences, cells.size()));\n"
        "    }\n"
        "    if (dst->type == GGML_TYPE_F16) {\n"
        "        set_input_kq_mask_impl<ggml_fp16_t>(",
    ),
    Change(
        f"{_LLAMA}/llama-graph.cpp",
        '#include "llama-graph.h"\n',
        '#include "llama-graph.h"\n#include "../ggml/src/ggml-cpu/kernels/order.h"\n',
    ),
    Change(
        f"{_LLAMA}/llama-graph.cpp",
        "void llm_graph_result::set_inputs(const llama_ubatch * ubatch) {\n",
        "void llm_graph_result::set_inputs(const llama_ubatch * ubatch) {\n"
        "    kernels::order_forget();\n",
    ),
    Change(
        f"{_CPU}/ops.cpp",
        '#include "ops.h"\n',
        '#include "ops.h"\n#include "kernels/kernels.h"\n',
    ),
    Change(
        f"{_CPU}/ops.cpp",
        "                // uses F32 accumulators\n"
        "                ggml_compute_forward_flash_attn_ext_f16(params, dst);\n",
        "                // uses F32 accumulators\n"
        "                if (!kernels_attention(params, dst)) {\n"
        "                    ggml_compute_forward_flash_attn_ext_f16(params, dst);\n"
        "                }\n",
    ),
    Change(
        f"{_CPU}/ggml-cpu.c",
        '#include "tiled/tiled.h"\n',
        '#include "tiled/tiled.h"\n#include "kernels/barrier.h"\n#include "kernels/kernels.h"\n',
    ),
    Change(
        f"{_CPU}/ggml-cpu.c",
        "                        cur += MAX(prefill, decode);\n",
        "                        "
        "cur += MAX(MAX(prefill, decode), kernels_attention_work(node, n_tasks));\n",
    ),
    Change(
        f"{_CPU}/ggml-cpu.c",
        "    // extra_buffer op?\n",
        "    if (params->ith == 0 && "
        "(tensor->op == GGML_OP_MUL_MAT || tensor->op == GGML_OP_MUL_MAT_ID)) {\n"
        "        kernels_note(tensor);\n    }\n\n"
        "    // extra_buffer op?\n",
    ),
    # What an adapter adds to a product, before ggml's own fused nodes.
    Change(
        f"{_CPU}/ggml-cpu.c",
        "    if (node->op == GGML_OP_RMS_NORM) {\n        // RMS_NORM + MUL fusion\n",
        "    if (node->op == GGML_OP_MUL_MAT) {\n"
        "        return kernels_adapter(params, cgraph, node_n);\n    }\n\n"
        "    if (node->op == GGML_OP_RMS_NORM) {\n        // RMS_NORM + MUL fusion\n",
    ),
    # A large buffer of its own is cleared by the system.
    Change(
        f"{_SOURCE}/ggml-backend.cpp",
        '#include "ggml-backend.h"\n',
        '#include "ggml-backend.h"\n#include "ggml-cpu/kernels/fresh.h"\n',
    ),
    Change(
        f"{_SOURCE}/ggml-backend.cpp",
        "    GGML_ASSERT(buffer);\n    memset(buffer->context, value, buffer->size);\n",
        "    GGML_ASSERT(buffer);\n"
        "    if (value == 0 && "
        "buffer->iface.free_buffer == ggml_backend_cpu_buffer_free_buffer) {\n"
        "        kernels::fresh_zeroes(buffer->context, buffer->size);\n"
        "        return;\n    }\n"
        "    memset(buffer->context, value, buffer->size);\n",
    ),
    # The barrier: spin, then sleep.
    Change(
        f"{_CPU}/ggml-cpu.c",
        "    atomic_int GGML_CACHE_ALIGN n_barrier_passed;\n",
        "    atomic_int GGML_CACHE_ALIGN n_barrier_passed;\n    atomic_int n_barrier_asleep;\n",
    ),
    Change(
        f"{_CPU}/ggml-cpu.c",
        "        atomic_fetch_add_explicit(&tp->n_barrier_passed, 1, memory_order_seq_cst);\n"
        "        return;\n",
        "        atomic_fetch_add_explicit(&tp->n_barrier_passed, 1, memory_order_seq_cst);\n"
        "        kernels_wake(&tp->n_barrier_passed, &tp->n_barrier_asleep);\n"
        "        return;\n",
    ),
    Change(
        f"{_CPU}/ggml-cpu.c",
        "    while (atomic_load_explicit("
        "&tp->n_barrier_passed, memory_order_relaxed) == n_passed) {\n"
        "        ggml_thread_cpu_relax();\n    }\n",
        "    kernels_wait(&tp->n_barrier_passed, n_passed, &tp->n_barrier_asleep);\n",
    ),
    Change(
        f"{_CPU}/ggml-cpu.c",
        "        threadpool->n_barrier_passed = 0;\n",
        "        threadpool->n_barrier_passed = 0;\n        threadpool->n_barrier_asleep = 0;\n",
    ),
)


def digest() -> str:
    """Hex SHA-256 over all additions and changes."""
    parts = [path.name.encode() + b"\0" + path.read_bytes() for path in _added()]
    parts += [repr(change).encode() for change in CHANGES]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def apply(source: Path) -> None:
    """Another source stays as it was."""
    texts: dict[Path, str] = {}
    for change in CHANGES:
        path = source / change.file
        text = texts.get(path) or (path.read_text() if path.is_file() else "")
        if text.count(change.before) != 1:
            raise BundleError(
                f"{change.file}: the kernels replace {change.before.strip().splitlines()[0]!r}, "
                f"which is there {text.count(change.before)} times: see kernels/README.md"
            )
        texts[path] = text.replace(change.before, change.after)
    ours = source / _CPU / "kernels"
    if ours.exists():
        raise BundleError("llama.cpp has a directory ggml-cpu/kernels of its own")
    ours.mkdir()
    for added in _added():
        shutil.copyfile(added, ours / added.name)
    for path, text in texts.items():
        path.write_text(text)


def _added() -> list[Path]:
    return sorted(path for pattern in _ADDED for path in KERNELS.glob(pattern))
