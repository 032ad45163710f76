"""The receipt of an answer: its entries, the proof that they are in the log, and the next steps.

Rules: the server checks a proof before it hands it out; the command checks it again on this host,
with the log's first key.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from textual.content import Content

from appliance.client import AdminClient
from appliance.errors import ApplianceError, NotFound
from appliance.types import Report, Role
from appliance.wire.admin.models import AUDIT_ENTRIES, AUDIT_PROOF, Entry, EntryQuery
from tui.background import background
from tui.change import Answers, Change, to_new_file
from tui.desk import Desk
from tui.keys import Act
from tui.screens.full_view import WholeScreen
from tui.text import alarm, cell, quiet
from tui.view import receipt as view
from tui.view.receipt import AnswerRecord

_MOST: Final = 50
"""Entries of one request that are looked at."""


class ReceiptScreen(WholeScreen):
    """The receipt of the answer that an entry belongs to."""

    frame_title = "RECEIPT"
    PART = "receipt"
    ACTS: ClassVar[tuple[Act, ...]] = (
        Act("r", "replay", "Compute the answer again", Role.OPERATOR),
        Act("c", "check", "Check the proof here"),
        Act("p", "proof", "Write a proof"),
    )

    def __init__(self, desk: Desk, entry: Entry) -> None:
        super().__init__(desk)
        self._entry = entry
        self._found: AnswerRecord | ApplianceError | None = None

    def on_mount(self) -> None:
        client, entry = self.desk.reader, self._entry
        background(partial(_record, client, entry), partial(self.call_later, self._came))

    def _came(self, found: AnswerRecord | ApplianceError) -> None:
        self._found = found
        self.draw()
        self.refresh_bindings()

    def said(self, width: int) -> list[Content]:
        match self._found:
            case AnswerRecord() as found:
                return view.whole(found, width)
            case ApplianceError() as error:
                return [alarm(f"{error.code}: {error.message}"), quiet(error.hint)]
            case None:
                return [cell("~ asking", "$text-warning")]

    def chosen(self) -> Sequence[AnswerRecord]:
        return (self._found,) if isinstance(self._found, AnswerRecord) else ()

    def copies(self) -> Sequence[tuple[str, str]]:
        return [
            text
            for found in self.chosen()
            for text in (
                ("receipt", f"{found.proved.seq} {found.proved.leaf}"),
                ("id", str(found.intent.body.get("request_id", ""))),
                ("command", f"appliance audit proof {found.proved.seq} --out FILE"),
            )
        ]

    def refuses(self, act: str, item: AnswerRecord) -> str:
        if act == "check" and isinstance(item.proof, ApplianceError):
            return "there is no proof"
        return ""

    def make(self, act: str, item: AnswerRecord) -> Change:
        if act == "replay":
            return replay(self.desk, item.proved)
        return checked(self.desk, item) if act == "check" else proof(self.desk, item.proved.seq)


def _record(client: AdminClient, entry: Entry) -> AnswerRecord:
    request = str(entry.body.get("request_id", ""))
    query = EntryQuery.of(request_id=request, limit=_MOST)
    found = AnswerRecord.of(client.call(AUDIT_ENTRIES, query).entries, entry.seq)
    if found is None:
        raise NotFound("not_found", f"The log has no answer to request {request}.")
    try:
        proof = client.call(AUDIT_PROOF, seq=found.proved.seq)
    except ApplianceError as error:
        return replace(found, proof=error)
    return replace(found, proof=proof)


def proof(desk: Desk, seq: int) -> Change:
    """Write the proof of an entry."""
    return to_new_file(
        f"Write a proof of entry {seq}", AUDIT_PROOF.said(seq=seq),
        f"proof of entry {seq}", f"entry-{seq}.proof",
        lambda: desk.client.call(AUDIT_PROOF, seq=seq), "the log",
    )  # fmt: skip


def checked(desk: Desk, found: AnswerRecord) -> Change:
    """Check the proof on this host, by the command."""
    genesis = desk.data / "audit" / "genesis.pub"

    def work(_answers: Answers, report: Report) -> str:
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / "proof"
            file.write_bytes(found.proof if isinstance(found.proof, bytes) else b"")
            arguments = ("audit", "check-proof", str(file), "--key", str(genesis))
            told = desk.commands.run(*arguments, report=report, data=False)
        return f"entry {told['seq']} is proved: one of {told['size']} entries of the log"

    return Change(
        f"Check the proof of entry {found.proved.seq}",
        f"appliance audit check-proof FILE --key {genesis}",
        "nothing: a proof is checked without the server",
        work,
    )


def is_answer(entry: Entry) -> bool:
    """True for an entry of an answer."""
    return entry.kind in ("intent", "outcome")


def no_replay(entry: Entry) -> str:
    """Why an answer cannot be computed again; empty where it may be."""
    return "" if is_answer(entry) else "it is no answer"


def replay(desk: Desk, entry: Entry) -> Change:
    """Compute an answer again."""

    def work(_answers: Answers, report: Report) -> str:
        done = desk.commands.run(
            "audit", "replay", str(entry.seq), report=report, refused_is_data=True
        )
        counts = {name: done.get(name) for name in ("same", "differs", "cannot")}
        said = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        return f"entry {entry.seq}: {said or done.get('message', 'nothing to compute')}"

    return Change(
        f"Compute the answer of entry {entry.seq} again",
        f"appliance audit replay {entry.seq}",
        "a job, and its result",
        work,
        explain=("The same tokens must come out.",),
    )
