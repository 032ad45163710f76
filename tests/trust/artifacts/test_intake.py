"""The way into the store: whole or not at all; test_store.py has the whole store."""

import os

import pytest

from appliance.errors import StateRefused
from appliance.trust.artifacts import store
from appliance.trust.artifacts.copying import CopiedFile
from appliance.trust.artifacts.intake import KEPT_DAYS
from appliance.trust.gguf.gguf import GgufFacts
from tests.trust.forge import Lab, quiet


def test_a_copy_is_no_model_until_it_is_admitted(lab: Lab) -> None:
    assert lab.store.intake.copy(lab.artifact, "a", quiet) == "a"
    assert lab.store.inventory.records() == []
    with pytest.raises(StateRefused) as caught:
        lab.store.intake.copy(lab.artifact, "a", quiet)
    assert caught.value.code == "model_id_taken"
    assert lab.store.intake.admit("a").state == "quarantined"
    assert (lab.data / "models" / "a" / "tiny.gguf").is_file()


def test_a_copy_that_is_given_up_leaves_nothing(lab: Lab) -> None:
    before = lab.snapshot()
    lab.store.intake.abandon(lab.store.intake.copy(lab.artifact, "a", quiet))
    assert lab.snapshot() == before
    lab.store.intake.abandon("never there")


def test_cleaning_keeps_what_has_a_record_or_can_be_gone_on_with(lab: Lab) -> None:
    lab.store.intake.quarantine(lab.artifact, "kept", quiet)
    lab.store.intake.copy(lab.artifact, "half", quiet)
    (lab.data / "models" / "torn.part").mkdir()  # without a signature
    opened = store.ModelStore(lab.database, lab.data / "models", lab.clock)
    assert opened.intake.clean() == ["torn"]
    facts = opened.inventory.vet("kept")
    assert isinstance(facts, GgufFacts) and facts.name == "tiny"
    told: list[CopiedFile] = []
    assert opened.intake.copy(lab.artifact, "half", quiet, told.append) == "half"
    assert told and all(file.copied == 0 for file in told)


def test_nobody_goes_on_for_a_week(lab: Lab) -> None:
    lab.store.intake.copy(lab.artifact, "half", quiet)
    opened = store.ModelStore(lab.database, lab.data / "models", lab.clock)
    part = lab.data / "models" / "half.part"
    now = lab.clock.wall_us() / 1e6
    os.utime(part, (now, now - (KEPT_DAYS * 86_400 - 60)))
    assert opened.intake.clean() == []
    os.utime(part, (now, now - (KEPT_DAYS * 86_400 + 60)))
    assert opened.intake.clean() == ["half"]
    assert not part.exists()
