"""What candidate and incumbent did on one item, as a line of JSON: a leaf of the outcomes' tree.

Rules: lines are canonical and stand in the order of the items' ids, so that equal outcomes have one
root; the tree is that of RFC 6962, so that one line can be proved without the others.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from appliance.audit import merkle
from appliance.errors import ApplianceError, EvaluationRefused
from appliance.evals.outcomes import Outcome
from appliance.trust.bytes import strict_json

MILLION: Final = 1_000_000
_MOST: Final = 2 << 20


@dataclass(frozen=True)
class Pair:
    """One item.

    Attributes:
        candidate, incumbent: their scores in millionths.
        candidate_answer, incumbent_answer: None where there is none.
        candidate_failure, incumbent_failure: why there is none, else "".
        agreed: both answered the same, and nobody was asked what is right.
    """

    item: str
    group: str
    stratum: str
    expected: str
    candidate: int
    incumbent: int
    candidate_answer: str | None
    incumbent_answer: str | None
    candidate_failure: str = ""
    incumbent_failure: str = ""
    agreed: bool = False

    def line(self) -> bytes:
        """Its line of JSON, without the end of the line."""
        table = dict(vars(self))
        if not self.agreed:
            del table["agreed"]
        return strict_json.dump(table)


def pair(
    candidate: Sequence[Outcome],
    incumbent: Sequence[Outcome],
    agreed: Collection[str] = frozenset(),
) -> list[Pair]:
    """The pairs, in the order of the items' ids.

    Args:
        agreed: the items whose label nobody was asked for.

    Raises:
        EvaluationRefused: `outcomes_incomplete` when they did not answer the same items.
    """
    others = {outcome.item: outcome for outcome in incumbent}
    if {o.item for o in candidate} != set(others) or len(candidate) != len(incumbent):
        raise EvaluationRefused(
            "outcomes_incomplete", "Candidate and incumbent did not answer the same items."
        )
    return [
        Pair(
            one.item,
            one.group,
            one.stratum,
            one.expected,
            one.micros,
            others[one.item].micros,
            one.answer,
            others[one.item].answer,
            one.failure,
            others[one.item].failure,
            one.item in agreed,
        )
        for one in sorted(candidate, key=lambda o: o.item)
    ]


def parse(line: bytes) -> Pair:
    """Read a line.

    Raises:
        EvaluationRefused: `outcomes_invalid`.
    """
    value = strict_json.parse(line, _invalid, limit=_MOST)
    try:
        found = Pair(**value) if isinstance(value, dict) else None
    except TypeError as error:
        raise _invalid(str(error)) from error
    if found is None or found.line() != line:
        raise _invalid("a line is not canonical")
    texts: list[Any] = [found.item, found.group, found.stratum, found.expected]
    texts += [found.candidate_failure, found.incumbent_failure]
    if type(found.agreed) is not bool:
        raise _invalid("agreed is true or left out")
    answers: list[Any] = [found.candidate_answer, found.incumbent_answer]
    scores: list[Any] = [found.candidate, found.incumbent]
    if not all(isinstance(t, str) for t in texts) or not found.item or not found.group:
        raise _invalid("a text is missing")
    if not all(a is None or isinstance(a, str) for a in answers):
        raise _invalid("an answer is no text")
    if not all(type(s) is int and 0 <= s <= MILLION for s in scores):
        raise _invalid("a score is not within 0 and 1,000,000")
    for score, answer, failure in zip(scores, answers, texts[-2:], strict=True):
        if (answer is None) != bool(failure) or (failure and score):
            raise _invalid("a failure has a code, no answer and a score of 0")
    if found.agreed and (answers[0] != answers[1] or any(scores) or found.expected):
        raise _invalid("without a label two answers are the same, and count as no difference")
    return found


class Lined(Protocol):
    """An outcome as a line, whatever was measured."""

    @property
    def item(self) -> str:
        """The id of its item."""
        ...

    def line(self) -> bytes:
        """Canonical JSON."""
        ...


def root(pairs: Sequence[Lined]) -> str:
    """Hex root of the tree over the lines."""
    tree = merkle.Frontier()
    tree.extend([merkle.leaf_hash(each.line()) for each in pairs])
    return tree.root().hex()


def proof(pairs: Sequence[Lined], item: str) -> dict[str, Any]:
    """That one item's line is a leaf: the line, its place, and the hashes beside its way.

    Raises:
        EvaluationRefused: `outcomes_invalid` for an item that is none of them.
    """
    leaves = [merkle.leaf_hash(each.line()) for each in pairs]
    places = [number for number, each in enumerate(pairs) if each.item == item]
    if not places:
        raise _invalid("there is no such item")

    def subtree(level: int, index: int) -> bytes:
        return merkle.fold(leaves[index << level : (index + 1) << level])

    hashes = merkle.inclusion_proof(places[0], len(leaves), subtree)
    return {
        "line": pairs[places[0]].line().decode(),
        "index": places[0],
        "size": len(leaves),
        "proof": [each.hex() for each in hashes],
    }


def _invalid(reason: str) -> ApplianceError:
    return EvaluationRefused("outcomes_invalid", f"Outcomes cannot be used: {reason}.")
