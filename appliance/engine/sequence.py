"""One request inside the engine: its tokens, and how many of them the KV cache holds."""

from collections.abc import Sequence as ReadOnly
from dataclasses import dataclass, field

from appliance.engine.decisions import Decisions
from appliance.engine.labels import Labels
from appliance.engine.logprobs import Echo, Logprobs
from appliance.engine.sampling import Sampler
from appliance.engine.text.grammar import Guide
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling


@dataclass(eq=False)
class Sequence:
    """Prompt and generated tokens of one request.

    Attributes:
        tokens: prompt, then generated token ids.
        known: tokens that are computed in chunks: the prompt, and more after a preemption.
        computed: how many of `tokens` are in the KV cache; 0 again after a preemption.
        slot: sequence id in the KV cache while it runs.
        scope, weight, batch, adapter, fresh: as of `protocol.Prepare`.
        readable: digest of the documents that the app may read, where its prompt holds passages of
            them; its cells are kept for it alone.
        shared: leading tokens that an admin registered for every app.
        tiled: leading tokens that tiles multiply, to other numbers.
        reused: prompt tokens that the KV cache had when the request first ran.
        overtaken: how many later ones ran before it, as `app_shares.size` counts them.
        min_tokens: tokens before an end token or a stop string ends the text.
        echo: the prompt, where it is part of the answer. One that `scores` uses no cache.
    """

    id: int
    tokens: list[int]
    sampling: Sampling
    max_tokens: int
    stream: TextStream
    ignore_eos: bool = False
    min_tokens: int = 0
    guide: Guide | None = None
    logprobs: Logprobs | None = None
    decisions: Decisions | None = None
    echo: Echo | None = None
    labels: Labels | None = None
    scope: str = ""
    readable: str = ""
    adapter: str = ""
    shared: int = 0
    fresh: bool = False
    tiled: int = 0
    weight: int = 1
    batch: bool = False
    reused: int | None = None
    arrival: int = 0
    overtaken: int = 0
    served: int = 0
    sampler: Sampler = field(init=False)
    prompt_tokens: int = field(init=False)
    known: int = field(init=False)
    computed: int = 0
    slot: int | None = None
    preempted: bool = False

    def __post_init__(self) -> None:
        self.prompt_tokens = len(self.tokens)
        self.known = self.prompt_tokens
        keep = self.logprobs is not None or self.decisions is not None
        self.sampler = Sampler(self.sampling, self.prompt_tokens, keep=keep)

    @property
    def pending(self) -> int:
        """Tokens to compute before the next one can be sampled."""
        return len(self.tokens) - self.computed

    @property
    def generated(self) -> int:
        return len(self.tokens) - self.prompt_tokens

    @property
    def generating(self) -> bool:
        """All known tokens are in the cache, but for the last at most."""
        return self.labels is None and (self.computed >= self.known or self.pending == 1)

    @property
    def scores_prompt(self) -> bool:
        return self.echo is not None and self.echo.scores

    @property
    def reusable(self) -> int:
        """Most leading tokens that may come from the cache."""
        return 0 if self.fresh or self.scores_prompt else len(self.tokens) - 1

    def scored(self, start: int, end: int) -> range:
        """Positions before the last one whose logits are needed, from `start` to before `end`."""
        return range(0) if self.echo is None else self.echo.wanted(start, end)

    def preempt(self) -> None:
        """Start again from the tokens."""
        self.computed = 0
        self.known = len(self.tokens)
        self.preempted = True

    def chunk(self, count: int) -> ReadOnly[int]:
        return self.tokens[self.computed : self.computed + count]
