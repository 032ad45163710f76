"""The method end to end on example data, unattended: from labelled orders to a task that apps call.

Rules: a station is one function in `BEFORE` or `SERVED`; the last block is that of the demo:
`receipt verified: seq N root HEX`, or the exit status is not 0.

usage: python -m examples tour --model DIR --examples excavators.jsonl [--out DIR] [--limit N]
"""

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from examples import demo, tour_notices, tour_steps
from examples import tour_documents as handbook
from examples.demo import MODEL_ID, DemoError
from examples.tour_steps import (
    Decision,
    Report,
    Station,
    Tour,
    app,
    calibrate,
    certify,
    evaluated,
    judge,
    promote,
    read_items,
    sealed_dataset,
    told,
    why,
    write_items,
)

DIRECTORY: Final = Path(".tour")
TASK_ID: Final = "excavator-system"
"""The name that apps use."""
BY_MODEL: Final = f"{TASK_ID}-1"
BY_CLASSIFIER: Final = f"{TASK_ID}-2"
"""Its versions: over the language model, and by logistic regression."""
ROUTE: Final = "excavator-route"
"""A route with the classifier as its only stage; every other request is deferred."""
UNTUNED: Final = f"{TASK_ID}-short"
"""The task with no solved examples in its prompt: a tuned model has learned them."""
BY_TUNED: Final = f"{TASK_ID}-3"
"""Its version over the tuned model."""
ADAPTER: Final = f"{MODEL_ID}:orders"
HANDBOOK: Final = "handbook"
"""A collection of documents."""
BY_HANDBOOK: Final = "fault-code-1"
WITHOUT_HANDBOOK: Final = "fault-code-bare"
"""A task that answers from it."""
SHARES: Final = {"train": 180, "dev": 60, "test": 60, "certify": 60}
"""Items of each split, each of another group: 360 in all. `test` is sealed for the gate and
`certify` for the route; both are of the newest orders."""
TUNING: Final = {"train": 180, "dev": 60, "test": 60}
"""Items of the tuning: train and dev are the same, and the sealed ones are of groups that no other
station looks at."""
ASKED: Final = 60
"""Items of `dev` that every candidate answers: fewer than 50 groups decide nothing."""
_SHOTS: Final = 10
_REQUESTS: Final = 50
_SHOWN: Final = 10
_AGAIN: Final = 3

TASK: Final = """\
id = "{id}"
version = {version}
description = "Work order of an excavator to the system that it is about."
input = [{{ name = "text", max_chars = 500 }}]

[candidate]
{candidate}

[prompt]
system = "Name the system of the excavator that the work order is about."
user = "Work order: {{{{ text }}}}"
{examples}
[output]
form = "labels"
labels = {labels}

[gate]
metric = "exact_match"
margin = 0.05
"""

_EXAMPLES: Final = 'examples = "examples.jsonl"            # solved items of the split train\n'

ANSWERS: Final = """\
# What the advisor cannot measure, as a plant might answer it.
[domain]
quality = 0.7
changes_months = 12
wrong_answer = 0.50

[data]
examples = 360
hour = 45
label_minutes = [0.5, 1, 2]

[load]
requests_day = [200, 500, 1000]
seconds = 5
tokens_in = 300
tokens_out = 10

[regulation]
data_may_leave = false

[costs]
currency = "EUR"
machine = 2400
years = 4
watts_idle = 60
watts_busy = 100
kwh = 0.30
staff_hours = [2, 4, 8]
staff_hour = 60
"""

ROUTE_FILE: Final = """\
id = "{id}"
version = 1
description = "Work order of an excavator: the classifier where it is certain enough."
on_defer = "error"

[terms]
error = 0.1
delta = 0.05
margin = 0.05

[[stages]]
name = "small"
task = "{task}"
digest = "{digest}"
"""


# stations


def model(tour: Tour) -> None:
    """An appliance with one signed and approved model, as in `make demo`."""
    why(
        "An appliance whose policy asks for evidence, and a small general model, signed and"
        " approved as in `make demo`."
    )
    demo.prepare(tour.data, tour.gguf, "--evaluated")
    with (tour.data / "appliance.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n[routes]\nsample_percent = {tour_notices.SAMPLED}\n")


