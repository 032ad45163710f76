"""A backend that does not load or has no GPU is refused by the worker, never passed over."""

from pathlib import Path

import pytest

from appliance.engine.gpu_backend import map_backend, start
from appliance.errors import StateRefused
from appliance.workers.cpu_variants import best_variant, library_directory


@pytest.mark.parametrize("name", ["libggml-cuda.so", "none.so"])
def test_what_does_not_map_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "libggml-cuda.so").write_bytes(b"no library")
    with pytest.raises(StateRefused) as caught:
        map_backend(tmp_path / name, library_directory(), ())
    assert caught.value.code == "gpu_backend_failed"


def test_what_is_not_accepted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateRefused, match="did not load"):
        start(tmp_path / "none.so", library_directory())


def test_a_backend_without_a_gpu_is_refused() -> None:
    directory = library_directory()
    with pytest.raises(StateRefused, match="has no GPU"):
        start(best_variant(directory), directory)
