"""The kinds of engines as a table of quirks, and the body of a request for each.

Rules: what an engine cannot honour is refused by name and never left out; a body holds what the
request asks for, the model's name there, and nothing of the client; every answer is asked for as a
stream. A body is made once, whatever host it goes to.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from appliance.errors import BadRequest
from appliance.types import Constraint, GenerationRequest, Sampling

Fields = dict[str, Any]
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class Kind:
    """One kind of engine.

    Attributes:
        sampling: fields of `Sampling` that it takes beside temperature, top_p and the penalties,
            and their names there.
        constraints: kinds of constraints that it enforces, and the fields that ask for them.
        token_prompts: whether a prompt may be token ids.
        exact_lengths: whether it takes `min_tokens` and `ignore_eos`.
        new_ids: whether each answer has an id of its own.
        tokenize: makes the body that asks for the ids of a text, at `/tokenize`; None without it.
        logprobs: whether completions tell log-probabilities.
        probe: more fields of a probe.
        tolerance: log-probabilities of one build differ by no more, in nats.
        fingerprint: whether `system_fingerprint` names the weights.
        metrics: where it says as a metric of Prometheus when its process began; "" for nowhere.
    """

    name: str
    sampling: Mapping[str, str] = field(default_factory=lambda: _NONE)
    constraints: Mapping[str, Callable[[str], Fields]] = field(default_factory=lambda: _NONE)
    token_prompts: bool = False
    exact_lengths: bool = False
    new_ids: bool = True
    tokenize: Callable[[str, str], Fields] | None = None
    logprobs: bool = True
    probe: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    tolerance: float = 0.02
    fingerprint: bool = False
    metrics: str = ""


def _schema(source: str) -> Fields:
    form = {"name": "answer", "strict": True, "schema": json.loads(source)}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def _object(_source: str) -> Fields:
    return {"response_format": {"type": "json_object"}}


def _choices_as_grammar(source: str) -> Fields:
    """GBNF, the grammar of llama.cpp; JSON strings are its literals."""
    return {"grammar": "root ::= " + " | ".join(map(json.dumps, json.loads(source)))}


def _quoted(key: str) -> Callable[[str, str], Fields]:
    return lambda model, text: {"model": model, key: text}


_VLLM_SAMPLING: Final = {
    name: name for name in ("top_k", "min_p", "repetition_penalty", "logit_bias")
}

KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "appliance",
            sampling={**_VLLM_SAMPLING, "typical_p": "typical_p"},
            constraints={
                "json_schema": _schema,
                "json_object": _object,
                "regex": lambda source: {"guided_regex": source},
                "choice": lambda source: {"guided_choice": json.loads(source)},
            },
            token_prompts=True,
            exact_lengths=True,
            tokenize=_quoted("prompt"),
            # What else is in a batch moves its log-probabilities (docs/performance.md).
            tolerance=0.5,
            fingerprint=True,
        ),
        Kind(
            "vllm",
            sampling=_VLLM_SAMPLING,
            constraints={
                "json_schema": _schema,
                "json_object": _object,
                # `guided_regex` and `guided_choice` are ignored silently by current versions.
                "regex": lambda source: {"structured_outputs": {"regex": source}},
                "choice": lambda source: {"structured_outputs": {"choice": json.loads(source)}},
            },
            token_prompts=True,
            exact_lengths=True,
            metrics="/metrics",
            tokenize=_quoted("prompt"),
        ),
        Kind(
            "sglang",
            sampling=_VLLM_SAMPLING,
            constraints={
                "json_schema": _schema,
                "json_object": _object,
                "regex": lambda source: {"regex": source},
            },
            token_prompts=True,
            exact_lengths=True,
            metrics="/metrics",
            tolerance=0.05,
        ),
        Kind(
            "llama-server",
            sampling={
                "top_k": "top_k",
                "min_p": "min_p",
                "repetition_penalty": "repeat_penalty",
                "typical_p": "typical_p",
            },
            constraints={
                "json_schema": _schema,
                "json_object": _object,
                "choice": _choices_as_grammar,
            },
            token_prompts=True,
            tokenize=_quoted("content"),
            # A long prompt that is kept moves its log-probabilities by up to 0.24.
            probe={"cache_prompt": False},
        ),
        Kind(
            "ollama",
            constraints={"json_schema": _schema, "json_object": _object},
            new_ids=False,  # three random digits
            logprobs=False,
        ),
        Kind(
            "openai",
            constraints={"json_schema": _schema, "json_object": _object},
            tolerance=0.05,
        ),
    )
}
"""Every kind of engine by its name in appliance.toml."""

_PLAIN: Final = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
_LABEL_TOKENS: Final = 32
_BEGINNING: Final = 1024
ALTERNATIVES: Final = 20
"""Alternatives that are asked for where a distribution over labels is wanted."""


@dataclass(frozen=True)
class Asked:
    """What is sent.

    Attributes:
        path: where to.
        body: the JSON document.
        beginning: what its prompt has in common with others that begin alike.
    """

    path: str
    body: bytes
    beginning: bytes


def asked(kind: Kind, model: str, request: GenerationRequest, seed: int, max_tokens: int) -> Asked:
    """The request as an engine of this kind takes it.

    Args:
        model: its name there.
        max_tokens: most tokens of the answer.

    Raises:
        BadRequest: `upstream_unsupported` names what it cannot honour.
    """
    _refuse(kind, request)
    body: Fields = {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": max_tokens,
        "seed": seed % (1 << 31),
        **_sampling(kind, request.sampling),
    }
    chat = request.messages is not None
    body |= {"messages": list(request.messages or ())} if chat else {"prompt": _prompt(request)}
    if request.labels:
        body |= _constraint(kind, Constraint("choice", json.dumps(request.labels)))
        body |= {"temperature": 0, "max_tokens": min(max_tokens, _LABEL_TOKENS)}
    elif request.constraint is not None:
        body |= _constraint(kind, request.constraint)
    if (most := ALTERNATIVES if request.labels else request.logprobs) is not None:
        body |= {"logprobs": True, "top_logprobs": most} if chat else {"logprobs": most}
    if request.stop:
        body["stop"] = list(request.stop)
    if kind.exact_lengths and (request.min_tokens or request.ignore_eos):
        body |= {"min_tokens": request.min_tokens, "ignore_eos": request.ignore_eos}
    path = "/v1/chat/completions" if chat else "/v1/completions"
    return Asked(path, _bytes(body), _beginning(request))


def _bytes(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def _beginning(request: GenerationRequest) -> bytes:
    """The first KiB of a prompt: what later turns of a chat share, and what is a task's own."""
    turns = request.messages
    if turns is None:
        return _bytes(_prompt(request))[:_BEGINNING]
    first = next((at for at, turn in enumerate(turns, 1) if turn.get("role") == "user"), None)
    return _bytes(turns[: request.common or first])[:_BEGINNING]


