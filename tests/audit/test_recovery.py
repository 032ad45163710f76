"""Conditions to continue a log; `test_session.py` opens whole directories."""

from pathlib import Path

import pytest

from appliance.audit.entry import LogEntry
from appliance.audit.recovery import unknown_outcome
from appliance.errors import AuditRefused
from appliance.types import Json
from tests.audit.logs import Intruder, intent, open_log


def test_an_intent_nobody_saw_end_becomes_an_unknown_outcome(victim: Path) -> None:
    log = open_log(victim)
    (asked,) = log.append(intent("left-open")).result()
    log.close()
    with open_log(victim) as again:
        assert again.size == asked.seq + 2


def test_the_unknown_outcome_names_its_intent() -> None:
    body: dict[str, Json] = {"seq": 7, "request_id": "r", "key_id": "k", "model": "m"}
    draft = unknown_outcome(LogEntry(body, b"", bytes(32)))
    assert draft.kind == "outcome"
    assert draft.fields == {
        "request_id": "r", "key_id": "k", "model": "m", "intent": 7, "status": "unknown",
    }  # fmt: skip


def test_a_newest_entry_that_was_changed_stops_the_log(victim: Path, intruder: Intruder) -> None:
    with open_log(victim):
        pass  # control: unchanged, it opens
    body = intruder.rows()[39].body
    intruder.sql("UPDATE leaf SET body = ? WHERE seq = 39", values=(body,))
    with open_log(victim):
        pass  # control: the same bytes again
    intruder.sql("UPDATE leaf SET body = ? WHERE seq = 39", values=(body.replace(b'"z"', b'"y"'),))
    with pytest.raises(AuditRefused) as refusal:
        open_log(victim)
    assert refusal.value.code == "audit_corrupt"
