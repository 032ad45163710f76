"""The command line: build the peer, run checks, write the report.

usage: python -m benchmarks peer | choose | run CHECK... | report
"""

import argparse
import signal
import sys
import time
import traceback

from benchmarks import machine, peer, results, servers
from benchmarks.checks.table import CHECKS, SETS, Check, named
from benchmarks.loads import independent
from benchmarks.measure import drive, load_of, summarise, warm_up
from benchmarks.models import MODELS, SHAPED, gguf
from benchmarks.report import markdown, svg
from benchmarks.servers import BenchError
from benchmarks.session import Session, Workshop
from installer.bundle.steps import BundleError, say

_CHOICE_REQUESTS = 16
_CHOICE_ROUNDS = 3


def choose_peer() -> None:
    """Keep the build that is faster under a short `indep` load."""
    place = peer.obtain()
    measured: dict[str, list[float]] = {build: [] for build in peer.BUILDS}
    with Workshop():  # nothing else measures meanwhile
        for number in range(_CHOICE_ROUNDS):
            for build, found in measured.items():
                with servers.peer(place / build / "llama-server", gguf("smollm2")) as server:
                    warm_up(server)
                    answers = drive(load_of(server, independent(_CHOICE_REQUESTS, number)))
                found.append(summarise(build, answers).tokens_s)
                say(f"  {build} {number + 1}: {found[-1]:.1f} tok/s")
    say(f"the peer is the build {peer.choose(place, measured)}")


def run(checks: list[Check], models: list[str], repeat: int, scale: float) -> int:
    """Run checks, merging each into the results at once; the exit status."""
    failed = 0
    with Workshop() as workshop:
        for check in checks:
            for model in [m for m in models or check.models if models or m in check.models]:
                session = Session(workshop, model, repeat, scale)
                say(f"{check.name} {model}: {check.title}")
                try:
                    keep(_measured(check, session))
                except Exception:  # the other checks are worth having all the same
                    say(traceback.format_exc())
                    failed = 1
    return failed


def _measured(check: Check, session: Session) -> results.Entry:
    begun = time.monotonic()
    figures = check.measure(session)
    return results.Entry(
        check=check.name,
        model=session.model,
        title=check.title,
        when=machine.today(),
        commit=machine.commit(),
        machine=machine.machine(session.workshop.root),
        repeat=session.repeat,
        seconds=time.monotonic() - begun,
        figures=figures,
        commands=session.commands,
        runs=session.runs,
        notes=[*session.notes, *([f"scale {session.scale:g}"] if session.scale != 1 else [])],
    )


def keep(entry: results.Entry) -> None:
    """Merge an entry into the files under results/."""
    everything = results.read().merged(entry)
    results.write(everything)
    report(everything)
    for figure in entry.figures:
        verdict = {True: "  met", False: "  MISSED", None: ""}[figure.met]
        target = f" (target {figure.relation} {figure.target:g})" if figure.relation else ""
        say(f"    {figure.name}: {figure.value.median:.3g}{target}{verdict}")


def report(everything: results.Results) -> None:
    """Write the table and the picture."""
    results.RESULTS.mkdir(exist_ok=True)
    results.LATEST.with_suffix(".md").write_text(markdown(everything))
    results.LATEST.with_suffix(".svg").write_text(svg(everything))


def main() -> int:
    """Parse and act; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("peer", help="build llama-server, and choose a build if none is chosen")
    commands.add_parser("choose", help="measure again which build is the peer")
    commands.add_parser("report", help="write table and picture of the results")
    running = commands.add_parser("run", help="run checks")
    running.add_argument("checks", nargs="+", metavar="CHECK", help=", ".join([*CHECKS, *SETS]))
    running.add_argument("--model", action="append", choices=(*MODELS, SHAPED), default=[])
    running.add_argument("--repeat", type=int, default=3)
    running.add_argument("--scale", type=float, default=1.0, help="factor on request counts")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers end with their blocks
    try:
        if options.command == "run":
            return run(named(options.checks), options.model, options.repeat, options.scale)
        if options.command == "report":
            report(results.read())
        elif options.command == "choose" or not (peer.obtain() / "choice.json").exists():
            choose_peer()
    except KeyError as error:
        parser.error(f"no check {error}")
    except (BenchError, BundleError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
