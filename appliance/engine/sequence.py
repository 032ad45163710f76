"""One request inside the engine: its tokens, and how many of them the KV cache holds."""

from collections.abc import Sequence as ReadOnly
from dataclasses import dataclass, field

from appliance.engine.textstream import TextStream
from appliance.types import Sampling


@dataclass(eq=False)
class Sequence:
    """Prompt and generated tokens of one request.

    Attributes:
        id: the request's id on the socket.
        tokens: prompt, then generated token ids.
        prompt_tokens: length of the prompt.
        computed: how many of `tokens` are in the KV cache; 0 again after being set aside.
        slot: sequence id in the KV cache while it runs.
        max_tokens: most tokens to generate.
        min_tokens: tokens before an end token or a stop string ends the text.
    """

    id: int
    tokens: list[int]
    sampling: Sampling
    max_tokens: int
    stream: TextStream
    ignore_eos: bool = False
    min_tokens: int = 0
    prompt_tokens: int = field(init=False)
    computed: int = 0
    slot: int | None = None

    def __post_init__(self) -> None:
        self.prompt_tokens = len(self.tokens)

    @property
    def pending(self) -> int:
        """Tokens that must go through the model before the next one can be sampled."""
        return len(self.tokens) - self.computed

    @property
    def generated(self) -> int:
        """Tokens generated so far."""
        return len(self.tokens) - self.prompt_tokens

    def chunk(self, count: int) -> ReadOnly[int]:
        """The next `count` pending tokens."""
        return self.tokens[self.computed : self.computed + count]
