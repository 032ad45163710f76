"""Processor time and memory as counters."""

import os

import pytest

from appliance.host.usage import parse_peak, parse_process, parse_stat, peak, usage

TICKS = os.sysconf("SC_CLK_TCK")


def test_idle_and_waiting_are_not_busy() -> None:
    busy, total = parse_stat("cpu  10 0 20 30 40 0 0 0 0 0\ncpu0 1 1\n")
    assert (busy * TICKS, total * TICKS) == (30, 100)


@pytest.mark.parametrize("text", ["", "cpu", "cpu 1 2", "intr 1 2 3 4 5 6 7 8", "cpu x x x x x x"])
def test_a_file_that_cannot_be_read_counts_nothing(text: str) -> None:
    assert parse_stat(text) == (0.0, 0.0)


def test_the_name_of_a_process_may_hold_anything() -> None:
    fields = ["S", *["0"] * 10, "100", "50", *["0"] * 8, "7"]
    seconds, size = parse_process("1 (a) S 9 9) " + " ".join(fields))
    assert (seconds * TICKS, size) == (150, 7 * os.sysconf("SC_PAGE_SIZE"))
    assert parse_process("1 (a) S") == (0.0, 0)


def test_the_host_is_read_and_a_process_that_is_gone_counts_nothing() -> None:
    here = usage([os.getpid()])
    assert 0 < here.host_busy <= here.host_total and here.own_memory > 1 << 20
    assert usage([1 << 30]).own_memory == 0


def test_the_peak_of_a_process_is_read() -> None:
    assert parse_peak("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t 10 kB\n") == 2 << 20
    assert parse_peak("VmHWM: many\n") == parse_peak("") == 0
    assert peak(os.getpid()) > 1 << 20
    assert peak(1 << 30) == 0
