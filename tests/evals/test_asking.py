"""Asking: a candidate's failure is an outcome; ours is not."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import msgspec
import pytest

from appliance.datasets.items import Item
from appliance.errors import (
    ApplianceError,
    AuditUnavailable,
    BadRequest,
    NotFound,
    Overloaded,
    Unavailable,
    UpstreamLost,
    WorkerLost,
)
from appliance.evals.asking import ASKER, TRIES, Asking
from appliance.evals.outcomes import RANKED
from appliance.looks.lost_items import OURS
from appliance.serving.inference import Inference
from appliance.tasks.definition import parse
from appliance.tasks.metrics import METRICS
from appliance.types import Caller, Delta, GenerationRequest, Priority, TaskAnswer
from tests.tasks.example import LABELS

TASK = parse(LABELS.encode())
ITEM = Item("i1", "g1", {"text": "no start"}, "engine", stratum="north")
ABOUT = TaskAnswer("t", 1, "d", "m", confidence=0.75)


class Answer:
    completion_tokens = 2

    def __init__(self, *steps: Delta | BaseException | None) -> None:
        self.steps = steps
        self.cancelled = self.waits = False

    async def __aiter__(self) -> AsyncIterator[Delta]:
        for step in self.steps:
            if step is None:
                await asyncio.Event().wait()
            elif isinstance(step, BaseException):
                raise step
            else:
                yield step

    async def running(self) -> None:
        if self.waits:
            await asyncio.Event().wait()

    async def cancel(self) -> None:
        self.cancelled = True


class Answering:
    def __init__(self, *starts: Answer | ApplianceError) -> None:
        self.starts = list(starts)
        self.asked: list[tuple[Caller, GenerationRequest]] = []

    async def begin(self, caller: Caller, request: GenerationRequest) -> Answer:
        self.asked.append((caller, request))
        following = self.starts.pop(0)
        if isinstance(following, ApplianceError):
            raise following
        return following


def asking(*starts: Answer | ApplianceError, timeout: float = 60) -> tuple[Asking, Answering]:
    double = Answering(*starts)
    return Asking(TASK, cast(Inference, double), "evaluation-7", timeout), double


async def test_an_answer_is_scored_with_its_confidence_and_time() -> None:
    told = Answer(Delta("eng", 1), Delta("ine", 1, "stop", about=ABOUT))
    over, double = asking(told)
    outcome = await over.outcome(ITEM)
    assert (outcome.answer, outcome.score, outcome.failure) == ("engine", 1, "")
    assert (outcome.confidence_micros, outcome.tokens) == (750_000, 2)
    assert (outcome.item, outcome.group, outcome.stratum) == ("i1", "g1", "north")
    assert outcome.microseconds > 0 and told.cancelled
    ((caller, request),) = double.asked
    assert caller.principal == ASKER and ASKER.limits.priority is Priority.BATCH
    assert caller.request_id == "evaluation-7-i1"
    assert request.messages == ({"role": "user", "content": '{"text": "no start"}'},)


async def test_the_likeliest_labels_are_kept_and_a_metric_may_ask_for_them() -> None:
    shares = (("hydraulics", 0.5), ("engine", 0.2), ("electrical", 0.3))
    for metric, score in (("exact_match", 0), ("top_3", 1)):
        told = Answer(Delta("hydraulics", 1, "stop", about=replace(ABOUT, distribution=shares)))
        over, double = asking(told)
        task = parse(LABELS.replace("exact_match", metric).encode())
        outcome = await replace(over, task=task).outcome(ITEM)
        assert outcome.score == score and outcome.ranked is not None
        assert [label for label, _ in outcome.ranked] == ["hydraulics", "electrical", "engine"]
        ((_, request),) = double.asked
        assert request.task.decisions == (metric == "top_3")


async def test_a_metric_sees_more_labels_than_an_outcome_keeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    twelve = replace(
        METRICS["top_3"], name="top_12", score=lambda a: a.expected in a.likeliest[:12]
    )
    monkeypatch.setitem(METRICS, "top_12", twelve)
    names = [*(f"l{number}" for number in range(11)), "engine"]
    shares = tuple((name, 1 / (2 + place)) for place, name in enumerate(names))
    told = Answer(Delta("l0", 1, "stop", about=replace(ABOUT, distribution=shares)))
    ranking = msgspec.structs.replace(
        TASK, gate=msgspec.structs.replace(TASK.gate, metric="top_12")
    )
    outcome = await replace(asking(told)[0], task=ranking).outcome(ITEM)
    assert outcome.score == 1 and outcome.ranked is not None and len(outcome.ranked) == RANKED


async def test_a_failure_of_the_candidate_is_wrong_and_not_asked_again() -> None:
    over, double = asking(Answer(BadRequest("output_invalid", "It is no JSON.")))
    outcome = await over.outcome(ITEM)
    assert (outcome.answer, outcome.score, outcome.failure) == (None, 0, "output_invalid")
    assert len(double.asked) == 1


LOST: list[tuple[Any, str]] = [
    (lambda: Answer(WorkerLost("worker_lost", "It ended.")), "worker_lost"),
    (lambda: Overloaded("key_quarantined", "No."), "key_quarantined"),
    (lambda: Answer(Delta("eng", 1), WorkerLost("worker_lost", "It ended.")), "worker_lost"),
    (lambda: Answer(UpstreamLost("upstream_lost", "It is away.")), "upstream_lost"),
]


@pytest.mark.parametrize(("start", "code"), LOST)
async def test_what_is_lost_is_asked_again_three_times_in_all(
    start: Any, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.evals.asking._RETRY_S", 0)
    over, double = asking(start(), start(), start())
    outcome = await over.outcome(ITEM)
    assert (outcome.answer, outcome.score, outcome.failure) == (None, 0, code)
    assert code in OURS and len(double.asked) == TRIES
    over, double = asking(start(), start(), Answer(Delta("engine", 1, "stop")))
    assert (await over.outcome(ITEM)).score == 1  # the control: the third time it runs


async def test_waiting_for_a_place_is_no_time_of_the_candidate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("appliance.evals.asking._RETRY_S", 0)
    monkeypatch.setattr("appliance.evals.asking.PATIENCE_S", 0.01)
    kept = [Answer(Delta("engine", 1, "stop")) for _ in range(TRIES)]
    for answer in kept:
        answer.waits = True
    over, _ = asking(*kept)
    outcome = await over.outcome(ITEM)
    assert outcome.failure == "place_waited" and all(answer.cancelled for answer in kept)


@pytest.mark.parametrize("code", ["upstream_unavailable", "model_suspended"])
async def test_a_patient_one_tells_what_is_away(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.evals.asking._RETRY_S", 0)
    over, _ = asking(*(Unavailable(code, "It is away.") for _ in range(TRIES)))
    assert (await replace(over, patient=True).outcome(ITEM)).failure == code
    over, _ = asking(Unavailable("shutting_down", "The server is stopping."))
    with pytest.raises(Unavailable):
        await replace(over, patient=True).outcome(ITEM)


async def test_an_answer_that_never_ends_is_a_timeout_and_is_cancelled() -> None:
    told = Answer(Delta("eng", 1), None)
    over, _ = asking(told, timeout=0.01)
    outcome = await over.outcome(ITEM)
    assert (outcome.failure, outcome.answer) == ("timeout", None)
    assert told.cancelled


@pytest.mark.parametrize(
    "error",
    [
        AuditUnavailable("audit_unavailable", "The disk is full."),
        Unavailable("shutting_down", "The server is stopping."),
        Unavailable("model_unavailable", "It cannot be loaded."),
        Unavailable("task_model_changed", "Another one."),
        NotFound("model_not_found", "There is none."),
    ],
)
async def test_our_own_failures_end_the_evaluation(error: ApplianceError) -> None:
    over, _ = asking(error)
    with pytest.raises(type(error)):
        await over.outcome(ITEM)


@pytest.mark.parametrize(
    "error", [Overloaded("queue_full", "Later."), Unavailable("model_loading", "It starts again.")]
)
async def test_a_full_queue_and_an_engine_that_starts_again_are_waited_for(
    error: ApplianceError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.evals.asking._RETRY_S", 0)
    over, double = asking(error, Answer(Delta("engine", 1, "stop")))
    assert (await over.outcome(ITEM)).score == 1
    assert len(double.asked) == 2


async def test_an_engine_that_never_comes_back_ends_the_evaluation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("appliance.evals.asking.PATIENCE_S", 0)
    over, _ = asking(Unavailable("model_loading", "It starts again."))
    with pytest.raises(Unavailable):
        await over.outcome(ITEM)


async def test_an_answer_is_read_as_the_candidate_wants() -> None:
    told = Answer(Delta(" Engine.", 1, "stop"))
    over, _ = asking(told)
    outcome = await replace(over, read=lambda text: text.strip(" .").lower()).outcome(ITEM)
    assert (outcome.answer, outcome.score) == ("engine", 1)
