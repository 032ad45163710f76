"""Candidate's and incumbent's outcome on one item, as a line of JSON: a leaf of the outcomes' tree.

Rules: lines are canonical and in the order of the items' ids, so that equal outcomes have one root;
the tree is that of RFC 6962.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

from msgspec import Meta

from appliance.audit import merkle
from appliance.errors import EvaluationRefused
from appliance.evals.outcomes import Outcome
from appliance.looks.answers import Lined
from appliance.trust.bytes import strict_json

MILLION: Final = 1_000_000
_MOST: Final = 2 << 20
_Share: TypeAlias = Annotated[int, Meta(ge=0, le=MILLION)]
_Name: TypeAlias = Annotated[str, Meta(min_length=1)]


@dataclass(frozen=True)
class ItemPair:
    """One item.

    Attributes:
        candidate, incumbent: their scores in millionths.
        candidate_failure, incumbent_failure: why there is no answer, else "".
        agreed: both answered the same, so nobody gave a label.
    """

    item: _Name
    group: _Name
    stratum: str
    expected: str
    candidate: _Share
    incumbent: _Share
    candidate_answer: str | None
    incumbent_answer: str | None
    candidate_failure: str = ""
    incumbent_failure: str = ""
    agreed: bool = False

    def line(self) -> bytes:
        """Without the end of the line."""
        table = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if not self.agreed:
            del table["agreed"]
        return strict_json.dump(table)


def pair(
    candidate: Sequence[Outcome],
    incumbent: Sequence[Outcome],
    agreed: Collection[str] = frozenset(),
) -> list[ItemPair]:
    """Pairs in the order of ids.

    Args:
        agreed: items without a label because both sides agree.

    Raises:
        EvaluationRefused: `outcomes_incomplete` when they did not answer the same items.
    """
    others = {outcome.item: outcome for outcome in incumbent}
    if {o.item for o in candidate} != set(others) or len(candidate) != len(incumbent):
        raise EvaluationRefused(
            "outcomes_incomplete", "Candidate and incumbent did not answer the same items."
        )
    return [
        ItemPair(
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


def parse(line: bytes) -> ItemPair:
    """Read a line. Raises EvaluationRefused (`outcomes_invalid`)."""
    found = strict_json.decode(line, ItemPair, _invalid, limit=_MOST)
    if found.line() != line:
        raise _invalid("a line is not canonical")
    sides = (
        (found.candidate, found.candidate_answer, found.candidate_failure),
        (found.incumbent, found.incumbent_answer, found.incumbent_failure),
    )
    for score, answer, failure in sides:
        if (answer is None) != bool(failure) or (failure and score):
            raise _invalid("a failure has a code, no answer and a score of 0")
    same = found.candidate_answer == found.incumbent_answer
    if found.agreed and (not same or found.candidate or found.incumbent or found.expected):
        raise _invalid("without a label two answers are the same, and count as no difference")
    return found


def root(pairs: Sequence[Lined]) -> str:
    """Hex root of the tree over the lines."""
    tree = merkle.Frontier()
    tree.extend([merkle.leaf_hash(each.line()) for each in pairs])
    return tree.root().hex()


def proof(pairs: Sequence[Lined], item: str) -> dict[str, Any]:
    """Inclusion proof of an item's line: the line, its place, and the sibling hashes."""
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


_invalid: Final = EvaluationRefused.of("outcomes_invalid", "Outcomes cannot be used")
