"""The evidence key: made once, private, without weight until a policy lists it."""

from pathlib import Path

import pytest

from appliance.clock import FixedClock
from appliance.errors import PolicyRefused, StateRefused
from appliance.trust.artifacts import store
from appliance.trust.bytes import ecdsa, evidence
from appliance.trust.policy import lab
from tests.trust import policies


def test_it_is_made_once_and_private(tmp_path: Path) -> None:
    first = evidence.ensure(tmp_path)
    assert evidence.path(tmp_path).stat().st_mode & 0o777 == 0o600
    again = evidence.ensure(tmp_path)
    assert ecdsa.hint(first.public_key()) == ecdsa.hint(again.public_key())
    assert not list(tmp_path.rglob("*.part"))


def test_a_cut_key_of_a_crash_is_made_again(tmp_path: Path) -> None:
    file = evidence.path(tmp_path)
    file.parent.mkdir()
    file.with_suffix(".part").write_bytes(b"-----BEGIN")
    evidence.ensure(tmp_path)
    assert evidence.path(tmp_path).read_bytes().endswith(b"-----\n")


def test_a_lab_lists_its_own(tmp_path: Path) -> None:
    lab.create(tmp_path, FixedClock())
    hint = ecdsa.hint(evidence.ensure(tmp_path).public_key())
    assert store.load_policy(tmp_path / "trust").evaluator(hint).person == "evidence"
    assert evidence.path(tmp_path).read_bytes().startswith(lab.MARK)


def test_a_site_does_not_know_a_new_one(tmp_path: Path) -> None:
    hint = ecdsa.hint(evidence.ensure(tmp_path).public_key())
    with pytest.raises(PolicyRefused) as caught:
        policies.parsed().evaluator(hint)
    assert caught.value.code == "evaluator_not_allowed"


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file in its place")
    with pytest.raises(StateRefused) as caught:
        evidence.ensure(tmp_path)
    assert caught.value.code == "evidence_key_unusable"
