"""A recorded answer is computed again and compared: text by text, and bit by bit.

Rules:
- The record gives prompt, parameters and effective seed; model and adapter have its digests, on an
  engine that computes the same numbers.
- It uses nothing of the cache: a damaged cell must not confirm itself.
- No entry holds a copy of the answer. `same` means that tokens, numbers and text are the same;
  where a task wrote the text from more than these, it says so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from appliance.admission.places import Place, Shares
from appliance.audit.recorded_answer import RecordedAnswer
from appliance.errors import ApplianceError, Overloaded, StateRefused, Unavailable
from appliance.serving.answer_numbers import PART, AnswerNumbers, differing, token_of
from appliance.serving.backend import PreparedRequest
from appliance.serving.choices import Choices
from appliance.serving.inference import REPLAY
from appliance.serving.local_worker import LocalWorker
from appliance.serving.recorded_request import check, impossible, request_of
from appliance.types import Delta, Limits, ModelCard, Principal, Priority
from appliance.wire.admin.results import AnswerReplayed

ASKER: Final = Principal(REPLAY, REPLAY, limits=Limits(priority=Priority.BATCH))
TaskTexts: TypeAlias = Callable[[str, PreparedRequest, Sequence[Delta]], Awaitable[str | None]]
"""The text that the task of a digest writes of what its model generated; None where it cannot be
written again: the task is not here, or took more than that."""
_UNWRITTEN: Final = "tokens and numbers; the text of its task cannot be written again"
_ANOTHER: Final = "its text is another, from the same tokens"
_RETRY_S: Final = 0.5
_TRIES: Final = 240


class LocalBackends(Protocol):
    """The models that are computed here."""

    def cards(self) -> list[ModelCard]: ...

    def slots(self, model_id: str) -> int: ...

    async def open(self, model_id: str, key_id: str, place: Place) -> LocalWorker: ...


@dataclass(frozen=True)
class AnswerDifference:
    """Where an answer differs.

    Attributes:
        token: the first that differs, from 0; None where no token shows it.
        was, now: its ids; -1 for none.
    """

    why: str
    token: int | None = None
    was: int = -1
    now: int = -1


class Replaying:
    """Computes recorded answers again.

    Args:
        shares: where they wait for places, behind all apps.
        texts: writes the texts of tasks.
        here: take models that are in memory only.
    """

    def __init__(
        self, backends: LocalBackends, shares: Shares, texts: TaskTexts, *, here: bool = False
    ) -> None:
        self._backends, self._shares, self._here = backends, shares, here
        self._texts = texts

    async def verdict(self, answer: RecordedAnswer) -> AnswerReplayed:
        told = {"seq": answer.outcome.seq, "model": str(answer.intent.body["model"])}
        try:
            check(answer.intent.body, answer.outcome.body)
            backend, found, unwritten = await self._compared(answer)
        except ApplianceError as error:
            if error.code == "shutting_down":
                raise
            lasting = error.code == "replay_impossible"
            said = {"verdict": "cannot", "why": _why(error), "lasting": lasting}
            return AnswerReplayed.model_validate({**told, **said})
        if found is None:
            return AnswerReplayed.model_validate({**told, "verdict": "same", "why": unwritten})
        was, now = [await _spelled(backend, token) for token in (found.was, found.now)]
        said = {
            "verdict": "differs",
            "why": found.why,
            "token": found.token,
            "was": was,
            "now": now,
        }
        return AnswerReplayed.model_validate({**told, **said})

    async def _compared(
        self, answer: RecordedAnswer
    ) -> tuple[LocalWorker, AnswerDifference | None, str]:
        card = self._card(answer)
        request = request_of(answer.intent.body, answer.intent.texts)
        before = AnswerNumbers.read(answer.outcome.texts[PART])
        if len(before.choices) != request.choices:
            raise impossible("the record is not whole: it has numbers of other choices")
        place = await self._place(card, request.choices)
        try:
            backend = await self._backends.open(card.id, REPLAY, place)
            if backend.engine != answer.intent.body["engine"]:
                told = answer.intent.body["engine"]
                raise impossible(f"it was computed by {told}, and here is {backend.engine}")
            prepared = await backend.prepare(request, ASKER, request.seed or 0)
            try:
                if prepared.request.clock_s != request.clock_s:
                    raise impossible("its prompt has the date, which the record has not")
                place.reserve(prepared.prompt_tokens, prepared.max_tokens * prepared.choices)
                await place.turn()
                pieces = [piece async for piece in backend.run(prepared)]
            finally:
                await backend.cancel(prepared)
        finally:
            place.leave(0, 0)
        if prepared.computed is None:
            raise impossible("nothing computes it here")
        now = prepared.computed.numbers()
        found = next(_computed(before, now), None)
        if found is not None:
            return backend, found, ""
        task = answer.intent.body.get("task")
        if task is None:
            return backend, next(_written(answer, _choices(prepared, pieces)), None), ""
        text = await self._texts(str(task), prepared, pieces)
        if text is None:
            return backend, None, _UNWRITTEN
        same = text.encode("utf-8", "replace") == answer.outcome.texts.get("completion")
        return backend, None if same else AnswerDifference(_ANOTHER), ""

    def _card(self, answer: RecordedAnswer) -> ModelCard:
        """The model or adapter with the digests of the record."""
        body = answer.intent.body
        for card in self._backends.cards():
            own = (card.base_digest, card.digest) if card.parent else (card.digest, None)
            if own == (body["digest"], body["adapter"]):
                if self._here and not card.loaded:
                    raise impossible("its model is not in memory")
                return card
        raise impossible(f"no model that may serve has its digest, {str(body['digest'])[:16]}…")

    async def _place(self, card: ModelCard, choices: int) -> Place:
        for _ in range(_TRIES):
            try:
                slots = self._backends.slots(card.id)
                return self._shares.admit(ASKER, card.engine, slots, None, choices=choices)
            except Overloaded as error:  # apps fill the queue: they come first
                if error.code != "queue_full":
                    raise
            await asyncio.sleep(_RETRY_S)
        raise Unavailable("place_waited", "There was no place in time.")


async def _spelled(backend: LocalWorker, token: int) -> str:
    """The text of a token, or its id."""
    if token < 0:
        return ""
    try:
        return await backend.token(token, REPLAY)
    except ApplianceError:
        return str(token)


def _computed(before: AnswerNumbers, now: AnswerNumbers) -> Iterator[AnswerDifference]:
    """All differences of tokens and numbers, the worst first."""
    for choice, token in differing(before, now):
        if token < 0:
            why = "the numbers of its tokens differ"
            yield AnswerDifference(why if now.choices[choice].tokens else "its numbers differ")
            continue
        was, found = (part.choices[choice].each()[token : token + 1] for part in (before, now))
        ids = [token_of(one[0]) if one else -1 for one in (was, found)]
        same = "the numbers of a token differ" if ids[0] == ids[1] else "another token was chosen"
        yield AnswerDifference(same, token, *ids)
    if before.prompt != now.prompt:
        yield AnswerDifference("its prompt has other tokens here")


def _choices(prepared: PreparedRequest, pieces: Sequence[Delta]) -> Choices:
    choices = Choices(prepared.request)
    for piece in pieces:
        choices.take(piece)
    return choices


def _written(answer: RecordedAnswer, choices: Choices) -> Iterator[AnswerDifference]:
    """The differences of text and end where no task writes."""
    texts = choices.contents()
    if texts != {name: answer.outcome.texts.get(name) for name in texts}:
        yield AnswerDifference(_ANOTHER)
    if choices.finish != answer.outcome.body.get("finish"):
        yield AnswerDifference("it ended for another reason")


def _why(error: ApplianceError) -> str:
    if isinstance(error, StateRefused) and error.code == "replay_impossible":
        return error.message
    return f"{error.message} ({error.code})"
