"""A test double of `inference.Inference`, on a real audit log.

Steps of a script: a Delta is handed out, an exception is raised, an Event is awaited first.
Intent and outcome go into the real log as the use-case writes them, so receipts are true ones.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from appliance.app import Services
from appliance.audit.log import AuditLog, Draft
from appliance.engine.text.reply import ReplyForm
from appliance.errors import ApplianceError, NotFound, WorkerLost
from appliance.pool.pool import Pool
from appliance.routing.answering import RoutedInference
from appliance.types import (
    Caller,
    Delta,
    GenerationRequest,
    ModelCard,
    Principal,
    Receipt,
    TaskAnswer,
)
from appliance.wire.admin.models import Worker
from appliance.workers.supervisor import Supervisor
from tests.parts import having

Step = Delta | BaseException | asyncio.Event
CARD = ModelCard(id="org/echo:1", digest="ab" * 32, n_ctx=512, created=1_764_000_000)
ANSWER: tuple[Step, ...] = (
    Delta("Hel", 1),
    Delta("lo", 1),
    Delta(" <&> é", 1, "stop"),
)
TEXT = "Hello <&> é"


class FakeGeneration:
    """What `Inference.start` returns, following a script."""

    def __init__(self, fake: "FakeInference", caller: Caller, intent: Receipt) -> None:
        self.card = CARD
        self.prompt_tokens = 7
        self.form = fake.form
        self.cached_tokens = 3
        self.about: TaskAnswer | None = None
        self.completion_tokens = 0
        self.choices = fake.choices
        self.seed = 11
        self.created = 1_764_000_001
        self.intent = intent
        self.outcome: Receipt | None = None
        self._fake = fake
        self._caller = caller
        self.cancelled = threading.Event()

    async def __aiter__(self) -> AsyncIterator[Delta]:
        for step in self._fake.script:
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, BaseException):
                raise step
            else:
                self.completion_tokens += step.tokens
                if step.finish_reason and self.outcome is None:
                    self.outcome = await self._fake.record_outcome(self._caller, self.intent)
                self.about = step.about or self.about
                yield step

    async def cancel(self) -> None:
        self.cancelled.set()
        self._fake.cancels.set()


class FakeInference:
    """The interface of `Inference` that the routes use.

    Attributes:
        script: what the next answers do.
        refusal: raised by `start` in place of an answer.
        hold: `start` waits for it first.
        requests: what came in.
        cancels: set when a generation was cancelled.
    """

    def __init__(self, audit: AuditLog, script: Iterable[Step] = ANSWER) -> None:
        self.draining = False
        self.script = tuple(script)
        self.choices = 1
        self.refusal: BaseException | None = None
        self.form = ReplyForm()
        self.hold: asyncio.Event | None = None
        self.starting = asyncio.Event()
        self.requests: list[tuple[Caller, GenerationRequest]] = []
        self.generations: list[FakeGeneration] = []
        self.cancels = threading.Event()
        self._audit = audit

    def answers_without_models(self) -> bool:
        return False

    def cards(self, principal: Principal) -> list[ModelCard]:
        return [CARD] if principal.may_use(CARD.id) else []

    async def start(self, caller: Caller, request: GenerationRequest) -> FakeGeneration:
        self.requests.append((caller, request))
        self.starting.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.refusal is not None:
            raise self.refusal
        if request.model != CARD.id or not caller.principal.may_use(request.model):
            raise NotFound("model_not_found", "The model does not exist.", param="model")
        fields = {
            **_who(caller), "key_id": caller.principal.key_id, "model": request.model,
            "route": caller.route,
        }  # fmt: skip
        intent = await self._append(Draft("intent", fields, caller.texts()))
        generation = FakeGeneration(self, caller, intent)
        self.generations.append(generation)
        return generation

    async def record_outcome(self, caller: Caller, intent: Receipt) -> Receipt:
        fields = {**_who(caller), "intent": intent.seq, "status": "ok"}
        return await self._append(Draft("outcome", fields))

    async def acknowledge(self, receipt: Receipt) -> None:
        """There is no mirror."""

    async def _append(self, draft: Draft) -> Receipt:
        (receipt,) = await asyncio.wrap_future(self._audit.append(draft))
        return receipt


def _who(caller: Caller) -> Mapping[str, Any]:
    return {"request_id": caller.request_id, **caller.named()}


@dataclass
class FakeSupervisor:
    """The states of the workers, as `/readyz` asks for them, and the model that they have."""

    states: list[str]

    def suspended(self) -> list[str]:
        return [CARD.id for state in self.states if state == "suspended"]

    def ready(self) -> bool:
        return "ready" in self.states

    def card(self, model_id: str) -> ModelCard:
        if model_id != CARD.id:
            raise NotFound("model_not_found", "There is none.")
        return CARD

    def status(self) -> list[Worker]:
        return [
            Worker(
                model=CARD.id, digest=CARD.digest, state=state, pid=1, n_ctx=512, slots=1,
                running=0, queued=0, kv_used=0, restarts=0, memory_mib=1, variant="x86_64",
                confinement={}, held="memory",
            )
            for state in self.states
        ]  # fmt: skip


def with_fakes(
    services: Services, inference: FakeInference, supervisor: FakeSupervisor | None = None
) -> Services:
    supervisor = supervisor or FakeSupervisor(["ready"])
    return having(
        services,
        inference=cast(RoutedInference, inference),
        supervisor=cast(Supervisor, supervisor),
        pool=cast(Pool, supervisor),
    )


def worker_lost() -> ApplianceError:
    return WorkerLost("worker_lost", "The engine process of the model ended.")