def check(tour: Tour) -> None:
    """360 labelled orders, checked and signed."""
    why("Bad data make every later number wrong: look for leaks, repeats and conflicts first.")
    source = tour.directory / "orders.jsonl"
    write_items(source, subset(tour.examples).orders)
    made = tour.run(
        *("dataset", "new", str(tour.dataset), "--from", str(source)),
        *("--by", "given", "--drop-seen"),
    )
    told(", ".join(f"{name} {count}" for name, count in made["items"].items()) + " items")
    found = tour.run("dataset", "check", str(tour.dataset))
    for problem in found["problems"]:
        told(f"{problem['level']}: {problem['message']}")
    groups = found["splits"]["dev"]["groups"]
    effect = found["splits"]["dev"]["smallest_effect"]
    told(f"dev has {groups} independent groups: it can show differences from {effect:.0%} on")
    why("Two splits are encrypted now: they will be opened once or a few times, by jobs alone.")
    sealed = tour.run("dataset", "seal", str(tour.dataset))
    told(f"sealed: {', '.join(sealed['sealed'])}")
    tour.run("dataset", "sign", str(tour.dataset), "--key", tour.key("publisher"))
    tour.run("dataset", "import", str(tour.dataset), "--id", tour.dataset.name)
    tour.approve(tour.dataset.name, "labels checked in the tour")


def define(tour: Tour) -> None:
    """A task in two versions: what goes in, what comes out, what answers, how it is measured."""
    why("A narrow job gets a name: its input, its labels, its prompt and its metric in one file.")
    record = tour.run("model", "show", MODEL_ID)
    model = f'model = "{MODEL_ID}"\ndigest = "{record["digest"]}"'
    _write(tour, BY_MODEL, 1, model)
    tour.run("task", "check", str(tour.task(BY_MODEL)))
    why("A second version needs no language model: logistic regression over the words.")
    _write(tour, BY_CLASSIFIER, 2, 'kind = "classifier"\nclassifier = "classifier.json"')
    fitted = tour.run("task", "fit", str(tour.task(BY_CLASSIFIER)), "--data", str(tour.dataset))
    told(f"fitted to {fitted['items']} items: {tour.task(BY_CLASSIFIER)}")


def _write(tour: Tour, name: str, version: int, candidate: str, shots: int = _SHOTS) -> None:
    items = read_items(tour.dataset / "train.jsonl")
    labels = sorted({item["expected"] for item in items})
    shown = [next(item for item in items if item["expected"] == label) for label in labels][:shots]
    tour.task(name).mkdir()
    if shown:
        write_items(tour.task(name) / "examples.jsonl", shown)
    (tour.task(name) / "task.toml").write_text(
        TASK.format(
            id=name, version=version, candidate=candidate, labels=json.dumps(labels),
            examples=_EXAMPLES if shown else "",
        ),
        encoding="utf-8",
    )  # fmt: skip
    told(f"{name}: {len(labels)} labels, {len(shown)} solved examples in the prompt")


def measure(tour: Tour) -> None:
    """The battery that needs no language model, then the model, on the same items."""
    why("Measure the simplest things first: a model must beat them to earn its cost.")
    found = tour.run(
        *("eval", "run", str(tour.task(BY_MODEL)), "--data", str(tour.dataset)),
        *("--limit", str(tour.limit), "--directory", str(tour.data)),
    )
    evaluated(tour, found)


def gate(tour: Tour) -> None:
    """Without evidence nothing is approved; the gate makes some, or says that there is none."""
    why("What apps depend on is signed and approved like a model. Without evidence it is refused.")
    for name in (BY_MODEL, BY_CLASSIFIER):
        tour.run("task", "sign", str(tour.task(name)), "--key", tour.key("publisher"))
        record = tour.run("task", "import", str(tour.task(name)), "--id", name)
        told(f"{name} is {record['state']}")
    signer = ("--as", "approver-1", "--key", tour.key("approver-1"))
    code = tour.refused("model", "approve", BY_MODEL, *signer, "--meaning", "looks fine")
    told(f"refused: {code}")
    why("The gate opens the sealed split once: is the task not worse than the commonest label?")
    certify(tour, BY_CLASSIFIER, tour.dataset.name, "gate.html")


def serve_task(tour: Tour) -> None:
    """The certified version is approved by two people, and the name points at it."""
    why("Two people approve what the certificate shows, and point the name of the apps at it.")
    tour.approve(BY_CLASSIFIER, "certificate read")
    promote(tour, TASK_ID, BY_CLASSIFIER)


def ask(tour: Tour) -> None:
    """Fifty requests of an app, through the unmodified OpenAI client."""
    why("An app names the task, not a model, and brings a key that opens nothing else.")
    for answer in app(tour, "planner", TASK_ID, _unseen(tour)[:_REQUESTS])[:_SHOWN]:
        told(f"{answer['answer']:<20} {answer['about']['confidence']:.2f}  {answer['asked'][:60]}")


def _unseen(tour: Tour) -> list[str]:
    """Orders of groups that no dataset of the tour has."""
    return [item["input"]["text"] for item in subset(tour.examples).left]


