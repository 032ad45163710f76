"""What the models' tokenisers make of texts, for the apps that may use the models.

Rules: no model runs, so that nothing is recorded as an answer would be; the request counts
against the quota of its key and costs no tokens; it waits for no turn.
"""

import contextlib
from collections.abc import AsyncIterator, Callable

from appliance.admission.places import Shares
from appliance.engine.protocol import Tokenize, Tokens, Vocabulary
from appliance.errors import BadRequest, NotFound
from appliance.pool.pool import Pool
from appliance.types import GenerationRequest, ModelCard, Principal
from appliance.workers.process import WorkerProcess


class Tokenizers:
    """The tokenisers of the models.

    Args:
        pool: where the models are, or are loaded to.
        shares: the quotas.
        elsewhere: whether a model answers on another host, where its tokeniser is.
    """

    def __init__(self, pool: Pool, shares: Shares, elsewhere: Callable[[str], bool]) -> None:
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
        """The tokens of what a request asks for, or the text of its tokens.

        Args:
            request: with one of `prompt`, `messages` and `tokens`.
            special: whether a prompt gets the begin token where the model wants one.
            strings: whether to tell the bytes of each token.

        Raises:
            NotFound: `model_not_found`.
            BadRequest: `wrong_model_kind`, or what the worker refuses.
            Overloaded: `queue_full`, `rate_limit_exceeded`, `key_quarantined`.
            Unavailable: the model is not ready.
        """
        async with self._worker(principal, request.model) as (_, worker):
            asked = Tokenize(
                worker.next_id(),
                prompt=request.prompt,
                messages=request.messages,
                tokens=request.tokens,
                tools=request.tools,
                thinking=request.thinking,
                special=special,
                strings=strings,
            )
            return await worker.tokenize(asked, principal.key_id)

    async def vocabulary(self, principal: Principal, model_id: str) -> Vocabulary:
        """What the model says of its tokens.

        Raises:
            NotFound, BadRequest, Unavailable: as `tokens`.
        """
        async with self._worker(principal, model_id) as (card, worker):
            if worker.ready.vocabulary is None:
                raise _wrong_kind(card)
            return worker.ready.vocabulary

    def card(self, principal: Principal, model_id: str | None) -> ModelCard:
        """The model that is meant; None means the only one that the key may use.

        Raises:
            NotFound: `model_not_found`.
            BadRequest: `invalid_value` when several could be meant; `wrong_model_kind`;
                `upstream_unsupported` for a model on another host.
        """
        if model_id is not None and principal.may_use(model_id) and self._elsewhere(model_id):
            message = f"The tokeniser of {model_id!r} is on another host; ask that host."
            raise BadRequest("upstream_unsupported", message, param="model")
        cards = [c for c in self._pool.cards() if principal.may_answer(c)]
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
    async def _worker(
        self, principal: Principal, model_id: str
    ) -> AsyncIterator[tuple[ModelCard, WorkerProcess]]:
        """A place at the model, and its worker, after a load if it is not there."""
        card = self.card(principal, model_id)
        place = self._shares.admit(principal, card.engine, self._pool.slots(card.id))
        try:
            _, worker = await self._pool.use(card.id, principal.key_id, place)
            yield card, worker
        finally:
            place.leave(0, 0)


def _wrong_kind(card: ModelCard) -> BadRequest:
    return BadRequest(
        "wrong_model_kind",
        f"The model {card.id!r} writes no text; its tokens are no prompts.",
        param="model",
    )
