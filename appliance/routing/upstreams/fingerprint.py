"""Recognition of an upstream: its results on fixed texts.

Rules: the texts are ours and hold no data. The tolerance is learnt from repeats; no load widens it.
A fingerprint notices other weights behind one name; it proves nothing about the engine.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.errors import StateRefused
from appliance.routing.upstreams.events import ChoiceDelta, Probed
from appliance.routing.upstreams.exchange import invalid
from appliance.routing.upstreams.health import HostProbe, ProbeVerdict
from appliance.trust.bytes import strict_json
from appliance.types import GenerationRequest, JsonValue, ModelKind
from appliance.upstream_kinds import EngineKind

ALL: Final = (
    "The capital of France is",
    "def fibonacci(n):\n    if n",
    "1, 1, 2, 3, 5, 8,",
    "Once upon a time, in a land far away, there lived a",
    "Water boils at a temperature of",
    "The opposite of hot is",
    "Monday, Tuesday, Wednesday,",
    "To be, or not to be, that is the",
    "import numpy as",
    "The largest planet of the solar system is",
    "A list of fruits: apple, banana,",
    "Dear Sir or Madam,\n\nI am writing to",
    "SELECT name FROM users WHERE",
    "In the year 1969, the first man walked on the",
    "The chemical symbol for gold is",
    "Please find attached the report for the",
)
"""One token is asked for after each. What was learnt of fewer holds for the first of them."""
FIRST: Final = ALL[:4]
"""Those that every probe asks; the others where these differ during requests."""
REPEATS: Final = 3
"""How often the prompts are asked to learn from."""
_TOP: Final = 5
_NUMBERS: Final = 64
_NOISE: Final = 0.05
# Above it an engine that tells a share between 0 and 1 has no more digits.
_HIGHEST_SCORE: Final = 10.0
_UNSTABLE: Final = 1.0
_MARGIN: Final = 4.0
_MICRO: Final = 1e6

Row = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Fingerprint:
    """Results on the texts.

    Attributes:
        ids: of each text; empty where the engine gives none.
        rows: each prompt's likeliest first tokens, with log-probabilities in millionths; of a model
            that embeds or reranks, numbers of vectors, or scores of pairs.
        system: its claim about its weights, where its kind has one.
        tolerance: in millionths.
        width: length of a vector; 0 without vectors.
    """

    ids: tuple[tuple[int, ...], ...]
    rows: tuple[Row, ...]
    system: str = ""
    tolerance: int = 0
    width: int = 0

    def encode(self) -> bytes:
        document = {
            "ids": [list(one) for one in self.ids],
            "rows": [[list(pair) for pair in row] for row in self.rows],
            "system": self.system,
            "tolerance": self.tolerance,
        }
        return strict_json.dump(document | ({"width": self.width} if self.width else {}))

    @classmethod
    def decode(cls, data: bytes) -> "Fingerprint":
        found = json.loads(data)
        rows = tuple(tuple((str(t), int(v)) for t, v in row) for row in found["rows"])
        ids = tuple(tuple(map(int, one)) for one in found["ids"])
        return cls(ids, rows, found["system"], found["tolerance"], found.get("width", 0))


def probe_body(kind: EngineKind, model: str, prompt: str) -> dict[str, JsonValue]:
    """Asks for one token after a prompt."""
    body: dict[str, JsonValue] = {
        "model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0, "seed": 0,
        **kind.probe,
    }  # fmt: skip
    return body | {"logprobs": _TOP} if kind.logprobs else body


def read_row(kind: EngineKind, answer: Probed) -> Row:
    """Raises UpstreamLost (`upstream_invalid`)."""
    choice = answer.choices[0] if len(answer.choices) == 1 else ChoiceDelta()
    if not kind.logprobs:
        if not choice.text:
            raise invalid("its answer to a probe has no text")
        return ((choice.text, 0),)
    tokens = choice.logprobs.read() if choice.logprobs is not None else ()
    if len(tokens) != 1:
        raise invalid("its answer to a probe has no first token with alternatives")
    row = [(t.decode("utf-8", "replace"), round(v * _MICRO)) for t, v in tokens[0].top[:_TOP]]
    if not row or any(value > 0 for _, value in row):
        raise invalid("the log-probabilities of its answer to a probe are none")
    return tuple(row)


def probe_texts(model: str, does: ModelKind, prompt: str) -> GenerationRequest:
    """A request for a prompt's vector, or its scores with itself and another one."""
    if does == "embed":
        return GenerationRequest(model, texts=(prompt,))
    return GenerationRequest(model, texts=(prompt, ALL[ALL.index(prompt) - 1]), query=prompt)


