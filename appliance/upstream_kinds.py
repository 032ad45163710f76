"""The kinds of engines on other hosts: a table of what each does and how its API differs.

Rule: a kind is one entry here; `[upstreams]`, the bodies of requests and docs/scaling-guide.md have
it from this table.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Literal

from appliance.types import ModelKind

Fields = dict[str, Any]
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class EngineKind:
    """One kind of engine.

    Attributes:
        sampling: fields of `Sampling` that it takes besides temperature, top_p and the penalties,
            and their names there.
        constraints: kinds of constraints that it enforces, and the fields that ask for them.
        token_prompts: a prompt may be token ids.
        choices: it takes `n`, and each choice has its own index in the stream.
        lengths: of `min_tokens` and `ignore_eos`, those that it takes.
        tools: of `tools`, `tool_choice` and `parallel_tool_calls`, those that it honours.
        thinking: makes the fields that have a model think or not; None where it cannot be told.
        new_ids: each answer has an id of its own.
        tokenize: where `/tokenize` takes a text; None without it.
        templates: where it renders messages, if `/tokenize` takes none.
        pools: what it does besides text.
        logistic: its scores are between 0 and 1.
        too_long: its words for a text of several that is too long.
        logprobs: completions tell log-probabilities.
        probe: more fields of a probe.
        tolerance: log-probabilities of one build differ by no more, in nats.
        fingerprint: `system_fingerprint` names the weights.
        metrics: where it says as a metric of Prometheus when its process began; "" for nowhere.
        queue: metrics there that count the requests of all clients.
        receipts: its answers come with a receipt.
    """

    name: str
    sampling: Mapping[str, str] = field(default_factory=lambda: _NONE)
    constraints: Mapping[str, Callable[[str], Fields]] = field(default_factory=lambda: _NONE)
    token_prompts: bool = False
    choices: bool = False
    lengths: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()
    thinking: Callable[[bool], Fields] | None = None
    new_ids: bool = True
    tokenize: Literal["prompt", "content"] | None = None
    templates: str = ""
    pools: frozenset[ModelKind] = frozenset()
    logistic: bool = True
    too_long: str = "maximum context length"
    logprobs: bool = True
    probe: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    tolerance: float = 0.02
    fingerprint: bool = False
    metrics: str = ""
    queue: tuple[str, ...] = ()
    receipts: bool = False


def _schema(source: str) -> Fields:
    form = {"name": "answer", "strict": True, "schema": json.loads(source)}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def _object(_source: str) -> Fields:
    return {"response_format": {"type": "json_object"}}


def _choices_as_grammar(source: str) -> Fields:
    """GBNF, the grammar of llama.cpp; JSON strings are its literals."""
    return {"grammar": "root ::= " + " | ".join(map(json.dumps, json.loads(source)))}


def _template(thinks: bool) -> Fields:
    return {"chat_template_kwargs": {"enable_thinking": thinks}}


_POOLS: Final[frozenset[ModelKind]] = frozenset({"embed", "rerank"})
_VECTORS: Final[frozenset[ModelKind]] = frozenset({"embed"})
_LENGTHS: Final = frozenset({"min_tokens", "ignore_eos"})
_TOOLS: Final = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
_JSON: Final = {"json_schema": _schema, "json_object": _object}
_VLLM_SAMPLING: Final = {
    name: name for name in ("top_k", "min_p", "repetition_penalty", "logit_bias")
}
_like_vllm: Final = partial(
    EngineKind,
    token_prompts=True,
    choices=True,
    lengths=_LENGTHS,
    tools=_TOOLS,
    thinking=_template,
)

KINDS: Final[Mapping[str, EngineKind]] = {
    kind.name: kind
    for kind in (
        _like_vllm(
            "appliance",
            sampling={**_VLLM_SAMPLING, "typical_p": "typical_p"},
            constraints={
                **_JSON,
                "regex": lambda source: {"guided_regex": source},
                "choice": lambda source: {"guided_choice": json.loads(source)},
            },
            tokenize="prompt",
            pools=_POOLS,
            # What else is in a batch moves its log-probabilities (docs/performance.md).
            tolerance=0.5,
            fingerprint=True,
            receipts=True,
        ),
        _like_vllm(
            "vllm",
            sampling=_VLLM_SAMPLING,
            constraints={
                **_JSON,
                # `guided_regex` and `guided_choice` are ignored silently by current versions.
                "regex": lambda source: {"structured_outputs": {"regex": source}},
                "choice": lambda source: {"structured_outputs": {"choice": json.loads(source)}},
            },
            metrics="/metrics",
            queue=("vllm:num_requests_running", "vllm:num_requests_waiting"),
            tokenize="prompt",
            pools=_POOLS,
        ),
        _like_vllm(
            "sglang",
            sampling=_VLLM_SAMPLING,
            constraints={
                **_JSON,
                "regex": lambda source: {"regex": source},
            },
            metrics="/metrics",
            queue=("sglang:num_running_reqs", "sglang:num_queue_reqs"),
            pools=_VECTORS,
            tolerance=0.05,
        ),
        EngineKind(
            "llama-server",
            sampling={
                "top_k": "top_k",
                "min_p": "min_p",
                "repetition_penalty": "repeat_penalty",
                "typical_p": "typical_p",
                "logit_bias": "logit_bias",
            },
            constraints={
                **_JSON,
                "choice": _choices_as_grammar,
            },
            token_prompts=True,
            metrics="/metrics",
            queue=("llamacpp:requests_processing", "llamacpp:requests_deferred"),
            lengths=frozenset({"ignore_eos"}),
            # No expressions: a build without llguidance ends where one is asked for.
            # It leaves tools out without a word where the model's template has none.
            thinking=_template,
            tokenize="content",
            templates="/apply-template",
            pools=_POOLS,
            logistic=False,
            too_long="is too large to process",
            # A long prompt that is kept moves its log-probabilities by up to 0.24.
            probe={"cache_prompt": False},
        ),
        EngineKind(
            "ollama",
            tools=frozenset({"tools"}),
            constraints=_JSON,
            new_ids=False,  # three random digits
            # It cuts a text that is too long, so it makes no vectors here.
            logprobs=False,
        ),
        EngineKind(
            "openai",
            sampling={"logit_bias": "logit_bias"},
            choices=True,
            pools=_VECTORS,
            tools=_TOOLS,
            constraints=_JSON,
            tolerance=0.05,
        ),
    )
}
"""Every kind of engine by its name in appliance.toml."""
