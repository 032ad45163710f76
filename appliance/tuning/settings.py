"""Settings of a tuning, with defaults that were measured to work.

Rules: every number has a range; a method that cannot be served is refused with the reason; the same
settings, rows and base give the same adapter on one machine.

Sources: rank 16 on every linear layer, twice the rank as alpha, a rate of 1e-3 and at most two
epochs reached .900 on 200 licence notices with SmolLM2-135M, in an experiment before this code; ten
times the rate of full tuning is from "LoRA Without Regret" (Thinking Machines, 2025); the optimiser
is AdamW (Loshchilov and Hutter, 2019) without decay.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

from appliance.errors import TuningRefused

METHODS: Final = ("lora",)
_NOT_SERVED: Final = {
    "dora": "llama.cpp's adapters hold two matrices for a weight and no magnitudes, so what DoRA "
    "trains cannot be served",
    "qlora": "it needs a GPU: the trainer computes with the processor, which gains nothing from a "
    "base in 4 bits",
}


class TuneSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the training of an adapter.

    Attributes:
        method: `lora`.
        rank: size of the adapter: columns of each pair of matrices.
        alpha: weight of the adapter: its change is scaled by this over the rank.
        rate: learning rate after the warm-up; it falls to 0 linearly.
        epochs: most passes over the rows.
        batch: rows of one step of the optimiser.
        warmup: steps until `rate` is reached.
        clip: most length of a step's gradient.
        longest: most tokens of a row, prompt and answer.
        tokens: tokens that are computed at once; the memory follows from it.
        recompute: compute activations again (Chen et al., 2016): a third slower, in a fraction of
            the memory.
        patience: evaluations on dev without a gain after which training stops.
        evaluations: evaluations on dev in each epoch.
        seed: seed of the order of rows and of the first matrices.
    """

    method: str = "lora"
    rank: Annotated[int, Meta(ge=1, le=256)] = 16
    alpha: Annotated[float, Meta(gt=0, le=1024)] = 32.0
    rate: Annotated[float, Meta(gt=0, le=0.1)] = 1e-3
    epochs: Annotated[float, Meta(gt=0, le=100)] = 2.0
    batch: Annotated[int, Meta(ge=1, le=1024)] = 16
    warmup: Annotated[int, Meta(ge=0, le=10_000)] = 8
    clip: Annotated[float, Meta(gt=0, le=1000)] = 1.0
    longest: Annotated[int, Meta(ge=16, le=65_536)] = 768
    tokens: Annotated[int, Meta(ge=16, le=65_536)] = 768
    recompute: bool = False
    patience: Annotated[int, Meta(ge=1, le=1000)] = 2
    evaluations: Annotated[int, Meta(ge=1, le=100)] = 2
    seed: Annotated[int, Meta(ge=0, lt=1 << 31)] = 0


def check(settings: TuneSettings) -> None:
    """Refuse a method that cannot be served: TuningRefused (`tuning_method`)."""
    if settings.method not in METHODS:
        reason = _NOT_SERVED.get(settings.method, "there is no such method")
        raise TuningRefused("tuning_method", f"{settings.method[:40]}: {reason}.")
