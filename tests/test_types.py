"""The shared value types."""

import dataclasses
from typing import Any

import pytest

from appliance.types import ModelCard, Principal, Receipt, Role, Sampling


def test_an_empty_list_of_models_allows_all() -> None:
    assert Principal("k", "app").may_use("any")


def test_a_list_of_models_allows_those_only() -> None:
    principal = Principal("k", "app", frozenset({"a"}))
    assert principal.may_use("a")
    assert not principal.may_use("b")


def test_the_receipt_header_is_sequence_leaf_and_size() -> None:
    assert Receipt(seq=7, leaf=b"\x01" * 32, size=9).header() == f"7 {'01' * 32} 9"


def test_the_roles_are_ordered_from_least_to_most() -> None:
    assert list(Role) == ["viewer", "operator", "approver", "admin"]


def test_value_types_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Sampling().seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "use"),
    [
        ({}, "chat"),
        ({"kind": "embed"}, "embedder"),
        ({"kind": "rerank"}, "reranker"),
        ({"form": "labels"}, "task"),
        ({"form": "labels", "kind": "embed"}, "task"),  # by nearest neighbours
        ({"form": "labels", "stages": ("small", "large")}, "route"),
    ],
)
def test_a_card_says_what_an_app_does_with_it(fields: dict[str, Any], use: str) -> None:
    assert ModelCard("m", "ab", 512, 0, **fields).use == use
