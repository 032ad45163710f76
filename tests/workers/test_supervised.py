"""How a model that is kept alive looks from outside."""

from pathlib import Path

from appliance.app import open_services
from appliance.config import ModelConfig
from appliance.workers.memory_estimate import MIB, estimate
from appliance.workers.supervised import SupervisedModel
from tests.several import config
from tests.smol import ID, sealed


def test_before_its_worker_is_there_it_shows_what_is_configured(smol_data: Path) -> None:
    with open_services(smol_data, config=config()) as services:
        model, settings = sealed(services), ModelConfig(n_ctx=1024, slots=3)
        needs = estimate(model.facts, settings, "zen4")
        served = SupervisedModel(model, settings, needs, since_us=5_000_000)
        card, status = served.card(), served.status("libggml-cpu-x64.so", 4)
        assert (card.id, card.n_ctx, card.created, card.loaded) == (ID, 1024, 5, True)
        assert (status.state, status.pid, status.slots) == ("starting", None, 3)
        assert (status.threads, status.threads_most, status.held) == (0, 4, "memory")
        assert status.memory_mib == needs.total // MIB
        model.close()
