"""The tour's yes: licence notices, by a classifier with people behind it, certified at 5 %.

660 groups decide. What the classifier is not certain of waits for a person.
"""

import hashlib
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from appliance.datasets import marks
from examples.demo import DemoError
from examples.tour_steps import (
    Decision,
    Tour,
    app,
    calibrate,
    read_items,
    told,
    why,
    write_items,
)

DATASET: Final = "notices"
TASK_ID: Final = "licence-id"
BY_CLASSIFIER: Final = f"{TASK_ID}-1"
ROUTE: Final = "licence-route"
SAMPLED: Final = 20
"""Percent of the accepted answers that wait for a label: enough for the tour to show some."""
_LEFT: Final = 50
"""Groups of `test` that are in no dataset: the app asks about them."""
_SHOWN: Final = 5

ROUTE_FILE: Final = """\
id = "{id}"
version = 1
description = "The licence of a notice: the classifier where it is certain enough, else a person."
on_defer = "queue"
weight = "groups"           # copies of one notice, however many, count once
group_from = "person"       # the app names the family of a notice as `user`

[terms]
error = 0.05
delta = 0.05
margin = 0.05

[[stages]]
name = "small"
task = "{task}"
digest = "{digest}"

[[stages]]
name = "people"
kind = "queue"
hours = 24.0
"""


def split(examples: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The items of the dataset, and one each of the groups that are kept out of it.

    An item of `test` that `certify` has nearly word for word is left out: the ledger would count a
    look at one split as a look at the other.

    Raises:
        DemoError: the example set is too small.
    """
    items = read_items(examples)
    groups = sorted(
        {item["group"] for item in items if item["split"] == "test"},
        key=lambda group: hashlib.sha256(group.encode()).digest(),
    )
    left = dict.fromkeys(groups[:_LEFT])
    if len(groups) <= _LEFT:
        raise DemoError(f"{examples} has too few items")
    one_each = {item["group"]: item for item in items if item["group"] in left}
    kept = [item for item in items if item["group"] not in left]
    return _apart(kept), list(one_each.values())


def _apart(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By the marks of the ledger."""
    held: defaultdict[str, list[int]] = defaultdict(list)
    known = {item["id"]: marks.of_item(b"tour", item["input"]["text"]) for item in items
             if item["split"] in ("test", "certify")}  # fmt: skip
    for number, item in enumerate(items):
        if item["split"] == "certify":
            for part in marks.parts(known[item["id"]]):
                held[part].append(number)
    tests = [known[item["id"]] for item in items if item["split"] == "test"]
    twice = set(marks.shared(tests, held))
    return [item for item in items if item["split"] != "test" or known[item["id"]] not in twice]


def release(tour: Tour) -> None:
    """From labelled notices to a classifier that serves, in three commands."""
    why(
        "A second task: 6,800 licence notices that curators labelled. Copies of one notice are one"
        " group. Three commands lead from the rows to a classifier that apps call."
    )
    rows, data, task = (tour.directory / name for name in ("notices.jsonl", DATASET, TASK_ID))
    write_items(rows, split(_notices(tour))[0])
    tour.run(
        *("dataset", "new", str(data), "--from", str(rows), "--by", "given"),
        *("--description", "The licence that a notice grants."),
    )
    tour.run("task", "new", str(task), "--classifier", "--from", str(data), "--margin", "0.05")
    people = ("publisher", "approver-1", "approver-2")
    signers = [word for name in people for word in ("--as", name, "--key", tour.key(name))]
    found = tour.run(
        *("task", "release", str(task), "--data", str(data), *signers),
        *("--meaning", "labels and certificate read", "--directory", str(tour.data)),
    )
    for line in found["done"]:
        told(line)


def route(tour: Tour) -> None:
    """What the classifier may answer alone; the rest is a person's."""
    why(
        "May the classifier answer alone where at most one answer in twenty is wrong, with 95 %"
        " confidence? What it is in doubt about waits for a person."
    )
    digest = tour.run("model", "show", BY_CLASSIFIER)["digest"]
    text = ROUTE_FILE.format(id=ROUTE, task=BY_CLASSIFIER, digest=digest)
    found, page = calibrate(tour, ROUTE, text, DATASET, "Route of licence notices")
    if not found["certificate"]:
        raise DemoError(f"the route is not certified: {found['reason']}")
    told(
        f"it answers {found['coverage']:.0%} of {found['groups']} groups, and of these at most"
        f" {found['alpha']:.0%} wrongly"
    )
    tour.decisions.append(Decision("Licence notices", page, page))


def ask(tour: Tour) -> None:
    """An app asks; a person answers what is in doubt, and labels a share of the rest."""
    why("An app names the route. What is in doubt waits, and a person answers it.")
    left = split(_notices(tour))[1]
    right = {item["input"]["text"]: item["expected"] for item in left}
    texts, groups = [item["input"]["text"] for item in left], [item["group"] for item in left]
    answers = app(tour, "compliance", ROUTE, texts, groups, (BY_CLASSIFIER,))
    for answer in answers[:_SHOWN]:
        asked = " ".join(answer["asked"].split())[:50]
        told(f"{answer['answer'] or 'waits for a person':<20} {asked}")
    given = [answer for answer in answers if answer["answer"] is not None]
    wrong = sum(answer["answer"] != right[answer["asked"]] for answer in given)
    told(f"{len(given)} of {len(answers)} are answered, {wrong} of them wrongly")
    waiting = tour.run("queue", "list")["items"]
    if waiting:
        first = waiting[0]
        done = tour.run("queue", "answer", first["id"], right[first["input"]["text"]])
        told(f"{len(waiting)} wait for a person; the first one is {done['state']}")
    why("Is that still so next month? A share of the answers waits for a person's label, unseen.")
    labelled = 0
    while labelled < _SHOWN and (drawn := tour.run("route", "sample", ROUTE))["id"]:
        label = right[drawn["input"]["text"]]
        tour.run("route", "sample", ROUTE, "--item", str(drawn["id"]), "--label", label)
        labelled += 1
    told(f"{labelled} answers got a label")
    shown = tour.run("route", "show", ROUTE)
    told(f"{ROUTE} is watched: {shown['watched']['labelled']} labels")


def _notices(tour: Tour) -> Path:
    """Raises DemoError where the tour was begun without one."""
    if tour.notices is None:
        raise DemoError("no licence notices were given: --notices")
    return tour.notices
