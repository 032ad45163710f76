"""`appliance upstream` by commands."""

from collections.abc import Iterator

import pytest

from tests.api.admin.lab import LabData
from tests.api.admin.test_upstreams import engine as engine_fixture
from tests.cli.conftest import Run
from tests.routing.upstreams.engine import Engine

engine = engine_fixture


@pytest.fixture
def configured(lab: LabData, engine: Engine) -> Iterator[Engine]:
    with (lab.data / "appliance.toml").open("a") as file:
        file.write(f'[upstreams.big]\nkind = "vllm"\nurls = ["{engine.url}"]\nmodel = "there"\n')
        file.write("connect_ms = 30000\n")
    yield engine


def test_an_upstream_is_learnt_and_approved(lab: LabData, run: Run, configured: Engine) -> None:
    def as_(person: str) -> tuple[object, ...]:
        return ("--as", person, "--key", lab.key(person), "--meaning", "may be asked", "--json")

    assert "[!] unlearnt" in run("upstream", "list").out
    assert run("upstream", "approve", "big", *as_("approver-1")).code == (1, "upstream_unlearnt")
    assert run("upstream", "learn", "big").status == 0
    first = run("upstream", "approve", "big", *as_("approver-1"))
    assert first.document["hosts"][0]["state"] == "unapproved" and configured.url in first.err
    assert run("upstream", "approve", "big", *as_("approver-1")).code == (1, "upstream_unknown")
    second = run("upstream", "approve", "big", *as_("approver-2")).document
    assert second["hosts"][0]["state"] == "unreachable"  # not yet probed
    assert "ready" in run("upstream", "probe", "big").out
    shown = run("upstream", "show", "big").out
    assert "approved by approver-1: may be asked" in shown and "fingerprint" in shown
    assert run("upstream", "drain", "big", configured.url, "--json").code == (3, "server_required")
    assert run("upstream", "reload", "--json").code == (3, "server_required")
    assert run("upstream", "show", "other", "--json").code == (1, "upstream_unknown")


def test_without_any_the_list_says_how(run: Run) -> None:
    assert "Add one in [upstreams]" in run("upstream", "list").out
