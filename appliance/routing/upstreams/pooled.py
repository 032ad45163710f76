"""The vectors and scores of an upstream's answer, read as one answer or refused.

Rules:
- There is one vector or score for each text, by its index: vectors in the order of the texts,
  scores in any.
- Vectors are as long as the learnt ones, finite, not zero, and leave with length 1.
- Scores leave on the logistic scale's inner side, whichever side the engine uses.
"""

import binascii
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, assert_never

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from appliance.errors import ApplianceError, BadRequest
from appliance.routing.upstreams import receipts
from appliance.routing.upstreams.events import Count, CountedTokens, Name
from appliance.routing.upstreams.exchange import invalid
from appliance.routing.upstreams.stream import believed, fits
from appliance.types import Delta, GenerationRequest, PeerReceipt
from appliance.upstream_kinds import EngineKind

WIDEST: Final = 1 << 16
"""Most numbers of a vector."""
_MOST_TEXTS: Final = 2048
_FLOAT: Final = 4
_NUMBER_BYTES, _ROW_BYTES = 26, 256
# Beyond them a score on the logistic scale is a rounding error.
_LOWEST, _HIGHEST = 1e-30, 1 - 1e-15

Number = Annotated[float, Meta(ge=-3.5e38, le=3.5e38)]
Numbers = Annotated[list[Number], Meta(max_length=WIDEST)]
Base64 = Annotated[str, Meta(max_length=6 * WIDEST)]
Floats = NDArray[np.float64]


class ToldVector(Struct):
    """Numbers, or little-endian 32-bit floats in base64."""

    index: Count
    embedding: Numbers | Base64


class ToldScore(Struct):
    """The score of one document."""

    index: Count
    relevance_score: Number


class PooledForm(Struct, kw_only=True):
    """Common part of both replies."""

    id: Name = ""
    model: Name | None = None
    usage: CountedTokens | None = None


class ToldVectors(PooledForm):
    """Answer to a request for embeddings."""

    data: Annotated[list[ToldVector], Meta(max_length=_MOST_TEXTS)]


class ToldScores(PooledForm):
    """The answer to a request for scores."""

    results: Annotated[list[ToldScore], Meta(max_length=_MOST_TEXTS)]


Told = ToldVectors | ToldScores


def form(request: GenerationRequest) -> type[Told]:
    """The form of the answer to a request."""
    return ToldVectors if request.query is None else ToldScores


def most(request: GenerationRequest, width: int, least: int) -> int:
    """Most bytes of the answer; `width` as of `rows`."""
    count = len(request.texts or ()) if request.query is None else 0
    return max(least, count * (width * _NUMBER_BYTES + _ROW_BYTES))


def rows(told: Told, count: int, width: int, *, logistic: bool) -> Floats:
    """One row a text: its vector of length 1, or its score.

    Args:
        count: of texts.
        width: numbers of a vector; 0 for as many as the first one has.
        logistic: whether the host's scores are between 0 and 1.

    Raises:
        UpstreamLost: `upstream_invalid`.
    """
    match told:
        case ToldScores():
            return _scores(told.results, count, logistic=logistic)
        case ToldVectors():
            return _vectors(told.data, count, width)
        case _:
            assert_never(told)


def _vectors(told: Sequence[ToldVector], count: int, width: int) -> Floats:
    if [one.index for one in told] != list(range(count)):
        raise invalid(f"its vectors are not those of {count} texts in their order")
    found = [_numbers(one.embedding) for one in told]
    width = width or len(found[0])
    if not width or any(len(row) != width for row in found):
        raise invalid(f"its vectors have not {width} numbers each")
    table = np.array(found, np.float64)
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise invalid("a vector is not finite, or zero")
    return np.asarray(table / lengths, np.float64)


def _scores(told: Sequence[ToldScore], count: int, *, logistic: bool) -> Floats:
    if sorted(one.index for one in told) != list(range(count)):
        raise invalid(f"its scores are not those of {count} documents")
    scores = [one.relevance_score for one in sorted(told, key=lambda one: one.index)]
    if logistic:
        if any(not 0 <= score <= 1 for score in scores):
            raise invalid("a score is not between 0 and 1")
        kept = [min(max(score, _LOWEST), _HIGHEST) for score in scores]
        scores = [math.log(score) - math.log1p(-score) for score in kept]
    return np.array(scores, np.float64).reshape(-1, 1)


def _numbers(told: list[float] | str) -> Floats:
    if isinstance(told, list):
        return np.array(told, np.float64)
    try:
        data = binascii.a2b_base64(told, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("a vector is no base64") from error
    if len(data) % _FLOAT:
        raise invalid("a vector has not 4 bytes a number")
    return np.frombuffer(data, "<f4").astype(np.float64)


class PooledReply:
    """The answer to one request for vectors or scores, with the attributes of `Answer`.

    Args:
        estimate: about how many tokens the texts have.
    """

    def __init__(
        self, kind: EngineKind, request: GenerationRequest, width: int, estimate: int
    ) -> None:
        self._kind, self._width, self._ours = kind, width, estimate
        self._count = len(request.texts or ())
        self._told: int | None = None
        self.id = self.model = self.fingerprint = ""
        self.receipt: PeerReceipt | None = None
        self.finish: str | None = None
        self.begun = False

    @property
    def doubted(self) -> bool:
        return self._told is not None and not fits(self._told, self._ours)

    def read(self, told: Told, headers: Mapping[bytes, bytes]) -> list[Delta]:
        """Results of texts, the last with the finish reason; blocks. Raises as `rows`."""
        found = rows(told, self._count, self._width, logistic=self._kind.logistic)
        self._told = None if told.usage is None else told.usage.prompt_tokens
        self.id, self.model = told.id, told.model or ""
        if self._kind.receipts:
            # An answer of another appliance may have no id; its request always has one.
            self.id = self.id or headers.get(b"x-request-id", b"").decode("latin-1")[:256]
            receipt = headers.get(b"x-appliance-receipt")
            self.receipt = None if receipt is None else receipts.read(receipt)
        self.finish, self.begun = "stop", True
        *before, last = (Delta("", 0, vector=row.astype("<f4").tobytes()) for row in found)
        prompt = believed(self._told, self._ours)
        return [*before, Delta("", 0, "stop", vector=last.vector, prompt=prompt)]


def too_long(kind: EngineKind, error: ApplianceError) -> ApplianceError:
    """A code of its own where a text is too long; some engines call that a fault."""
    if kind.too_long in error.message:
        message = f"A text has more tokens than the model takes there: {error.message}"
        return BadRequest("context_length_exceeded", message, param="input")
    return error
