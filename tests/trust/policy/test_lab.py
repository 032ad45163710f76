"""The lab profile's keys and policy."""

from pathlib import Path

import pytest

from appliance.clock import FixedClock
from appliance.errors import UsageError
from appliance.trust.artifacts import store
from appliance.trust.bytes import ecdsa
from appliance.trust.policy import lab
from tests.trust.forge import open_descriptors, watch_syncs


def test_keys_are_private_and_the_policy_binds_them(tmp_path: Path) -> None:
    lab.create(tmp_path, FixedClock())
    keys = tmp_path / "keys" / "lab"
    assert keys.stat().st_mode & 0o777 == 0o700
    policy = store.load_policy(tmp_path / "trust")
    assert (policy.profile, policy.version, policy.issued) == ("lab", 1, "2025-11-24T16:00:00Z")
    people = set()
    for name in ("publisher", "approver-1", "approver-2", "root"):
        assert (keys / f"{name}.pem").stat().st_mode & 0o777 == 0o600
        public = ecdsa.load_private((keys / f"{name}.pem").read_bytes()).public_key()
        assert (keys / f"{name}.pub").read_bytes() == lab.MARK + ecdsa.public_pem(public)
        if name != "root":
            people.add(policy.keys[ecdsa.hint(public)].person)
    assert people == {"publisher", "approver-1", "approver-2"}
    assert policy.roles["approver"].threshold == 2
    assert policy.roles["approver"].distinct_from == {"publisher"}
    assert policy.roles["publisher"].keys.isdisjoint(policy.roles["approver"].keys)


def test_the_root_of_trust_is_the_lab_root_and_decides_nothing_else(tmp_path: Path) -> None:
    lab.create(tmp_path, FixedClock())
    root = (tmp_path / "trust" / "root.pub").read_bytes()
    assert lab.MARK + root == (tmp_path / "keys" / "lab" / "root.pub").read_bytes()
    hint = ecdsa.hint(ecdsa.load_public(root))
    assert hint not in store.load_policy(tmp_path / "trust").keys


def test_keys_are_durable_and_leave_no_descriptor_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, before = watch_syncs(monkeypatch), open_descriptors()
    lab.create(tmp_path, FixedClock())
    assert open_descriptors() == before
    assert {"root.pem", "publisher.pem", "root.pub", "policy.json"} <= set(synced)


def test_a_second_laboratory_does_not_replace_the_first(tmp_path: Path) -> None:
    lab.create(tmp_path, FixedClock())
    before = (tmp_path / "trust" / "policy.json").read_bytes()
    with pytest.raises(UsageError) as caught:
        lab.create(tmp_path, FixedClock())
    assert caught.value.code == "data_exists"
    assert (tmp_path / "trust" / "policy.json").read_bytes() == before
