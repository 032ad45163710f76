"""The distribution over labels, against the product over the trie of whole tokens."""

import math
import struct

import pytest

from appliance.errors import UpstreamLost
from appliance.routing.upstreams.labels import shares, vector
from appliance.types import TokenLogprob


def token(text: str, **odds: float) -> TokenLogprob:
    top = tuple((name.encode(), math.log(value)) for name, value in odds.items())
    return TokenLogprob(text.encode(), math.log(odds[text]), top, 0)


def test_labels_that_part_at_the_first_token() -> None:
    labels = ("leak", "noise", "wear")
    found = shares(labels, 0, [token("le", le=0.4, noise=0.1, we=0.3, xx=0.2), token("ak", ak=1.0)])
    assert found == pytest.approx([0.5, 0.125, 0.375])


def test_labels_that_part_later() -> None:
    labels = ("oil leak", "oil level", "noise")
    tokens = [
        token("oil", oil=0.8, noise=0.2),
        token(" le", **{" le": 1.0}),
        token("ak", ak=0.3, vel=0.1),
    ]
    assert shares(labels, 0, tokens) == pytest.approx([0.6, 0.2, 0.2])


def test_labels_that_the_engine_did_not_tell_apart_share() -> None:
    labels = ("wear", "leak", "level")
    found = shares(labels, 0, [token("we", we=0.5, le=0.5)])
    assert found == pytest.approx([0.5, 0.25, 0.25])


def test_a_label_that_begins_another() -> None:
    found = shares(("oil", "oil leak", "noise"), 0, [token("oil", oil=0.9, noise=0.1)])
    assert found == pytest.approx([0.9, 0.0, 0.1])


def test_without_alternatives_the_answer_has_all() -> None:
    assert shares(("a", "b"), 1, []) == pytest.approx([0.0, 1.0]) or sum(
        shares(("a", "b"), 1, [])
    ) == pytest.approx(1)


def test_the_vector_of_an_answer_and_of_none() -> None:
    data = vector(("yes", "no"), "yes", [token("yes", yes=0.9, no=0.1)])
    assert [math.exp(value) for value in struct.unpack("<2f", data)] == pytest.approx([0.9, 0.1])
    with pytest.raises(UpstreamLost) as caught:
        vector(("yes", "no"), "maybe", [])
    assert caught.value.code == "upstream_invalid"
