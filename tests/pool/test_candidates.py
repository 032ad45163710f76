"""What a request may load."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance import facts
from appliance.app import Services, open_services
from appliance.facts import table_of
from appliance.pool.candidates import Catalogue
from appliance.trust.artifacts import artifact as artifacts
from appliance.trust.bytes.directory import Artifact
from appliance.trust.gguf.gguf import GgufFacts
from tests.several import SETTINGS, config
from tests.smol import ID, quiet, signed_artifact


def catalogue(services: Services) -> Catalogue:
    return Catalogue(services.config, services.store, services.supervisor)


def test_an_approved_model_is_loadable_with_the_numbers_of_its_file(smol_data: Path) -> None:
    with open_services(smol_data, config=config()) as services:
        found = catalogue(services)
        assert [r.id for r in found.loadable()] == [ID] == [r.id for r in found.approved(ID)]
        (record,) = found.loadable()
        card = found.card(record)
        assert (card.id, card.n_ctx, card.kind, card.loaded) == (ID, 512, "generate", False)
        assert card.digest == record.digest and card.created > 0
        assert 200 < found.size(ID) >> 20 < 600
        assert found.size("nothing") == 0 and list(found.loadable("nothing")) == []


@pytest.mark.parametrize(
    "settings",
    [config(smol=replace(SETTINGS, on_demand=False)), config(100)],
    ids=["by hand only", "too large"],
)
def test_what_no_request_may_load_is_approved_all_the_same(
    smol_data: Path, settings: object
) -> None:
    with open_services(smol_data, config=settings) as services:  # type: ignore[arg-type]
        found = catalogue(services)
        assert list(found.loadable()) == [] and [r.id for r in found.approved()] == [ID]


def test_what_is_not_approved_is_not_there(
    smol_data: Path, default_model_path: Path, tmp_path: Path
) -> None:
    with open_services(smol_data, config=config()) as services:
        path = signed_artifact(services.data, default_model_path, tmp_path / "verified")
        assert services.lifecycle.import_model("uid:0", path, None, quiet).state == "verified"
        assert [r.id for r in catalogue(services).approved()] == [ID]
        services.store.inventory.discard("verified")


def test_the_file_of_a_record_of_another_release_is_read_once(
    smol_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_services(smol_data, config=config()) as services:
        record = services.store.inventory.record(ID)
        table = table_of(record.facts)
        del table["matrices"]
        services.store.inventory.save(replace(record, facts=facts.read(table)))
        vet, read = artifacts.vet_stored, []

        def vetted(artifact: Artifact, vet_file: artifacts.Vet[GgufFacts]) -> GgufFacts:
            read.append(artifact)
            return vet(artifact, vet_file)

        monkeypatch.setattr(artifacts, "vet_stored", vetted)
        found = catalogue(services)
        sizes = {found.size(ID) for _ in range(3)}
        assert len(read) == 1
        services.store.inventory.save(record)
        assert sizes == {catalogue(services).size(ID)}
