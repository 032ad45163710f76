"""The lowest scheduling priority, for processes that do heavy work."""

import os
from typing import Final

LOWEST_NICE: Final = 19


def lower(pid: int = 0) -> None:
    """Give a process the lowest priority: SCHED_IDLE and nice 19 (sched(7)).

    Threads that it starts later inherit both.

    `pid` is of a process without a second thread yet; 0 is this one.
    """
    os.setpriority(os.PRIO_PROCESS, pid, LOWEST_NICE)
    os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
