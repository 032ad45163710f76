"""Answers of routes: stage after stage, until one may answer.

Rules:
- Each hop is a request of its own under the app's key: place, quota, permission, intent, outcome.
- The first stage's certificate is checked before it is asked and again once its answer is there.
- No piece of an answer leaves before it is decided which stage answers.
- Only a used-up quota, a wrong request and a log that cannot be written end the request at a stage.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Final

from appliance.audit.log import Draft
from appliance.engine.text.reply import ReplyForm
from appliance.errors import (
    ApplianceError,
    AuditUnavailable,
    Deferred,
    NotFound,
    Overloaded,
    Refused,
    Unavailable,
)
from appliance.routing import confidence
from appliance.routing.catalogue import ApprovedRoutes, RouteStanding
from appliance.routing.confidence import MILLION
from appliance.routing.deferring import first_task
from appliance.routing.definition import KEY, PERSON, StageDefinition
from appliance.routing.rules import stages_for
from appliance.routing.targets import Targets
from appliance.serving.backend import Backends
from appliance.serving.generation import Generation, StartedAnswer
from appliance.serving.inference import Inference, InferenceParts
from appliance.serving.running_answers import UnderWay
from appliance.tasks.catalogue import Tasks
from appliance.tasks.inputs import values_of
from appliance.tasks.request import content_of
from appliance.types import (
    Caller,
    Delta,
    GenerationRequest,
    Hop,
    ModelCard,
    Principal,
    Receipt,
    Routed,
    TaskAnswer,
)

IN_DOUBT: Final = "in_doubt"
SLOW: Final = "slow"
BUSY: Final = "busy"
RULE: Final = "rule"
DEFERRED: Final = "deferred"
"""In place of a stage, where none answered."""

_END: Final = frozenset(
    {
        "shutting_down", "request_cancelled", "rate_limit_exceeded", "request_exceeds_quota",
        "key_quarantined",
    }
)  # fmt: skip
"""Codes that end a request whatever their class: no other stage is asked."""
_UNFIT: Final = frozenset(
    {
        "context_length_exceeded", "upstream_forbidden", "upstream_rejected", "upstream_retention",
        "upstream_unsupported",
    }
)  # fmt: skip
"""Codes of requests that one stage cannot or must not take, and another may."""


@dataclass(frozen=True)
class Accepted:
    """An accepted answer of a first stage, for a monitor.

    Attributes:
        group: of the request, by the route; "" where none is reported.
    """

    standing: RouteStanding
    caller: Caller
    request: GenerationRequest
    text: str
    confidence_micros: int
    group: str = ""


@dataclass(frozen=True)
class RoutingParts:
    """Services that routes need; `accepted` gets each accepted answer of a first stage."""

    routes: ApprovedRoutes
    tasks: Tasks
    targets: Targets
    accepted: Callable[[Accepted], None] = lambda answer: None


class RoutedInference(Inference):
    """Answers for apps.

    Attributes:
        shares: answers by route and stage since the server started.
    """

    def __init__(
        self,
        parts: RoutingParts,
        backends: Backends,
        shared: InferenceParts,
        under_way: UnderWay | None = None,
    ) -> None:
        super().__init__(backends, shared, under_way)
        self.parts = parts
        self.shares: Counter[tuple[str, str]] = Counter()
        self.busy: Counter[tuple[str, str]] = Counter()

    def cards(self, principal: Principal) -> list[ModelCard]:
        """A route takes what its longest stage takes, since the others pass longer inputs on."""
        longest = {card.id: card.n_ctx for card in self._backends.cards()}
        routes = [
            replace(card, n_ctx=max(longest.get(name, 0) for name in card.stages))
            for card in self.parts.routes.cards()
            if principal.may_answer(card)
        ]
        return [*routes, *super().cards(principal)]

    async def start(self, caller: Caller, request: GenerationRequest) -> StartedAnswer:
        """Raises as `Inference.begin`; Deferred (`task_deferred`) when no stage may be asked."""
        card = self.parts.routes.card(request.model)
        if card is None:
            return await self.begin(caller, request)
        if not caller.principal.may_answer(card):
            raise NotFound(
                "model_not_found", f"The model {request.model!r} does not exist.", param="model"
            )
        self.check_person(caller.principal, request.model)
        standing = await self.parts.routes.standing(request.model)
        walk = Walk(self, standing, card, caller, request)
        await walk.begin()
        return walk

    def count(self, principal: Principal) -> None:
        self._shared.shares.count(principal)

    async def record(self, draft: Draft) -> None:
        await self._shared.recording.append(draft)

    async def acknowledge(self, receipt: Receipt) -> None:
        await self._shared.recording.acknowledge(receipt)


class Walk:
    """One request on its way through the stages; token counts of all hops, receipts and seed of the
    newest.
    """

    def __init__(
        self,
        use: RoutedInference,
        standing: RouteStanding,
        card: ModelCard,
        caller: Caller,
        request: GenerationRequest,
    ) -> None:
        self._use, self._standing, self.card = use, standing, card
        self.caller, self.request = caller, request
        self.choices = request.n
        self.about: TaskAnswer | None = None
        self._left: list[StageDefinition] = []
        self._stage: StageDefinition | None = None
        self._current: Generation | None = None
        self._past: list[Generation] = []
        self._deadline = 0.0
        self._hops, self._why = 0, ""
        self._cancelled = self._holds = False

    async def begin(self) -> None:
        self._left = await self._stages()
        await self._next()

    @property
    def _now(self) -> Generation:
        if self._current is None:
            raise RuntimeError("a request that has not begun")
        return self._current

    @property
    def intent(self) -> Receipt:
        return self._now.intent

    @property
    def outcome(self) -> Receipt | None:
        return self._now.outcome

    @property
    def created(self) -> int:
        return self._now.created

    @property
    def form(self) -> ReplyForm:
        return self._now.form

    @property
    def seed(self) -> int:
        return self._now.seed

    @property
    def prompt_tokens(self) -> int:
        return sum(each.prompt_tokens for each in (*self._past, self._now))

    @property
    def cached_tokens(self) -> int:
        return sum(each.cached_tokens for each in (*self._past, self._now))

    @property
    def completion_tokens(self) -> int:
        return sum(each.completion_tokens for each in (*self._past, self._now))

    async def __aiter__(self) -> AsyncIterator[Delta]:
        """The decided answer's pieces. Raises Deferred where no stage may answer."""
        for piece in await self._decided():
            yield piece

    async def cancel(self, why: ApplianceError | None = None) -> None:
        self._cancelled = True
        if self._current is not None:
            await self._current.cancel(why)
        self._release()

    async def _stages(self) -> list[StageDefinition]:
        route, certificate = self._standing.route, self._standing.certificate
        stages = list(route.stages)
        if route.rules:
            key = self.caller.principal.name
            stages = list(stages_for(route, await self._sent(), key))
        if stages != list(route.stages):
            self._why = RULE
        stages = [stage for stage in stages if stage.kind != "queue"]
        if route.small in stages:
            if certificate is None:
                self._why = self._standing.why
                return stages[1:]
            if certificate.found.doubtful == "people":
                return stages[:1]
        return stages

    async def _group(self) -> str:
        group_from = self._standing.route.group_from
        if group_from == KEY:
            return self.caller.principal.name
        if group_from in ("", PERSON):
            person = self.caller.principal.person if group_from else None
            return "" if person is None else person.subject
        return (await self._sent()).get(group_from, "")

    async def _sent(self) -> dict[str, str]:
        content = content_of(self.request)
        loaded = await first_task(self._standing.route, self._use.parts.tasks)
        return {} if loaded is None else values_of(loaded.task, content)

    async def _next(self) -> None:
        self._release()
        while self._left:
            stage = self._left.pop(0)
            if not self._take(stage):
                self._why = BUSY
                continue
            self._hops += 1
            self._deadline = asyncio.get_running_loop().time() + stage.seconds
            try:
                async with asyncio.timeout_at(self._deadline):
                    begun = await self._started(stage)
            except TimeoutError:
                self._why = SLOW
            except ApplianceError as error:
                self._why = _passed_on(error)
            else:
                if self._current is not None:
                    self._past.append(self._current)
                self._current, self._stage = begun, stage
                return
            finally:
                if self._stage != stage:
                    self._release()
        raise await self._deferred()

    async def _started(self, stage: StageDefinition) -> Generation:
        standing = self._standing
        first = stage == standing.route.small
        certificate = standing.certificate.id if first and standing.certificate else ""
        hop = Hop(
            standing.route.id, standing.digest, stage.name, self._hops, certificate, self._why
        )
        target = self._use.parts.targets.resolve(stage, self._use.begin)
        asked = replace(self.request, model=target.model).needing(
            decisions=first, p_true=first and stage.p_true
        )
        return await target.start(replace(self.caller, hop=hop), asked)

    async def _decided(self) -> list[Delta]:
        try:
            while True:
                pieces = await self._whole()
                if pieces and (self._cancelled or await self._may(pieces)):
                    return pieces
                await self._next()
        finally:
            self._release()

    async def _whole(self) -> list[Delta]:
        """All pieces of the current hop; none where it is slow or fails in a way that passes on."""
        try:
            async with asyncio.timeout_at(self._deadline):
                return [piece async for piece in self._now]
        except TimeoutError:
            self._why = SLOW
            await self._now.cancel()
        except ApplianceError as error:
            self._why = _passed_on(error)
        return []

    async def _may(self, pieces: list[Delta]) -> bool:
        route, stage, last = self._standing.route, self._stage, pieces[-1]
        if stage is None:
            return False
        certificate, about, score = "", last.about, None
        if stage == route.small:
            # Again: it may have been suspended while the stage answered.
            self._standing = await self._use.parts.routes.standing(route.id)
            score = self._score(about)
            if score is None:
                return False
            held = self._standing.certificate
            certificate = held.id if held is not None else ""
            about = replace(about, confidence=score / MILLION) if about else about
        if about is not None:
            routed = Routed(
                route.id, route.version, self._standing.digest, stage.name, certificate, self._hops
            )
            self.about = replace(about, routed=routed)
            pieces[-1] = replace(last, about=self.about)
        self._use.shares[route.id, stage.name] += 1
        if certificate and score is not None:
            text = "".join(piece.text for piece in pieces)
            group = await self._group()
            asked = Accepted(self._standing, self.caller, self.request, text, score, group)
            self._use.parts.accepted(asked)
        return True

    def _score(self, about: TaskAnswer | None) -> int | None:
        """None for an answer that may not be given."""
        standing = self._standing
        if standing.certificate is None or standing.function is None:
            self._why = standing.why
            return None
        threshold = standing.certificate.found.threshold_micros
        found = None if about is None else confidence.features(about)
        self._why = IN_DOUBT
        if found is None or threshold is None:
            return None
        score = standing.function.score(found)
        return score if score >= threshold else None

    async def _deferred(self) -> ApplianceError:
        """Record that no stage answers.

        Raises:
            Overloaded: `rate_limit_exceeded`; where a stage began, it was counted there.
        """
        route, caller = self._standing.route, self.caller
        if self._current is None:  # or one app could fill log and queue, whatever its quota
            self._use.count(caller.principal)
        await self._use.record(
            Draft.deed(
                "route_deferred",
                caller.principal.key_id,
                request_id=caller.request_id,
                route=route.id,
                digest=self._standing.digest,
                hops=self._hops,
                why=self._why,
            )
        )
        self._use.shares[route.id, DEFERRED] += 1
        if route.on_defer == "queue" and self._use.parts.targets.enqueue is not None:
            return await self._use.parts.targets.enqueue(caller, self.request, route, self._why)
        return Deferred(
            "task_deferred", f"No stage of {route.id} may answer this input ({self._why})."
        )

    def _take(self, stage: StageDefinition) -> bool:
        place = self._standing.route.id, stage.name
        if self._use.busy[place] >= stage.at_once:
            return False
        self._use.busy[place] += 1
        self._place, self._holds = place, True
        return True

    def _release(self) -> None:
        if self._holds:
            self._holds = False
            self._use.busy[self._place] -= 1


def _passed_on(error: ApplianceError) -> str:
    """The code of an error after which another stage is asked; any other is raised."""
    if isinstance(error, AuditUnavailable) or error.code in _END:
        raise error
    if isinstance(error, Refused | Unavailable | NotFound | Overloaded) or error.code in _UNFIT:
        return error.code
    raise error