def _refuse(kind: Kind, request: GenerationRequest) -> None:
    """Refuse what no body can ask for."""
    wants = {
        "input": request.texts is not None,
        "n": request.choices > 1,
        "echo": request.echo,
        "tools": request.tools is not None,
        "thinking": request.thinking is not None,
        "prompt": request.tokens is not None and not kind.token_prompts,
        "min_tokens": bool(request.min_tokens) and not kind.exact_lengths,
        "ignore_eos": request.ignore_eos and not kind.exact_lengths,
        "logprobs": request.logprobs is not None and not kind.logprobs,
        "labels": bool(request.labels) and not kind.logprobs,
    }
    for name, wanted in wants.items():
        if wanted:
            raise _unsupported(kind, name)


def _sampling(kind: Kind, sampling: Sampling) -> Fields:
    found: Fields = {name: getattr(sampling, name) for name in _PLAIN}
    usual = Sampling()
    for name in ("top_k", "min_p", "typical_p", "repetition_penalty", "logit_bias"):
        value = getattr(sampling, name)
        if name in kind.sampling:
            found[kind.sampling[name]] = value
        elif value != getattr(usual, name):
            raise _unsupported(kind, name)
    if "logit_bias" in found:
        found["logit_bias"] = {str(token): bias for token, bias in sampling.logit_bias}
        if not found["logit_bias"]:
            del found["logit_bias"]
    return found


def _constraint(kind: Kind, constraint: Constraint) -> Fields:
    make = kind.constraints.get(constraint.kind)
    if make is None:
        raise _unsupported(kind, constraint.kind)
    return make(constraint.source)


def _prompt(request: GenerationRequest) -> str | list[int]:
    return request.prompt or "" if request.tokens is None else list(request.tokens)


def _unsupported(kind: Kind, name: str) -> BadRequest:
    message = f"An engine of the kind {kind.name} cannot honour {name} here."
    return BadRequest("upstream_unsupported", message, param=name)
