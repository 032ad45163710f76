"""Outcomes of dev item by item: scores and names, and nothing of an item's text."""

import hashlib
import json
from pathlib import Path

import pytest

from appliance.datasets.items import Item
from appliance.tasks import definition
from appliance.tasks.loaded import LoadedTask, load
from appliance.tuning.candidates import Candidates, DevCandidate, outcome
from appliance.tuning.dev_outcomes import FILE, DevOutcomes, kept, read
from tests.evals.orders import TASK
from tests.tuning.fields import SCHEMA
from tests.tuning.fields import TEXT as FIELDS
from tests.tuning.kept import kept as example

DATA = "12" * 32
LABELS = ("hydraulics", "engine")


def loaded(text: str) -> LoadedTask:
    files = {"task.toml": text, "schema.json": json.dumps(SCHEMA)}
    return load(lambda name, most: files[name].encode()[:most], "ab" * 32)


def made(task: definition.Task, items: list[Item], **answers: list[str]) -> Candidates:
    return Candidates(
        tuple(
            DevCandidate(kind, tuple(outcome(task, i, a) for i, a in zip(items, said, strict=True)))  # type: ignore[arg-type] # kinds
            for kind, said in answers.items()
        )
    )


def orders() -> list[Item]:
    return [
        Item(f"Acme order {n}", f"Acme site {n // 2}", {"text": f"Acme secret {n}"}, LABELS[n % 2])
        for n in range(4)
    ]


def test_scores_stand_by_candidate_and_item() -> None:
    task = loaded(TASK)
    items = orders()
    found = kept(
        task, DATA, made(task.task, items, classifier=["engine"] * 4, model=[LABELS[0]] * 4)
    )
    assert len(found.items) == len(set(found.items)) == 4 and len(set(found.groups)) == 2
    both = [
        (one.micros, other.micros)
        for one, other in zip(
            found.outcomes("classifier", found.items), found.outcomes("model", found.items),
            strict=True,
        )
    ]  # fmt: skip
    assert sorted(both) == [(0, 1_000_000)] * 2 + [(1_000_000, 0)] * 2
    some = found.outcomes("model", found.items[1:3])
    assert [one.item for one in some] == list(found.items[1:3])
    by_name = dict(zip(found.items, found.groups, strict=True))
    again = kept(task, DATA, made(task.task, items[::-1], model=[LABELS[0]] * 4))
    assert dict(zip(again.items, again.groups, strict=True)) == by_name  # in whatever order


def test_nothing_of_the_text_of_an_item_is_kept() -> None:
    for text in (TASK, FIELDS):
        task, items = loaded(text), orders()
        if text is FIELDS:
            items = [Item(i.id, i.group, i.input, {"side": None, "system": i.label}) for i in items]
        said = ["engine" if text is TASK else json.dumps({"side": None, "system": "engine"})] * 4
        data = kept(task, DATA, made(task.task, items, model=said)).document().decode()
        for words in ("Acme", "secret", "order 1", "site", "engine", "hydraulics"):
            assert words not in data, words
        assert task.task.id in data  # the control: what is no text of an item is there


def test_an_item_of_another_dataset_has_another_name() -> None:
    task, items = loaded(TASK), orders()
    answers = made(task.task, items, model=["engine"] * 4)
    one, other = kept(task, DATA, answers), kept(task, "34" * 32, answers)
    assert not set(one.items) & set(other.items) and not set(one.groups) & set(other.groups)


def test_of_fields_each_has_its_digit() -> None:
    task = loaded(FIELDS)
    expected = {"side": "left", "system": "engine"}
    items = [Item(f"d{n}", f"g{n}", {"text": "a"}, expected) for n in range(2)]
    said = [json.dumps(expected), json.dumps({"side": "right", "system": "engine"})]
    found = kept(task, DATA, made(task.task, items, model=said))
    by_item = {
        name: (score, found.fields["model"]["side"][n], found.fields["model"]["system"][n])
        for n, (name, score) in enumerate(zip(found.items, found.scores["model"], strict=True))
    }
    assert sorted(by_item.values()) == [(500_000, "0", "1"), (1_000_000, "1", "1")]
    right = found.outcomes("model", found.items, "side")
    assert sorted(one.micros for one in right) == [0, 1_000_000]


def test_other_rules_of_what_is_right_have_another_digest() -> None:
    items = [Item("d0", "g0", {"text": "a"}, {"side": None, "system": "engine"})]
    digests = set()
    for text in (FIELDS, FIELDS.replace("0.05", "0.1"), f"{FIELDS}[compare.system]\nabsolute = 1\n",
                 FIELDS.replace("field_accuracy", "exact_match")):  # fmt: skip
        task = loaded(text)
        digests.add(kept(task, DATA, made(task.task, items, model=["{}"])).rules)
    assert len(digests) == 3  # the margin judges no answer


@pytest.mark.parametrize(
    ("digest", "reason"),
    [(None, "an older version made it"), ("00" * 32, "than its record names")],
)
def test_outcomes_that_are_not_those_of_the_record_are_not_used(
    tmp_path: Path, digest: str | None, reason: str
) -> None:
    data = example().document()
    (tmp_path / FILE).write_bytes(data)
    right = hashlib.sha256(data).hexdigest()
    assert read(tmp_path, right) == example()
    said = read(tmp_path, digest)
    assert isinstance(said, str) and reason in said
    missing = read(tmp_path / "gone", right)
    assert not isinstance(missing, DevOutcomes) and "No such file" in missing
