"""A recorded answer leaves the log, or a file, only proved."""

import base64
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.audit import recorded_answer
from appliance.audit.reader import LogReader
from appliance.errors import AuditRefused, NotFound
from tests.audit.logs import ANSWER, PROMPT, Intruder, consistent

ASKED = 2
"""The first intent of the sample; its outcome follows it."""


@contextmanager
def reading(directory: Path) -> Iterator[LogReader]:
    reader = LogReader(directory)
    try:
        yield reader
    finally:
        reader.close()


def lines(directory: Path) -> list[dict[str, Any]]:
    with reading(directory) as reader:
        return [
            json.loads(recorded_answer.line_of(reader, recorded_answer.bodies(reader, seq).seqs))
            for seq in (ASKED, ASKED + 2)
        ]


def test_an_answer_is_found_by_either_entry_and_opened(pristine: Path) -> None:
    with reading(pristine) as reader:
        found = recorded_answer.bodies(reader, ASKED)
        assert found == recorded_answer.bodies(reader, ASKED + 1) and found.seqs == (
            ASKED,
            ASKED + 1,
        )
        answer = recorded_answer.opened(reader, found.seqs)
        for seq in (0, 1, 39):
            with pytest.raises(NotFound, match=f"Entry {seq} is no answer"):
                recorded_answer.bodies(reader, seq)
    assert (dict(answer.intent.texts), dict(answer.outcome.texts)) == (
        {"prompt": PROMPT}, {"completion": ANSWER},
    )  # fmt: skip
    assert answer.intent.body["request_id"] == "single-0"


def test_a_line_needs_the_first_key_alone(pristine: Path, whole: Path) -> None:
    genesis = (pristine / "genesis.pub").read_bytes()
    with reading(pristine) as reader:
        line = recorded_answer.line_of(reader, (ASKED, ASKED + 1))
        assert recorded_answer.of_line(line, genesis) == recorded_answer.opened(
            reader, (ASKED, ASKED + 1)
        )
    with pytest.raises(AuditRefused, match="The proof does not hold"):
        recorded_answer.of_line(line, (whole / "genesis.pub").read_bytes())


def test_a_line_with_any_part_changed_is_refused(pristine: Path) -> None:
    one, two = lines(pristine)
    genesis = (pristine / "genesis.pub").read_bytes()
    spoilt: list[Any] = [{}, [], "x", {**one, "form": 1}, {**one, "more": 1}]
    for part in ("intent", "outcome"):
        held = one[part]
        (name,) = held["texts"]
        text = base64.b64decode(held["texts"][name])
        for other in (text + b"x", text[1:], b"", text.lower()):
            texts = {name: base64.b64encode(other).decode()}
            spoilt.append({**one, part: {**held, "texts": texts}})
        spoilt += [
            {**one, part: {**held, "texts": {}}},
            {**one, part: {**held, "texts": {**held["texts"], "more": "eA=="}}},
            {**one, part: {**held, "texts": {name: "%"}}},
            {**one, part: {**held, "key": "00" * 32}},
            {**one, part: {**held, "key": "zz"}},
            {**one, part: two[part]},  # of another answer
            {**one, part: one["outcome" if part == "intent" else "intent"]},
        ]
        for old, new in itertools.pairwise(held["proof"].splitlines()):
            spoilt.append({**one, part: {**held, "proof": held["proof"].replace(old, new, 1)}})
    for line in spoilt:
        with pytest.raises(AuditRefused):
            recorded_answer.of_line(json.dumps(line).encode(), genesis)
    recorded_answer.of_line(json.dumps(one).encode(), genesis)  # the control


@pytest.mark.parametrize("entry", [ASKED, ASKED + 1])
@pytest.mark.parametrize("hides", [False, True])
def test_of_a_log_that_root_changed_nothing_leaves(
    victim: Path, intruder: Intruder, entry: int, hides: bool
) -> None:
    """A body with another model or status, with its old hash, or with the right one."""
    row = intruder.rows()[entry]
    changed = consistent(row, request_id="single-9")
    kept = row.hash if not hides else changed.hash
    intruder.change(entry, lambda old: type(old)(old.seq, old.prev, kept, changed.body))
    with reading(victim) as reader, pytest.raises((AuditRefused, NotFound)):
        recorded_answer.opened(reader, recorded_answer.bodies(reader, entry).seqs)


def test_a_text_that_was_changed_does_not_leave(victim: Path, intruder: Intruder) -> None:
    intruder.sql(f"UPDATE content SET ct = zeroblob(length(ct)) WHERE seq = {ASKED}")
    with reading(victim) as reader, pytest.raises(AuditRefused, match="not what the entry names"):
        recorded_answer.opened(reader, (ASKED, ASKED + 1))
