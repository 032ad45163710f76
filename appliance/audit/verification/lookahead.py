"""The program that verifies the second half of a log (second_process.py).

    python -I -m appliance.audit.verification.lookahead DIRECTORY FIRST END KEY

Rules: it prints how many entries it has checked, then one line of JSON if it found nothing.
"""

import sys
from pathlib import Path

import msgspec

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.verification.verify import look_ahead
from appliance.host import core_dumps, host_key


def main() -> int:
    """Verify a range, assuming a sound log before it."""
    core_dumps.forbid()  # it unwraps content keys
    directory, first, end, key = sys.argv[1:]
    if unlocked := sys.stdin.buffer.read():
        host_key.take(Path(directory).parent, unlocked)

    def progress(done: int, _total: int) -> None:
        sys.stdout.write(f"{done}\n")
        sys.stdout.flush()

    found = look_ahead(
        Path(directory), int(first), int(end), VerifierKey.parse(key.encode()), progress
    )
    if found is not None:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    return found is None


if __name__ == "__main__":
    sys.exit(main())
