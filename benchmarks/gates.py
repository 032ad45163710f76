"""Verdicts of the gate for real candidates on the standing examples, by the product's own commands.

Rules: each candidate has a lab of its own, because the first pass of a sealed split ends its four
looks; margin 5 points, alpha 5 % over four looks; a row's command can be run again, and replaces
that row of results/gates.json, of which results/gates.md is made.

usage: python -m benchmarks.gates [--set NAME]… [--candidate NAME]… [--one-per-group] [--root DIR]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import machine, servers
from benchmarks.loads import MODEL
from benchmarks.results import RESULTS
from benchmarks.servers import BenchError, Lab
from installer.bundle import examples
from installer.bundle.cache import cache_root, exclusive
from installer.bundle.default_model import catalogued, obtain
from installer.bundle.steps import say

CHECKOUT: Final = Path(__file__).parents[1]
SHEET: Final = RESULTS / "gates.json"
TASKS: Final[Mapping[str, str]] = {
    "excavators": "excavator-system", "licences": "licence-id", "fail2ban": "log-fields",
}  # fmt: skip
"""The standing task of each example set."""
MODELS: Final[Mapping[str, str | None]] = {
    "smollm2": None, "qwen-0.5b": "qwen2.5-coder-0.5b-instruct",
}  # fmt: skip
"""Ids in the catalogue; None for the default model."""
TUNED: Final = f"{MODEL}:tuned"
_REGRESSION: Final = "logistic regression"
_CELLS: Final = 4096
_SLOTS: Final = 2


@dataclass(frozen=True)
class Candidate:
    """A candidate of the gate.

    Attributes:
        kind: as in `task.toml`.
        model: a key of `MODELS`; "" for none.
        shots: the shortest solved items in the prompt for each label.
        weight: of the model in a blend.
        tuned: items of `train` that an adapter learns first, once; 0 for none.
        incumbent: what it is compared with.
    """

    kind: str
    model: str = ""
    shots: int = 0
    weight: float = 0.0
    tuned: int = 0
    incumbent: str = _REGRESSION


CANDIDATES: Final[Mapping[str, Candidate]] = {
    "regression": Candidate("classifier", incumbent="majority"),
    "smollm2, zero-shot": Candidate("model", "smollm2"),
    "smollm2, few-shot": Candidate("model", "smollm2", shots=1),
    "blend with smollm2": Candidate("blend", "smollm2", shots=1, weight=0.2),
    "smollm2, tuned": Candidate("model", "smollm2", tuned=1000),
    "qwen-0.5b, few-shot": Candidate("model", "qwen-0.5b", shots=1),
    "blend with qwen-0.5b": Candidate("blend", "qwen-0.5b", shots=1, weight=0.3),
}
FIELDS: Final[Mapping[str, Candidate]] = {
    "smollm2, zero-shot": Candidate("model", "smollm2", incumbent="none"),
}
"""Candidates of a task whose answers are fields."""


@dataclass(frozen=True)
class Row:
    """One verdict; shares as the gate tells them, to the point."""

    data: str
    candidate: str
    incumbent: str
    verdict: str
    low: float
    high: float
    groups: int
    groups_needed: int | None
    items: str
    regression: float | None
    answer: str
    seconds: int
    when: str
    commit: str


def candidates(data: str) -> Mapping[str, Candidate]:
    """Those of a set."""
    return FIELDS if TASKS[data] == "log-fields" else CANDIDATES


def task_text(source: str, candidate: Candidate, model: str, digest: str) -> str:
    """The standing task with another candidate, and without its floor."""
    head, rest = source.split("[candidate]")
    rest = rest[rest.index("[prompt]") :]
    if candidate.shots:
        rest = rest.replace("\n\n[output]", '\nexamples = "examples.jsonl"\n\n[output]')
    lines = [f'kind = "{candidate.kind}"']
    if candidate.model:
        lines += [f'model = "{model}"', f'digest = "{digest}"']
    if candidate.kind != "model":
        lines.append('classifier = "classifier.json"')
    if candidate.kind == "blend":
        lines.append(f"weight = {candidate.weight}")
    kept = [line for line in rest.splitlines() if not line.startswith("floor")]
    return f"{head}[candidate]\n" + "\n".join(lines) + "\n\n" + "\n".join(kept) + "\n"


def shown(items: Sequence[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    """The shortest items of each label that have words enough."""
    labels = sorted({str(item["expected"]) for item in items})
    found: list[Mapping[str, Any]] = []
    for label in labels:
        own = [item for item in items if item["expected"] == label]
        plain = [item for item in own if len(item["input"]["text"].split()) >= 3] or own
        found += sorted(plain, key=lambda item: (len(item["input"]["text"]), item["id"]))[:count]
    return found


def judge(root: Path, data: str, name: str, *, one_per_group: bool) -> Row:
    """Set up a lab, seal the data, and take one look at `test`."""
    begun = time.monotonic()
    candidate = candidates(data)[name]
    gguf = obtain(cache_root() / "models", catalogued(MODELS[candidate.model or "smollm2"]))
    lab = servers.prepare_lab(root, gguf, keys=1, slots=_SLOTS)
    config = lab.data / "appliance.toml"
    config.write_text(config.read_text().replace(str(servers.CELLS), str(_CELLS)))
    dataset, task = root / data, root / "candidate"
    source = examples.obtain(cache_root() / "examples", examples.examples()[data])
    _call(lab, "dataset", "new", str(dataset), "--from", str(source), "--by", "given")
    _task(lab, task, dataset, CHECKOUT / "models" / "examples" / TASKS[data], candidate)
    publisher = str(lab.data / "keys" / "lab" / "publisher.pem")
    _call(lab, "dataset", "seal", str(dataset))
    for kind, path in (("dataset", dataset), ("task", task)):
        _call(lab, kind, "sign", str(path), "--key", publisher)
        _call(lab, kind, "import", str(path), "--id", path.name)
    _approve(lab, data)
    more: tuple[str, ...] = ("--one-per-group",) if one_per_group else ()
    more += ("--floor", "0.5") if candidate.incumbent == "none" else ()
    with servers.ours(lab):
        found = _call(
            lab, "eval", "gate", task.name, "--data", data, "--as", "publisher", "--key", publisher,
            "--incumbent", candidate.incumbent, *more, allowed=(0, 1),
        )  # fmt: skip
    if "verdict" not in found:
        raise BenchError(f"{data}, {name}: {found}")
    low, high = found["interval"]
    return Row(
        data, name, candidate.incumbent, found["verdict"], low, high, found["groups"],
        found["groups_needed"], "one of each group" if one_per_group else "all", found["advice"],
        found["answer"], round(time.monotonic() - begun), machine.today(), machine.commit(),
    )  # fmt: skip


def _task(lab: Lab, path: Path, dataset: Path, standing: Path, candidate: Candidate) -> None:
    shutil.copytree(standing, path)
    source = (standing / "task.toml").read_text()
    if candidate.tuned:
        _write(lab, path, source, candidate, MODEL)
        _tune(lab, path, dataset, candidate)
    _write(lab, path, source, candidate, TUNED if candidate.tuned else MODEL)
    if candidate.shots:
        train = [json.loads(line) for line in (dataset / "train.jsonl").read_text().splitlines()]
        lines = [json.dumps(item) + "\n" for item in shown(train, candidate.shots)]
        (path / "examples.jsonl").write_text("".join(lines))
    if candidate.kind != "model":
        _call(lab, "task", "fit", str(path), "--data", str(dataset))


def _write(lab: Lab, path: Path, source: str, candidate: Candidate, model: str) -> None:
    digest = _call(lab, "model", "show", model)["digest"]
    (path / "task.toml").write_text(task_text(source, candidate, model, digest))


def _tune(lab: Lab, task: Path, dataset: Path, candidate: Candidate) -> None:
    publisher = str(lab.data / "keys" / "lab" / "publisher.pem")
    with servers.ours(lab):
        made = _call(
            lab, "tune", "run", str(task), "--data", str(dataset), "--limit", str(candidate.tuned),
            "--dev", "60", "--set", "epochs=1", "--set", "evaluations=1", "--key", publisher,
        )  # fmt: skip
        say(f"tuned: {made.get('dev')}")
        _call(lab, "model", "import", made["adapter"], "--id", TUNED)
        _approve(lab, TUNED)


def _approve(lab: Lab, artifact: str) -> None:
    for person in ("approver-1", "approver-2"):
        key = str(lab.data / "keys" / "lab" / f"{person}.pem")
        _call(
            lab, "model", "approve", artifact, "--as", person, "--key", key, "--meaning", "measured"
        )


def _call(lab: Lab, *arguments: str, allowed: tuple[int, ...] = (0,)) -> Any:
    """A command's output, as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "appliance", *arguments, "--json"],
        env={"APPLIANCE_DATA": str(lab.data), "PATH": os.defpath},
        capture_output=True,
        check=False,
    )
    if done.returncode not in allowed:
        said = (done.stderr + done.stdout).decode()[-800:]
        raise BenchError(f"appliance {' '.join(arguments[:2])}: {said}")
    return json.loads(done.stdout or b"null")


