"""The cost of a training for concurrent requests, and what they leave of it.

Rules:
- A server runs a real job of `tune`. Windows in which it trains and is paused alternate: A B, B A,
  A B.
- In both windows of a pair requests come at the same moments, with other words of the same number,
  so that no prefix is found again.
- A ratio is of all answers; its interval draws the two requests of one moment together.
- An alarm ends a hang; earlier windows are kept.

usage: python -m benchmarks.beside_training [--seconds N] [--window N] [--share N] [--rows N]
"""

import argparse
import contextlib
import random
import shutil
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from os import sysconf
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple

import msgspec

from benchmarks.generator import Answer
from benchmarks.loads import Ask, chat, words
from benchmarks.measure import Run, drive, load_of, summarise
from benchmarks.results import Figure
from benchmarks.servers import BenchError, Lab, Server, appliance, ours
from benchmarks.session import Workshop
from benchmarks.sheets import keep
from benchmarks.statistics import Summary, quantile
from benchmarks.tuned import EXAMPLES, Steps, prepare
from examples.demo import DemoError
from installer.bundle.steps import say

NAME: Final = "beside_training"
TARGET: Final = 1.1
_EXAMPLE: Final = "excavators"
_PROMPT: Final = 48  # words
_ANSWER: Final = 24  # tokens
_FIRST: Final = 8  # requests, one at a time, that say how long one takes
_MOST_PAIRS: Final = 12
_QUIET_S: Final = 10.0
_CLOSING_S: Final = 10.0
_LOOK_S: Final = 0.02
_SEEK_S: Final = 0.5
_UNSEEN_S: Final = 5.0
_DRAWS: Final = 1000
_SETTINGS: Final = ("epochs=100", "evaluations=1", "patience=1000", "longest=128")
"""A training that does not end meanwhile."""
_DEV: Final = 8


class TimeOver(BenchError):
    """The alarm rang."""


class Sample(NamedTuple):
    """The trainer at one moment: stopped or not, its processor time, its steps so far."""

    at: float
    frozen: bool
    cpu: float
    steps: int


@dataclass(frozen=True)
class Training:
    """The trainer during a window.

    Attributes:
        frozen: share of the time in which it is stopped for requests.
        cores: processor time over time.
        tokens_s: tokens a second, parts of steps included.
    """

    frozen: float
    cores: float
    tokens_s: float


@dataclass(frozen=True)
class Window:
    """The answers of a window; `training` is None where the job is paused."""

    answers: list[Answer]
    run: Run
    training: Training | None


@dataclass(frozen=True)
class Pair:
    """Two windows with the same moments."""

    beside: Window
    alone: Window


def moments(pair: int, rate: float, seconds: float) -> list[float]:
    """Moments of requests, by the number of the pair alone."""
    rng = random.Random(f"moments {pair}")
    at, found = rng.expovariate(rate), []
    while at < seconds:
        found.append(at)
        at += rng.expovariate(rate)
    return found


def asks(model: str, pair: int, side: str, at: Sequence[float]) -> list[Ask]:
    """Words depend on the window, their number does not."""
    return [
        Ask(chat(model, words(f"{pair} {side} {number}", _PROMPT), _ANSWER), moment)
        for number, moment in enumerate(at)
    ]


def order(pair: int) -> tuple[bool, bool]:
    """True for the window of a pair in which the job trains."""
    return (True, False) if pair % 2 == 0 else (False, True)


def during(samples: Sequence[Sample], begin: float, end: float, step_tokens: float) -> Training:
    """The trainer between two moments; a sample holds until the next."""
    within = [sample for sample in samples if begin <= sample.at <= end]
    if len(within) < 2 or within[0].at > begin + _UNSEEN_S or within[-1].at < end - _UNSEEN_S:
        raise BenchError("the trainer was not there during the whole window")
    seconds = within[-1].at - within[0].at
    frozen = sum(after.at - one.at for one, after in pairwise(within) if one.frozen)
    done = position(samples, within[-1]) - position(samples, within[0])
    return Training(
        frozen / seconds,
        (within[-1].cpu - within[0].cpu) / seconds,
        done * step_tokens / seconds,
    )


