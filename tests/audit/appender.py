"""A process that appends and prints each promised receipt, until it is killed.

    python -m tests.audit.appender DIRECTORY MODE

Each line is `seq leaf` of one entry. `honest` prints it when the future resolved; `early`, the
control, when the draft was handed over. `twenty` and `four` append so many; `unsynced`, the
control, tells SQLite not to sync. `reopen` appends nothing. `roll` appends four across a new
segment, `prune` removes the first of two, `epoch` changes the key between two entries.
"""

import sys
import threading
from collections.abc import Callable
from pathlib import Path

from appliance.audit import store
from appliance.audit.log import AuditLog
from appliance.audit.reader import LogReader
from tests.audit.logs import erasure, intent, open_log, outcome
from tests.audit.segmented import ROWS, open_segments, prune

THREADS = 4
ERASED = "to-be-erased"


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def honest(log: AuditLog, number: int) -> None:
    n = 0
    while True:
        n += 1
        request = f"{number}-{n}"
        (asked,) = log.append(intent(request)).result()
        say(f"{asked.seq} {asked.leaf.hex()}")
        if n % 3:  # every third stays open
            (done,) = log.append(outcome(asked.seq, request)).result()
            say(f"{done.seq} {done.leaf.hex()}")


def early(log: AuditLog) -> None:
    seq = log.size
    while True:
        log.append(intent(str(seq), bytes(10_000)))
        say(f"{seq} ?")
        seq += 1


def some(log: AuditLog, count: int) -> None:
    log.append(intent("content keys are made in advance")).result()
    say("begin")
    for number in range(count):
        (asked,) = log.append(intent(str(number))).result()
        say(f"{asked.seq} {asked.leaf.hex()}")
    say("end")


def run(directory: Path, mode: str, opened: Callable[[AuditLog], object] = id) -> None:
    """Run a mode; `opened` gets the log before anything is appended."""
    log = (open_segments if mode in ("roll", "prune") else open_log)(directory)
    opened(log)
    if mode == "reopen":
        log.close()
        say("end")
    elif mode == "prune":
        done = prune(log, directory, ROWS, "Alice", "Bob")
        say(f"{done.seq} {done.leaf.hex()}")
        log.close()
    elif mode == "epoch":
        some(log, 1)
        log.new_epoch().result()
        some(log, 1)
        log.close()
    elif mode == "erase":
        reader = LogReader(directory)
        (done,) = log.append(erasure(reader, ERASED, "uid:0", "asked for")).result()
        reader.close()
        say(f"{done.seq} {done.leaf.hex()}")
        log.close()
    elif mode in ("twenty", "four", "roll", "unsynced"):
        if mode == "unsynced":
            dbapi = store.raw(log._session.connection)
            dbapi.set_authorizer(None)
            dbapi.execute("PRAGMA synchronous = OFF")
        some(log, 4 if mode in ("four", "roll") else 20)
        log.close()
    elif mode == "early":
        early(log)
    else:
        for number in range(THREADS):
            threading.Thread(target=honest, args=(log, number)).start()


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2])
