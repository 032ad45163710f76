"""A tuned small model on the standing examples, by the product's own commands, step by step.

Rules:
- A finished step is not repeated, so that a cut run continues.
- Rows of train are one of each group before a second one of any, since rows of one group are
  near-duplicates.
- The classifier learns the same rows as the model, and reads the whole text. Fields have the
  untuned model instead.
- Candidates are measured on dev as they serve; the gate judges the best one on `test`.

usage: python -m benchmarks.tuned licences|excavators|fields --out DIR [--model smollm2|qwen]
       [--rows N] [--dev N] [--no-gate] [--set NAME=VALUE]
"""

import argparse
import contextlib
import hashlib
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import machine
from benchmarks.results import Figure
from benchmarks.sheets import keep
from benchmarks.statistics import Summary
from examples import demo
from examples.demo import MODEL_ID, DemoError
from installer.bundle import examples
from installer.bundle.cache import cache_root
from installer.bundle.default_model import catalogued, obtain
from installer.bundle.steps import say


@dataclass(frozen=True)
class Example:
    """A standing task.

    Attributes:
        source: the example set.
        longest: characters of a text that the prompt shows; 0 for all.
        stop: what ends a label that may be the beginning of another; None for letters as codes.
        rows: of train; 0 for all.
        target: of the tuned model.
        blend: of the blend; 0 for none.
        dev: most items of dev.
        task: a standing task of fields, in `models/examples`; "" for labels.
    """

    source: str
    system: str
    longest: int
    stop: str | None
    rows: int
    settings: tuple[str, ...]
    target: float
    blend: float = 0.0
    dev: int = 400
    task: str = ""

    @property
    def beside(self) -> str:
        """The candidate that the others stand beside: the incumbent of the gate."""
        return UNTUNED if self.task else "logistic regression"

    @property
    def user(self) -> str:
        return f"{{{{ text[:{self.longest}] }}}}" if self.longest else "{{ text }}"


EXAMPLES: Final[Mapping[str, Example]] = {
    "licences": Example(
        "licences",
        "Name the licence that the notice grants.",
        450,  # about 128 tokens; which version it is stands before that
        ".",
        1_000,
        ("batch=16", "epochs=2", "evaluations=1", "longest=384"),
        0.88,
    ),
    "excavators": Example(
        "excavators",
        "Name the system that the work order is about.",
        0,
        None,
        0,
        ("batch=32", "epochs=2", "evaluations=1", "longest=128"),
        0.674,
        0.746,
    ),
    "fields": Example(
        "excavator-fields",
        "",
        0,
        None,
        800,
        ("batch=16", "epochs=2", "evaluations=1", "longest=192"),
        0.0,
        dev=300,
        task="excavator-fields",
    ),
}
BASES: Final = {
    "smollm2": (MODEL_ID, "smollm2-135m-instruct"),
    "qwen": ("qwen2.5-coder-0.5b", "qwen2.5-coder-0.5b-instruct"),
}
"""Bases by what the sheet calls them: the id in the lab, and in the catalogue of models."""
LABELLED: Final = tuple(name for name, example in EXAMPLES.items() if not example.task)
STANDING: Final = Path(__file__).parents[1] / "models" / "examples"
UNTUNED: Final = "untuned"
"""The id of the task over the untuned model."""
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
    """The finished steps, kept in `state.json` of the run's directory."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._file = out / "state.json"
        self.done: dict[str, Any] = (
            json.loads(self._file.read_text()) if self._file.exists() else {}
        )

    @property
    def data(self) -> Path:
        return self.out / "data"

    @property
    def base(self) -> str:
        """The sheet's name for the base."""
        return str(self.done.get("base", "smollm2"))

    @property
    def model(self) -> str:
        return BASES[self.base][0]

    def key(self, name: str) -> str:
        return str(self.data / "keys" / "lab" / f"{name}.pem")

    def call(self, *arguments: str) -> Any:
        """A command's JSON. Raises DemoError."""
        return demo.command(self.data, *arguments)

    def keep(self, name: str, found: Any) -> Any:
        self.done[name] = found
        self.out.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self.done, indent=1) + "\n")
        return found


