"""A fingerprint: the same build passes, other weights trip, and one that wanders is not learnt."""

import json
from dataclasses import replace
from typing import Any

import pytest

from appliance.errors import StateRefused, UpstreamLost
from appliance.routing.upstreams.events import Probed, TokenIds, decode
from appliance.routing.upstreams.fingerprint import (
    ALL,
    FIRST,
    Fingerprint,
    compare,
    learnt,
    probe_body,
    read_row,
)
from appliance.routing.upstreams.health import ProbeVerdict
from appliance.upstream_kinds import KINDS

ROW = (("Paris", -500_000), ("the", -1_500_000), ("a", -2_500_000))
SEEN = Fingerprint(((1, 2),), (ROW,))
VLLM = KINDS["vllm"]


def moved(by: int) -> Fingerprint:
    return replace(SEEN, rows=(tuple((token, value + by) for token, value in ROW),))


def test_the_same_answers_pass() -> None:
    known = learnt(VLLM, [SEEN, moved(900), SEEN])
    assert known.tolerance == 20_000
    assert compare(known, moved(-15_000)).verdict is ProbeVerdict.SAME
    assert Fingerprint.decode(known.encode()) == known


def test_the_tolerance_follows_what_was_seen() -> None:
    assert learnt(VLLM, [SEEN, moved(50_000)]).tolerance == 200_000
    assert learnt(KINDS["appliance"], [SEEN]).tolerance == 500_000


@pytest.mark.parametrize(
    "other",
    [
        moved(-70_000),  # what one perturbed layer did, measured
        replace(SEEN, rows=((("Lyon", -400_000), *ROW[1:]),)),
    ],
)
def test_other_weights_differ(other: Fingerprint) -> None:
    found = compare(learnt(VLLM, [SEEN, SEEN]), other)
    assert found.verdict is ProbeVerdict.OTHER and not found.exact
    assert found.distances and max(found.distances) > found.tolerance


@pytest.mark.parametrize(
    "other",
    [
        replace(SEEN, ids=((1, 3),)),
        replace(SEEN, ids=()),
        replace(SEEN, rows=()),
        replace(SEEN, system="fp_other"),
    ],
)
def test_some_differences_are_none_of_company(other: Fingerprint) -> None:
    found = compare(learnt(VLLM, [SEEN, SEEN]), other)
    assert found.verdict is ProbeVerdict.OTHER and found.exact and found.why


def test_the_first_prompts_are_compared_with_what_was_learnt_of_all_and_the_other_way() -> None:
    more = replace(SEEN, ids=(*SEEN.ids, (7,)), rows=(*SEEN.rows, ROW))
    for known, seen in ((more, SEEN), (SEEN, more)):
        assert compare(learnt(VLLM, [known]), seen).verdict is ProbeVerdict.SAME
    assert ALL[: len(FIRST)] == FIRST and len(set(ALL)) == len(ALL) == 16


def test_an_engine_without_alternatives_is_known_by_its_tokens() -> None:
    ollama, one, other = KINDS["ollama"], ((" a", 0),), ((" b", 0),)
    known = learnt(ollama, [Fingerprint((), (one,))])
    assert compare(known, Fingerprint((), (one,))).verdict is ProbeVerdict.SAME
    assert compare(known, Fingerprint((), (other,))).verdict is ProbeVerdict.OTHER


def test_a_rare_token_may_change_its_place_with_the_next() -> None:
    known = learnt(VLLM, [SEEN])
    other = replace(SEEN, rows=((*ROW[:2], ("an", -2_500_001)),))
    assert compare(known, other).verdict is ProbeVerdict.SAME


def test_one_that_answers_differently_is_not_learnt() -> None:
    for other in (moved(-2_000_000), replace(SEEN, ids=((9,),))):
        with pytest.raises(StateRefused) as caught:
            learnt(VLLM, [SEEN, other])
        assert caught.value.code == "upstream_unstable"


def test_a_probe_asks_for_one_token_and_keeps_nothing() -> None:
    body = probe_body(KINDS["llama-server"], "m", "Once")
    assert (body["max_tokens"], body["temperature"], body["cache_prompt"]) == (1, 0, False)
    assert "logprobs" not in probe_body(KINDS["ollama"], "m", "Once")
    told = decode(b'{"choices": [{"text": " a"}]}', Probed)
    assert read_row(KINDS["ollama"], told) == ((" a", 0),)


def first(value: float, top: dict[str, float]) -> Any:
    told = {"tokens": ["a"], "token_logprobs": [value], "top_logprobs": [top]}
    return {"choices": [{"logprobs": told}]}


@pytest.mark.parametrize(
    "answer",
    [
        None, [], {}, {"choices": []}, {"choices": [{}]}, {"choices": [{"logprobs": {}}]},
        first(-1, {}), first(1, {"a": 1}),
    ],
)  # fmt: skip
def test_an_answer_to_a_probe_that_is_none(answer: Any) -> None:
    with pytest.raises(UpstreamLost) as caught:
        read_row(VLLM, decode(json.dumps(answer).encode(), Probed))
    assert caught.value.code == "upstream_invalid"


@pytest.mark.parametrize("answer", [None, {}, {"tokens": "x"}, {"tokens": [True]}])
def test_ids_that_are_none(answer: Any) -> None:
    with pytest.raises(UpstreamLost):
        decode(json.dumps(answer).encode(), TokenIds)
    assert decode(b'{"tokens": [3, 4], "count": 2}', TokenIds).tokens == [3, 4]
