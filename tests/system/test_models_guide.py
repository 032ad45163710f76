"""docs/models.md is true: its settings are taken, and its commands show what it says."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from appliance.app import open_services
from appliance.config import parse_config
from tests.several import config, make_models
from tests.system.test_docs_snippets import blocks, execute, served

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "models.md"


def test_the_settings_are_settings() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    parsed = parse_config(example)
    assert parsed.engine.memory_mib == 8192 and parsed.model("pump-assistant").pinned
    assert parsed.model("minilm").keep_alive == 600 and not parsed.model("experiment").on_demand
    assert set(tomllib.loads(example)["models"]) == {
        "pump-assistant", "minilm", "monthly-report", "experiment",
    }  # fmt: skip


@pytest.mark.slow
def test_its_commands_and_its_client_on_two_models_of_which_one_fits(
    tmp_path: Path, default_model_path: Path
) -> None:
    data = make_models(tmp_path, dict.fromkeys(("smol-a", "smol-b"), default_model_path))
    with open_services(data, config=config()) as services:
        needs = services.pool.model("smol-a").needs
        _, secret = services.keys.create("guide")
    assert needs is not None
    room = (needs.total >> 20) * 3 // 2
    with (data / "appliance.toml").open("a") as file:
        file.write(
            f"[engine]\nmemory_mib = {room}\nthreads = 1\n"
            "[models.default]\nn_ctx = 512\nslots = 2\nkept_prefixes = 0\n"
            "[models.smol-b]\nn_ctx = 512\nslots = 2\nkept_prefixes = 0\nautoload = false\n"
        )
    with served(data, "smol-a") as url:
        variables = {
            "APPLIANCE_DATA": str(data),
            "OPENAI_BASE_URL": f"{url}/v1",
            "OPENAI_API_KEY": secret,
        }
        commands, client, log, events = (
            execute(block, tmp_path, variables)
            for block in blocks(PAGE.read_text(), "<!-- tested -->")
        )
    listed, _, shown = commands.partition("\nsmol-a [")
    assert re.search(r"smol-a +generate +\[\+\] serving +idle", listed)
    assert re.search(r"smol-b +generate +\[.\] approved +-", listed)
    assert f"memory: {needs.total >> 20} MiB (" in shown
    assert re.search(r"smol-b .*\bidle\b", shown)
    assert re.search(r"smol-a .*unloaded uid:\d+ loads smol-b", shown)
    assert f"of {room} MiB for models are taken" in shown
    assert [line.split()[0] for line in client.splitlines()] == [
        "smol-a", "smol-b", "smol-a", "smol-a", "smol-b",
    ]  # fmt: skip
    assert client.splitlines()[-2:] == ["smol-a in memory", "smol-b would be loaded"]
    assert log.startswith("to make room for smol-")
    *told, last = map(json.loads, events.splitlines())
    phases = [event["progress"]["phase"] for event in told]
    assert list(dict.fromkeys(phases)) == ["verifying", "sealing", "loading"]
    assert (last["result"]["id"], last["result"]["state"]) == ("smol-b", "serving")


@pytest.mark.parametrize("key", ["load_wait_seconds", "pinned", "keep_alive", "on_demand"])
def test_every_key_that_it_names_is_in_the_table_of_keys(key: str) -> None:
    assert key in PAGE.read_text() and f"`{key}`" in (ROOT / "docs" / "config.md").read_text()
