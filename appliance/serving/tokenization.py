"""Use of the models' tokenisers, for the apps that may use the models.

Rules: no model runs, so nothing is recorded but a text that leaves for another host. The request
counts against the quota of its key, costs no tokens and waits for no turn.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from appliance.admission.places import Place, Shares
from appliance.engine.protocol import Tokenize, Tokens, Vocabulary
from appliance.errors import BadRequest, NotFound
from appliance.pool.pool import Pool
from appliance.types import GenerationRequest, ModelCard, Principal
from appliance.workers.process import WorkerProcess


class Elsewhere(Protocol):
    """The tokenisers of models on other hosts."""

    def cards(self) -> list[ModelCard]: ...

    def slots(self, model_id: str) -> int: ...

    async def tokens(
        self, principal: Principal, request: GenerationRequest, *, special: bool, strings: bool
    ) -> Tokens:
        """As `Tokenizers.tokens`."""
        ...


class Tokenizers:
    """The tokenisers of the models; `elsewhere` has those of other hosts."""

    def __init__(self, pool: Pool, shares: Shares, elsewhere: Elsewhere) -> None:
        self._pool = pool
        self._shares = shares
        self._elsewhere = elsewhere

    async def tokens(
        self,
        principal: Principal,
        request: GenerationRequest,
        *,
        special: bool = True,
        strings: bool = False,
    ) -> Tokens:
        """The tokens of a request, or the text of its tokens."""
        card = self.card(principal, request.model)
        if card.upstream:
            with self._admitted(principal, card, self._elsewhere.slots(card.id)) as place:
                place.enter()
                return await self._elsewhere.tokens(
                    principal, request, special=special, strings=strings
                )
        async with self._worker(principal, card) as worker:
            asked = Tokenize(worker.next_id(), request, special, strings)
            return await worker.tokenize(asked, principal.key_id)

    async def vocabulary(self, principal: Principal, model_id: str) -> Vocabulary:
        card = self.card(principal, model_id)
        if card.upstream:
            message = f"The vocabulary of {model_id!r} is on another host; ask that host."
            raise BadRequest("upstream_unsupported", message, param="model")
        async with self._worker(principal, card) as worker:
            if worker.ready.vocabulary is None:
                raise _wrong_kind(card)
            return worker.ready.vocabulary

    def card(self, principal: Principal, model_id: str | None) -> ModelCard:
        """The model that is meant; None means the only one that the key may use.

        Raises `model_not_found`, `wrong_model_kind`; `invalid_value` when several could be meant.
        """
        every = [*self._elsewhere.cards(), *self._pool.cards()]
        cards = [c for c in every if principal.may_answer(c)]
        if model_id is None:
            cards = [c for c in cards if c.kind == "generate"]
            if len(cards) > 1:
                raise BadRequest("invalid_value", "model: name one of several.", param="model")
        found = next((c for c in cards if model_id in (None, c.id)), None)
        if found is None:
            named = "No model" if model_id is None else f"The model {model_id!r}"
            raise NotFound("model_not_found", f"{named} does not exist.", param="model")
        if found.kind != "generate":
            raise _wrong_kind(found)
        return found

    @contextlib.asynccontextmanager
    async def _worker(self, principal: Principal, card: ModelCard) -> AsyncIterator[WorkerProcess]:
        with self._admitted(principal, card, self._pool.slots(card.id)) as place:
            yield (await self._pool.use(card.id, principal.key_id, place))[1]

    @contextlib.contextmanager
    def _admitted(self, principal: Principal, card: ModelCard, slots: int) -> Iterator[Place]:
        place = self._shares.admit(principal, card.engine, slots)
        try:
            yield place
        finally:
            place.leave(0, 0)


def _wrong_kind(card: ModelCard) -> BadRequest:
    return BadRequest(
        "wrong_model_kind",
        f"The model {card.id!r} writes no text; its tokens are no prompts.",
        param="model",
    )
