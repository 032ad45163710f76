"""A neighbour: one loop that does nothing, on one core, until it is killed.

usage: python -m benchmarks.busy CORE
"""

import os
import sys

if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[1])})
    while True:
        pass