def chosen(items: Sequence[dict[str, Any]], rows: int) -> list[dict[str, Any]]:
    """Of train so many by digest, one of each group before a second one of any."""
    train = [item for item in items if item["split"] == "train"]
    train.sort(key=lambda item: hashlib.sha256(item["id"].encode()).digest())
    seen: Counter[str] = Counter()
    turns = []
    for item in train:
        seen[item["group"]] += 1
        turns.append(seen[item["group"]])
    order = sorted(range(len(train)), key=lambda place: (turns[place], place))
    train = [train[place] for place in order]
    others = [item for item in items if item["split"] not in ("train", "unlabelled")]
    return [*(train[:rows] if rows else train), *others]


def prepare(steps: Steps, name: str, example: Example, rows: int, threads: int) -> int:
    """Returns the groups of train."""
    steps.out.mkdir(parents=True, exist_ok=True)
    gguf = obtain(cache_root() / "models", catalogued(BASES[steps.base][1]))
    steps.call("init", "--profile", "lab", "--evaluated")
    demo.bring_in(steps.data, gguf, steps.model)
    if threads:
        config = steps.data / "appliance.toml"
        config.write_text(config.read_text() + f"\n[tuning]\nthreads = {threads}\n")
    known = examples.examples()
    source = examples.obtain(cache_root() / "examples", known[example.source])
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
    task = steps.out / "task"
    answers = steps.model, steps.call("model", "show", steps.model)["digest"]
    if example.task:
        shutil.copytree(STANDING / example.task, task)
        text = standing((task / "task.toml").read_text(), answers)
    else:
        task.mkdir()
        text = definition(name, example, sorted({item["expected"] for item in taken}), answers)
    (task / "task.toml").write_text(text)
    return len({item["group"] for item in taken if item["split"] == "train"})


def standing(text: str, answers: tuple[str, str]) -> str:
    """A standing task over the model with this id and digest. Raises DemoError: it names none."""
    named = 'model = "{}"\ndigest = "{}"'
    text, found = re.subn(named.format('[^"]+', "[0-9a-f]{64}"), named.format(*answers), text)
    if found != 1:
        raise DemoError("the standing task names no model by its digest")
    return text


def definition(name: str, example: Example, labels: Sequence[str], answers: tuple[str, str]) -> str:
    """The task over the untuned model with this id and digest."""
    codes = [
        chr(ord("A") + number) if example.stop is None else label + example.stop
        for number, label in enumerate(labels)
    ]
    return TASK.format(
        name=f"{name}-task", model=answers[0], digest=answers[1], system=example.system,
        user=example.user, labels=json.dumps(labels), codes=json.dumps(codes),
    )  # fmt: skip


def shown(example: Example, text: str) -> str:
    """The prompt's part of a text."""
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
    """Plan the tuning, then train the adapter."""
    dev = str(steps.done["prepared"].get("dev") or EXAMPLES[name].dev)
    given = [str(steps.out / "task"), "--data", str(steps.out / name), "--dev", dev]
    given += [part for setting in settings for part in ("--set", setting)]
    if "plan" not in steps.done:
        steps.keep("plan", steps.call("tune", "plan", *given, "--directory", str(steps.data)))
    if "run" not in steps.done:
        key = steps.key("publisher")
        more = ("--key", key, "--directory", str(steps.data))
        steps.keep("run", steps.call("tune", "run", *given, *more))