def route(tour: Tour) -> None:
    """A route answers alone where a bound on its errors is certified; here it is not."""
    why(
        "A route lets the small stage answer alone where at most one answer in ten is wrong, with"
        " 95 % confidence, on this customer's own items; what is in doubt goes on. Is that certain?"
    )
    record = tour.run("model", "show", BY_CLASSIFIER)
    text = ROUTE_FILE.format(id=ROUTE, task=BY_CLASSIFIER, digest=record["digest"])
    _, page = calibrate(tour, ROUTE, text, tour.dataset.name, "Route of work orders")
    tour.decisions.append(Decision("Work orders", page, tour.reports[0]))  # the evaluation


def documents(tour: Tour) -> None:
    """A handbook as evidence: gated like any task, then one answer with its verified citation."""
    why("Training does not teach facts. A collection holds the documents, and who may read them.")
    handbook.write(tour.directory / "handbook")
    tour.run("collection", "new", HANDBOOK, "--budget", "120", "--overlap", "20")
    tour.run("collection", "add", HANDBOOK, str(tour.directory / "handbook"), "--everyone")
    why(
        "A task may answer with one sentence of it, letter by letter. The gate holds it against the"
        " same model without the handbook."
    )
    record = tour.run("model", "show", MODEL_ID)
    candidate = f'model = "{MODEL_ID}"\ndigest = "{record["digest"]}"'
    for name, text in ((BY_HANDBOOK, handbook.TASK), (WITHOUT_HANDBOOK, handbook.without())):
        tour.task(name).mkdir()
        definition = "version = 1\n" + text % candidate
        (tour.task(name) / "task.toml").write_text(definition, encoding="utf-8")
        tour.run("task", "sign", str(tour.task(name)), "--key", tour.key("publisher"))
        tour.run("task", "import", str(tour.task(name)), "--id", name)
    questions = tour.directory / "questions"
    sealed_dataset(tour, questions, handbook.items(), "questions read")
    against = ("--incumbent", WITHOUT_HANDBOOK)
    certify(tour, BY_HANDBOOK, questions.name, "handbook-gate.html", *against)
    tour.approve(BY_HANDBOOK, "certificate read")
    question = handbook.items()[-1]["input"]["question"]
    (answer,) = app(tour, "workshop", BY_HANDBOOK, [question])
    told(question)
    told(answer["answer"])
    for citation in answer["about"]["citations"]:
        told(
            f"verified: bytes {citation['start']} to {citation['end']} of {citation['title']}, "
            f"digest {citation['sha256'][:16]}"
        )
    if not answer["about"]["citations"]:
        raise DemoError(f"no verified citation: {answer['answer']}")


def tune(tour: Tour) -> None:
    """From the signed model to a tuned candidate that a gate has judged, where there is torch."""
    why(
        "Would a model that has learned these orders be better than the classifier? It is trained"
        " here, from the signed file alone, and must serve as it was trained."
    )
    if not Path(sys.prefix, "tuning", "torch").is_dir():
        told(
            "not tried: training needs a set of its own. Here `make tune-setup` installs it; on a"
            " host carry in what offline-wheels/lock-tune.txt lists (docs/tuning-guide.md)"
        )
        return
    data = tour.directory / "orders-tuning"
    sealed_dataset(tour, data, subset(tour.examples).tuning, "orders that no gate has seen yet")
    record = tour.run("model", "show", MODEL_ID)
    candidate = f'model = "{MODEL_ID}"\ndigest = "{record["digest"]}"'
    _write(tour, UNTUNED, 2, candidate, shots=0)
    directory = ("--directory", str(tour.data))
    given = (str(tour.task(UNTUNED)), "--data", str(data), *_SETTINGS, *directory)
    planned = tour.run("tune", "plan", *given)
    told(f"at most {planned['seconds'] / 60:.1f} minutes as busy as the machine is now")
    told(f"memory: {planned['memory']}")
    found = tour.run("tune", "run", *given, "--key", tour.key("publisher"))
    checks = found["checks"]
    told(
        f"served as trained: {checks['nll_served']:.4f} nats a token against"
        f" {checks['nll_trained']:.4f}; {checks['stop_token']:.0%} of answers end by themselves"
    )
    told(f"{found['seconds'] / 60:.1f} minutes, {found['peak_mib']} MiB at the peak")
    for row in found["candidates"]:
        low, high = row["interval"]
        told(f"{row['kind']:<12} {row['value']:.3f}  ({low:.3f} to {high:.3f}) on dev")
    _offer(tour, found, data)


