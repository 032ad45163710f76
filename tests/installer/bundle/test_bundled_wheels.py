"""A bundle carries what the lists say; each difference is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from installer.bundle import bundled_wheels, sbom
from installer.bundle.bundled_wheels import LISTS, ON_STICK, check_stick
from installer.bundle.cache import sha256_file
from installer.bundle.locks import LOCKS
from installer.bundle.steps import BundleError
from installer.bundle.wheel_facts import read_wheel
from installer.bundle.wheelhouse import BUNDLED, read_lists, write_lists
from tests.installer.bundle.wheel_files import write_wheel

A = "a-1.0-py3-none-any.whl"
OWN = "appliance-1.0-py3-none-any.whl"
LLAMA = "llama_cpp_python-0.3.36-py3-none-linux_x86_64.whl"


class Small:
    def __init__(self, root: Path) -> None:
        self.wheels, self.lists = root / "wheels", root / "lists"
        self.wheels.mkdir()
        self.lists.mkdir()
        write_wheel(self.wheels / A)
        write_wheel(self.wheels / OWN, name="appliance")
        write_wheel(self.wheels / LLAMA, name="llama_cpp_python", version="0.3.36")
        for name in ("requirements.txt", "sbom.cdx.json", "SHA256SUMS"):
            (self.wheels / name).touch()
        self.built = {name: sha256_file(self.wheels / name) for name in (OWN, LLAMA)}
        write_lists(BUNDLED.name, "1.0", [read_wheel(self.wheels / A)], self.lists)
        self.lock = self.lists / "lock-runtime.txt"
        self.lock.write_text(f"a==1.0 --hash=sha256:{sha256_file(self.wheels / A)}\n")

    def carried(self) -> list[str]:
        found = bundled_wheels.carried(self.wheels, self.built, BUNDLED, self.lists)
        return [path.name for path in found]

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.lists / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path)


def test_what_the_lists_say_is_carried(small: Small) -> None:
    assert small.carried() == [A, OWN, LLAMA]


CHANGES: dict[str, tuple[Callable[[Small], object], str]] = {
    "another hash in the lock": (
        lambda s: s.edit("cp313.lock", sha256_file(s.wheels / A), "0" * 64),
        "not one wheel",
    ),
    "another hash in the sums": (
        lambda s: s.edit("cp313.sha256", sha256_file(s.wheels / A), "0" * 64),
        "differ",
    ),
    "no line in the bill": (
        lambda s: (s.lists / "cp313.cdx.json").write_bytes(sbom.write("x", "1", [])),
        "cp313.sha256 and cp313.cdx.json differ",
    ),
    "another version in the universal lock": (
        lambda s: s.edit("lock-runtime.txt", "a==1.0", "a==1.1"),
        "runtime lock and cp313.lock differ",
    ),
    "a wheel with other bytes": (
        lambda s: write_wheel(s.wheels / A, "a/more.py"),
        "not the one in the sums",
    ),
    "a wheel that runs at every start": (
        lambda s: write_wheel(s.wheels / A, "a.pth"),
        "runs at every start",
    ),
    "an sdist": (
        lambda s: (s.wheels / "b-1.0.tar.gz").touch(),
        "an sdist, not a wheel",
    ),
    "a wheel of nobody's": (
        lambda s: write_wheel(s.wheels / "b-1.0-py3-none-any.whl", name="b"),
        "differ: b-1.0",
    ),
    "another llama.cpp": (
        lambda s: write_wheel(s.wheels / LLAMA, "x.py", name="llama_cpp_python", version="0.3.36"),
        "not the one in the sums",
    ),
    "a third wheel that was built": (
        lambda s: s.built.update({"c-1.0-py3-none-any.whl": "0" * 64}),
        "beyond the lists",
    ),
    "no own wheel": (lambda s: s.built.pop(OWN), "beyond the lists"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_difference_is_refused(small: Small, name: str) -> None:
    change, message = CHANGES[name]
    change(small)
    with pytest.raises(BundleError, match=message):
        small.carried()


def test_the_lists_are_on_the_stick() -> None:
    found = bundled_wheels.texts()
    assert set(found) == {f"{ON_STICK}/{name}" for name in LISTS}
    assert found[f"{ON_STICK}/{LISTS[1]}"] == (LOCKS / "cp313.sha256").read_bytes()


def test_a_stick_is_compared_with_its_lists(tmp_path: Path) -> None:
    (tmp_path / ON_STICK).mkdir()
    for name in LISTS:
        shutil.copy(LOCKS / name, tmp_path / ON_STICK)
    wheels = {**read_lists(BUNDLED.name).sums, OWN: "1" * 64, LLAMA: "2" * 64}
    check_stick(tmp_path, wheels)
    first = min(read_lists(BUNDLED.name).sums)
    for other in (wheels | {first: "0" * 64}, {n: d for n, d in wheels.items() if n != first}):
        with pytest.raises(BundleError, match=first[:10]):
            check_stick(tmp_path, other)
    with pytest.raises(BundleError, match="beyond the lists"):
        check_stick(tmp_path, wheels | {"b-1.0-py3-none-any.whl": "3" * 64})