def position(samples: Sequence[Sample], at: Sample) -> float:
    """Steps until then, the one under way by its processor time."""
    ends = [after for before, after in pairwise(samples) if after.steps > before.steps]
    done = [end for end in ends if end.at <= at.at]
    near = ends[max(0, len(done) - 1) :][:2] if len(done) < len(ends) else done[-2:]
    if not done or len(near) < 2:
        return at.steps
    length = (near[1].cpu - near[0].cpu) / (near[1].steps - near[0].steps)
    return at.steps + min(1.0, (at.cpu - done[-1].cpu) / max(length, 1e-9))


def pooled(name: str, pairs: Sequence[Pair], of: Callable[[Answer], float], share: float) -> Figure:
    """A quantile of all answers beside the training over that of all without it."""
    twins = [
        (of(beside) * 1000, of(alone) * 1000)
        for pair in pairs
        for beside, alone in zip(pair.beside.answers, pair.alone.answers, strict=True)
        if not beside.error and not alone.error
    ]
    if not twins:
        raise BenchError("no two requests of one moment were both answered")
    rng = random.Random(1)
    drawn = sorted(
        one / other
        for one, other in (_of(rng.choices(twins, k=len(twins)), share) for _ in range(_DRAWS))
    )
    one, other = _of(twins, share)
    value = Summary(one / other, quantile(drawn, 0.025), quantile(drawn, 0.975))
    wanted = share == 0.95
    return Figure(
        name, "ms", value, Summary.of([one]), Summary.of([other]),
        "≤" if wanted else "", TARGET if wanted else 0.0,
    )  # fmt: skip


def _of(twins: Sequence[tuple[float, float]], share: float) -> tuple[float, float]:
    ones, others = zip(*twins, strict=True)
    return quantile(ones, share), quantile(others, share)


def figures(pairs: Sequence[Pair], quiet: Training) -> list[Figure]:
    """The figures of the sheet."""
    made = []
    kinds: tuple[tuple[str, Callable[[Answer], float]], ...] = (
        ("first token", lambda answer: answer.ttft),
        ("whole answer", lambda answer: answer.seconds),
    )
    for name, of in kinds:
        for share in (0.95, 0.5):
            what = f"{name}, p{share * 100:.0f}"
            made.append(pooled(f"{what} of all windows", pairs, of, share))
            each = [pooled("", [pair], of, share).value.median for pair in pairs]
            made.append(Figure(f"{what} pair by pair", "", Summary.of(each)))
    trained = [pair.beside.training for pair in pairs if pair.beside.training]
    speeds = [one.tokens_s for one in trained]
    return [
        *made,
        Figure("share of the time that the trainer is frozen", "",
               Summary.of([one.frozen for one in trained])),
        Figure("the trainer's tokens/s, beside requests / without any", "tokens/s",
               Summary.of([speed / quiet.tokens_s for speed in speeds]),
               Summary.of(speeds), Summary.of([quiet.tokens_s])),
        Figure("cores that the trainer has", "", Summary.of([one.cores for one in trained])),
    ]  # fmt: skip


class Watch:
    """Looks at the trainer of a server, in a thread, fifty times a second."""

    def __init__(self, server: Server, losses: Path) -> None:
        self._server, self._losses = server, losses
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.samples: list[Sample] = []
        """Of the trainer that is there."""

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def trainer(self) -> int | None:
        """None while there is none."""
        with contextlib.suppress(OSError):
            return next((pid for pid in self._server.pids() if _trains(pid)), None)
        return None

    def steps(self) -> int:
        """Told by the job since it was started or resumed."""
        with contextlib.suppress(OSError):
            return self._losses.read_bytes().count(b"\n")
        return 0

    def _run(self) -> None:
        pid, size, steps = None, -1, 0
        while not self._stop.wait(_LOOK_S if pid else _SEEK_S):
            try:
                if pid is None:
                    pid, self.samples = self.trainer(), []
                if pid is None:
                    continue
                frozen, cpu = looked_at(pid)
                if (now := self._losses.stat().st_size) != size:
                    size, steps = now, self.steps()
            except OSError:
                pid = None
                continue
            self.samples.append(Sample(time.monotonic(), frozen, cpu, steps))


