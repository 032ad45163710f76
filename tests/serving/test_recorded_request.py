"""A request comes back from its record as it was, or is refused with the reason."""

from dataclasses import replace
from typing import Any

import pytest

from appliance.audit.entry import canonical, parse_canonical
from appliance.errors import StateRefused
from appliance.serving.audit_entries import intent
from appliance.serving.backend import PreparedRequest
from appliance.serving.recorded_request import check, request_of
from appliance.types import (
    Constraint,
    GenerationRequest,
    Json,
    Sampling,
    TaskNeeds,
    Tools,
    Unscored,
)
from tests.serving.test_audit_entries import MODEL
from tests.smol import caller

CHAT = GenerationRequest(
    "m", messages=({"role": "user", "content": "Ü?"}, {"role": "assistant", "tool_calls": [
        {"id": "1", "function": {"name": "f", "arguments": {"x": 0.1}}}]}),
)  # fmt: skip
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}}
LABELS = TaskNeeds(labels=(" a", " b"), unscored=Unscored(1e-3, 0.3, (0.1, -2.5e-7)))
ALL: list[GenerationRequest] = [
    CHAT,
    replace(CHAT, thinking=False, tools=Tools((FUNCTION,), ("f",), parallel=False)),
    replace(CHAT, tools=Tools((FUNCTION,)), constraint=Constraint("json_object")),
    replace(CHAT, constraint=Constraint("json_schema", '{"type":"string"}'), logprobs=3),
    replace(CHAT, constraint=Constraint("grammar", "verdict")),
    replace(CHAT, task=LABELS),
    replace(CHAT, clock_s=1_764_600_000),
    replace(CHAT, task=replace(LABELS, unscored=None)),
    GenerationRequest(
        "m", prompt="x", stop=("a", "b"), ignore_eos=True, min_tokens=2, n=2, best_of=3, echo=True,
        sampling=Sampling(
            0.1, 7, 0.3, 1e-9, typical_p=0.7, presence_penalty=-0.1, frequency_penalty=0.2,
            repetition_penalty=1.1, logit_bias=((5, 0.1), (9, -100.0)),
        ),
    ),
    GenerationRequest("m", tokens=(1, 2, 3), n=2),
    GenerationRequest("m", texts=("a", "b")),
    GenerationRequest("m", texts=("a",), query="q"),
]  # fmt: skip


def kept(request: GenerationRequest) -> tuple[dict[str, Json], dict[str, bytes]]:
    model = replace(MODEL, grammars={"verdict": "ef" * 32})
    draft = intent(caller("k7"), PreparedRequest(request, 1, 1 << 62, 5, 44, model))
    return parse_canonical(canonical(draft.fields)), dict(draft.contents)


@pytest.mark.parametrize("request_", ALL, ids=range(len(ALL)))
def test_it_comes_back_as_the_model_was_asked_it(request_: GenerationRequest) -> None:
    body, texts = kept(request_)
    sampled = request_.texts is None and not request_.task.labels
    wanted = replace(request_, seed=1 << 62 if sampled else 0, max_tokens=44 if sampled else None)
    assert request_of(body, texts) == wanted


def test_a_record_without_a_text_that_it_needs_is_refused() -> None:
    for request in ALL:
        body, texts = kept(request)
        for name in ("prompt", "constraint", "tools"):
            if texts.get(name):
                rest = {key: text for key, text in texts.items() if key != name}
                if name == "tools":  # nothing else tells of them: the digest of the prompt does
                    assert request_of(body, rest).tools is None
                    continue
                with pytest.raises(StateRefused, match="not whole"):
                    request_of(body, rest)
    body, texts = kept(CHAT)
    for wrong in (b"[]", b"3", b"{", b'{"query": "q"}'):
        with pytest.raises(StateRefused, match="not whole"):
            request_of(body, {**texts, "prompt": wrong})


KEPT: dict[str, Any] = {"mode": "encrypted", "key": "k"}
INTENT: dict[str, Any] = {"replayable": "yes", "content": {**KEPT, "parts": {"prompt": ""}}}
OUTCOME: dict[str, Any] = {"status": "ok", "content": {**KEPT, "parts": {"computed": ""}}}


def test_what_nobody_can_compute_again_is_refused_with_the_reason() -> None:
    check(INTENT, OUTCOME)
    reasons: dict[str, Any] = {
        "the record has no numbers": [
            ({**INTENT, "replayable": None}, OUTCOME),
            (INTENT, {**OUTCOME, "content": {**KEPT, "parts": {"completion": ""}}}),
        ],
        "its prompt had passages": [({**INTENT, "retrieved": {"collection": "c"}}, OUTCOME)],
        "it has no answer": [(INTENT, None), ({}, None)],
        "another host answered": [({**INTENT, "replayable": "upstream"}, OUTCOME)],
        "a_newer_reason": [({**INTENT, "replayable": "a_newer_reason"}, OUTCOME)],
        "the answer was not finished": [(INTENT, {**OUTCOME, "status": "cancelled"})],
        "its texts were not kept": [
            ({**INTENT, "content": {"mode": "off"}}, OUTCOME),
            (INTENT, {**OUTCOME, "content": {"mode": "commit-only", "key": "k", "parts": {}}}),
            ({"replayable": "yes"}, OUTCOME),  # as of before 0.1.0
        ],
    }
    cases: list[tuple[dict[str, Json], dict[str, Json] | None]]
    for reason, cases in reasons.items():
        for one, other in cases:
            with pytest.raises(StateRefused, match=reason) as caught:
                check(one, other)
            assert caught.value.code == "replay_impossible"
