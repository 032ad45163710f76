"""The body of a request for each kind of engine, and what each cannot honour.

Rules: a feature that an engine cannot honour is refused by name, never left out (`FEATURES`). A
body holds nothing of the client. Every text is requested as a stream.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from appliance.errors import BadRequest
from appliance.serving.choices import ranked
from appliance.types import GenerationRequest, Sampling, Tools
from appliance.upstream_kinds import EngineKind, Fields

_PLAIN: Final = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
_SAMPLING: Final = ("top_k", "min_p", "typical_p", "repetition_penalty", "logit_bias")
_LABEL_TOKENS: Final = 32
_BEGINNING: Final = 1024
ALTERNATIVES: Final = 20
"""Alternatives that are asked for where a distribution over labels is wanted."""


@dataclass(frozen=True)
class EngineFeature:
    """A feature that not every engine has.

    Attributes:
        name: as a refusal names it.
        about: for a person.
        wanted: whether a request asks for it.
        done: whether a kind of engine does it.
    """

    name: str
    about: str
    wanted: Callable[[GenerationRequest], bool]
    done: Callable[[EngineKind], bool]


def _sampled(name: str) -> EngineFeature:
    usual = getattr(Sampling(), name)
    return EngineFeature(
        name,
        f"`{name}`",
        lambda request: bool(getattr(request.sampling, name) != usual),
        lambda kind: name in kind.sampling,
    )


def _constrained(name: str, about: str) -> EngineFeature:
    return EngineFeature(
        name,
        about,
        lambda request: request.constraint is not None and request.constraint.kind == name,
        lambda kind: name in kind.constraints,
    )


FEATURES: Final = (
    EngineFeature(
        "prompt",
        "prompts of token ids",
        lambda request: request.tokens is not None,
        lambda kind: kind.token_prompts,
    ),
    EngineFeature("n", "`n`", lambda request: request.n > 1, lambda kind: kind.choices),
    EngineFeature("best_of", "`best_of`", ranked, lambda kind: kind.choices and kind.logprobs),
    EngineFeature("echo", "`echo` of a text", lambda request: request.echo, lambda kind: True),
    EngineFeature(
        "echo",
        "`echo` of token ids, with log-probabilities, or without an answer",
        lambda request: (
            request.echo
            and (
                request.tokens is not None
                or request.logprobs is not None
                or request.max_tokens == 0
            )
        ),
        lambda kind: False,
    ),
    EngineFeature(
        "logprobs",
        "`logprobs`",
        lambda request: request.logprobs is not None,
        lambda kind: kind.logprobs,
    ),
    EngineFeature(
        "labels",
        "tasks with labels",
        lambda request: bool(request.task.labels),
        lambda kind: kind.logprobs and "choice" in kind.constraints,
    ),
    EngineFeature(
        "tools",
        "`tools`",
        lambda request: request.tools is not None,
        lambda kind: "tools" in kind.tools,
    ),
    EngineFeature(
        "tool_choice",
        "`tool_choice` required, or naming a function",
        lambda request: request.tools is not None and bool(request.tools.forced),
        lambda kind: "tool_choice" in kind.tools,
    ),
    EngineFeature(
        "parallel_tool_calls",
        "`parallel_tool_calls` false",
        lambda request: request.tools is not None and not request.tools.parallel,
        lambda kind: "parallel_tool_calls" in kind.tools,
    ),
    EngineFeature(
        "response_format",
        "a form together with `tools`",
        lambda request: request.tools is not None and request.constraint is not None,
        lambda kind: kind.name == "appliance",
    ),
    EngineFeature(
        "thinking",
        "`enable_thinking`",
        lambda request: request.thinking is not None,
        lambda kind: kind.thinking is not None,
    ),
    *map(_sampled, _SAMPLING),
    EngineFeature(
        "min_tokens",
        "`min_tokens`",
        lambda request: bool(request.min_tokens),
        lambda kind: "min_tokens" in kind.lengths,
    ),
    EngineFeature(
        "ignore_eos",
        "`ignore_eos`",
        lambda request: request.ignore_eos,
        lambda kind: "ignore_eos" in kind.lengths,
    ),
    _constrained("json_schema", "a JSON schema"),
    _constrained("json_object", "any JSON object"),
    _constrained("regex", "`guided_regex`"),
    _constrained("choice", "`guided_choice`"),
    _constrained("grammar", "a signed grammar"),
    EngineFeature(
        "input",
        "embeddings",
        lambda request: request.kind == "embed",
        lambda kind: "embed" in kind.pools,
    ),
    EngineFeature(
        "documents",
        "reranking",
        lambda request: request.kind == "rerank",
        lambda kind: "rerank" in kind.pools,
    ),
)
"""Abilities that some kinds lack; the guide has the same table."""


@dataclass(frozen=True)
class Asked:
    """A request as it is sent.

    Attributes:
        beginning: shared with other prompts that begin alike.
    """

    path: str
    body: bytes
    beginning: bytes


def check(kind: EngineKind, request: GenerationRequest) -> None:
    """Raises as `asked`."""
    for feature in FEATURES:
        if feature.wanted(request) and not feature.done(kind):
            raise _unsupported(kind, feature.name)


def asked(
    kind: EngineKind, model: str, request: GenerationRequest, seed: int, max_tokens: int
) -> Asked:
    """The request as an engine takes it.

    Args:
        model: its name there.

    Raises:
        BadRequest: `upstream_unsupported` names what it cannot honour.
    """
    check(kind, request)
    if request.texts is not None:
        return _pooled(model, request, request.texts)
    body: Fields = {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": max_tokens,
        "seed": seed % (1 << 31),
        **_sampling(kind, request.sampling),
        **_chosen(request),
    }
    chat = request.messages is not None
    body |= {"messages": _spoken(request)} if chat else {"prompt": _prompt(request)}
    if request.task.labels:
        body |= kind.constraints["choice"](json.dumps(request.task.labels))
        body |= {"temperature": 0, "max_tokens": min(max_tokens, _LABEL_TOKENS)}
    elif request.constraint is not None:
        body |= kind.constraints[request.constraint.kind](request.constraint.source)
    if (most := _alternatives(request)) is not None:
        body |= {"logprobs": True, "top_logprobs": most} if chat else {"logprobs": most}
    if request.stop:
        body["stop"] = list(request.stop)
    lengths = {"min_tokens": request.min_tokens, "ignore_eos": request.ignore_eos}
    body |= {name: value for name, value in lengths.items() if value}
    if request.tools is not None:
        body |= _offered(kind, request.tools)
    if request.thinking is not None and kind.thinking is not None:
        body |= kind.thinking(request.thinking)
    path = "/v1/chat/completions" if chat else "/v1/completions"
    return Asked(path, _bytes(body), _beginning(request))


def _pooled(model: str, request: GenerationRequest, texts: tuple[str, ...]) -> Asked:
    body: Fields = {"model": model, "input": texts, "encoding_format": "base64"}
    path = "/v1/embeddings"
    if request.query is not None:
        body, path = {"model": model, "query": request.query, "documents": texts}, "/v1/rerank"
    return Asked(path, _bytes(body), _bytes((request.query, texts))[:_BEGINNING])


def tokenized(
    kind: EngineKind, model: str, request: GenerationRequest, *, special: bool, strings: bool
) -> Fields:
    """Asks for the tokens of a prompt or messages.

    Args:
        special: whether a prompt gets the begin token where the model wants one.
    """
    if kind.tokenize == "content":
        asked = {"content": request.prompt, "add_special": special, "with_pieces": strings}
        return {"model": model, **asked}
    wanted = {"return_token_strs": True} if strings else {}
    if request.messages is not None:
        return conversation(kind, model, request) | wanted
    return {"model": model, "prompt": request.prompt, "add_special_tokens": special, **wanted}


def conversation(kind: EngineKind, model: str, request: GenerationRequest) -> Fields:
    """Messages, the functions on offer with them, and whether the model thinks."""
    found: Fields = {"model": model, "messages": _spoken(request)}
    if request.tools is not None:
        functions = request.tools.functions
        found["tools"] = [{"type": "function", "function": one} for one in functions]
    if request.thinking is not None and kind.thinking is not None:
        found |= kind.thinking(request.thinking)
    return found


def _alternatives(request: GenerationRequest) -> int | None:
    """To rank choices, only the tokens themselves."""
    if request.task.labels:
        return ALTERNATIVES
    return 0 if request.logprobs is None and ranked(request) else request.logprobs


def _chosen(request: GenerationRequest) -> Fields:
    return {"n": request.choices} if request.choices > 1 else {}


def _sampling(kind: EngineKind, sampling: Sampling) -> Fields:
    found: Fields = {name: getattr(sampling, name) for name in _PLAIN}
    found |= {there: getattr(sampling, name) for name, there in kind.sampling.items()}
    if found.pop("logit_bias", ()):
        found["logit_bias"] = {str(token): bias for token, bias in sampling.logit_bias}
    return found


def _offered(kind: EngineKind, tools: Tools) -> Fields:
    forced = tools.forced
    functions = [one for one in tools.functions if not forced or one["name"] in forced]
    found: Fields = {"tools": [{"type": "function", "function": one} for one in functions]}
    if forced:
        found["tool_choice"] = "required"
    if "parallel_tool_calls" in kind.tools:
        found["parallel_tool_calls"] = tools.parallel
    return found


def _spoken(request: GenerationRequest) -> list[Fields]:
    """The arguments of calls are text."""
    return [
        {**turn, "tool_calls": [_called(call) for call in turn["tool_calls"]]}
        if turn.get("tool_calls")
        else turn
        for turn in request.messages or ()
    ]


def _called(call: Fields) -> Fields:
    function = call["function"]
    arguments = json.dumps(function["arguments"], ensure_ascii=False)
    return {**call, "function": {**function, "arguments": arguments}}


def _bytes(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def _beginning(request: GenerationRequest) -> bytes:
    """The first KiB of a prompt, which later turns of a chat share."""
    turns = request.messages
    if turns is None:
        return _bytes(_prompt(request))[:_BEGINNING]
    first = next((at for at, turn in enumerate(turns, 1) if turn.get("role") == "user"), None)
    return _bytes(turns[: request.task.common or first])[:_BEGINNING]


def _prompt(request: GenerationRequest) -> str | list[int]:
    return request.prompt or "" if request.tokens is None else list(request.tokens)


def _unsupported(kind: EngineKind, name: str) -> BadRequest:
    message = f"An engine of the kind {kind.name} cannot honour {name} here."
    return BadRequest("upstream_unsupported", message, param=name)
