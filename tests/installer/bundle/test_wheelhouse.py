"""The three lists of each Python agree; every difference is refused."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.tags import parse_tag, sys_tags

from installer.bundle import sbom
from installer.bundle.cache import sha256_file
from installer.bundle.locks import LOCKS, Locked, read_lock
from installer.bundle.steps import BundleError
from installer.bundle.wheel_facts import read_wheel
from installer.bundle.wheel_lists import check
from installer.bundle.wheelhouse import (
    BUNDLED,
    TARGETS,
    Lists,
    check_directory,
    check_lists,
    read_lists,
    running,
    select,
    write_lists,
)
from tests.installer.bundle.wheel_files import write_wheel

TARGET = TARGETS["cp312"]
ABI3 = "b-2.0-cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
Small = tuple[Path, Path, list[Locked]]


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Lists of two wheels, the wheels, and the universal lock that allows them."""
    wheels, lists = tmp_path / "wheels", tmp_path / "lists"
    wheels.mkdir()
    lists.mkdir()
    paths = [
        write_wheel(wheels / "a-1.0-py3-none-any.whl"),
        write_wheel(wheels / ABI3, name="b", version="2.0"),
    ]
    write_lists(TARGET.name, "0.1.0", [read_wheel(path) for path in paths], lists)
    hashes = [sha256_file(path) for path in paths]
    lock = [
        Locked("a", "1.0", "python_version >= '3.12'", frozenset({hashes[0], "0" * 64})),
        Locked("a", "0.9", "python_version < '3.12'", frozenset({"1" * 64})),
        Locked("b", "2.0", "", frozenset({hashes[1]})),
        Locked("w", "1.0", "sys_platform == 'win32'", frozenset({"2" * 64})),
    ]
    return wheels, lists, lock


def checked(small: Small) -> None:
    wheels, where, lock = small
    lists = read_lists(TARGET.name, where)
    check_lists(lists, lock, TARGET)
    check_directory(wheels, lists)


def test_lists_that_agree_pass(small: Small) -> None:
    checked(small)


def test_the_lists_in_the_repository_agree() -> None:
    assert check() > 100


def test_a_dependency_without_lists_is_noticed() -> None:
    runtime = [*read_lock(LOCKS / "lock-runtime.txt"), Locked("zz", "1", "", frozenset({"0" * 64}))]
    with pytest.raises(BundleError, match=r"\('zz', '1'\); make lock"):
        check_lists(read_lists(BUNDLED.name), runtime, BUNDLED)


def edit(suffix: str, old: str, new: str) -> Callable[[Small], None]:
    def do(small: Small) -> None:
        path = small[1] / f"{TARGET.name}.{suffix}"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return do


def drop_line(suffix: str) -> Callable[[Small], None]:
    def do(small: Small) -> None:
        path = small[1] / f"{TARGET.name}.{suffix}"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))

    return do


def drop_part(small: Small) -> None:
    path = small[1] / f"{TARGET.name}.cdx.json"
    path.write_bytes(sbom.write("x", "1", sbom.read(path.read_bytes())[1:]))


