"""Contents of the store: records, sizes, facts and owners."""

import os
from collections.abc import Callable

import pytest

from appliance.errors import ApplianceError
from appliance.facts import ModelFacts
from tests.trust.forge import Lab, quiet


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(ApplianceError) as caught:
        action()
    return caught.value.code


def test_states_keep_what_is_not_given(lab: Lab) -> None:
    model_id = lab.verified()
    digest = lab.store.inventory.record(model_id).digest
    suspended = lab.store.inventory.set_state(
        model_id, "suspended", code="key_revoked", message="m"
    )
    assert (suspended.digest, suspended.code, suspended.message) == (digest, "key_revoked", "m")
    assert isinstance(suspended.facts, ModelFacts) and suspended.facts.n_vocab == 263
    assert lab.store.inventory.set_state(model_id, "approved").code is None


def test_discarding_removes_everything(lab: Lab) -> None:
    model_id = lab.approved()
    lab.store.inventory.discard(model_id)
    lab.store.inventory.discard(model_id)
    assert lab.snapshot() == ({}, [[], []])
    (lab.data / "keep").mkdir()
    lab.store.inventory.discard("../keep")
    assert (lab.data / "keep").exists()


def test_files_of_the_store_belong_to_the_service(lab: Lab) -> None:
    model_id = lab.approved()
    lab.store.seal(model_id, lab.policy, quiet).close()
    directory = lab.data / "models" / model_id
    directory.chmod(0o777)
    assert code_of(lambda: lab.store.seal(model_id, lab.policy, quiet)) == "file_owner"
    directory.chmod(0o700)
    stored = lab.data / "models" / model_id / "LICENSE"
    stored.chmod(0o602)
    assert code_of(lambda: lab.store.seal(model_id, lab.policy, quiet)) == "file_owner"
    stored.chmod(0o400)
    if os.geteuid() == 0:
        os.chown(stored, 54_321, 54_321)
        assert code_of(lambda: lab.store.seal(model_id, lab.policy, quiet)) == "file_owner"


def test_size_and_facts_are_those_of_the_model_file(lab: Lab) -> None:
    model_id = lab.verified()
    file = lab.data / "models" / model_id / "tiny.gguf"
    assert lab.store.inventory.size(model_id) == file.stat().st_size
    record = lab.store.inventory.record(model_id)
    assert lab.store.inventory.facts(record).n_vocab == 263
    older = lab.store.inventory.set_state(
        model_id, "verified", facts=lab.store.inventory.vet(model_id)
    )
    assert lab.store.inventory.facts(older) == lab.store.inventory.facts(record)
    for action in (
        lambda: lab.store.inventory.size("none"),
        lambda: lab.store.inventory.vet("none"),
    ):
        assert code_of(action) == "unknown_model_id"
