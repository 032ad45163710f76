"""Recorded answers computed again: the same in other company and another process; changes show."""

import base64
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace as other

from appliance.app import Services
from appliance.audit import recorded_answer
from appliance.engine.protocol import Prepare, Prepared
from appliance.errors import AuditRefused
from appliance.serving.backend import PreparedRequest
from appliance.serving.local_worker import LocalWorkers
from appliance.serving.recorded_request import REST
from appliance.serving.replaying import Replaying
from appliance.types import Delta
from appliance.workers.coverage import Obstacle
from appliance.workers.process import WorkerProcess
from tests import replayed
from tests.replayed import ADAPTER, FIELDS, KINDS, LABELS, Alteration
from tests.smol import caller, request

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]
ANSWERS = 40


@dataclass(frozen=True)
class Recorded:
    data: Path
    seqs: list[int]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recorded(tmp_path_factory: pytest.TempPathFactory, narrow_path: Path) -> Recorded:
    data = replayed.make(tmp_path_factory.mktemp("replayed"), narrow_path)
    async with replayed.serving(data, replayed.config(threads=2)) as services:
        return Recorded(data, await replayed.answers(services, ANSWERS, seed=1))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def again(recorded: Recorded) -> AsyncIterator[Services]:
    """The same directory with one thread, in a new process, and another shape of the cache."""
    settings = replayed.config(threads=1, slots=3, prefill_budget=37)
    async with replayed.serving(recorded.data, settings) as services:
        yield services


async def test_a_mixed_load_is_the_same_in_another_process(
    recorded: Recorded, again: Services
) -> None:
    told = await replayed.replayed(again, seqs=recorded.seqs)
    found = {one.seq: (one.verdict, one.why) for one in told.answers}
    assert found == dict.fromkeys(recorded.seqs, ("same", "")), told.document
    assert (told.same, told.differs, told.cannot) == (ANSWERS, 0, 0)
    bodies = [recorded_answer.bodies(again.reader, seq).intent for seq in recorded.seqs]
    assert len({body["model"] for body in bodies}) == 2 and len(KINDS) == 8
    assert any(body["adapter"] for body in bodies) and ADAPTER and LABELS and FIELDS
    (entry,) = [e for e in again.reader.tail(20) if e.body.get("action") == "replay"]
    assert (entry.body["same"], entry.body["entries"]) == (ANSWERS, [])


async def test_a_task_that_writes_otherwise_is_found(recorded: Recorded, again: Services) -> None:
    """From the same tokens and numbers; where the task is not here, `same` says so."""

    async def wrong(digest: str, prepared: PreparedRequest, pieces: Sequence[Delta]) -> str | None:
        return "another"

    bodies = (recorded_answer.bodies(again.reader, seq) for seq in recorded.seqs)
    of_task = next(body for body in bodies if "task" in body.intent)
    answer = recorded_answer.opened(again.reader, of_task.seqs)
    local = LocalWorkers(again.pool, again.supervisor)
    told = [
        await Replaying(local, again.shares, texts).verdict(answer)
        for texts in (wrong, replayed.unwritten)
    ]
    assert [one.verdict for one in told] == ["differs", "same"]
    assert "its text is another" in told[0].why and "cannot be written" in told[1].why


