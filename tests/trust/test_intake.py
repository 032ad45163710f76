"""The way into the store: whole or not at all. More cases, on the whole store: test_store.py."""

import pytest

from appliance.errors import StateRefused
from appliance.trust import store
from tests.trust.forge import Lab, quiet


def test_a_copy_is_no_model_until_it_is_admitted(lab: Lab) -> None:
    assert lab.store.copy(lab.artifact, "a", quiet) == "a"
    assert lab.store.records() == []
    with pytest.raises(StateRefused) as caught:
        lab.store.copy(lab.artifact, "a", quiet)
    assert caught.value.code == "model_id_taken"
    assert lab.store.admit("a").state == "quarantined"
    assert (lab.data / "models" / "a" / "tiny.gguf").is_file()


def test_a_copy_that_is_given_up_leaves_nothing(lab: Lab) -> None:
    before = lab.snapshot()
    lab.store.abandon(lab.store.copy(lab.artifact, "a", quiet))
    assert lab.snapshot() == before
    lab.store.abandon("never there")


def test_cleaning_keeps_what_has_a_record(lab: Lab) -> None:
    lab.store.quarantine(lab.artifact, "kept", quiet)
    lab.store.copy(lab.artifact, "half", quiet)
    opened = store.ModelStore(lab.database, lab.data / "models", lab.clock)
    assert opened.clean() == ["half"]
    assert opened.vet("kept").summary()["name"] == "tiny"
