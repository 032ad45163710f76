"""Asking a task's candidate for the answers of items, through the path that apps use.

Rules:
- Every answer is recorded like an app's; evaluation runs at batch priority.
- A failure of the candidate is an outcome, its own time-out included.
- A failure of ours (`OURS`) says nothing about it: waiting for a place is not timed, and an item
  whose engine was lost is asked again, `TRIES` times in all.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from appliance.datasets.items import Item
from appliance.errors import ApplianceError, NotFound, Overloaded, Unavailable, WorkerLost
from appliance.evals import scoring
from appliance.evals.baselines import Guess
from appliance.evals.outcomes import RANKED, Outcome, ranked
from appliance.looks.lost_items import OURS
from appliance.serving.generation import Generation
from appliance.serving.inference import EVALUATION, Inference
from appliance.tasks.definition import LabelForm, Task
from appliance.tasks.metrics import METRICS
from appliance.types import (
    Caller,
    GenerationRequest,
    Limits,
    Principal,
    Priority,
    TaskAnswer,
    TaskNeeds,
)

TIMEOUT_S: Final = 120.0
PATIENCE_S: Final = 600.0
"""How long an engine that starts again is waited for."""
_RETRY_S: Final = 0.5
TRIES: Final = 3
ASKER: Final = Principal(EVALUATION, EVALUATION, limits=Limits(priority=Priority.BATCH))
PADDED: Final = replace(ASKER, padded=True)
"""For sealed items, of whose answers no entry tells the size."""


def as_it_is(text: str) -> str:
    """An answer that needs no reading."""
    return text


@dataclass(frozen=True)
class Asking:
    """Asks one task.

    Attributes:
        label: names the evaluation in the log.
        read: extracts the answer from the text.
        alias: an item's id as the log has it.
        patient: report an unavailable engine, after all tries, as an outcome, too.
    """

    task: Task
    inference: Inference
    label: str
    timeout: float = TIMEOUT_S
    read: Callable[[str], str] = as_it_is
    asker: Principal = ASKER
    alias: Callable[[str], str] = as_it_is
    patient: bool = False

    async def outcome(self, item: Item) -> Outcome:
        """Raises ApplianceError: no failure of the candidate."""
        sent = json.dumps(scoring.input_of(self.task, item), ensure_ascii=False)
        messages = ({"role": "user", "content": sent},)
        every = METRICS[self.task.gate.metric].ranked  # the odds of all labels, exactly
        request = GenerationRequest(
            model=self.task.id, messages=messages, task=TaskNeeds(decisions=every)
        )
        label = f"{self.label}-{self.alias(item.id)}"
        told = await asked_again(
            self.inference, label, request, self.timeout, self.asker, patient=self.patient
        )
        answer = None if told.text is None else self.read(told.text)
        return outcome(self.task, item, answer, told)


@dataclass(frozen=True)
class CandidateReply:
    """The reply to one request.

    Attributes:
        text: None where the candidate failed, with the code of the failure.
        vector: of the last piece with one.
        shares: labels with their probabilities.
    """

    text: str | None
    failure: str
    seconds: float
    tokens: int = 0
    confidence: float | None = None
    vector: bytes = b""
    logprobs: tuple[float | None, ...] = ()
    about: TaskAnswer | None = None
    shares: Sequence[tuple[str, float]] = ()


async def asked_again(
    inference: Inference,
    label: str,
    request: GenerationRequest,
    timeout: float = TIMEOUT_S,
    asker: Principal = ASKER,
    *,
    patient: bool,
) -> CandidateReply:
    """As `asked`, up to `TRIES` times while the failure is ours.

    Args:
        patient: as `Asking.patient`.
    """
    told = CandidateReply(None, "", 0.0)
    for again in range(TRIES):
        if again:
            await asyncio.sleep(_RETRY_S)
        try:
            told = await asked(inference, label, request, timeout, asker)
        except Unavailable as error:
            if not patient or error.code not in OURS:
                raise
            told = CandidateReply(None, error.code, 0.0)
        if told.failure not in OURS:
            break
    return told


async def asked(
    inference: Inference,
    label: str,
    request: GenerationRequest,
    timeout: float = TIMEOUT_S,
    asker: Principal = ASKER,
) -> CandidateReply:
    """Ask once; report a failure of the candidate, raise any other."""
    text, failure, generation = "", "", None
    about: TaskAnswer | None = None
    vector = b""
    logprobs: list[float | None] = []
    begun = time.perf_counter()
    try:
        begun, generation = await started(inference, label, request, asker)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await generation.running()
        except TimeoutError:
            raise Overloaded("place_waited", "There was no place in time.") from None
        begun = time.perf_counter()
        async with asyncio.timeout(timeout):
            async for delta in generation:
                text += delta.text
                vector = delta.vector or vector
                logprobs += [token.logprob for token in delta.logprobs]
                about = delta.about or about
    except TimeoutError:
        failure = "timeout"
    except ApplianceError as error:
        if _not_the_candidates(error):
            raise
        failure = error.code
    finally:
        if generation is not None:
            await generation.cancel()
    return CandidateReply(
        None if failure else text,
        failure,
        time.perf_counter() - begun,
        generation.completion_tokens if generation else 0,
        None if failure or about is None else about.confidence,
        vector,
        tuple(logprobs),
        None if failure else about,
        () if failure or about is None else about.distribution,
    )


async def started(
    inference: Inference, label: str, request: GenerationRequest, asker: Principal = ASKER
) -> tuple[float, Generation]:
    """Start a request; also returns when there was a place for it."""
    caller = Caller(asker, label[:128], "", EVALUATION)
    end = time.monotonic() + PATIENCE_S
    while True:
        begun = time.perf_counter()
        try:
            return begun, await inference.begin(caller, request)
        except Overloaded as error:
            if error.code != "queue_full":  # apps fill it: they come first
                raise
        except Unavailable as error:
            if error.code != "model_loading" or time.monotonic() > end:
                raise
        await asyncio.sleep(_RETRY_S)


def outcome(task: Task, item: Item, answer: str | None, told: CandidateReply) -> Outcome:
    """The outcome of an answered or failed item."""
    expected = scoring.expected_of(task, item)
    confidence = told.confidence
    cited = None if told.about is None else told.about.cited
    ranking = ranked(told.shares) if isinstance(task.output, LabelForm) else ()
    score = scoring.score(task, expected, answer, [label for label, _ in ranking])
    known = item.relevant if cited is not None else None
    return Outcome(
        item=item.id,
        group=item.group,
        expected=expected,
        answer=answer,
        micros=round(score * 1e6),
        microseconds=max(1, round(told.seconds * 1e6)),
        tokens=told.tokens,
        stratum=item.stratum or "",
        failure=told.failure,
        confidence_micros=None if confidence is None else round(confidence * 1e6),
        cited=None if cited is None else len(cited.citations),
        cited_right=None
        if cited is None or known is None
        else sum(one.document in known for one in cited.citations),
        cited_removed=None if cited is None else cited.removed,
        ranked=ranking[:RANKED] or None,
    )


def guessed(task: Task, item: Item, guess: Guess, seconds: float) -> Outcome:
    """The outcome of a classifier's answer."""
    told = CandidateReply(
        guess.answer, "", seconds, confidence=guess.confidence, shares=guess.shares
    )
    return outcome(task, item, guess.answer, told)


def _not_the_candidates(error: ApplianceError) -> bool:
    if isinstance(error, WorkerLost):
        return False
    return isinstance(error, Unavailable | NotFound)
