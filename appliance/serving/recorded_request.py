"""The request of a recorded answer, made again from its intent and the texts that were kept.

Rules: it reads what `audit_entries.intent` writes; a record without all of its texts is refused.
Pure.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from appliance.errors import StateRefused
from appliance.serving.answer_numbers import PART
from appliance.types import (
    Constraint,
    GenerationRequest,
    Json,
    Sampling,
    Tools,
    Unscored,
)
from appliance.workers.coverage import WORDS, Obstacle

REST: Final = "asked"
"""The text that holds an `AskedRest`."""


class AskedRest(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Parts of a request that only a replay needs.

    Attributes:
        forced: functions of which one had to be called.
        parallel: one answer might hold several calls.
        unscored: the labels that might stay unscored.
    """

    thinking: bool | None = None
    forced: tuple[str, ...] = ()
    parallel: bool = True
    unscored: Unscored | None = None
    clock_s: int | None = None


def rest_of(request: GenerationRequest) -> AskedRest:
    """The parts of a request."""
    tools = request.tools or Tools(())
    return AskedRest(
        request.thinking,
        tools.forced,
        tools.parallel,
        request.task.unscored if request.task.labels else None,
        request.clock_s,
    )


class _AskedForm(msgspec.Struct, frozen=True):
    kind: str
    name: str = ""


class _AskedParams(msgspec.Struct, frozen=True):
    """The parameters of an intent; decimals are texts there."""

    kind: str = ""
    temperature: str = "1.0"
    top_k: int = 0
    top_p: str = "1.0"
    min_p: str = "0.0"
    typical_p: str = "1.0"
    presence_penalty: str = "0.0"
    frequency_penalty: str = "0.0"
    repetition_penalty: str = "1.0"
    n: int = 1
    best_of: int = 1
    logprobs: int | None = None
    echo: bool = False
    seed: str = "0"
    max_tokens: int | None = None
    min_tokens: int = 0
    ignore_eos: bool = False
    constraint: _AskedForm | None = None


def check(intent: Mapping[str, Json], outcome: Mapping[str, Json] | None) -> None:
    """Refuse a record that cannot be computed again (`replay_impossible`)."""
    said = intent.get("replayable")
    if said is None or outcome is None:
        raise impossible("the record has no numbers" if outcome else "it has no answer")
    if said != "yes":
        known = said in Obstacle.__members__.values()
        raise impossible(WORDS[Obstacle(str(said))] if known else str(said))
    if intent.get("retrieved"):  # one of before it had an obstacle
        raise impossible(WORDS[Obstacle.PASSAGES])
    for body, name in ((intent, "prompt"), (outcome, PART)):
        content = body.get("content")
        if not isinstance(content, dict) or content.get("mode") != "encrypted":
            raise impossible("its texts were not kept")
        if name == PART and outcome.get("status") != "ok":
            raise impossible("the answer was not finished")
        parts = content.get("parts")
        if not isinstance(parts, dict) or name not in parts:
            raise impossible("the record has no numbers")


def impossible(why: str) -> StateRefused:
    """The refusal with a reason."""
    return StateRefused("replay_impossible", why)


def request_of(body: Mapping[str, Json], texts: Mapping[str, bytes]) -> GenerationRequest:
    """The request as the model got it, with its effective seed (`replay_impossible` when the record
    is not whole).
    """
    try:
        params = msgspec.convert(body["params"], _AskedParams)
        rest = msgspec.json.decode(texts.get(REST, b"{}"), type=AskedRest)
        asked = _asked(str(body["model"]), json.loads(texts["prompt"]))
        if "labels" in texts:
            labels = tuple(json.loads(texts["labels"]))
            asked = asked.needing(labels=labels, unscored=rest.unscored)
        return replace(
            asked,
            thinking=rest.thinking,
            clock_s=rest.clock_s,
            max_tokens=params.max_tokens,
            sampling=_sampling(params, json.loads(texts.get("logit_bias", b"[]"))),
            seed=int(params.seed),
            stop=tuple(json.loads(texts.get("stop", b"[]"))),
            ignore_eos=params.ignore_eos,
            min_tokens=params.min_tokens,
            constraint=_constraint(params.constraint, texts),
            n=params.n,
            best_of=None if params.best_of == params.n else params.best_of,
            logprobs=params.logprobs,
            echo=params.echo,
            tools=_tools(texts, rest),
        )
    except (LookupError, TypeError, ValueError, msgspec.MsgspecError) as error:
        raise impossible(f"the record is not whole: {error!r}") from error


def _asked(model: str, prompt: Any) -> GenerationRequest:
    if isinstance(prompt, str):
        return GenerationRequest(model, prompt=prompt)
    if isinstance(prompt, dict):
        return GenerationRequest(model, texts=tuple(prompt["documents"]), query=prompt["query"])
    if isinstance(prompt[0], dict):
        return GenerationRequest(model, messages=tuple(prompt))
    if isinstance(prompt[0], str):
        return GenerationRequest(model, texts=tuple(prompt))
    return GenerationRequest(model, tokens=tuple(prompt))


def _sampling(params: _AskedParams, bias: list[tuple[int, float]]) -> Sampling:
    return Sampling(
        temperature=float(params.temperature),
        top_k=params.top_k,
        top_p=float(params.top_p),
        min_p=float(params.min_p),
        typical_p=float(params.typical_p),
        presence_penalty=float(params.presence_penalty),
        frequency_penalty=float(params.frequency_penalty),
        repetition_penalty=float(params.repetition_penalty),
        logit_bias=tuple((token, value) for token, value in bias),
    )


def _constraint(form: _AskedForm | None, texts: Mapping[str, bytes]) -> Constraint | None:
    if form is None:
        return None
    source = form.name if form.kind == "grammar" else texts["constraint"].decode()
    return Constraint(form.kind, source)


def _tools(texts: Mapping[str, bytes], rest: AskedRest) -> Tools | None:
    if "tools" not in texts:
        return None
    return Tools(tuple(json.loads(texts["tools"])), rest.forced, rest.parallel)
