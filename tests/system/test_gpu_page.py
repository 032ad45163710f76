"""docs/gpu.md on a host without a GPU: its settings are taken, and its commands show a refusal."""

import re
from pathlib import Path

import pytest

from appliance.config import parse_config
from appliance.workers.gpu_driver import driver_facts
from tests.several import make_models
from tests.smol import ID
from tests.system.conftest import Server
from tests.system.test_docs_snippets import MODEL, ROOT, follow

PAGE = ROOT / "docs" / "gpu.md"


def settings() -> str:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(example)


def test_the_settings_are_settings() -> None:
    model = parse_config(settings()).model(MODEL)
    assert (model.device, model.n_gpu_layers, model.autoload) == ("cuda", 0, False)


def test_cuda_is_refused_and_another_model_answers(tmp_path: Path, shallow_path: Path) -> None:
    if driver_facts() is not None:
        pytest.skip("an NVIDIA driver is loaded on this host")
    data = make_models(tmp_path, dict.fromkeys((ID, MODEL), shallow_path))
    with (data / "appliance.toml").open("a") as file:
        file.write(f"[engine]\nthreads = 1\n[models.default]\nn_ctx = 512\n{settings()}")
    server = Server(data, ("", ""))
    server.start()
    try:
        (told,) = follow(PAGE, tmp_path, {"APPLIANCE_DATA": str(data)})
        (worker,) = server.command("status")["workers"]
        newest = server.command("audit", "tail", "-n", "9")["entries"]
        (*_, entry) = [e["body"] for e in newest if e["body"].get("event") == "load_refused"]
    finally:
        server.end(15)
    assert "gpu_driver_missing" in told.splitlines()[0], told
    assert re.search(rf"{MODEL} +generate +\[.\] approved +-", told)
    assert "gpu       no NVIDIA driver is loaded" in told and "[!] gpu_driver_missing" in told
    assert (worker["model"], worker["device"]["kind"]) == (ID, "cpu")
    assert (entry["event"], entry["code"]) == ("load_refused", "gpu_driver_missing")
