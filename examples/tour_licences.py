"""The larger story, with two optional models: a route whose bound on errors is certified.

A classifier sorts licence notices; a language model of 1.5 billion parameters answers what it is
not certain of, if better there. 660 groups decide.

Rules: a station is one function in `BEFORE` or `SERVED`; the last block is that of the demo:
`receipt verified: seq N root HEX`, or the exit status is not 0.

usage: python -m examples licences --small DIR --large DIR --examples licences.jsonl
       [--out DIR] [--limit N]
"""

import argparse
import json
import string
from collections import Counter
from pathlib import Path
from typing import Final

from examples import demo, tour_steps
from examples.tour_notices import split
from examples.tour_steps import (
    Decision,
    Station,
    Tour,
    app,
    calibrate,
    certify,
    evaluated,
    promote,
    read_items,
    sealed_dataset,
    told,
    why,
    write_items,
)

DIRECTORY: Final = Path(".tour-licences")
DATASET: Final = "licences"
TASK_ID: Final = "licence-id"
BY_MODEL: Final = f"{TASK_ID}-1"
BY_CLASSIFIER: Final = f"{TASK_ID}-2"
ROUTE: Final = "licence-route"
SMALL: Final = "qwen-0.5b"
LARGE: Final = "qwen-1.5b"
ASKED: Final = 60
"""Items of `dev` that every candidate answers."""
_SHOTS: Final = 8
_SHOWN: Final = 10

TASK: Final = """\
id = "{id}"
version = {version}
description = "The licence that a notice grants."
input = [{{ name = "text", max_chars = 3000 }}]

[candidate]
{candidate}

[prompt]
system = "You read licence notices. Answer with the letter of the licence: {listed}."
user = "Notice:\\n{{{{ text }}}}"
examples = "examples.jsonl"            # solved items of the split train

[output]
form = "labels"
labels = {labels}
codes = {codes}

[gate]
metric = "exact_match"
margin = 0.05
"""

ROUTE_FILE: Final = """\
id = "{id}"
version = 1
description = "The licence of a notice: the classifier where it is certain enough."
on_defer = "error"
weight = "groups"
group_from = "key"

[terms]
error = 0.05
delta = 0.05
margin = 0.05

[[stages]]
name = "small"
task = "{small}"
digest = "{small_digest}"

[[stages]]
name = "large"
task = "{large}"
digest = "{large_digest}"
"""


def models(tour: Tour, large: Path) -> None:
    """An appliance with two language models of one family."""
    why(
        "An appliance whose policy asks for evidence, and two general models of one family, signed"
        " and approved."
    )
    demo.command(tour.data, "init", "--profile", "lab", "--evaluated")
    demo.bring_in(tour.data, tour.gguf, SMALL)
    demo.bring_in(tour.data, large, LARGE)


def data(tour: Tour) -> None:
    """All notices but those that the app will ask about."""
    why(
        "6,800 licence notices that curators labelled. Copies of one notice are one group, and a"
        " group counts once in every interval."
    )
    sealed_dataset(tour, tour.dataset, split(tour.examples)[0], "labels of the curators")
    found = tour.run("dataset", "check", str(tour.dataset))
    for name, part in found["splits"].items():
        told(f"{name}: {part['groups']} groups")


def define(tour: Tour) -> None:
    """The task by the larger model, and by logistic regression."""
    why("Two versions of one task: a prompted language model, and logistic regression.")
    record = tour.run("model", "show", LARGE)
    _write(tour, BY_MODEL, 1, f'model = "{LARGE}"\ndigest = "{record["digest"]}"')
    _write(tour, BY_CLASSIFIER, 2, 'kind = "classifier"\nclassifier = "classifier.json"')
    fitted = tour.run("task", "fit", str(tour.task(BY_CLASSIFIER)), "--data", str(tour.dataset))
    told(f"fitted to {fitted['items']} items")
    for name in (BY_MODEL, BY_CLASSIFIER):
        tour.run("task", "sign", str(tour.task(name)), "--key", tour.key("publisher"))
        tour.run("task", "import", str(tour.task(name)), "--id", name)


def _write(tour: Tour, name: str, version: int, candidate: str) -> None:
    items = read_items(tour.dataset / "train.jsonl")
    counts = Counter(item["expected"] for item in items)
    labels = sorted(counts)
    common = [label for label, _ in counts.most_common(_SHOTS)]
    shown = [next(item for item in items if item["expected"] == label) for label in common]
    codes = string.ascii_uppercase[: len(labels)]
    listed = ", ".join(f"{code} {label}" for code, label in zip(codes, labels, strict=True))
    tour.task(name).mkdir()
    write_items(tour.task(name) / "examples.jsonl", shown)
    (tour.task(name) / "task.toml").write_text(
        TASK.format(
            id=TASK_ID, version=version, candidate=candidate, listed=listed,
            labels=json.dumps(labels), codes=json.dumps(list(codes)),
        ),
        encoding="utf-8",
    )  # fmt: skip


