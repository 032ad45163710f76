"""What `receipt = "mirrored"` adds to an answer: appliances of a site on this machine.

One of them answers, with mirrored receipts and without in turns; its model computes nothing. Of two
cores the clients and all of them have a part. With a round trip, in a network namespace of its own
(root), it is between the client and the appliance, too.

usage: python -m benchmarks.mirrored [--rounds N] [--answers N] [--rate R] [--members 2]
                                     [--round-trip-ms MS]
"""

import argparse
import functools
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

from appliance.app import Services
from appliance.trust.artifacts import signing
from appliance.trust.bytes import ecdsa
from benchmarks.models import gguf
from benchmarks.statistics import Summary, quantile
from tests.peers.cables import Load, load_approved, must, ready
from tests.peers.site_servers import SiteServer, servers, until
from tests.routing.upstreams.apart import namespace
from tests.site import MODEL, approve
from tests.smol import quiet
from tests.trust import policies

SHARES: Final = (0.5, 0.95, 0.99)
TARGET_MS: Final = 10.0
"""Of p95; two round trips more."""
_MIRRORED: Final = 'receipt = "mirrored"\n'
_WARM: Final = 30


def delay(milliseconds: float) -> None:
    """Begin again alone on a network whose packets take half of this."""
    if namespace() == namespace(os.getppid()):
        again = ["unshare", "-n", sys.executable, "-m", "benchmarks.mirrored", *sys.argv[1:]]
        os.execvp(again[0], again)  # noqa: S606
    must("ip", "link", "set", "lo", "up")
    late = f"{milliseconds / 2}ms"
    must("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", late, "limit", "100000")


def measured(one: SiteServer, secret: str, rate: float, answers: int, *, mirrored: bool) -> Load:
    """Restart the server and load it."""
    one.end(signal.SIGTERM)
    config = one.data / "appliance.toml"
    text = config.read_text().replace(_MIRRORED, "")
    more = _MIRRORED if mirrored else ""
    config.write_text(text.replace("[audit]\n", f"[audit]\n{more}"))
    one.start()
    until(functools.partial(ready, one))
    load = Load(one.url, secret, one.trust, rate)
    with load.running():
        load.more(_WARM)
        load.times.clear()
        load.more(answers)
    if load.failed:
        raise RuntimeError(f"an answer failed: {load.failed[0][1]}")
    return load


def added(root: Path, rounds: int, answers: int, rate: float, members: int) -> dict[float, Summary]:
    """Milliseconds that mirrored receipts add, by the share of the answers."""
    artifact = root / MODEL
    artifact.mkdir()
    shutil.copyfile(gguf("smollm2"), artifact / "model.gguf")
    signing.sign_directory(artifact, ecdsa.private_pem(policies.PUBLISHER), quiet)

    def prepare(name: str, services: Services) -> None:
        if name == "a":
            services.lifecycle.import_model("uid:0", artifact, None, quiet)
            approve(services, MODEL, "Alice", "Bob")

    found: dict[float, list[float]] = {share: [] for share in SHARES}
    with servers(root, "abc"[:members], prepare, null=True) as site:
        one = site["a"]
        load_approved(one)
        secret = one.command("key", "new", "bench", "--any-model")["secret"]
        for number in range(rounds):
            times = {}
            for mirrored in ((True, False), (False, True))[number % 2]:
                load = measured(one, secret, rate, answers, mirrored=mirrored)
                times[mirrored] = [1_000 * second for second in load.times]
            for share, each in found.items():
                each.append(quantile(times[True], share) - quantile(times[False], share))
                told = ", ".join(
                    f"{'mirrored' if mirrored else 'logged'} {quantile(times[mirrored], share):.1f}"
                    for mirrored in (False, True)
                )
                print(f"round {number + 1}, p{100 * share:.0f}: {told} ms", flush=True)
    return {share: Summary.of(each) for share, each in found.items()}


def main() -> None:
    """Measure, and print a line for each share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--answers", type=int, default=300)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--members", type=int, choices=(2, 3), default=3)
    parser.add_argument("--round-trip-ms", type=float, default=0)
    given = parser.parse_args()
    if given.round_trip_ms:
        delay(given.round_trip_ms)
    with tempfile.TemporaryDirectory() as directory:
        found = added(Path(directory), given.rounds, given.answers, given.rate, given.members)
    for share, ms in found.items():
        wanted = TARGET_MS + 2 * given.round_trip_ms
        target = f", at most {wanted:g} wanted" if share == 0.95 else ""
        print(
            f"p{100 * share:.0f} added: {ms.median:.1f} ms ({ms.low:.1f} to {ms.high:.1f}){target}"
        )


if __name__ == "__main__":
    main()
