"""The facts about the host."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.host import hardware

CPUINFO = """\
processor\t: 0
model name\t: AMD EPYC 9354
flags\t\t: fpu avx2 avx512f

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd\nHardware\t: BCM2835\n"
MEMINFO = "MemTotal:       24683 kB\nMemAvailable:    1024 kB\nHugePages_Total:       0\n"
GOOD = hardware.HostFacts(
    cpu="c", cpu_flags=frozenset(), cores=2, memory=1, memory_available=1, kernel="6.1.0-18-amd64",
    architecture="x86_64", seccomp=True, landlock_abi=2, disk_total=1, disk_free=1,
)  # fmt: skip


def test_the_first_processor_counts() -> None:
    assert hardware.parse_cpuinfo(CPUINFO) == (
        "AMD EPYC 9354",
        frozenset({"fpu", "avx2", "avx512f"}),
    )


def test_arm_names_itself_differently() -> None:
    assert hardware.parse_cpuinfo(ARM) == ("BCM2835", frozenset({"fp", "asimd"}))


def test_memory_is_in_bytes_and_counts_are_left_out() -> None:
    assert hardware.parse_meminfo(MEMINFO) == {"MemTotal": 24683 * 1024, "MemAvailable": 1024**2}


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("max\n", None),
        ("", None),
        ("1073741824\n", 1 << 30),
        ("9223372036854771712\n", None),  # how cgroup v1 writes "no limit"
        ("-1", None),
        ("9" * 5000, None),
    ],
)
def test_a_limit_of_a_control_group(text: str, limit: int | None) -> None:
    assert hardware.parse_cgroup_limit(text) == limit


@pytest.mark.parametrize(
    ("release", "numbers"),
    [("6.1.0-18-amd64", (6, 1)), ("5.10", (5, 10)), ("6.18.44-fc-v669", (6, 18)), ("x", (0, 0))],
)
def test_kernel_releases(release: str, numbers: tuple[int, int]) -> None:
    assert hardware.parse_kernel(release) == numbers


@given(st.text())
def test_no_text_breaks_a_parser(text: str) -> None:
    hardware.parse_cpuinfo(text)
    hardware.parse_meminfo(text)
    hardware.parse_cgroup_limit(text)
    hardware.parse_kernel(text)


def test_a_good_host_has_no_problems() -> None:
    assert hardware.problems(GOOD) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kernel": "5.10.0-28-amd64"}, "5.10.0-28-amd64"),
        ({"seccomp": False}, "seccomp"),
        ({"landlock_abi": 0}, "Landlock"),
        ({"architecture": "riscv64"}, "riscv64"),
    ],
)
def test_each_lack_is_one_problem(change: dict[str, object], word: str) -> None:
    (problem,) = hardware.problems(replace(GOOD, **change))  # type: ignore[arg-type]
    assert word in problem


def test_this_host_can_be_read(tmp_path: Path) -> None:
    facts = hardware.host_facts(tmp_path / "not" / "there" / "yet")
    assert facts.cores >= 1
    assert facts.memory >= facts.memory_available > 0
    assert facts.disk_total >= facts.disk_free > 0
    assert hardware.parse_kernel(facts.kernel) > (0, 0)
    assert facts.landlock_abi >= 0


@given(st.integers(1, 1024))
def test_a_core_is_left_to_the_server_where_there_are_enough(cores: int) -> None:
    threads = hardware.compute_threads(cores)
    assert threads == (cores if cores < 3 else cores - 1)
