"""Servers that are ready for a check, and the alternation of the two sides.

Rules: the data directories lie in the cache directory, since the audit log must be written to a
real disk, and are removed at the end.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from benchmarks import models, peer, servers
from benchmarks.loads import Ask
from benchmarks.measure import Run, drive, load_of, summarise, warm_up
from benchmarks.results import Figure
from benchmarks.servers import Lab, Server
from benchmarks.statistics import Summary, ratios
from installer.bundle.cache import cache_root, exclusive
from installer.bundle.steps import say

SIDES: Final = ("ours", "peer")


class Workshop:
    """Models and data directories of one invocation, made when first needed.

    While one is open, another invocation waits: two that measure at once measure each other.
    """

    def __init__(self) -> None:
        self.root = cache_root() / "benchmarks"
        self._labs: dict[str, Lab] = {}
        self._lock = exclusive(self.root / "measuring.lock")

    def __enter__(self) -> "Workshop":
        self._lock.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for name in self._labs:
            shutil.rmtree(self.root / name, ignore_errors=True)
        self._lock.__exit__(*error)

    def lab(self, model: str, suffix: str = "", *, slots: int = servers.SLOTS) -> Lab:
        """Another one for each suffix and number of slots."""
        name = f"{model}{suffix}-{slots}"
        if name not in self._labs:
            say(f"  preparing the data directory {name}")
            self._labs[name] = servers.prepare_lab(
                self.root / name, models.gguf(model), slots=slots
            )
        return self._labs[name]


@dataclass
class Session:
    """One check on one model.

    Attributes:
        repeat: repetitions, each with both sides.
        scale: factor on the numbers of requests; below 1 for a smoke run.
    """

    workshop: Workshop
    model: str
    repeat: int = 3
    scale: float = 1.0
    runs: list[dict[str, Any]] = field(default_factory=list)
    commands: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def gguf(self) -> Path:
        return models.gguf(self.model)

    def count(self, requests: int) -> int:
        """That many requests at full scale."""
        return max(2, round(requests * self.scale))

    @contextlib.contextmanager
    def serving(
        self, side: str, program: tuple[str, ...] = ("appliance", "serve")
    ) -> Iterator[Server]:
        """A server of this side that has answered its first requests."""
        start = (
            servers.ours(self.workshop.lab(self.model), program)
            if side == "ours"
            else servers.peer(peer.chosen(), self.gguf)
        )
        with start as server:
            self.commands[side] = server.command
            warm_up(server)
            yield server

    def alternate(
        self, load: Callable[[int, str], Sequence[Ask]], name: str, sides: Sequence[str] = SIDES
    ) -> dict[str, list[Run]]:
        """Both sides with the same load, again and again; `name` is the load's, in the record."""
        runs: dict[str, list[Run]] = {side: [] for side in sides}
        for repetition in range(self.repeat):
            for side in sides:
                asks = load(repetition, side)
                with self.serving(side.partition(" ")[0]) as server:
                    answers = drive(load_of(server, asks))
                run = summarise(side, answers, documents=asks[0].document)
                runs[side].append(run)
                self.record(repetition, name, run)
        return runs

    def record(self, repetition: int, name: str, run: Run) -> None:
        """Keep a run and show its main figures."""
        self.runs.append({"repetition": repetition, "load": name, **msgspec.to_builtins(run)})
        what = (
            f"{run.documents_s:.3f} documents/s" if run.documents_s else f"{run.tokens_s:.1f} tok/s"
        )
        say(
            f"  {name} {repetition + 1} {run.side}: {what}, gap p99 {run.gap_p99:.0f} ms, "
            f"ttft p50 {run.ttft_p50:.0f} ms, {run.requests} requests in {run.seconds:.1f} s"
            + (f", {run.errors} errors: {run.first_error}" if run.errors else "")
        )


def compare(
    name: str,
    unit: str,
    attribute: str,
    runs: dict[str, list[Run]],
    *,
    other: str = "peer",
    relation: Literal["≥", "≤", ""] = "",
    target: float = 0.0,
) -> Figure:
    """One figure of both sides and its ratio."""
    mine = [float(getattr(run, attribute)) for run in runs["ours"]]
    theirs = [float(getattr(run, attribute)) for run in runs[other]]
    return Figure(
        name=name,
        unit=unit,
        value=Summary.of(ratios(mine, theirs)),
        ours=Summary.of(mine),
        other=Summary.of(theirs),
        relation=relation,
        target=target,
    )
