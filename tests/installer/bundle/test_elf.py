"""The reader of dynamic sections agrees with readelf and never leaks a parser's error."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from installer.bundle.elf import read_dynamic
from installer.bundle.steps import BundleError
from tests.conftest import need_tool

SYSTEM_LIBRARY = Path("/proc/self/exe")


@pytest.mark.parametrize(
    ("flags", "runpath", "rpath"),
    [
        (["-Wl,-rpath,$ORIGIN,--enable-new-dtags"], "$ORIGIN", None),
        (["-Wl,-rpath,$ORIGIN,--disable-new-dtags"], None, "$ORIGIN"),
        (["-Wl,-rpath,/a:,--enable-new-dtags"], "/a:", None),
        ([], None, None),
    ],
)
def test_search_paths(
    compile_library: Callable[..., bytes], flags: list[str], runpath: str | None, rpath: str | None
) -> None:
    facts = read_dynamic(compile_library(*flags))
    assert (facts.runpath, facts.rpath) == (runpath, rpath)
    assert facts.needed == ("libc.so.6",)


def test_agrees_with_readelf() -> None:
    path = SYSTEM_LIBRARY.resolve()
    printed = subprocess.run(
        [need_tool("readelf"), "-d", "-V", path], capture_output=True, text=True, check=True
    ).stdout
    facts = read_dynamic(path.read_bytes())
    assert list(facts.needed) == re.findall(r"\(NEEDED\).*\[(.+)\]", printed)
    versions = re.findall(r"Name: GLIBC_(\d+)\.(\d+)", printed)
    assert facts.glibc == max((int(major), int(minor)) for major, minor in versions)


OFFSETS = st.integers(0, 63) | st.integers(0, 1023) | st.integers(0, 20_000)  # headers first


def test_damage_is_refused_or_read(good_library: bytes) -> None:
    @example(1 << 16, [(39, 255)])  # the offset of the program headers
    @given(OFFSETS, st.lists(st.tuples(OFFSETS, st.integers(0, 255)), max_size=8))
    def damaged(kept: int, changes: list[tuple[int, int]]) -> None:
        data = bytearray(good_library[: kept + 1])
        for offset, value in changes:
            data[offset % len(data)] = value
        try:
            read_dynamic(bytes(data))
        except BundleError as error:
            assert "ELF" in str(error)

    damaged()


def test_other_formats_are_refused() -> None:
    with pytest.raises(BundleError, match="not a 64-bit"):
        read_dynamic(b"\x7fELF\x01\x01" + bytes(100))
