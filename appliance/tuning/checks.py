"""Train = serve: the trainer's results compared with the engine's. Pure.

Rules:
- The server renders the trainer's rows, token by token.
- The served loss is within 0.5 % or 0.01 nat a token of the trainer's, whichever is more, and twice
  the standard error of the difference: the engine rounds, by 0.2 nat on single tokens here.
- Where the trainer's best token leads by more than half a nat, the server has the same one.
- Nearly every answer ends by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.errors import TuningRefused
from appliance.text import percent
from appliance.tuning.rows import TokenRow, digest

GAP_SHARE: Final = 0.005
GAP_NATS: Final = 0.01
LEAD_NATS: Final = 0.5
STOPPED: Final = 0.99


@dataclass(frozen=True)
class Scored:
    """One side's scores of the tokens of one answer.

    Attributes:
        nats: negative logarithm of each token's probability.
        best: bytes of the most likely token at each place.
        leads: its logit above the second's; empty if not requested.
        given: bytes of the answer's own tokens; empty if not requested.
    """

    nats: tuple[float, ...]
    best: tuple[bytes, ...]
    leads: tuple[float, ...] = ()
    given: tuple[bytes, ...] = ()

    @property
    def written(self) -> bool:
        """True if each token is the most likely."""
        return bool(self.given) and self.best == self.given


@dataclass(frozen=True)
class Gap:
    """Mean losses a token; `error`: the paired difference's standard error."""

    trained: float
    served: float
    error: float = 0.0

    @property
    def nats(self) -> float:
        return abs(self.trained - self.served)

    @property
    def most(self) -> float:
        return max(GAP_SHARE * self.trained, GAP_NATS) + 2 * self.error


def check_tokens(trained: Sequence[TokenRow], rendered: Sequence[TokenRow], reported: str) -> None:
    """Refuse rows that the server would render differently.

    Args:
        reported: digest of the rows that the trainer read.

    Raises:
        TuningRefused: `tuning_tokens_differ`.
    """
    for row, other in zip(trained, rendered, strict=True):
        if (row.prompt, row.answer) != (other.prompt, other.answer):
            pairs = zip(row.tokens, other.tokens, strict=False)
            same = next((at for at, (a, b) in enumerate(pairs) if a != b), len(row.tokens))
            raise TuningRefused(
                "tuning_tokens_differ",
                f"The row {row.item[:80]} was trained with other tokens than the server renders, "
                f"from token {same} on.",
            )
    if reported != digest(trained):
        raise TuningRefused(
            "tuning_tokens_differ", "The trainer read other rows than it was given."
        )


def check_base(trained: str, served: str) -> None:
    """Refuse an adapter that was trained on another file: TuningRefused (`tuning_base_differs`)."""
    if trained != served:
        raise TuningRefused(
            "tuning_base_differs", f"The trainer read the base {trained}, and {served} serves."
        )


def gap(trained: Sequence[Scored], served: Sequence[Scored]) -> Gap:
    """Different numbers of tokens raise `tuning_tokens_differ`."""
    ours, theirs = (np.array([n for one in side for n in one.nats]) for side in (trained, served))
    if ours.shape != theirs.shape:
        message = f"The trainer scored {len(ours)} tokens, and the server {len(theirs)}."
        raise TuningRefused("tuning_tokens_differ", message)
    if not len(ours):
        return Gap(float("nan"), float("nan"))
    error = float((ours - theirs).std(ddof=1) / np.sqrt(len(ours))) if len(ours) > 1 else 0.0
    return Gap(float(ours.mean()), float(theirs.mean()), error)


def check_gap(found: Gap, what: str) -> None:
    """Refuse another computation, or a loss that is no number: TuningRefused (`tuning_nll_gap`)."""
    if not found.nats <= found.most:
        raise TuningRefused(
            "tuning_nll_gap",
            f"{what}: the trainer has {found.trained:.4f} nats a token and the server "
            f"{found.served:.4f}; they may differ by {found.most:.4f}.",
        )


def check_greedy(
    rows: Sequence[TokenRow], trained: Sequence[Scored], served: Sequence[Scored]
) -> int:
    """Returns the number of sure places.

    Raises:
        TuningRefused: `tuning_greedy_differs`, naming the row and the place.
    """
    sure = 0
    for row, ours, theirs in zip(rows, trained, served, strict=True):
        places = zip(ours.best, ours.leads, theirs.best, strict=True)
        for place, (best, lead, other) in enumerate(places):
            if lead <= LEAD_NATS:
                continue
            sure += 1
            if best != other:
                raise TuningRefused(
                    "tuning_greedy_differs",
                    f"{row.item[:80]}, token {place} of the answer: the best of the trainer is "
                    f"{best!r}, by {lead:.2f} nats, and that of the server {other!r}.",
                )
    return sure


def check_stops(ends: Sequence[tuple[str, bool]]) -> float:
    """Refuse an adapter whose answers do not end; returns the share that does.

    Raises:
        TuningRefused: `tuning_not_stopping`.
    """
    share = sum(ended for _, ended in ends) / len(ends) if ends else 0.0
    if share < STOPPED:
        late = [item for item, ended in ends if not ended]
        raise TuningRefused(
            "tuning_not_stopping",
            f"{percent(share)} of {len(ends)} answers end by themselves, and "
            f"{percent(STOPPED)} must; {', '.join(late[:5])} do not.",
        )
    return share