def keep(row: Row, sheet: Path = SHEET) -> None:
    """Put a row in place of an earlier one, and write the table."""
    rows = [Row(**each) for each in json.loads(sheet.read_text())] if sheet.exists() else []
    rows = [each for each in rows if (each.data, each.candidate) != (row.data, row.candidate)]
    places = {(data, name): n for n, (data, name) in enumerate(_all())}
    rows = sorted([*rows, row], key=lambda each: places.get((each.data, each.candidate), 99))
    sheet.write_text(json.dumps([asdict(each) for each in rows], indent=1) + "\n")
    sheet.with_suffix(".md").write_text(markdown(rows))


def _all() -> list[tuple[str, str]]:
    return [(data, name) for data in TASKS for name in candidates(data)]


def markdown(rows: Sequence[Row]) -> str:
    """The table."""
    head = (
        "# Verdicts of the gate\n"
        "Margin 5 points, alpha 5 % over four looks, one look each; made by "
        "`python -m benchmarks.gates`. The limits are those of candidate minus incumbent, told "
        "outward to the point.\n\n"
        "| data | candidate | incumbent | verdict | points | groups | items | regression "
        "| measured |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    return head + "".join(_line(row) for row in rows)


def _line(row: Row) -> str:
    advice = "none" if row.regression is None else f"{row.regression:.0%}"
    points = f"{row.low * 100:.0f} to {row.high * 100:.0f}"
    cells = (
        row.data, row.candidate, row.incumbent, row.verdict, points, row.groups, row.items, advice,
        f"{row.when[:10]}, {row.commit}",
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |\n"


def main() -> int:
    """Judge the named candidates, by default all; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gates")
    parser.add_argument("--set", action="append", choices=TASKS, default=[], dest="sets")
    parser.add_argument("--candidate", action="append", default=[])
    parser.add_argument("--one-per-group", action="store_true", help="one item of each group")
    parser.add_argument("--root", type=Path, default=cache_root() / "benchmarks" / "gates")
    asked = parser.parse_args()
    failed = 0
    for data, name in _all():
        if (asked.sets and data not in asked.sets) or (
            asked.candidate and name not in asked.candidate
        ):
            continue
        try:
            row = judge(asked.root, data, name, one_per_group=asked.one_per_group)
        except BenchError as error:
            say(f"{data}, {name}: {error}")
            failed = 1
            continue
        finally:
            shutil.rmtree(asked.root, ignore_errors=True)
        with exclusive(cache_root() / "benchmarks" / "gates.lock"):
            keep(row)
        say(f"{data}, {name}: {row.answer} ({row.seconds} s)")
    return failed


if __name__ == "__main__":
    sys.exit(main())
