"""A backend that does not load or has no GPU is refused by the worker, never passed over."""

import subprocess
import sys
from pathlib import Path

import pytest

from appliance.engine.gpu_backend import map_backend
from appliance.errors import StateRefused
from appliance.workers.cpu_variants import best_variant, library_directory
from tests.conftest import CHECKOUT


@pytest.mark.parametrize("name", ["libggml-cuda.so", "none.so"])
def test_what_does_not_map_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "libggml-cuda.so").write_bytes(b"no library")
    with pytest.raises(StateRefused) as caught:
        map_backend(tmp_path / name, library_directory(), ())
    assert caught.value.code == "gpu_backend_failed"


def refusal(backend: Path, engine: Path) -> str:
    """The words of `start`, in a process of its own: ggml's log belongs to its first loader."""
    program = (
        "import sys; from pathlib import Path\n"
        "from appliance.engine.gpu_backend import start\n"
        "from appliance.errors import StateRefused\n"
        "try:\n    start(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except StateRefused as error:\n    print(error.code, error.message)\n"
    )
    command = [sys.executable, "-c", program, str(backend), str(engine)]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=CHECKOUT).stdout


def test_what_is_not_accepted_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path / "none.so", library_directory())
    assert said.startswith("gpu_backend_failed") and "did not load" in said


def test_a_backend_without_a_gpu_is_refused() -> None:
    directory = library_directory()
    said = refusal(best_variant(directory), directory)
    assert said.startswith("gpu_backend_failed") and "has no GPU" in said
