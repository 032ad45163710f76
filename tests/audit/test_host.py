"""Moments and ids."""

import uuid
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from appliance.audit.host import HostMoments, uuid7
from appliance.clock import FixedClock


@given(st.integers(0, (1 << 48) * 1_000 - 1))
def test_ids_are_version_7_uuids_of_their_millisecond(time_us: int) -> None:
    made = uuid.UUID(uuid7(time_us))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == time_us // 1_000


def test_ids_of_one_moment_differ() -> None:
    assert len({uuid7(5) for _ in range(1_000)}) == 1_000


def test_a_moment_has_the_clocks_wall_time_and_the_kernels_boot() -> None:
    moments = HostMoments(FixedClock(77))
    first, second = moments.now(), moments.now()
    assert first.time_us == second.time_us == 77
    assert first.boot_id == second.boot_id
    assert first.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert 0 < first.mono_us <= second.mono_us