def row_of(found: NDArray[np.float64]) -> Row:
    """Comparable row of a vector of length 1, its numbers made as large as 1, or of scores."""
    if len(found) == 1:
        values = found[0, :_NUMBERS] * math.sqrt(found.shape[1])
    else:
        values = np.minimum(found[:, 0], _HIGHEST_SCORE)
    return tuple((str(at), round(value * _MICRO)) for at, value in enumerate(values.tolist()))


def learnt(
    kind: EngineKind, seen: Sequence[Fingerprint], does: ModelKind = "generate"
) -> Fingerprint:
    """One fingerprint with its tolerance, from repeats.

    Raises:
        StateRefused: `upstream_unstable` when they have too little in common.
    """
    first = seen[0]
    if len({(one.ids, one.system, one.width) for one in seen}) > 1:
        raise StateRefused("upstream_unstable", "The upstream tells other ids of the same text.")
    spread = max(max(map(_distance, first.rows, one.rows), default=0) for one in seen)
    if spread > _UNSTABLE * _MICRO:
        raise StateRefused(
            "upstream_unstable", "The numbers of the same prompt differ by more than 1."
        )
    least = kind.tolerance if does == "generate" else _NOISE
    tolerance = max(round(least * _MICRO), round(_MARGIN * spread))
    return replace(first, tolerance=tolerance)


def compare(known: Fingerprint, seen: Fingerprint) -> HostProbe:
    """`seen` may have the first prompts only."""
    if not _begins(known.ids, seen.ids):
        return HostProbe(
            ProbeVerdict.OTHER, "its tokeniser makes other ids of the same text", exact=True
        )
    if known.system != seen.system:
        return HostProbe(ProbeVerdict.OTHER, "it says that its weights are others", exact=True)
    if known.width != seen.width:
        return HostProbe(ProbeVerdict.OTHER, "its vectors have another length", exact=True)
    if not seen.rows:
        return HostProbe(ProbeVerdict.OTHER, "it tells no tokens", exact=True)
    # What was learnt of fewer prompts is compared as far as it goes.
    distances = tuple(map(_distance, known.rows, seen.rows))
    distance = max(distances, default=1 << 40)
    if distance <= known.tolerance:
        return HostProbe(ProbeVerdict.SAME)
    why = (
        f"a value is {distance / _MICRO:.3f} away from what was learnt; "
        f"{known.tolerance / _MICRO:.3f} is tolerated"
    )
    return HostProbe(ProbeVerdict.OTHER, why, distances=distances, tolerance=known.tolerance)


def _begins(known: tuple[tuple[int, ...], ...], seen: tuple[tuple[int, ...], ...]) -> bool:
    both = min(len(known), len(seen))
    return known[:both] == seen[:both] and bool(known) == bool(seen)


def _distance(one: Row, other: Row) -> int:
    """In millionths; a missing token counts as the last one given."""
    return max(_beyond(dict(one), dict(other)), _beyond(dict(other), dict(one)))


def _beyond(one: dict[str, int], other: dict[str, int]) -> int:
    if len(other) == 1 and not one.keys() & other.keys():
        return round(_MICRO)  # of an engine that tells no alternatives: another token
    last = min(other.values())
    return max(
        abs(value - other[name]) if name in other else max(0, value - last)
        for name, value in one.items()
    )
