"""Kinds of engines: the configuration takes each, and its constraints are JSON."""

import json

import pytest

from appliance.config import parse_config
from appliance.upstream_kinds import KINDS

SOURCES = {"json_schema": '{"type":"object"}', "json_object": "", "regex": "a", "choice": '["a"]'}


@pytest.mark.parametrize("kind", KINDS)
def test_the_configuration_takes_every_kind(kind: str) -> None:
    text = f'[upstreams.big]\nkind = "{kind}"\nurls = ["http://127.0.0.1:9"]\nmodel = "m"\n'
    assert parse_config(text).upstreams["big"].kind == kind


def test_each_constraint_asks_for_something() -> None:
    for kind in KINDS.values():
        for name, asking in kind.constraints.items():
            assert json.dumps(asking(SOURCES[name])) != "{}", (kind.name, name)
