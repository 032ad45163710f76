"""Number of a model's layers that fit on the GPUs, and their places. Pure.

llama.cpp offloads from the end: the output first, then the last layers; the input embedding stays
in the host's memory. A layer's weights and its part of the KV cache are on the same GPU; each used
GPU also holds compute buffers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.config import ModelConfig
from appliance.errors import StateRefused
from appliance.facts import ModelFacts
from appliance.text import many
from appliance.workers.memory_estimate import MIB, estimate

CONTEXT = 448 * MIB
"""Memory of CUDA, its kernels and cuBLAS on each GPU before a model is there. Not measured here:
this was written without a GPU."""


@dataclass(frozen=True)
class GpuMemory:
    """One GPU as the backend reports it; memory in bytes."""

    name: str
    total: int
    free: int


@dataclass(frozen=True)
class Needs:
    """Bytes on GPUs.

    Attributes:
        layers: how many the model has, without its output.
        layer: weights of the largest one.
        kv: KV cache of one layer.
        fixed: on each GPU that is used.
    """

    layers: int
    layer: int
    kv: int
    output: int
    fixed: int


@dataclass(frozen=True)
class Offload:
    """Placement of layers.

    Attributes:
        layers: as llama.cpp counts them, the output included; 0 for none.
        split: layers on each GPU, in the backend's order.
        bytes: expected on each GPU.
    """

    layers: int
    of: int
    split: tuple[int, ...]
    bytes: tuple[int, ...]

    def describe(self, gpus: Sequence[GpuMemory]) -> str:
        places = (
            f"{count} on {gpu.name} ({taken // MIB} of {gpu.free // MIB} MiB free)"
            for gpu, count, taken in zip(gpus, self.split, self.bytes, strict=True)
            if count
        )
        where = ", ".join(places) or "no GPU has room for one"
        return f"{self.layers} of {many(self.of, 'layer')} on GPUs: {where}"


def needs_of(facts: ModelFacts, config: ModelConfig) -> Needs:
    """Memory that a model takes with these settings."""
    whole = estimate(facts, config, "")  # what lies in the host's memory is not asked for
    # Attention of one batch over the whole cache is masked, once as floats and once as halves.
    mask = min(config.prefill_budget + config.slots, 512) * config.n_ctx * 6
    return Needs(
        layers=facts.n_layer,
        layer=facts.layer_bytes,
        kv=-(-whole.kv // facts.n_layer),
        output=facts.output_bytes,
        fixed=(whole.compute + mask) * 11 // 10 + CONTEXT,
    )


def plan(gpus: Sequence[GpuMemory], needs: Needs, wanted: int | None) -> Offload:
    """Place the layers: on one GPU if all fit there, else on several.

    Args:
        gpus: with what is free on each now.
        wanted: layers, as of `Offload`; None for what fits.

    `gpu_memory_insufficient`, with the numbers, when `wanted` layers do not fit.
    """
    of = needs.layers + 1
    target = min(wanted or of, of)
    found = max(
        (_with_output_on(last, gpus, needs, target) for last in range(len(gpus))),
        key=lambda split: (sum(split), -sum(1 for count in split if count)),
        default=(),
    )
    result = Offload(sum(found), of, found, _taken(found, needs))
    if wanted is not None and result.layers < target:
        raise StateRefused(
            "gpu_memory_insufficient",
            f"Asked for {many(target, 'layer')}; fit: {result.describe(gpus)}.",
        )
    return result


def _with_output_on(
    last: int, gpus: Sequence[GpuMemory], needs: Needs, target: int
) -> tuple[int, ...]:
    """The best split whose last used GPU is `last`, which then holds the output."""
    each = max(needs.layer + needs.kv, 1)
    rooms = [gpu.free - needs.fixed for gpu in gpus[: last + 1]]
    rooms[last] -= needs.output
    split = [0] * len(gpus)
    if rooms[last] < 0:
        return tuple(split)
    split[last] = 1 + min(target - 1, rooms[last] // each)
    if split[last] == target:
        return tuple(split)
    # It does not hold all: each layer goes where most room is left, so that the load is even.
    split[last] = 1
    for _ in range(target - 1):
        best = max(range(last + 1), key=lambda i: rooms[i])
        if rooms[best] < each:
            break
        rooms[best] -= each
        split[best] += 1
    return tuple(split)


def _taken(split: tuple[int, ...], needs: Needs) -> tuple[int, ...]:
    last = max((i for i, count in enumerate(split) if count), default=-1)
    return tuple(
        (count - (i == last)) * (needs.layer + needs.kv)
        + needs.fixed
        + (needs.output if i == last else 0)
        if count
        else 0
        for i, count in enumerate(split)
    )
