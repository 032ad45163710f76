"""A receipt: an answer by both of its entries, and their proof.

Rules: it says what the log says, and names the next step.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from textual.content import Content

from appliance.errors import ApplianceError
from appliance.types import JsonValue
from appliance.wire.admin.models import Entry
from tui.text import Cell, alarm, cell, labelled, line, quiet, state
from tui.view.units import clock, count, many, seconds

_TREE: Final = re.compile(rb"\n\n[^\n]+\n(\d{1,16})\n")
"""The size in the checkpoint of a proof (c2sp.org/tlog-proof)."""
_LABEL: Final = 11


@dataclass(frozen=True)
class AnswerRecord:
    """The record of an answer, and of several stages of a route the last one's.

    Attributes:
        proof: of the outcome, else of the intent; or why there is none.
    """

    intent: Entry
    outcome: Entry | None
    proof: bytes | ApplianceError

    @classmethod
    def of(cls, entries: Sequence[Entry], seq: int) -> "AnswerRecord | None":
        """The answer that an entry belongs to, without its proof; None where it is not there."""
        outcomes = {e.body.get("intent"): e for e in entries if e.kind == "outcome"}
        for intent in (e for e in entries if e.kind == "intent"):
            outcome = outcomes.get(intent.seq)
            if seq in (intent.seq, outcome.seq if outcome else None):
                return cls(intent, outcome, b"")
        return None

    @property
    def proved(self) -> Entry:
        return self.outcome or self.intent


def whole(found: AnswerRecord, width: int) -> list[Content]:
    """A receipt."""
    asked, ended = found.intent.body, found.outcome.body if found.outcome else {}
    told: list[tuple[str, Cell]] = [
        ("answer", _verdict(asked, ended)),
        ("request", str(asked.get("request_id", "-"))),
        ("asked", line(clock(found.intent.time), quiet(f"entry {found.intent.seq}"))),
    ]
    if found.outcome is not None:
        told += [
            ("answered", line(clock(found.outcome.time), quiet(f"entry {found.outcome.seq}"))),
            ("took", _took(ended)),
        ]
    told += [
        ("receipt", f"{found.proved.seq} {found.proved.leaf}"),
        ("in the log", _proved(found.proof)),
        ("computed by", line(*_computed(asked, ended))),
        ("again", _again(asked)),
    ]
    said = [part for label, text in told for part in labelled(label, text, width, _LABEL)]
    return [*said, Content(""), cell("a r computes it again, a c checks the proof here.", "bold")]


def _verdict(asked: Mapping[str, JsonValue], ended: Mapping[str, JsonValue]) -> Content:
    status = str(ended.get("status", "running"))
    words = [str(ended.get("code") or ended.get("finish") or "")]
    words += [f"to {asked.get('app') or asked.get('key_id')}", f"by {asked.get('model')}"]
    return line(state(status), *(word for word in words if word))


def _took(ended: Mapping[str, JsonValue]) -> Content:
    told = [
        f"{words} {seconds(value / 1e6)}"
        for name, words in (
            ("duration_us", "in all"), ("queued_us", "waited"), ("ttft_us", "first token"),
        )
        if isinstance(value := ended.get(name), int)
    ]  # fmt: skip
    told += [
        f"{count(value)} {words}"
        for name, words in (("prompt_tokens", "tokens read"), ("completion_tokens", "written"))
        if isinstance(value := ended.get(name), int)
    ]
    return line(*told) if told else cell("-")


def _proved(proof: bytes | ApplianceError) -> Content:
    if isinstance(proof, ApplianceError):
        return alarm(f"{proof.code}: {proof.message}")
    found = _TREE.search(proof)
    tree = f"of {many(int(found[1]), 'entry')}" if found else ""
    return line(state("verified"), f"under a signed head {tree}".strip())


def _computed(asked: Mapping[str, JsonValue], ended: Mapping[str, JsonValue]) -> list[Cell]:
    by = ended.get("answered_by")
    if isinstance(by, Mapping):
        return [f"{by.get('host')} of {by.get('upstream')}", quiet(str(by.get("digest", "")))]
    return [str(asked.get("engine") or "-"), quiet(str(asked.get("digest") or ""))]


def _again(asked: Mapping[str, JsonValue]) -> Content:
    why_not = str(asked.get("replayable", "not recorded"))
    if why_not == "yes":
        return cell("the same tokens must come out")
    return quiet(f"not to the last bit: {why_not}")