def _offer(tour: Tour, found: dict[str, Any], data: Path) -> None:
    """The tuned model, or its blend with the classifier, goes to the gate; a pass serves."""
    why(
        "The adapter is approved like a model. It, or its blend with the classifier, is offered as"
        " the next version of the task."
    )
    tour.run("model", "import", found["adapter"], "--id", ADAPTER)
    tour.approve(ADAPTER, "served as trained")
    tour.run("model", "load", ADAPTER)
    tuned = [row for row in found["candidates"] if row["kind"] != "classifier"]
    kind = max(tuned, key=lambda row: row["value"])["kind"]
    tour.run(
        *("tune", "offer", str(found["id"]), str(tour.task(BY_TUNED))),
        *("--as", ADAPTER, "--kind", kind, "--data", str(tour.data)),
    )
    tour.run("task", "sign", str(tour.task(BY_TUNED)), "--key", tour.key("publisher"))
    tour.run("task", "import", str(tour.task(BY_TUNED)), "--id", BY_TUNED)
    why("The gate opens a split of its own: is it not worse than what serves now?")
    verdict = judge(tour, BY_TUNED, data.name, "gate-tuned.html", "--incumbent", BY_CLASSIFIER)
    if verdict != "pass":
        told(f"{TASK_ID} is still answered by {BY_CLASSIFIER}, which needs no language model")
        return
    tour.approve(BY_TUNED, "certificate read")
    promote(tour, TASK_ID, BY_TUNED)
    for answer in app(tour, "planner-again", TASK_ID, _unseen(tour)[:_AGAIN]):
        told(f"{answer['answer']:<20} {answer['about']['confidence']:.2f}  {answer['asked'][:60]}")


_SETTINGS: Final = ("--dev", "60", "--set", "longest=128", "--set", "epochs=4")
"""Of a tuning that a tour can wait for."""


def advice(tour: Tour) -> None:
    """The director's question, answered from what was measured here."""
    why(
        "Keep paying for a large model, or not? The advisor asks what only people know; the rest"
        " was measured here."
    )
    answers = tour.directory / "answers.toml"
    answers.write_text(ANSWERS, encoding="utf-8")
    page, result = tour.directory / "advice.html", tour.directory / "advice.json"
    found = tour.run(
        *("advise", BY_MODEL, "--answers", str(answers)),
        *("--report", str(page), "--result", str(result)),
    )
    told(found["answer"])
    for option in found["options"]:
        if option["interval"] is not None:
            low, high = option["interval"]
            cost = option["cost_month"]
            month = "" if cost is None else f", {cost['p50']:.0f} EUR a month"
            told(f"{option['title']:<40} {low:.0%} to {high:.0%} right{month}")
    tour.reports.append(Report(page.name, "Advice", result))


BEFORE: Final[tuple[Station, ...]] = (model, check, define)
"""Stations that need no server; a later one is added at its place."""
SERVED: Final[tuple[Station, ...]] = (
    measure,
    gate,
    serve_task,
    ask,
    route,
    documents,
    tune,
    advice,
    tour_notices.release,
    tour_notices.route,
    tour_notices.ask,
    tour_steps.verify,
    tour_steps.report,
)
"""Stations beside the running server."""


@dataclass(frozen=True)
class Subset:
    """Items of the example set.

    Attributes:
        orders: of the tour.
        tuning: of its tuning: the same train and dev, and a sealed split of other groups.
        left: later ones of groups that neither has.
    """

    orders: list[dict[str, Any]]
    tuning: list[dict[str, Any]]
    left: list[dict[str, Any]]


def subset(examples: Path) -> Subset:
    """The items of the tour, one of each group.

    Raises:
        DemoError: the example set is too small.
    """
    items = read_items(examples)
    items.sort(key=lambda item: hashlib.sha256(item["group"].encode()).digest())
    first = {item["group"]: item for item in reversed(items)}  # one item a group: all independent
    pools = {
        name: [item for item in items if item["split"] == name and first[item["group"]] is item]
        for name in ("train", "dev", "test")
    }
    pools["certify"] = pools["test"][SHARES["test"] :]
    left = pools["certify"][SHARES["certify"] :]
    orders, tuning = (
        [{**x, "split": split} for split, count in shares.items() for x in pools[split][:count]]
        for shares in (SHARES, {**TUNING, "test": 0})
    )
    tuning += left[: TUNING["test"]]
    left = left[TUNING["test"] :]
    wanted = sum(SHARES.values()), sum(TUNING.values())
    if (len(orders), len(tuning)) != wanted or len(left) < _REQUESTS:
        raise DemoError(f"{examples} has too few items")
    return Subset(orders, tuning, left)


def options(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("--model", type=Path, required=True, help="directory with one *.gguf")
    parser.add_argument("--examples", type=Path, required=True, help="the excavator set")
    parser.add_argument("--notices", type=Path, required=True, help="the licence set")
    parser.add_argument("--out", type=Path, default=DIRECTORY, help="made new")
    parser.add_argument("--limit", type=int, default=ASKED, help="items of dev; 0 for all")


def run(given: argparse.Namespace) -> None:
    """Run it. Raises DemoError."""
    (gguf,) = given.model.glob("*.gguf")
    tour = Tour(
        given.out.absolute(),
        given.examples.absolute(),
        gguf,
        given.limit,
        notices=given.notices.absolute(),
    )
    tour_steps.run(tour, BEFORE, SERVED)
