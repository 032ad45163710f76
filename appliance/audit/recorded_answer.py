"""A recorded answer, proved: intent, outcome and their texts; from the log, or from a file.

Rules: both entries are proved under the log's first key and each text fits its commitment. A line
of a file is as secret as the texts and keys in it.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from appliance.audit.content import commitment
from appliance.audit.proof import check_proof
from appliance.audit.reader import LogReader
from appliance.errors import AuditRefused, NotFound
from appliance.types import Json

LINE: Final = "appliance recorded answer v1"


class _Texts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    proof: str
    key: str
    texts: dict[str, str]


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    form: str
    intent: _Texts
    outcome: _Texts


@dataclass(frozen=True)
class OpenedEntry:
    """A proved entry with its texts."""

    seq: int
    body: Mapping[str, Json]
    texts: Mapping[str, bytes]


@dataclass(frozen=True)
class RecordedAnswer:
    """One answer."""

    intent: OpenedEntry
    outcome: OpenedEntry


@dataclass(frozen=True)
class AnswerBodies:
    """The bodies of an answer's entries, unproved."""

    intent: Mapping[str, Json]
    outcome: Mapping[str, Json] | None
    seqs: tuple[int, int]


def bodies(reader: LogReader, seq: int) -> AnswerBodies:
    """The answer that an intent or an outcome belongs to (`not_found`, also for other entries)."""
    entry = reader.entry(seq)
    if entry.kind == "outcome" and isinstance(at := entry.body["intent"], int):
        entry = reader.entry(at)
    if entry.kind != "intent":
        raise NotFound("not_found", f"Entry {seq} is no answer but {entry.kind}.")
    outcome = reader.outcome_of(entry.seq)
    ended = None if outcome is None else outcome.body
    return AnswerBodies(entry.body, ended, (entry.seq, -1 if outcome is None else outcome.seq))


def opened(reader: LogReader, seqs: tuple[int, int]) -> RecordedAnswer:
    """Both entries of an answer, proved, with their texts."""
    genesis = reader.genesis()
    intent, outcome = (
        OpenedEntry(seq, check_proof(reader.proof(seq), genesis).body, reader.texts(seq)[1])
        for seq in seqs
    )
    return _fitting(intent, outcome)


def line_of(reader: LogReader, seqs: tuple[int, int]) -> bytes:
    """Both entries with their texts, as a line that `of_line` reads."""
    parts = []
    for seq in seqs:
        key, texts = reader.texts(seq)
        told = {name: base64.b64encode(text).decode() for name, text in texts.items()}
        parts.append(_Texts(reader.proof(seq).decode(), key.hex(), told))
    return msgspec.json.encode(_Line(LINE, *parts))


def of_line(line: bytes, genesis: bytes) -> RecordedAnswer:
    """A recorded answer of another log.

    `genesis` is that log's first key.
    """
    try:
        read = msgspec.json.decode(line, type=_Line)
        intent, outcome = (_opened(part, genesis) for part in (read.intent, read.outcome))
    except (msgspec.MsgspecError, ValueError) as error:
        raise AuditRefused("proof_invalid", f"This is no recorded answer: {error}.") from error
    return _fitting(intent, outcome)


def _opened(part: _Texts, genesis: bytes) -> OpenedEntry:
    proved = check_proof(part.proof.encode(), genesis)
    key = bytes.fromhex(part.key)
    texts = {name: base64.b64decode(text, validate=True) for name, text in part.texts.items()}
    content = proved.body.get("content")
    known = content.get("parts") if isinstance(content, dict) else None
    named = content.get("key") if isinstance(content, dict) else None
    if not isinstance(known, dict) or set(known) != set(texts):
        raise AuditRefused("content_unavailable", f"Entry {proved.seq} has other texts.")
    for name, text in texts.items():
        said = known[name]
        wanted = said.get("commitment") if isinstance(said, dict) else None
        if commitment(key, str(named), name, text).hex() != wanted:
            message = f"The {name} of entry {proved.seq} does not match its commitment."
            raise AuditRefused("content_unavailable", message)
    return OpenedEntry(proved.seq, proved.body, texts)


def _fitting(intent: OpenedEntry, outcome: OpenedEntry) -> RecordedAnswer:
    kinds = intent.body.get("kind"), outcome.body.get("kind")
    if kinds != ("intent", "outcome") or outcome.body.get("intent") != intent.seq:
        raise AuditRefused("proof_invalid", "The two entries are not of one answer.")
    return RecordedAnswer(intent, outcome)
