"""The priority of heavy work, as the kernel tells it."""

import os
import subprocess
import sys

_CHILD = """\
import os, threading
from appliance.jobs.priority import lower
before = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
lower()
inherited = []
thread = threading.Thread(
    target=lambda: inherited.append((os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)))
)
thread.start(); thread.join()
print(before, os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0), inherited[0])
"""


def test_a_process_and_its_threads_get_the_lowest_priority() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True
    )
    before = f"({os.SCHED_OTHER}, {os.getpriority(os.PRIO_PROCESS, 0)})"
    assert done.stdout.strip() == f"{before} {os.SCHED_IDLE} 19 ({os.SCHED_IDLE}, 19)"
