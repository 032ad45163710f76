"""The backend that runs here, over a confined worker."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from appliance.admission.places import Place
from appliance.engine.protocol import Prepare, Prepared, Row, Tokenize
from appliance.engine.text.reply import ReplyForm
from appliance.errors import ApplianceError, BadRequest, Unavailable, WorkerLost
from appliance.pool.pool import Pool
from appliance.serving.answer_numbers import Computed
from appliance.serving.backend import PreparedRequest, Provenance
from appliance.serving.choices import ranked
from appliance.serving.inference import REPLAY
from appliance.trust.artifacts.store import VerifiedAdapter, VerifiedModel
from appliance.types import Delta, GenerationRequest, ModelCard, Principal, Priority
from appliance.workers.coverage import Obstacle
from appliance.workers.process import WorkerProcess
from appliance.workers.supervisor import Supervisor


@dataclass(frozen=True)
class LocalWorker:
    """A `ModelBackend` over one worker; the fields are as of `Provenance`."""

    card: ModelCard
    model: VerifiedModel
    worker: WorkerProcess
    engine: str
    obstacle: Obstacle | None
    adapter: VerifiedAdapter | None = None

    async def prepare(
        self, request: GenerationRequest, principal: Principal, seed: int
    ) -> PreparedRequest:
        number = self.worker.next_id(request.choices)
        ranks = request.logprobs is None and ranked(request)
        message = Prepare(
            id=number,
            # To rank choices, the log-probabilities of their tokens are enough.
            asked=replace(request, logprobs=0) if ranks else request,
            seed=seed,
            scope=principal.key_id,
            weight=principal.limits.weight,
            batch=(request.priority or principal.limits.priority) is Priority.BATCH,
            adapter=self.adapter.digest if self.adapter else "",
            fresh=principal.key_id == REPLAY,
        )
        prepared = await self.worker.prepare(message, principal.key_id)
        return PreparedRequest(
            request=replace(request, clock_s=prepared.clock_s),
            number=number,
            seed=seed,
            prompt_tokens=prepared.prompt_tokens,
            max_tokens=prepared.max_tokens,
            provenance=self._provenance(prepared),
            form=_form(request, prepared),
            computed=None if self.obstacle else Computed(prepared.prompt, request.choices),
        )

    async def run(self, prepared: PreparedRequest) -> AsyncGenerator[Delta, None]:
        rows = await self.worker.run(prepared.number, prepared.choices)
        left = prepared.choices
        while left:
            row = await rows.get()
            if row is None:
                raise WorkerLost("worker_lost", "The engine process of the model ended.")
            if (error := self._error(row, prepared.request)) is not None:
                if row.tokens:
                    yield Delta("", row.tokens, cached=row.reused)
                await self.cancel(prepared)
                raise error
            left -= row.finish is not None
            if prepared.computed is not None:
                prepared.computed.take(row.id - prepared.number, row.vector, row.chosen)
            yield Delta(
                row.text,
                row.tokens,
                row.finish,
                row.id - prepared.number,
                row.logprobs,
                row.vector,
                row.reused,
                decided=row.decided,
                stopped=row.stopped,
            )

    async def cancel(self, prepared: PreparedRequest) -> None:
        await self.worker.cancel(prepared.number, prepared.choices)

    async def token(self, token: int, key_id: str) -> str:
        asked = GenerationRequest(self.card.id, tokens=(token,))
        told = await self.worker.tokenize(Tokenize(self.worker.next_id(), asked), key_id)
        return told.text

    def _provenance(self, prepared: Prepared) -> Provenance:
        adapter = self.adapter
        return Provenance(
            model=adapter.id if adapter else self.model.id,
            digest=self.model.digest,
            adapter=adapter.digest if adapter else None,
            policy=self.model.policy_version,
            engine=self.engine,
            obstacle=self.obstacle,
            template=prepared.template_sha256,
            grammars={grammar.name: grammar.sha256 for grammar in self.model.grammars},
        )

    def _error(self, row: Row, request: GenerationRequest) -> ApplianceError | None:
        if row.finish == "detached":
            return Unavailable("adapter_unloaded", f"{self.card.id} was unloaded.")
        return _impossible(request) if row.finish == "invalid" else None


class LocalWorkers:
    """The `Backends` of the models that are in memory here, or are loaded for a request."""

    def __init__(self, pool: Pool, supervisor: Supervisor) -> None:
        self._pool = pool
        self._supervisor = supervisor
        self.cards = pool.cards
        self.card = pool.card
        self.slots = pool.slots

    def resolve(self, model_id: str, app: str) -> str:
        return model_id

    async def open(self, model_id: str, key_id: str, place: Place) -> LocalWorker:
        model, worker = await self._pool.use(model_id, key_id, place)
        return LocalWorker(
            card=self._supervisor.card(model_id),
            model=model,
            worker=worker,
            engine=self._supervisor.engine_for(model.id),
            obstacle=self._supervisor.obstacle(model_id),
            adapter=self._supervisor.adapters.find(model_id),
        )


def _form(request: GenerationRequest, prepared: Prepared) -> ReplyForm:
    tools = request.tools
    if tools is None:
        return ReplyForm(thinking=prepared.thinking)
    return ReplyForm(
        dialect=prepared.dialect,
        names=frozenset(function["name"] for function in tools.functions),
        forced=bool(tools.forced) or request.constraint is not None,
        either=not tools.forced and request.constraint is not None,
        thinking=prepared.thinking,
    )


def _impossible(request: GenerationRequest) -> BadRequest:
    if request.constraint is None:
        return BadRequest("output_invalid", "The model gave no token that may come next.")
    return BadRequest(
        "output_invalid",
        "No answer satisfies the constraint from here on.",
        param="response_format",
    )
