"""P(True): the model's probability that its own answer is right.

Rules:
- The question follows the answer's conversation, whose computation is used again.
- Nothing is sampled: of the raw probabilities of "yes" and "no", that of "yes" counts.
- The call is part of the answer's request: its tokens count there, and it ends with it.

Source: Kadavath et al., arXiv:2207.05221, 2022.
"""

from array import array
from dataclasses import dataclass, field, replace
from typing import Final

from appliance.serving.backend import ModelBackend, PreparedRequest
from appliance.statistics.labels import distribution
from appliance.types import GenerationRequest, Principal

QUESTION: Final = "Is this answer right? Answer yes or no."
_ANSWERS: Final = ("yes", "no")


@dataclass(frozen=True)
class Judged:
    """The judgement, and the tokens of its call.

    Attributes:
        p_true: probability of "yes".
    """

    p_true: float
    tokens: int
    cached: int
    prompt_tokens: int


@dataclass
class Judging:
    """The second call of one request."""

    model: ModelBackend
    principal: Principal
    seed: int
    _asked: PreparedRequest | None = field(default=None, init=False)
    _cancelled: bool = field(default=False, init=False)

    async def ask(self, request: GenerationRequest, answer: str) -> Judged | None:
        """None where the request was cancelled. Raises as `Backend.prepare` and `run`."""
        turns = ({"role": "assistant", "content": answer}, {"role": "user", "content": QUESTION})
        asked = replace(
            request,
            messages=(*(request.messages or ()), *turns),
            constraint=None,
            max_tokens=None,
        ).needing(labels=_ANSWERS, unscored=None, decisions=False)
        self._asked = await self.model.prepare(asked, self.principal, self.seed)
        if self._cancelled:  # meanwhile, when there was nothing to cancel
            await self.model.cancel(self._asked)
            return None
        vector, tokens, cached = b"", 0, 0
        finish: str | None = None
        async for delta in self.model.run(self._asked):
            vector, tokens = vector + delta.vector, tokens + delta.tokens
            cached, finish = delta.cached, delta.finish_reason
        if finish not in ("stop", "length"):
            return None
        yes, _ = distribution(array("f", vector))
        return Judged(yes, tokens, cached, self._asked.prompt_tokens)

    async def cancel(self) -> None:
        self._cancelled = True
        if self._asked is not None:
            await self.model.cancel(self._asked)