def judge(steps: Steps, name: str) -> None:
    """The best candidate goes to the gate."""
    beside, key = EXAMPLES[name].beside, steps.key("publisher")
    found, directory = steps.done["run"], ("--directory", str(steps.data))
    adapter, task = f"{steps.model}:{name}", steps.out / "offered"
    if "offered" not in steps.done:
        steps.call("model", "import", found["adapter"], "--id", adapter)
        approve(steps, adapter)
        steps.call("model", "load", adapter)
        more = ("--as", adapter, "--data", str(steps.data))
        offered = steps.call("tune", "offer", str(found["id"]), str(task), *more)
        for path, named in ((task, "offered"), (steps.out / "task", UNTUNED)):
            if named in ("offered", beside):
                steps.call("task", "sign", str(path), "--key", key)
                steps.call("task", "import", str(path), "--id", named)
        steps.keep("offered", offered)
    if "gate" not in steps.done:
        person = ("--as", "publisher", "--key", key)
        terms = ("--data", name, "--incumbent", beside)
        gate = ("eval", "gate", "offered", *terms, *person, *directory)
        found = demo.command(steps.data, *gate, found=1)
        if "verdict" not in found:
            raise DemoError(f"no verdict: {found}")
        steps.keep("gate", found)


def figures(found: dict[str, Any], planned: dict[str, Any], example: Example) -> list[Figure]:
    """A tuning's results, beside the plan and the targets."""
    targets = {"model": example.target, "blend": example.blend}
    made = []
    for row in found["candidates"]:
        target = targets.get(row["kind"], 0.0)
        name, value = f"{row['kind']}, on dev", _of(row, "value", "interval")
        made.append(Figure(name, "", value, relation="≥" if target else "", target=target))
        if "plain" in row:
            made.append(Figure(f"{name}, items alike", "", Summary.of([row["plain"]])))
        if "difference" in row:
            name = f"{row['kind']} less {row['against']}, p = {row['p_value']:.2g}"
            made.append(Figure(name, "", _of(row, "difference", "difference_interval")))
    for row in found.get("fields", []):
        before = f" (untuned {row['untuned']:.3f})" if "untuned" in row else ""
        made.append(Figure(f"{row['field']} right{before}", "", _of(row, "value", "interval")))
        if "stated_value" in row:
            stated = f"{row['field']} right, of {row['stated']} that state it"
            made.append(Figure(stated, "", _of(row, "stated_value", "stated_interval")))
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
    groups = steps.done["prepared"].get("groups", "?")
    notes = [
        f"{found['data']['train']} rows of {groups} groups, {found['data']['dev']} items of dev in "
        f"{found['dev']['groups']} groups; {found['threads']} threads; settings "
        + ", ".join(f"{key}={value}" for key, value in sorted(found["settings"].items())),
        *([] if any(_POWER.glob("*")) else ["joules: this host does not tell them"]),
        *([] if gate is None else [f"the gate, against {gate['incumbent']}: {gate['answer']}"]),
    ]
    keep(
        "tuned",
        f"{steps.base}, {name}",
        f"{name}: an adapter beside "
        + ("the untuned model" if example.task else f"{example.beside} on the same rows"),
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
    parser.add_argument("--model", choices=BASES, default="smollm2", help="the base")
    parser.add_argument("--rows", type=int, help="of train; 0 for all")
    parser.add_argument("--dev", type=int, default=0, help="most items of dev; 0 for the example's")
    parser.add_argument("--no-gate", dest="gate", action="store_false", help="end after the tuning")
    parser.add_argument("--threads", type=int, default=0, help="that train; 0 for one per core")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    asked = parser.parse_args()
    steps, example = Steps(asked.out.absolute()), EXAMPLES[asked.name]
    try:
        if "prepared" not in steps.done:
            steps.keep("base", asked.model)
            rows = example.rows if asked.rows is None else asked.rows
            groups = prepare(steps, asked.name, example, rows, asked.threads)
            about = {"when": machine.today(), "commit": machine.commit(), "groups": groups}
            steps.keep("prepared", {**about, "dev": asked.dev})
        with served(steps):
            tune(steps, asked.name, [*example.settings, *asked.settings])
            told(steps, asked.name, example)
            if asked.gate:
                judge(steps, asked.name)
        told(steps, asked.name, example)
    except DemoError as error:
        say(f"failed: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
