"""A tuned small model on the standing examples, by the product's own commands, step by step.

Rules: everything lies in one directory, and a step that is done is not done again, so that a run
that was cut continues; the classifier learns the same rows as the model, and reads the whole text
where the model's prompt has its beginning alone; candidates are measured on all of dev as they
serve, and the gate judges the best one on `test`, which chose nothing.

usage: python -m benchmarks.tuned licences|excavators --out DIR [--rows N] [--set NAME=VALUE]…
"""

import argparse
import contextlib
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appliance.cli import demo
from appliance.cli.demo import MODEL_ID, DemoError
from benchmarks import machine
from benchmarks.results import Figure
from benchmarks.sheets import keep
from benchmarks.statistics import Summary
from installer.bundle import examples
from installer.bundle.cache import cache_root
from installer.bundle.default_model import default_model, obtain
from installer.bundle.steps import say


@dataclass(frozen=True)
class Example:
    """A standing task.

    Attributes:
        longest: characters of a text that the prompt shows; 0 for all.
        stop: what ends a label that may be the beginning of another; None for letters as codes.
        rows: of train; 0 for all.
        settings: as they were in the experiment whose figure is the target.
        target: of the tuned model.
        blend: of the blend; 0 for none.
    """

    system: str
    longest: int
    stop: str | None
    rows: int
    settings: tuple[str, ...]
    target: float
    blend: float = 0.0

    @property
    def user(self) -> str:
        """The template of the prompt."""
        return f"{{{{ text[:{self.longest}] }}}}" if self.longest else "{{ text }}"


EXAMPLES: Final[Mapping[str, Example]] = {
    "licences": Example(
        "Name the licence that the notice grants.",
        450,  # about 128 tokens; which version it is stands before that
        ".",
        1_000,
        ("batch=16", "epochs=1", "evaluations=1", "longest=384"),
        0.88,
    ),
    "excavators": Example(
        "Name the system that the work order is about.",
        0,
        None,
        0,
        ("batch=32", "epochs=2", "longest=128"),
        0.674,
        0.746,
    ),
}
_POWER: Final = Path("/sys/class/powercap")
TASK: Final = """\
id = "{name}"
version = 1
description = "{system}"
input = [{{ name = "text", max_chars = 3000 }}]

[candidate]
model = "{model}"
digest = "{digest}"

[prompt]
system = "{system}"
user = "{user}"

[output]
form = "labels"
labels = {labels}
codes = {codes}

[gate]
metric = "exact_match"
margin = 0.05
"""