async def test_nothing_of_an_answer_is_recorded_again_or_reused(
    recorded: Recorded, again: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, prepare, asked = again.reader.size, WorkerProcess.prepare, list[Prepare]()

    async def noted(self: WorkerProcess, message: Prepare, key_id: str) -> Prepared:
        asked.append(message)
        return await prepare(self, message, key_id)

    monkeypatch.setattr(WorkerProcess, "prepare", noted)
    await replayed.replayed(again, seqs=recorded.seqs[:1])
    assert [message.fresh for message in asked] == [True]
    kinds = [entry.kind for entry in again.reader.tail(again.reader.size - before)]
    assert kinds == ["job_start", "admin", "job_end"]


async def test_another_appliance_computes_them_from_a_file(
    recorded: Recorded, again: Services, tmp_path: Path, narrow_path: Path
) -> None:
    out = tmp_path / "answers"
    told = await replayed.replayed(again, seqs=recorded.seqs[:12], out=str(out))
    assert (told.written, len(out.read_bytes().splitlines())) == (12, 12)
    assert out.stat().st_mode & 0o777 == 0o600  # it holds texts and their keys
    key = (recorded.data / "audit" / "genesis.pub").read_text()
    data = replayed.make(tmp_path, narrow_path)
    async with replayed.serving(data, replayed.config()) as services:
        there = await replayed.replayed(services, export=str(out), key=key)
        assert (there.same, there.differs, there.cannot) == (12, 0, 0), there.document
        own = (data / "audit" / "genesis.pub").read_text()
        wrong = await replayed.replayed(services, export=str(out), key=own)
        assert (wrong.same, wrong.cannot) == (0, 12)


CHANGES = [
    Alteration("one weight", replayed.flipped(2)),
    Alteration("a kernel that is not used", load=lambda load: other(load, refused=2)),
    Alteration("template", load=lambda load: other(
        load, template=load.template.replace("<|im_end|>", "<|im_end|> "))),
    Alteration("adapter", adapter=8),
    Alteration("sampler", request=lambda asked: replace(
        asked, seed=(asked.seed or 0) + 1, sampling=replace(asked.sampling, temperature=0.9))),
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
async def test_whatever_moves_a_number_is_found(
    recorded: Recorded, again: Services, narrow_path: Path, change: Alteration
) -> None:
    """Of each: brute force over the log-probabilities says whether an answer must differ."""
    bodies = [recorded_answer.bodies(again.reader, seq) for seq in recorded.seqs]
    plain = [b for b in bodies if not {"task"} & b.intent.keys() and '"constraint":null' in
             json.dumps(b.intent["params"], separators=(",", ":"))]  # fmt: skip
    by = [next(b for b in plain if bool(b.intent["adapter"]) is own) for own in (True, False)]
    found = []
    async with replayed.altered(again, change, narrow_path) as elsewhere:
        replaying = Replaying(elsewhere, again.shares, replayed.unwritten)
        for body in by:
            answer = recorded_answer.opened(again.reader, body.seqs)
            moved = await replayed.moves(again, elsewhere, answer)
            found.append((moved, (await replaying.verdict(answer)).verdict))
    # The numbers show more than log-probabilities in 32 bits: what moves none of them may differ.
    assert "differs" in {told for _, told in found} and (True, "same") not in found


async def test_a_prompt_has_the_date_of_its_record(
    recorded: Recorded, again: Services, narrow_path: Path
) -> None:
    dated = Alteration("dated", load=lambda load: other(
        load, template=load.template + "{{ strftime_now('%Y')[4:] }}"))  # fmt: skip
    bodies = [recorded_answer.bodies(again.reader, seq) for seq in recorded.seqs]
    chat = next(b for b in bodies if b.intent["template"] and not {"task"} & b.intent.keys())
    answer = recorded_answer.opened(again.reader, chat.seqs)
    rest = json.loads(answer.intent.texts.get(REST, b"{}")) | {"clock_s": 7}
    texts = {**answer.intent.texts, REST: json.dumps(rest).encode()}
    told = replace(answer, intent=replace(answer.intent, texts=texts))
    async with replayed.altered(again, dated, narrow_path) as elsewhere:
        replaying = Replaying(elsewhere, again.shares, replayed.unwritten)
        found = [await replaying.verdict(one) for one in (answer, told)]
    assert [one.verdict for one in found] == ["cannot", "same"]
    assert found[0].why == "its prompt has the date, which the record has not"


async def test_the_control_computes_the_same(
    recorded: Recorded, again: Services, narrow_path: Path
) -> None:
    async with replayed.altered(again, Alteration("nothing"), narrow_path) as elsewhere:
        for seq in recorded.seqs[:8]:
            answer = recorded_answer.opened(
                again.reader, recorded_answer.bodies(again.reader, seq).seqs
            )
            assert (
                await Replaying(elsewhere, again.shares, replayed.unwritten).verdict(answer)
            ).verdict == "same"


async def test_a_difference_says_where_and_both_tokens(
    recorded: Recorded, again: Services, narrow_path: Path
) -> None:
    change = Alteration("weights", replayed.flipped(3, 200_000))
    async with replayed.altered(again, change, narrow_path) as elsewhere:
        for seq in recorded.seqs:
            body = recorded_answer.bodies(again.reader, seq)
            if "task" in body.intent or not str(body.intent["request_id"]):
                continue
            answer = recorded_answer.opened(again.reader, body.seqs)
            told = await Replaying(elsewhere, again.shares, replayed.unwritten).verdict(answer)
            if told.why == "another token was chosen" and told.token == 0:
                assert told.was != told.now and told.was
                return
    raise AssertionError("no answer began with another token")


async def test_of_a_changed_record_nothing_is_ever_the_same(
    recorded: Recorded, again: Services, tmp_path: Path
) -> None:
    out = tmp_path / "answers"
    await replayed.replayed(again, seqs=recorded.seqs[:4], out=str(out))
    key = (recorded.data / "audit" / "genesis.pub").read_text()
    lines = [json.loads(line) for line in out.read_bytes().splitlines()]

    def changed(line: dict[str, Any], part: str, name: str) -> bytes:
        edited = json.loads(json.dumps(line))
        text = bytearray(base64.b64decode(edited[part]["texts"].get(name, "")))
        text[len(text) // 2 : len(text) // 2 + 1] = b"X"
        edited[part]["texts"][name] = base64.b64encode(text).decode()
        return json.dumps(edited).encode()

    spoilt = [
        changed(line, part, name)
        for line in lines
        for part in ("intent", "outcome")
        for name in line[part]["texts"]
    ]
    for line, following in itertools.pairwise(lines):
        spoilt.append(json.dumps({**line, "outcome": following["outcome"]}).encode())
        spoilt.append(json.dumps({**line, "intent": {**line["intent"], "key": "00" * 32}}).encode())
        proof = line["intent"]["proof"]
        spoilt.append(json.dumps(
            {**line, "intent": {**line["intent"], "proof": proof.replace("e", "f", 1)}}
        ).encode())  # fmt: skip
    out.write_bytes(b"\n".join(spoilt))
    told = await replayed.replayed(again, export=str(out), key=key)
    assert (told.same, told.differs, told.cannot) == (0, 0, len(spoilt))


async def test_what_cannot_be_computed_again_says_why(again: Services) -> None:
    key = again.keys.create("quiet")[0].id
    kept = replace(caller(key).principal, content="off")
    quiet = await again.inference.start(replace(caller(key), principal=kept), request())
    gone = await again.inference.start(caller(key, request_id="req-gone"), request())
    for generation in (quiet, gone):
        async for _ in generation:
            pass
        assert generation.outcome is not None
    again.erasure.erase("req-gone", "uid:0", "a test")
    assert quiet.outcome is not None and gone.outcome is not None
    told = await replayed.replayed(
        again, seqs=[quiet.outcome.seq, gone.outcome.seq, 0, 10**9, quiet.intent.seq]
    )
    why = [one.why for one in sorted(told.answers, key=lambda one: one.seq)]
    assert (told.same, told.cannot) == (0, 5)
    assert sum("were not kept" in reason for reason in why) == 2
    assert any("was erased" in reason for reason in why)
    assert told.unproved == 0 and again.replays.all() == ()
    assert any("is no answer but genesis" in reason for reason in why)
    assert any("has no entry 1000000000" in reason for reason in why)


async def test_another_engine_or_no_model_is_a_reason(
    recorded: Recorded, again: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(again.supervisor), "engine_for", lambda self, model_id: "other")
    told = await replayed.replayed(again, seqs=recorded.seqs[:1])
    assert "it was computed by" in told.answers[0].why and "other" in told.answers[0].why
    monkeypatch.undo()
    monkeypatch.setattr(again.pool, "cards", list)
    nowhere: Any = replayed.Elsewhere(again, None, lambda r: r)  # type: ignore[arg-type] # it is not asked
    local = Replaying(nowhere, again.shares, replayed.unwritten)
    answer = recorded_answer.opened(
        again.reader, recorded_answer.bodies(again.reader, recorded.seqs[0]).seqs
    )
    assert "no model that may serve" in (await local.verdict(answer)).why
    assert Obstacle.UPSTREAM.value == "upstream"


@pytest.mark.parametrize("code", ["proof_invalid", "content_unavailable", "audit_corrupt"])
async def test_an_unproved_record_stays_told_until_it_is_the_same(
    recorded: Recorded, again: Services, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    def refused(*_: Any) -> Any:
        raise AuditRefused(code, "The proof does not hold.")

    with monkeypatch.context() as patched:
        patched.setattr(recorded_answer, "opened", refused)
        intent = recorded_answer.bodies(again.reader, recorded.seqs[0]).seqs[0]
        told = await replayed.replayed(again, seqs=[intent])
    assert (told.cannot, told.unproved) == (1, 1)
    (alarm,) = again.replays.all()
    assert (alarm.subject, "does not prove" in alarm.message) == (str(recorded.seqs[0]), True)
    await replayed.replayed(again, seqs=recorded.seqs[:1])
    assert again.replays.all() == ()


async def test_a_sample_is_drawn_from_answers_alone(recorded: Recorded, again: Services) -> None:
    told = await replayed.replayed(again, sample=5, here=True)
    assert told.same + told.cannot == 5 and not told.answers
    none = await replayed.replayed(again, sample=5, since_us=1 << 52)
    assert (none.same, none.cannot) == (0, 0)
