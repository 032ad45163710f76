"""A wheel is built once and is in the cache whole or not at all."""

from pathlib import Path

import pytest

from installer.bundle import wheel_cache
from installer.bundle.cache import sha256_file
from installer.bundle.llama_recipe import Recipe
from installer.bundle.steps import BundleError
from installer.bundle.wheel_cache import cached, obtain

RECIPE = Recipe("0.3.36", "0" * 64, ("gcc 12", "g++ 12"), "x86_64")


class Builder:
    def __init__(self, data: bytes = b"wheel") -> None:
        self.data = data
        self.built = 0

    def __call__(self, part: Path, wanted: Recipe) -> Path:
        self.built += 1
        done = part / "done"
        done.mkdir()
        (done / "a.whl").write_bytes(self.data)
        wheel_cache.record(done, wanted, done / "a.whl", nvcc="13")
        return done


def gate(path: Path) -> None:
    if b"bad" in path.read_bytes():
        raise BundleError(f"{path.name} is bad")


def test_it_is_built_once(tmp_path: Path) -> None:
    build = Builder()
    first = obtain(tmp_path, RECIPE, build, gate)
    assert obtain(tmp_path, RECIPE, build, gate) == first
    assert (build.built, first.sha256) == (1, sha256_file(first.path))
    assert (first.facts["size"], first.facts["nvcc"]) == (5, "13")


def test_a_damaged_wheel_is_built_again(tmp_path: Path) -> None:
    build = Builder()
    path = obtain(tmp_path, RECIPE, build, gate).path
    path.write_bytes(b"whele")
    assert cached(tmp_path, RECIPE, gate) is None
    assert obtain(tmp_path, RECIPE, build, gate).path.read_bytes() == b"wheel"
    assert build.built == 2


def test_a_wheel_that_the_gate_refuses_is_not_given_out(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is bad"):
        obtain(tmp_path, RECIPE, Builder(b"bad"), gate)


def test_a_build_that_fails_leaves_only_the_lock_file(tmp_path: Path) -> None:
    def fail(part: Path, wanted: Recipe) -> Path:
        (part / "half").write_bytes(b"x")
        raise BundleError("no compiler")

    with pytest.raises(BundleError, match="no compiler"):
        obtain(tmp_path, RECIPE, fail, gate)
    assert [path.name for path in tmp_path.iterdir()] == [f"{RECIPE.key}.lock"]