class Steps:
    """What is done, kept in `state.json` of the run's directory."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._file = out / "state.json"
        self.done: dict[str, Any] = (
            json.loads(self._file.read_text()) if self._file.exists() else {}
        )

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.out / "data"

    def key(self, name: str) -> str:
        """The file of a private key of the lab."""
        return str(self.data / "keys" / "lab" / f"{name}.pem")

    def call(self, *arguments: str) -> Any:
        """One command; its JSON. Raises DemoError."""
        return demo.command(self.data, *arguments)

    def keep(self, name: str, found: Any) -> Any:
        """A step is done."""
        self.done[name] = found
        self._file.write_text(json.dumps(self.done, indent=1) + "\n")
        return found


def chosen(items: Sequence[dict[str, Any]], rows: int) -> list[dict[str, Any]]:
    """The items: of train the first so many by digest."""
    train = [item for item in items if item["split"] == "train"]
    train.sort(key=lambda item: hashlib.sha256(item["id"].encode()).digest())
    others = [item for item in items if item["split"] not in ("train", "unlabelled")]
    return [*(train[:rows] if rows else train), *others]


def prepare(steps: Steps, name: str, example: Example, rows: int, threads: int) -> None:
    """A lab, a sealed dataset that two people approved, and the task."""
    steps.out.mkdir(parents=True, exist_ok=True)
    demo.prepare(steps.data, obtain(cache_root() / "models", default_model()), "--evaluated")
    if threads:
        config = steps.data / "appliance.toml"
        config.write_text(config.read_text() + f"\n[tuning]\nthreads = {threads}\n")
    source = examples.obtain(cache_root() / "examples", examples.examples()[name])
    items = [json.loads(line) for line in source.read_text().splitlines()]
    taken = chosen(items, rows)
    plain = steps.out / "items.jsonl"
    plain.write_text("".join(json.dumps(item) + "\n" for item in taken))
    dataset, publisher = str(steps.out / name), steps.key("publisher")
    steps.call("dataset", "new", dataset, "--from", str(plain), "--by", "given", "--drop-seen")
    steps.call("dataset", "seal", dataset)
    steps.call("dataset", "sign", dataset, "--key", publisher)
    steps.call("dataset", "import", dataset, "--id", name)
    approve(steps, name)
    labels = sorted({item["expected"] for item in taken})
    task = steps.out / "task"
    task.mkdir()
    digest = steps.call("model", "show", MODEL_ID)["digest"]
    (task / "task.toml").write_text(definition(name, example, labels, digest))


def definition(name: str, example: Example, labels: Sequence[str], digest: str) -> str:
    """The task over the untuned model."""
    codes = [
        chr(ord("A") + number) if example.stop is None else label + example.stop
        for number, label in enumerate(labels)
    ]
    return TASK.format(
        name=f"{name}-task", model=MODEL_ID, digest=digest, system=example.system,
        user=example.user, labels=json.dumps(labels), codes=json.dumps(codes),
    )  # fmt: skip


def shown(example: Example, text: str) -> str:
    """What the prompt shows of a text."""
    return text[: example.longest] if example.longest else text


def approve(steps: Steps, name: str) -> None:
    """Two people approve."""
    for person in ("approver-1", "approver-2"):
        steps.call(
            *("model", "approve", name, "--as", person, "--key", steps.key(person)),
            *("--meaning", "measured"),
        )


@contextlib.contextmanager
def served(steps: Steps) -> Iterator[int]:
    """A server, and its port."""
    port = demo.free_port()
    with demo.serving(steps.data, port):
        yield port


def tune(steps: Steps, name: str, settings: Sequence[str]) -> None:
    """What it would take, then the adapter itself."""
    given = [str(steps.out / "task"), "--data", str(steps.out / name), "--dev", "400"]
    given += [part for setting in settings for part in ("--set", setting)]
    if "plan" not in steps.done:
        steps.keep("plan", steps.call("tune", "plan", *given, "--directory", str(steps.data)))
    if "run" not in steps.done:
        key = steps.key("publisher")
        more = ("--key", key, "--directory", str(steps.data))
        steps.keep("run", steps.call("tune", "run", *given, *more))


def judge(steps: Steps, name: str) -> None:
    """The best candidate becomes a task, and the gate holds it against logistic regression."""
    found, directory = steps.done["run"], ("--directory", str(steps.data))
    adapter, task = f"{MODEL_ID}:{name}", steps.out / "offered"
    if "offered" not in steps.done:
        steps.call("model", "import", found["adapter"], "--id", adapter)
        approve(steps, adapter)
        steps.call("model", "load", adapter)
        more = ("--as", adapter, "--data", str(steps.data))
        offered = steps.call("tune", "offer", str(found["id"]), str(task), *more)
        steps.call("task", "sign", str(task), "--key", steps.key("publisher"))
        steps.call("task", "import", str(task), "--id", "offered")
        steps.keep("offered", offered)
    if "gate" not in steps.done:
        person = ("--as", "publisher", "--key", steps.key("publisher"))
        terms = ("--data", name, "--incumbent", "logistic regression")
        gate = ("eval", "gate", "offered", *terms, *person, *directory)
        found = demo.command(steps.data, *gate, found=1)
        if "verdict" not in found:
            raise DemoError(f"no verdict: {found}")
        steps.keep("gate", found)


def figures(found: dict[str, Any], planned: dict[str, Any], example: Example) -> list[Figure]:
    """What a tuning came to, beside what was planned and what is wanted."""
    targets = {"model": example.target, "blend": example.blend}
    made = []
    for row in found["candidates"]:
        target = targets.get(row["kind"], 0.0)
        name, value = f"{row['kind']}, on dev", _of(row, "value", "interval")
        made.append(Figure(name, "", value, relation="≥" if target else "", target=target))
        if "difference" in row:
            name = f"{row['kind']} less {row['against']}, p = {row['p_value']:.2g}"
            made.append(Figure(name, "", _of(row, "difference", "difference_interval")))
    minutes, peak = found["seconds"] / 60, found["peak_mib"]
    trainer = planned["memory_mib"] - planned["server_mib"]
    return [
        *made,
        Figure("minutes, training to proof", "", Summary.of([minutes])),
        Figure("planned minutes / measured", "", Summary.of([planned["seconds"] / 60 / minutes])),
        Figure("the trainer's peak, MiB", "", Summary.of([float(peak)])),
        Figure("planned peak / measured", "", Summary.of([trainer / peak])),
    ]


def _of(row: Mapping[str, Any], value: str, interval: str) -> Summary:
    low, high = row[interval]
    return Summary(row[value], low, high)


def told(steps: Steps, name: str, example: Example) -> None:
    """Keep what is known so far on the sheet."""
    found, planned = steps.done["run"], steps.done["plan"]
    gate = steps.done.get("gate")
    notes = [
        f"{found['data']['train']} rows, {found['data']['dev']} items of dev in "
        f"{found['dev']['groups']} groups; {found['threads']} threads; settings "
        + ", ".join(f"{key}={value}" for key, value in sorted(found["settings"].items())),
        *([] if any(_POWER.glob("*")) else ["joules: this host does not tell them"]),
        *([] if gate is None else [f"the gate, against {gate['incumbent']}: {gate['answer']}"]),
    ]
    keep(
        "tuned",
        f"smollm2, {name}",
        f"{name}: an adapter beside logistic regression on the same rows",
        figures(found, planned, example),
        found["seconds"],
        1,
        notes=notes,
    )


def main() -> int:
    """Run what is left; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuned")
    parser.add_argument("name", choices=EXAMPLES)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, help="of train; 0 for all")
    parser.add_argument("--threads", type=int, default=0, help="that train; 0 for one per core")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    asked = parser.parse_args()
    steps, example = Steps(asked.out.absolute()), EXAMPLES[asked.name]
    try:
        if "prepared" not in steps.done:
            rows = example.rows if asked.rows is None else asked.rows
            prepare(steps, asked.name, example, rows, asked.threads)
            steps.keep("prepared", {"when": machine.today(), "commit": machine.commit()})
        with served(steps):
            tune(steps, asked.name, [*example.settings, *asked.settings])
            told(steps, asked.name, example)
            judge(steps, asked.name)
        told(steps, asked.name, example)
    except DemoError as error:
        say(f"failed: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
