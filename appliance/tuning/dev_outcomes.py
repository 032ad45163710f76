"""Candidates' outcomes on each item of dev: `DATA/tuning/JOB/outcomes.json`.

Rules:
- It has nothing of an item's text: items and groups are named, and ordered, by digests under the
  digest of their dataset, so that an item of another dataset never has the same name.
- It keeps scores and, of fields, which are right; no answer, no label.
- A file with another digest than in the training record is not used.
"""

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import msgspec

from appliance.evals.details import field_names, field_right
from appliance.evals.outcomes import Outcome
from appliance.tasks.definition import JsonForm, Task
from appliance.tasks.loaded import LoadedTask
from appliance.tuning.candidates import UNTUNED, Candidates

FILE: Final = "outcomes.json"
SPLIT: Final = "dev"
_DIGITS: Final = 32
"""Of a name: 128 bits."""


class DevOutcomes(msgspec.Struct, frozen=True):
    """The outcomes of one tuning.

    Attributes:
        rules: digest of the rules by which an answer is right.
        items, groups: names of the items, and of their groups in the same order.
        scores: by candidate, in millionths, in the order of the items.
        fields: by candidate and field, a digit for each item: 1 where the field is right.
    """

    data: str
    split: str
    task: str
    rules: str
    items: tuple[str, ...]
    groups: tuple[str, ...]
    scores: dict[str, tuple[int, ...]]
    fields: dict[str, dict[str, str]] = {}

    def outcomes(self, kind: str, items: Collection[str], field: str = "") -> list[Outcome]:
        """For comparison; items are named by digests.

        Args:
            field: of the answer; "" for the metric of the whole.
        """
        if field:
            values = [1_000_000 * (digit == "1") for digit in self.fields[kind][field]]
        else:
            values = list(self.scores[kind])
        rows = zip(self.items, self.groups, values, strict=True)
        return [Outcome(name, group, "", "", micros, 0) for name, group, micros in rows
                if name in items]  # fmt: skip

    def document(self) -> bytes:
        return msgspec.json.encode(self) + b"\n"


def kept(loaded: LoadedTask, data: str, made: Candidates) -> DevOutcomes:
    """`data` is the dataset's digest."""
    every: dict[str, tuple[Outcome, ...]] = {one.kind: one.outcomes for one in made.found}
    if made.untuned:
        every[UNTUNED] = made.untuned
    named = {_name("item", data, one.item): one for one in made.found[0].outcomes}
    order = sorted(named)
    ids = [named[name].item for name in order]
    ordered = {kind: _in_order(outcomes, ids) for kind, outcomes in every.items()}
    fields: dict[str, dict[str, str]] = {}
    if isinstance(loaded.task.output, JsonForm):
        for kind, outcomes in ordered.items():
            fields[kind] = {
                field: "".join(str(int(field_right(loaded, field, one))) for one in outcomes)
                for field in field_names(outcomes)
            }
    return DevOutcomes(
        data=data,
        split=SPLIT,
        task=loaded.task.id,
        rules=_rules(loaded.task),
        items=tuple(order),
        groups=tuple(_name("group", data, named[name].group) for name in order),
        scores={kind: tuple(one.micros for one in ones) for kind, ones in ordered.items()},
        fields=fields,
    )


def read(directory: Path, sha256: str | None) -> DevOutcomes | str:
    """The outcomes, or why there are none, as the rest of a sentence.

    Args:
        directory: `DATA/tuning/JOB`.
        sha256: of the file, by the record; None where it has none.
    """
    if sha256 is None:
        return "kept no outcomes item by item: an older version made it"
    try:
        data = (directory / FILE).read_bytes()
    except OSError as error:
        return f"has no {FILE}: {error.strerror}"
    if hashlib.sha256(data).hexdigest() != sha256:
        return f"has another {FILE} than its record names"
    return msgspec.json.decode(data, type=DevOutcomes)


def _in_order(outcomes: Sequence[Outcome], ids: Sequence[str]) -> list[Outcome]:
    by_id = {one.item: one for one in outcomes}
    return [by_id[name] for name in ids]


def _name(what: str, data: str, text: str) -> str:
    return hashlib.sha256(f"{what}\0{data}\0{text}".encode()).hexdigest()[:_DIGITS]


def _rules(task: Task) -> str:
    judged = (task.gate.metric, sorted(task.compare.items()))
    return hashlib.sha256(msgspec.json.encode(judged)).hexdigest()
