"""An absurdly long computation ends its process, whatever it holds."""

import signal
import subprocess
import sys

import pytest

from appliance.engine.watchdog import TOO_LONG, limit, watched

MIB = 1 << 20


def test_the_limit_grows_with_tokens_and_weights_and_is_far_from_what_is_usual() -> None:
    assert limit(1, 0) == 30
    assert limit(1, 100 * MIB) < limit(512, 100 * MIB) < limit(512, 4096 * MIB)
    # A model of 100 MiB computes 512 tokens in seconds, one of 4 GiB one token in half a second.
    assert limit(512, 100 * MIB) > 100
    assert limit(1, 4096 * MIB) > 40


@pytest.mark.parametrize(
    "stuck",
    [
        "while True: pass",
        "import re; re.match('(a*)*b', 'a' * 64)",  # never lets another thread of Python run
        "import threading; threading.Event().wait()",  # uses no processor at all
    ],
)
def test_a_process_that_is_stuck_is_ended_with_its_own_status(stuck: str) -> None:
    code = f"from appliance.engine.watchdog import watched\nwith watched(0.2):\n    exec({stuck!r})"
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == TOO_LONG


def test_what_ends_in_time_leaves_the_timer_as_it_was() -> None:
    before = signal.setitimer(signal.ITIMER_REAL, 900)
    try:
        with watched(600):
            assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 600
        assert 600 < signal.getitimer(signal.ITIMER_REAL)[0] <= 900
        with pytest.raises(ZeroDivisionError), watched(600):
            raise ZeroDivisionError
        assert 600 < signal.getitimer(signal.ITIMER_REAL)[0] <= 900
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)
