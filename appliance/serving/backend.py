"""Backends of a request: a local worker, a task, a classifier.

Rules:
- A backend answers for one model. Nothing is computed for an answer before `run`, and `run` is
  called once the intent is durable.
- A prepared request is run or cancelled. A cancelled one may be cancelled again.
- Every choice ends with one piece that has a finish reason; `run` returns after the last of them.
- A backend raises `ApplianceError` with a stable code and nothing else.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from appliance.admission.places import Place
from appliance.engine.text.reply import ReplyForm
from appliance.serving.answer_numbers import Computed
from appliance.types import Delta, GenerationRequest, Json, ModelCard, Principal
from appliance.workers.coverage import Obstacle


@dataclass(frozen=True)
class Provenance:
    """The answering model, as the intent names it.

    Attributes:
        digest: of the model, without its adapter.
        policy: version of the trust policy that the model was verified under.
        engine: all parts of the engine that its numbers depend on.
        obstacle: why the answer cannot be computed again to the last bit; None where it can.
        template: SHA-256 of the chat template that rendered the prompt; "" if none did.
        grammars: SHA-256 of the signed grammars, by name.
        retrieved: commitments to the passages in the prompt, and the state of their collection;
            None for no collection.
        opens: the text that opens these commitments.
        unused: fields of the request that the task does not use.
    """

    model: str
    digest: str
    policy: int
    engine: str
    obstacle: Obstacle | None
    template: str = ""
    adapter: str | None = None
    grammars: Mapping[str, str] = field(default_factory=dict)
    task: str | None = None
    retrieved: Mapping[str, Json] | None = None
    opens: bytes = b""
    unused: tuple[str, ...] = ()


@dataclass
class FirstHop:
    """The host that a request goes to first; the entries of the request name it, where all is well.

    Attributes:
        sent: about the host, for the intent.
        recorded: an intent with that is durable.
        unsent: nothing was sent to it.
        answered: what it said of its answer, once that is whole.
    """

    sent: Mapping[str, Json]
    recorded: bool = False
    unsent: bool = True
    answered: Mapping[str, Json] | None = None

    def ended(self) -> dict[str, Json]:
        """Fields for the outcome; none where an entry of its own says how it ended."""
        if self.unsent:
            return {"unsent": True}
        return {} if self.answered is None else {"answered": dict(self.answered)}


@dataclass(frozen=True)
class PreparedRequest:
    """A request that a backend has checked and measured; it can run.

    Attributes:
        prompt_tokens: length of the prompt, which counts once for all choices.
        max_tokens: most tokens of one choice.
        form: how reasoning and calls are read out of the text.
        computed: the numbers of the answer as they come; None where it cannot be computed again.
        first: the host on the network that it goes to first, if any.
    """

    request: GenerationRequest
    number: int
    seed: int
    prompt_tokens: int
    max_tokens: int
    provenance: Provenance
    form: ReplyForm = field(default_factory=ReplyForm)
    computed: Computed | None = None
    first: FirstHop | None = None

    @property
    def choices(self) -> int:
        return self.request.choices


@dataclass(frozen=True)
class Wrapped(PreparedRequest):
    """A request that a backend prepared for another one; `inner` is what that takes."""

    inner: PreparedRequest | None = None


def common(prepared: PreparedRequest) -> dict[str, Any]:
    """Fields that a wrapped request shares with the one inside."""
    shared = {field.name: getattr(prepared, field.name) for field in fields(PreparedRequest)}
    return {**shared, "inner": prepared}


def inner(prepared: PreparedRequest) -> PreparedRequest:
    """The request for the next backend."""
    return prepared.inner if isinstance(prepared, Wrapped) and prepared.inner else prepared


class ModelBackend(Protocol):
    """One model that answers."""

    @property
    def card(self) -> ModelCard: ...

    async def prepare(
        self, request: GenerationRequest, principal: Principal, seed: int
    ) -> PreparedRequest:
        """Check and measure a request. Raises BadRequest; WorkerLost when the backend ended
        meanwhile.
        """
        ...

    def run(self, prepared: PreparedRequest) -> AsyncGenerator[Delta, None]:
        """The pieces of all choices together as they come. Raises WorkerLost, or ApplianceError
        when no answer can be finished.
        """
        ...

    async def cancel(self, prepared: PreparedRequest) -> None:
        """Forget a prepared request, or end a running one with finish reason `cancelled`."""
        ...


class Backends(Protocol):
    """The backends of this server, by model id."""

    def cards(self) -> list[ModelCard]:
        """The models that can answer, at once or after a load."""
        ...

    def card(self, model_id: str) -> ModelCard: ...

    def resolve(self, model_id: str, app: str) -> str:
        """The id that answers an app's key under a name that may have several versions."""
        ...

    def slots(self, model_id: str) -> int: ...

    async def open(self, model_id: str, key_id: str, place: Place) -> ModelBackend:
        """The backend of a model once it can answer; `place` is inside the model then.

        Raises `model_not_found`, `key_quarantined`; Unavailable if the model cannot be loaded.
        """
        ...