def looked_at(pid: int) -> tuple[bool, float]:
    """True if a process is stopped, and its processor time in seconds (proc_pid_stat(5)).

    One of the lowest priority stops only when it gets the processor again, so a waiting signal
    counts.

    Raises:
        OSError: it is not there.
    """
    place = Path(f"/proc/{pid}")
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    waits = (place / "status").read_text().partition("ShdPnd:")[2].split()[0]
    frozen = fields[0] == "T" or bool(int(waits, 16) >> (signal.SIGSTOP - 1) & 1)
    return frozen, (int(fields[11]) + int(fields[12])) / sysconf("SC_CLK_TCK")


def _trains(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"appliance.tuning.trainer" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


class Job:
    """The training, paused and resumed as by a person."""

    def __init__(self, data: Path, given: Sequence[str], server: Server) -> None:
        self._data = data
        begun = appliance(data, "tune", "run", *given, "--no-wait")
        self._id = str(begun["id"])
        self.watch = Watch(server, data / "tuning" / self._id / "seed-0.losses")
        self._trains = False

    def let(self, trains: bool) -> None:
        """Returns when it trains or is paused."""
        if trains == self._trains:
            return
        if not trains:
            self._steer("pause")
            self._until(lambda: self._state() == "paused")
        else:
            if self._state() == "paused":
                self._steer("resume")
            self._until(lambda: self.watch.trainer() is not None)
            told = self.watch.steps()
            self._until(lambda: self.watch.steps() > told)
        self._trains = trains

    def end(self) -> None:
        self._steer("cancel")

    def _steer(self, action: str) -> None:
        appliance(self._data, "job", action, self._id)

    def _state(self) -> str:
        found = appliance(self._data, "job", "show", self._id)
        if found["state"] in ("done", "failed", "cancelled", "interrupted"):
            raise BenchError(f"the training is {found['state']}: {found['message']}")
        return str(found["state"])

    def _until(self, so: Callable[[], bool]) -> None:
        turn = 0
        while not so():
            time.sleep(0.5)
            turn += 1
            if turn % 10 == 0:
                self._state()  # raises when it has ended


def window(server: Server, job: Job, load: list[Ask], trains: bool, step_tokens: float) -> Window:
    """One window."""
    job.let(trains)
    answers = drive(load_of(server, load))
    found = None
    if trains:
        begin, end = min(a.begun for a in answers), max(a.ended for a in answers)
        found = during(job.watch.samples, begin, end, step_tokens)
    side = "beside the training" if trains else "paused"
    run = summarise(side, answers)
    frozen = f", trainer frozen {found.frozen:.0%}, {found.tokens_s:.0f} tokens/s" if found else ""
    say(f"  {side}: {run.requests} answers, {run.errors} errors, first token p95 "
        f"{run.ttft_p95:.0f} ms, whole p95 {run.latency_p95:.0f} ms{frozen}")  # fmt: skip
    return Window(answers, run, found)


def one_takes(server: Server, model: str) -> float:
    """Seconds of a request that is alone, the median of a few."""
    load = [
        Ask(chat(model, words(f"first {number}", _PROMPT), _ANSWER)) for number in range(_FIRST)
    ]
    answers = drive(load_of(server, load, concurrency=1))
    if problem := next((answer.error for answer in answers if answer.error), ""):
        raise BenchError(f"the server does not answer: {problem}")
    return statistics.median(answer.seconds for answer in answers[1:])


def measure(root: Path, asked: argparse.Namespace, end: float) -> None:
    """Prepare, measure as long as there is time, and write the sheet."""
    begun = time.monotonic()
    steps = Steps(root)
    prepare(steps, _EXAMPLE, EXAMPLES[_EXAMPLE], asked.rows, 0)
    lab = Lab(steps.data, (appliance(steps.data, "key", "create", "app")["secret"],))
    given = [str(root / "task"), "--data", str(root / _EXAMPLE), "--dev", str(_DEV)]
    given += [part for setting in _SETTINGS for part in ("--set", setting)]
    with ours(lab) as server:
        alone_s = one_takes(server, steps.model)
        rate = asked.share / alone_s
        say(f"  one request takes {alone_s * 1000:.0f} ms; {rate:.2f} come a second")
        planned = appliance(steps.data, "tune", "plan", *given)
        step_tokens = planned["tokens"] / planned["steps"]
        job = Job(steps.data, given, server)
        with job.watch:
            job.let(True)
            since = time.monotonic()
            time.sleep(_QUIET_S)
            quiet = during(job.watch.samples, since, time.monotonic(), step_tokens)
            say(f"  without requests: {quiet.tokens_s:.0f} tokens/s, {quiet.cores:.2f} cores")
            pairs: list[Pair] = []
            try:
                for pair in _pairs(server, job, steps.model, rate, asked.window, step_tokens, end):
                    pairs.append(pair)
            except TimeOver as over:
                say(f"  {over}: the pair that is not whole is left out")
            signal.setitimer(signal.ITIMER_REAL, 0)
        job.end()
    if not pairs:
        raise BenchError("there was no time for a pair of windows")
    keep(
        NAME,
        "smollm2",
        "answers beside a training and with the training paused",
        figures(pairs, quiet),
        time.monotonic() - begun,
        len(pairs),
        commands={"ours": f"python -m benchmarks.beside_training --window {asked.window:g} "
                          f"--share {asked.share:g} --rows {asked.rows}"},
        runs=list(_rows(pairs)),
        notes=[
            "ours: the job trains; other: it is paused. Intervals of pooled values: bootstrap "
            "over requests of one moment, 95 %",
            f"{rate:.2f} chat requests a second ({asked.share:g} of the rate of one at a time), "
            f"Poisson, {_PROMPT} words in, {_ANSWER} tokens out; {len(pairs)} pairs of windows of "
            f"{asked.window:g} s, {sum(len(p.beside.answers) for p in pairs)} requests each side, "
            f"{sum(p.beside.run.errors + p.alone.run.errors for p in pairs)} errors",
            f"the training: {planned['rows']} rows, {step_tokens:.0f} tokens a step on average, "
            f"{quiet.cores:.2f} cores without requests; tokens/s are steps times that average",
        ],
    )  # fmt: skip


def _pairs(
    server: Server,
    job: Job,
    model: str,
    rate: float,
    seconds: float,
    step_tokens: float,
    end: float,
) -> Iterator[Pair]:
    longest = 2 * seconds + 5.0
    for number in range(_MOST_PAIRS):
        begun = time.monotonic()
        if begun + longest > end:
            return
        at = moments(number, rate, seconds)
        found = {
            trains: window(server, job, asks(model, number, str(trains), at), trains, step_tokens)
            for trains in order(number)
        }
        longest = max(longest, time.monotonic() - begun)
        yield Pair(found[True], found[False])


def _rows(pairs: Sequence[Pair]) -> Iterator[dict[str, Any]]:
    for number, pair in enumerate(pairs):
        for one in (pair.beside, pair.alone):
            training = vars(one.training) if one.training else None
            yield {"pair": number, **msgspec.to_builtins(one.run), "training": training}


def _ring(number: int, frame: FrameType | None) -> None:
    raise TimeOver("the time is over")


def main() -> int:
    """Measure; the exit status says that it was possible, not that the target is met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside_training")
    parser.add_argument("--seconds", type=float, default=350.0, help="of all of it, at most")
    parser.add_argument("--window", type=float, default=25.0, help="seconds of a window")
    parser.add_argument("--share", type=float, default=0.3, help="of the rate of one at a time")
    parser.add_argument("--rows", type=int, default=160, help="of train")
    asked = parser.parse_args()
    with Workshop() as workshop:
        root = workshop.root / "beside-training"
        shutil.rmtree(root, ignore_errors=True)
        signal.signal(signal.SIGALRM, _ring)
        signal.setitimer(signal.ITIMER_REAL, asked.seconds)
        try:
            measure(root, asked, time.monotonic() + asked.seconds - _CLOSING_S)
        except (BenchError, DemoError) as error:
            say(f"failed: {error}")
            return 1
        finally:
            shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