def other_hash_in_the_bill(small: Small) -> None:
    path = small[1] / f"{TARGET.name}.cdx.json"
    digest = sbom.read(path.read_bytes())[0].sha256
    path.write_text(path.read_text().replace(digest, "3" * 64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit("lock", "a==1.0", "a==1.1"), "runtime lock and cp312.lock differ"),
        (edit("lock", "sha256:", "sha256:" + "0" * 64 + " --hash=sha256:"), "not one wheel"),
        (drop_line("lock"), "runtime lock and cp312.lock differ"),
        (drop_line("sha256"), "cp312.lock and cp312.sha256 differ"),
        (edit("sha256", "a-1.0-py3", "a-1.1-py3"), "cp312.lock and cp312.sha256 differ"),
        (edit("sha256", "a-1.0-py3-none-any.whl", "a-1.0.tar.gz"), "an sdist, not a wheel"),
        (edit("sha256", "cp39-abi3", "cp313-cp313"), "does not run on cp312"),
        (edit("sha256", "manylinux_2_17_x86_64.manylinux2014", "manylinux_2_34"), "not run on"),
        (edit("sha256", "  ", " *"), "not one sum of one file"),
        (
            edit("cdx.json", '"purl": "pkg:pypi/a', '"purl": "pkg:pypi/c'),
            "cp312.sha256 and cp312.cdx.json differ",
        ),
        (edit("cdx.json", '"CycloneDX"', '"SPDX"'), "not a CycloneDX"),
        (drop_part, "cp312.sha256 and cp312.cdx.json differ"),
        (other_hash_in_the_bill, "cp312.sha256 and cp312.cdx.json differ"),
        (lambda small: (small[1] / "cp312.lock").unlink(), "no readable lists of cp312"),
        (lambda small: small[2].clear(), "runtime lock and cp312.lock differ"),
    ],
)
def test_lists_that_differ_are_refused(
    small: Small, change: Callable[[Small], None], message: str
) -> None:
    change(small)
    with pytest.raises(BundleError, match=message):
        checked(small)


def test_a_wheel_that_the_universal_lock_does_not_allow_is_refused(small: Small) -> None:
    small[2][2] = Locked("b", "2.0", "", frozenset({"4" * 64}))
    with pytest.raises(BundleError, match=r"cp312.lock: b is not one wheel of the lock"):
        checked(small)


@pytest.mark.parametrize("change", ["extra", "missing", "flipped", "sdist", "pth"])
def test_a_directory_that_differs_is_refused(small: Small, change: str) -> None:
    wheels = small[0]
    wheel = wheels / "a-1.0-py3-none-any.whl"
    match change:
        case "extra":
            shutil.copyfile(wheel, wheels / "c-1.0-py3-none-any.whl")
            message = "differ: c-1.0"
        case "missing":
            wheel.unlink()
            message = "differ: a-1.0"
        case "flipped":
            data = wheel.read_bytes()
            wheel.write_bytes(data.replace(b"x = 1", b"x = 2", 1))
            message = "not the one in the sums"
        case "sdist":
            (wheels / "a-1.0.tar.gz").write_bytes(b"")
            message = "an sdist, not a wheel"
        case _:
            write_wheel(wheel, "a.pth")
            message = "runs at every start"
    with pytest.raises(BundleError, match=message):
        checked(small)


def test_a_wheel_built_here_is_named_by_its_hash(small: Small) -> None:
    wheels, where, _ = small
    own = write_wheel(wheels / "own-1.0-py3-none-any.whl", name="own")
    lists = read_lists(TARGET.name, where)
    check_directory(wheels, lists, more={own.name: sha256_file(own)})
    with pytest.raises(BundleError, match="not the one in the sums"):
        check_directory(wheels, lists, more={own.name: "0" * 64})


def test_a_lock_is_read_for_each_python() -> None:
    runtime = read_lock(LOCKS / "lock-runtime.txt")
    versions = {
        target.name: {e.version for e in select(runtime, target) if e.name == "numpy"}
        for target in TARGETS.values()
    }
    assert all(len(found) == 1 for found in versions.values())
    assert versions["cp311"] != versions["cp312"]


def test_tags_are_those_that_this_python_would_take() -> None:
    newer = re.compile(r"manylinux_2_(3[2-9]|[4-9]\d)_x86_64|linux_x86_64")
    assert running().tags == {t for t in sys_tags() if not newer.fullmatch(t.platform)}
    assert not parse_tag("cp39-abi3-manylinux_2_34_x86_64") & running().tags


def test_lists_are_plain_values() -> None:
    lists = read_lists(BUNDLED.name)
    assert isinstance(lists, Lists)
    assert {part.sha256 for part in lists.parts} == set(lists.sums.values())
