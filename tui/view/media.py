"""The import wizard: the sticks' contents, the plan, the steps, the result.

Rules: each step names the next one, so that a person needs nothing but the screen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from textual.content import Content

from appliance.facts import AdapterFacts, ModelFacts
from appliance.wire.admin.models import ModelDetail
from appliance.wire.admin.plan import ImportPlan
from tui.columns import Column, table
from tui.text import WHOLE, Cell, alarm, cell, labelled, line, quiet, state
from tui.view.units import count, many, size

COLUMNS: Final = (
    Column("ARTIFACT", 0, least=20, most=44),
    Column("SIZE", 9, right=True),
    Column("SIGNATURE", 12),
    Column("PLACE", 34, drop=1),
)
_DIFFERENCES: Final = (
    Column("FACT", 18),
    Column("IN THE STORE", 20),
    Column("ON THE STICK", 0, least=16, most=44),
)
_DIGEST_CHARACTERS: Final = 16
_PATH, _KIND = 100, 20  # characters; more would push away what comes next
STEPS: Final = ("choose", "check", "import", "approve", "load", "done")


@dataclass(frozen=True)
class Found:
    """An artifact on a stick or in a directory; `signed` says that a signature is there."""

    name: str
    path: str
    place: str
    bytes: int
    signed: bool


def found(document: Mapping[str, Any]) -> list[Found]:
    """Read the findings of `model places`."""
    return [
        Found(
            name=str(artifact.get("name", "")),
            path=str(artifact.get("path", "")),
            place=str(place.get("path", "")),
            bytes=int(artifact.get("bytes", 0)),
            signed=bool(artifact.get("signed")),
        )
        for place in document.get("places", [])
        for artifact in place.get("artifacts", [])
    ]


def places(document: Mapping[str, Any]) -> list[Content]:
    """The sticks and directories that were looked at."""
    told = []
    for place in document.get("places", []):
        kind = str(place.get("filesystem") or "directory")[:_KIND]
        free = size(int(place.get("free", 0)))
        lying = many(len(place.get("artifacts", [])), "artifact")
        told.append(
            line(cell(str(place.get("path")), limit=_PATH), quiet(f"{kind}, {free} free, {lying}"))
        )
    return told or [
        quiet("No stick is mounted. Plug one in and press r, or name a directory: a d.")
    ]


def row(item: Found) -> Sequence[Cell]:
    """One artifact."""
    signed = "+ found" if item.signed else "! none"
    return (item.name, size(item.bytes), signed, item.place)


def steps(current: str, width: int, note: str = "") -> Content:
    """The person's step; the names of the other steps where there is room for them."""
    at = STEPS.index(current)
    here = cell(f"[{at + 1} {current}" + (f" {note}]" if note else "]"), "bold $primary")

    def all_of(words: Sequence[str]) -> Content:
        before = [cell(f"+ {word}") for word in words[:at]]
        return Content(" > ").join([*before, here, *map(quiet, words[at + 1 :])])

    named = all_of([f"{number} {name}" for number, name in enumerate(STEPS, 1)])
    if named.cell_length <= width:
        return named
    return all_of([str(number) for number in range(1, len(STEPS) + 1)])


def plan(made: ImportPlan, width: int) -> list[Content]:
    """Write an import's effects and the next step."""
    if not made.ok:
        said = [quiet("Nothing was stored. Esc chooses another artifact."), Content("")]
        said += labelled("artifact", made.path, width, limit=WHOLE)
        said.append(line(state("refused"), cell(made.code or "", "bold")))
        said += labelled("why", made.message, width, limit=WHOLE)
        said += labelled("what to do", made.hint, width)
        return said
    said = [cell("Next: a i imports it. Esc chooses another.", "bold"), Content("")]
    said += labelled("artifact", made.path, width, limit=WHOLE)
    said += labelled("as", made.id, width)
    said += labelled("signed by", line(made.publisher, state("verified")), width)
    said += labelled("digest", made.digest or "-", width)
    said += labelled("files", f"{made.files}, {size(made.bytes)}", width)
    facts = made.facts
    of_file = [facts.architecture] if isinstance(facts, ModelFacts | AdapterFacts) else []
    told = filter(None, (facts.name, *of_file, facts.kind))
    said += labelled("model", "  ".join(told) or "-", width)
    fits = f"{size(made.memory_mib << 20)} of {size(made.budget_mib << 20)}"
    room = state("ok") if made.fits else alarm("does not fit now; unload another model first")
    said += labelled("memory", line(fits, room), width)
    people = ", ".join(made.approvers)
    said += labelled(
        "approvals", f"{made.approvals} different people of: {people}", width, limit=WHOLE
    )
    return said + differences(made, width)


def differences(made: ImportPlan, width: int) -> list[Content]:
    """List the differences from the model that it is like."""
    if made.against is None:
        return labelled("differs", "no model of the store is like it", width)
    rows = [
        (_FACTS.get(d.fact, d.fact), _fact(d.fact, d.then), _fact(d.fact, d.now))
        for d in made.differences
    ]
    head = labelled("differs", f"from {made.against} in {len(rows)} facts", width)
    return (
        head + [Content("  ") + row for row in table(_DIFFERENCES, rows, width - 2)]
        if rows
        else head
    )


_FACTS: Final = {
    "file_bytes": "file size", "n_ctx_train": "context, tokens", "n_vocab": "vocabulary, words",
    "n_layer": "layers", "chat_template": "chat template",
}  # fmt: skip


def _fact(name: str, value: str) -> str:
    if name == "digest":
        return value[:_DIGEST_CHARACTERS]
    if not (value.isascii() and value.isdecimal()):
        return value
    return size(int(value)) if name.endswith("_bytes") else count(int(value))


def progress(model: ModelDetail, needed: int, width: int, *, live: bool) -> list[Content]:
    """A model of the store on its way."""
    following = {
        "verified": f"a a approves ({len(model.approvals)} of {many(needed, 'approval')} so far).",
        "approved": "a l loads it."
        if live
        else "It is loaded when the server starts: 1, then a s.",
        "serving": f"Apps call it by the name {model.id}. A key for an app: 5, then a n.",
    }.get(model.state, "Esc chooses another artifact.")
    said = [cell(f"Next: {following}", "bold"), Content("")]
    said.append(line(cell(model.id, "bold"), state(model.state)))
    said += labelled("digest", model.digest or "-", width)
    if model.code:
        said += labelled("why", f"{model.code}: {model.message}", width)
        said += labelled("what to do", model.hint, width)
    for approval in model.approvals:
        said += labelled("approved", line(approval.name, quiet(approval.meaning)), width)
    return said
