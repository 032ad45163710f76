"""Draft of a request's intent for the log.

Rules: the permanent body holds parameters and counts, and digests of signed things only: the digest
of a client's short text could be guessed. Prompts, stop strings, biases, functions and forms of
answers go where they can be erased. Bodies hold no floats.
"""

import json
from collections.abc import Mapping
from typing import Final

import msgspec

from appliance.audit.log import Draft
from appliance.serving.backend import PreparedRequest
from appliance.serving.recorded_request import REST, AskedRest, rest_of
from appliance.types import Caller, Constraint, Json, Tools

TOKENS: Final = 256
BYTES: Final = 4_096
MICROSECONDS: Final = 10_000_000
"""The steps by which the log tells sizes and times of padded requests."""


def intent(caller: Caller, prepared: PreparedRequest) -> Draft:
    """The entry that is durable before the model runs."""
    request, answers = prepared.request, prepared.provenance
    fields: dict[str, Json] = {
        "request_id": caller.request_id,
        "key_id": caller.principal.key_id,
        "app": caller.principal.name,
        "ip": caller.ip,
        "route": caller.route,
        "retry": caller.retry,
        "model": answers.model,
        "digest": answers.digest,
        "adapter": answers.adapter,
        "policy": answers.policy,
        "engine": answers.engine,
        "replayable": "yes" if answers.obstacle is None else answers.obstacle.value,
        "template": answers.template,
        "prompt_tokens": caller.principal.step(prepared.prompt_tokens, TOKENS),
        "params": _params(prepared),
    }
    if named := caller.client.fields():
        fields["client"] = named
    fields |= caller.named()
    if answers.task is not None:
        fields["task"] = answers.task
    if answers.retrieved is not None:
        fields["retrieved"] = dict(answers.retrieved)
    if answers.unused:
        fields["unused"] = list(answers.unused)
    if caller.hop is not None:
        fields["hop"] = dict(vars(caller.hop))
    if prepared.first is not None:
        fields["sent"] = dict(prepared.first.sent)
    prompt: object = request.messages or request.prompt or request.tokens or request.texts
    if request.query is not None:
        prompt = {"query": request.query, "documents": request.texts}
    # Stop strings and the words behind a bias are the client's text too: erasable, and not
    # in the permanent body.
    texts = {"prompt": _text(prompt), **caller.texts()}
    if request.stop:
        texts["stop"] = _text(request.stop)
    if request.task.labels:
        texts["labels"] = _text(request.task.labels)
    if request.sampling.logit_bias:
        texts["logit_bias"] = _text(request.sampling.logit_bias)
    if request.tools is not None:
        texts["tools"] = _text(request.tools.functions)
    if answers.retrieved is not None:
        texts["retrieved"] = answers.opens
    own = request.constraint
    if own is not None and own.kind != "grammar":
        texts["constraint"] = own.source.encode("utf-8", "replace")
    if (rest := rest_of(request)) != AskedRest():
        texts[REST] = msgspec.json.encode(rest)
    return Draft("intent", fields, texts, caller.principal.content)


def _params(prepared: PreparedRequest) -> dict[str, Json]:
    """The effective sampling parameters; decimals as text."""
    request = prepared.request
    if request.texts is not None:
        return {"kind": request.kind, "texts": len(request.texts)}
    if request.task.labels:
        return {"kind": "labels", "texts": len(request.task.labels)}
    sampling = request.sampling
    return {
        "temperature": repr(sampling.temperature),
        "top_k": sampling.top_k,
        "top_p": repr(sampling.top_p),
        "min_p": repr(sampling.min_p),
        "typical_p": repr(sampling.typical_p),
        "presence_penalty": repr(sampling.presence_penalty),
        "frequency_penalty": repr(sampling.frequency_penalty),
        "repetition_penalty": repr(sampling.repetition_penalty),
        "logit_bias": len(sampling.logit_bias),
        "n": request.n,
        "best_of": request.choices,
        "logprobs": request.logprobs,
        "echo": request.echo,
        "seed": str(prepared.seed),
        "max_tokens": prepared.max_tokens,
        "min_tokens": request.min_tokens,
        "ignore_eos": request.ignore_eos,
        "stop": len(request.stop),
        "constraint": _constraint(request.constraint, prepared.provenance.grammars),
        "tools": _tools(request.tools),
    }


def _tools(tools: Tools | None) -> dict[str, Json] | None:
    """The number of offered functions, and whether one had to be called."""
    if tools is None:
        return None
    return {"count": len(tools.functions), "forced": len(tools.forced)}


def _constraint(
    constraint: Constraint | None, grammars: Mapping[str, str]
) -> dict[str, Json] | None:
    if constraint is None:
        return None
    if constraint.kind == "grammar":
        name = constraint.source
        return {"kind": constraint.kind, "name": name, "sha256": grammars[name]}
    return {"kind": constraint.kind}


def _text(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")
