"""A receipt."""

from appliance.errors import Refused
from appliance.wire.admin.models import Entry
from tests.tui.scripted import entry
from tui.view.receipt import AnswerRecord, whole

PROOF = b"c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\nlog.example\n18204\nBBBB\n\n- log.example CCCC\n"
INTENT = entry(
    4, "intent", request_id="r", model="m", app="a", engine="llama.cpp", replayable="yes"
)
OUTCOME = entry(
    9, "outcome", intent=4, request_id="r", status="error", code="worker_lost", prompt_tokens=1_200
)


def said(intent: Entry, outcome: Entry | None, proof: bytes | Refused = PROOF) -> str:
    found = AnswerRecord(intent, outcome, proof)
    return "\n".join(line.plain for line in whole(found, 90))


def test_both_entries_and_the_proof() -> None:
    shown = said(INTENT, OUTCOME)
    for words in (
        "! error  worker_lost  to a  by m", "entry 4", "entry 9", "1 200 tokens read",
        f"9 {OUTCOME.leaf}", "+ verified  under a signed head of 18 204 entries", "llama.cpp",
        "the same tokens must come out",
    ):  # fmt: skip
        assert words in shown, words


def test_an_answer_under_way_another_host_and_no_proof() -> None:
    assert "+ running" in said(INTENT, None) and "answered" not in said(INTENT, None)
    assert "! audit_corrupt: no" in said(INTENT, OUTCOME, Refused("audit_corrupt", "no"))
    by = {"upstream": "large", "host": "https://gpu-1.example", "digest": "ab"}
    far = OUTCOME.model_copy(update={"body": {**OUTCOME.body, "answered_by": by}})
    assert "https://gpu-1.example of large" in said(INTENT, far)
    other = INTENT.model_copy(update={"body": {**INTENT.body, "replayable": "gpu"}})
    assert "not to the last bit: gpu" in said(other, OUTCOME)


def test_an_entry_finds_its_answer_and_no_other() -> None:
    hop = entry(2, "intent", request_id="r", model="small")
    first = entry(3, "outcome", intent=2, request_id="r", status="ok")
    every = [hop, first, INTENT, OUTCOME]
    found = AnswerRecord.of(every, 9)
    assert found is not None and (found.intent.seq, found.proved.seq) == (4, 9)
    found = AnswerRecord.of(every, 2)
    assert found is not None and found.proved.seq == 3
    assert AnswerRecord.of(every, 7) is None