def measure(tour: Tour) -> None:
    """Both models, and everything that is simpler, on the same items."""
    why("What does the larger model reach, and what the smaller, and what needs no model at all?")
    found = tour.run(
        *("eval", "run", str(tour.task(BY_MODEL)), "--data", str(tour.dataset)),
        *("--models", SMALL, "--limit", str(tour.limit), "--directory", str(tour.data)),
    )
    evaluated(tour, found)


def gate(tour: Tour) -> None:
    """The evidence for both stages."""
    why(
        "Each stage passes the gate for itself: is it not worse than the commonest label? After a"
        " pass only later versions of that task may look again."
    )
    for name in (BY_MODEL, BY_CLASSIFIER):
        certify(tour, name, DATASET, f"gate-{name}.html")
        tour.approve(name, "certificate read")
    promote(tour, TASK_ID, BY_CLASSIFIER)


def route(tour: Tour) -> None:
    """The certificate: what the first stage may answer alone."""
    why(
        "A route lets the classifier answer alone where at most one answer in twenty is wrong, with"
        " 95 % confidence. The larger model is asked where it is in doubt, if that is better."
    )
    stages = (BY_CLASSIFIER, BY_MODEL)
    small, large = (tour.run("model", "show", name)["digest"] for name in stages)
    text = ROUTE_FILE.format(
        id=ROUTE, small=BY_CLASSIFIER, small_digest=small, large=BY_MODEL, large_digest=large
    )
    found, page = calibrate(tour, ROUTE, text, DATASET, "Route")
    tour.decisions.append(Decision("Licence notices", page, page))
    if found["certificate"]:
        told(f"it answers {found['coverage']:.0%} of {found['groups']} groups, and of these "
             f"at most {found['alpha']:.0%} wrongly")  # fmt: skip
    if found["avoided"]:
        share, low, high = found["avoided"]
        told(f"seconds of the larger model that it avoids: {share:.0%} ({low:.0%} to {high:.0%})")
    told(f"in doubt: {found['doubtful']}")


def ask(tour: Tour) -> None:
    """An app asks the route about notices that no dataset has."""
    why("An app names the route. Each answer says which stage gave it, and under what certificate.")
    left = split(tour.examples)[1]
    texts, stages = [item["input"]["text"] for item in left], (BY_CLASSIFIER, BY_MODEL)
    answers = app(tour, "compliance", ROUTE, texts, stages=stages)
    for answer in answers[:_SHOWN]:
        asked = " ".join(answer["asked"].split())[:50]
        if answer["answer"] is None:
            told(f"{'deferred to a person':<20} {asked}")
        else:
            told(f"{answer['answer']:<20} {answer['about']['route']['stage']:<6} {asked}")
    right = {item["input"]["text"]: item["expected"] for item in left}
    given = [answer for answer in answers if answer["answer"] is not None]
    wrong = sum(answer["answer"] != right[answer["asked"]] for answer in given)
    told(f"{len(given)} of {len(answers)} are answered, {wrong} of them wrongly")


BEFORE: Final[tuple[Station, ...]] = (data, define)
"""Stations that need no server, after the models."""
SERVED: Final[tuple[Station, ...]] = (
    measure,
    gate,
    route,
    ask,
    tour_steps.verify,
    tour_steps.report,
)
"""Stations beside the running server."""


def options(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("--small", type=Path, required=True, help="directory with one *.gguf")
    parser.add_argument("--large", type=Path, required=True, help="directory with one *.gguf")
    parser.add_argument("--examples", type=Path, required=True, help="the licence set")
    parser.add_argument("--out", type=Path, default=DIRECTORY, help="made new")
    parser.add_argument("--limit", type=int, default=ASKED, help="items of dev; 0 for all")


def run(given: argparse.Namespace) -> None:
    """Run it. Raises DemoError."""
    (small,), (large,) = given.small.glob("*.gguf"), given.large.glob("*.gguf")
    tour = Tour(given.out.absolute(), given.examples.absolute(), small, given.limit, DATASET)
    tour_steps.run(tour, (lambda made: models(made, large), *BEFORE), SERVED)
