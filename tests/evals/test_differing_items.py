"""A gate on sealed items without labels: those on which the two sides differ are labelled, blind.

Candidate and incumbent are classifiers, which need no model.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.api.admin.deps import Person
from appliance.app import Services, initialise, open_services
from appliance.audit.files import LogFiles
from appliance.datasets import label_queues, labelling
from appliance.datasets.items import Item
from appliance.datasets.label_queues import StoredLabelQueue
from appliance.errors import ApplianceError, PolicyRefused, StateRefused
from appliance.evals import differing_items, judging
from appliance.evals.gate_outcomes import read_pairs
from appliance.evals.job import DIRECTORY
from appliance.evals.pairs import MILLION, ItemPair
from appliance.host import at_rest
from appliance.jobs.kind import Waits
from appliance.looks import sealed_lines
from appliance.trust.artifacts import signing
from appliance.trust.statements.specification import Specification
from appliance.wire.admin import labels as wire
from appliance.wire.admin.labels import LabelSet
from docs.gate_power import by_tango, least_gained, passes, reach
from tests.api.admin.lab import client_of
from tests.evals.gates import signed, wanted
from tests.evals.orders import FITTED, WORDS, write_task
from tests.evals.sealed import GROUPS, add_dataset, envelope, terms
from tests.routing.world import copied
from tests.smol import SMALL, key, quiet
from tests.tasks.example import coefficients

BLIND: dict[str, Any] = {
    "split": "unlabelled", "raters": ("anna", "ben"), "floors": {}, "incumbent": "majority",
    "margin_micros": 900_000,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("differing")
    initialise(root / "data", "lab", evaluated=True)
    with open_services(root / "data", config=SMALL) as services:
        add_dataset(services, root / "known")
        add_dataset(services, root / "blind", split="unlabelled")
        for name in ("fitted", "later"):
            text = FITTED.replace("margin = 0.05", "margin = 0.95")
            path = write_task(root / name, text, classifier_json=coefficients("electrical"))
            signing.sign_directory(path, key(services.data, "publisher"), quiet)
            services.lifecycle.import_model("uid:0", path, None, quiet)
    return root / "data"


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    return copied(made, tmp_path)


@pytest.fixture
def lab(data: Path) -> Iterator[Services]:
    with open_services(data, config=SMALL) as services:
        yield services


async def gate(services: Services, wanted: Specification) -> tuple[int, ApplianceError | None]:
    params = {"specification": envelope(services, wanted).decode()}
    live = await services.jobs.start("gate", params, "uid:0")
    try:
        await live.outcome()
    except ApplianceError as error:
        return live.job.id, error
    return live.job.id, None


async def resumed(services: Services, job: int) -> dict[str, Any]:
    await services.jobs.resume(job, "uid:0")
    live = services.jobs.live(job)
    assert live is not None
    return (await live.outcome()).document


def queue_of(services: Services) -> StoredLabelQueue:
    (queue,) = services.labels.list()
    return queue


def truth(given: dict[str, Any]) -> str:
    return next(label for label, words in WORDS.items() if any(w in given["text"] for w in words))


Label = Callable[[Services, str], list[str]]


@pytest.fixture
def label(monkeypatch: pytest.MonkeyPatch) -> Label:
    def labelled(services: Services, rater: str) -> list[str]:
        monkeypatch.setattr(Person, "name", rater)
        saw = []
        with client_of(services) as client:
            queue = queue_of(services).name
            while (shown := client.call(wire.LABEL_NEXT, name=queue)).item is not None:
                saw.append(shown.model_dump_json())
                chosen = LabelSet.of(item=shown.item, label=truth(shown.input))
                client.call(wire.LABEL_SET, chosen, name=queue)
        return saw

    return labelled


def entries(services: Services) -> list[dict[str, Any]]:
    return [dict(services.reader.entry(n).body) for n in range(services.reader.size)]


def verdicts(services: Services, job: int) -> list[dict[str, Any]]:
    return [
        e for e in entries(services) if (e.get("action"), e.get("job")) == ("gate_verdict", job)
    ]


async def test_the_verdict_is_that_of_all_labels(
    data: Path, label: Label, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_services(data, config=SMALL) as services:
        job, why = await gate(services, terms(services, "fitted", "blind", **BLIND))
        assert isinstance(why, Waits) and why.code == "gate_labels_wanted"
        assert (await services.jobs.get(job)).job.state == "paused"
        queue = queue_of(services)
        assert 0 < len(queue.labelling.items) < GROUPS and queue.job == job
        (look,) = [e for e in entries(services) if e.get("action") == "gate_look"]
        asked = [e for e in entries(services) if e.get("key_id") == "evaluation"]
        own = [e["seq"] for e in asked if str(e["request_id"]).startswith(f"gate-{job}-0-")]
        assert min(own) > look["seq"]  # taken when the first answer is computed
        saw = label(services, "anna")
    with open_services(data, config=SMALL) as services:  # a restart in the middle
        services.jobs.recover()
        job_now, state = job, (await services.jobs.get(job)).job.state
        assert state == "paused"
        with pytest.raises(Waits):
            await resumed(services, job_now)  # ben has not begun
        assert queue_of(services) == queue_of(services)
        saw += label(services, "ben")
        found = await resumed(services, job)
        every, none = await gate(services, terms(services, "fitted", "known", **{
            **BLIND, "split": "test", "raters": (),
        }))  # fmt: skip
        assert none is None
        whole = json.loads((await services.jobs.get(every)).job.result or "{}")
        for name in ("verdict", "difference", "interval", "groups"):
            assert found[name] == whole[name]
        assert (found["agreed"], whole["agreed"]) == (GROUPS - len(queue.labelling.items), 0)
        assert services.labels.list() == ()  # its texts are gone
        kek = LogFiles(services.data / "audit").key_encryption_key()
        outcomes = read_pairs(services.data / DIRECTORY, job, kek)
        told = json.dumps(entries(services)) + "".join(saw)
        assert not any(pair.item in told for pair in outcomes)  # ids lie nowhere
        answers = [json.loads(each) for each in saw]
        assert all(
            {*each} == {"rater", "item", "input", "labels", "done", "total"} for each in answers
        )
        requests = {str(e.get("request_id")) for e in entries(services)}
        assert not any(each["item"] in name for each in answers for name in requests)
        looks = [e for e in entries(services) if e.get("action") == "gate_look"]
        assert len(looks) == 2  # one for each gate: the resumed one kept its own
        page = at_rest.read(services.data / DIRECTORY / str(job) / "report.html").decode()
        assert "Logistic regression" not in page and "anna and ben labelled" in page


async def test_what_the_labels_cannot_show_is_refused(lab: Services) -> None:
    changes: tuple[dict[str, Any], ...] = (
        {"floors": {"": 1_000}}, {"floors": {"north": 1_000}}, {"incumbent": "none"},
        {"raters": ()}, {"raters": ("anna",)}, {"split": "test"},
    )  # fmt: skip
    for change in changes:
        with pytest.raises(PolicyRefused) as caught:
            envelope(lab, terms(lab, "fitted", "blind", **{**BLIND, **change}))
        assert caught.value.code == "specification_invalid", change
    _, why = await gate(lab, terms(lab, "fitted", "known", **BLIND))
    assert why is not None and why.code == "dataset_not_sealed"
    terms_ = wanted(**{**BLIND, "margin_micros": 50_000})
    assert Specification.open(signed(terms_)).said == terms_  # the control


async def test_the_labels_of_a_gate_go_to_the_gate_alone(lab: Services, label: Label) -> None:
    job, _ = await gate(lab, terms(lab, "fitted", "blind", **BLIND))
    for rater in ("anna", "ben"):
        label(lab, rater)
    with client_of(lab) as client:
        with pytest.raises(ApplianceError) as caught:
            client.call(wire.LABEL_ANSWERS, name=queue_of(lab).name)
        assert caught.value.code == "label_queue_sealed"
        assert client.call(wire.LABEL_QUEUE, name=f"gate-{job}").job == job


async def test_what_is_erased_meanwhile_counts_on_neither_side(data: Path, label: Label) -> None:
    with open_services(data, config=SMALL) as services:
        job, _ = await gate(services, terms(services, "fitted", "blind", **BLIND))
        before = queue_of(services).labelling.items
        label(services, "anna")
        with services.labels._database.connect() as connection:
            origin = connection.exec_driver_sql("SELECT origin FROM label_items").scalar()
        done = services.erasure.erase(str(origin), "uid:0", "asked for")
        assert done.places == {"label queues": 1}
        assert len(queue_of(services).labelling.items) == len(before) - 1
        label(services, "ben")
    with open_services(data, config=SMALL) as services:
        assert services.labels.held() == frozenset()  # the log knows which labels went
        found = await resumed(services, job)
        assert found["unasked"] == 1 and found["groups"] == GROUPS - 1


async def test_another_engine_before_the_labels_ends_it(lab: Services, label: Label) -> None:
    job, _ = await gate(lab, terms(lab, "fitted", "blind", **BLIND))
    for rater in ("anna", "ben"):
        label(lab, rater)
    before = lab.store.evaluations.engine_of
    lab.store.evaluations.engine_of = lambda: "llama-cpp-python 0.3.99"
    with pytest.raises(ApplianceError) as caught:
        await resumed(lab, job)
    assert caught.value.code == "gate_interrupted"
    assert lab.labels.list() == ()  # its texts are gone
    lab.store.evaluations.engine_of = before  # back to the engine that answered
    with pytest.raises(ApplianceError) as caught:
        await resumed(lab, job)
    assert caught.value.code == "gate_interrupted"
    _, look = lab.ledger.beside(job)
    assert look is not None and (look.verdict, look.certificate) == ("interrupted", "")
    assert len(verdicts(lab, job)) == 1 and lab.labels.list() == ()


async def test_a_queue_that_was_removed_is_not_made_again(lab: Services) -> None:
    job, _ = await gate(lab, terms(lab, "fitted", "blind", **BLIND))
    with client_of(lab) as client:
        with pytest.raises(ApplianceError) as caught:
            client.call(wire.LABEL_QUEUE_REMOVE, name=f"gate-{job}")
        assert caught.value.code == "job_wrong_state"
    lab.labels.held = lambda: frozenset({f"gate-{job}"})
    with pytest.raises(StateRefused):  # a job that failed may be resumed, and its queue removed
        await resumed(lab, job)
    with client_of(lab) as client:
        assert client.call(wire.LABEL_QUEUE_REMOVE, name=f"gate-{job}").queues == []  # the control
    with pytest.raises(ApplianceError) as caught:
        await resumed(lab, job)
    assert caught.value.code == "gate_interrupted" and lab.labels.list() == ()


async def test_the_limits_of_a_queue_are_found_before_the_look_or_do_not_hold(
    lab: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for most, code in (("MOST_LABELS", "label_unknown"), ("_LONGEST_NAME", "rater_invalid")):
        with monkeypatch.context() as patched:
            patched.setattr(labelling, most, 1)
            _, why = await gate(lab, terms(lab, "fitted", "blind", **BLIND))
        assert why is not None and why.code == code
    assert not [e for e in entries(lab) if e.get("action") == "gate_look"]
    monkeypatch.setattr(label_queues, "MOST_ITEMS", 1)
    lab.labels.create(
        "gate-3", "mine", [Item("i1", "g1", {"text": "x"})], ["a", "b"], ["anna", "ben"]
    )
    job, why = await gate(lab, terms(lab, "fitted", "blind", **BLIND))
    assert isinstance(why, Waits) and job == 3
    assert [queue.name for queue in lab.labels.list() if queue.job == job] == ["gate-3-2"]


# The interval, and who may label.


def drawn(draw: np.random.Generator, groups: int, items: int, differ: float) -> list[ItemPair]:
    """Known answers of two sides to items with two labels, one of them right."""
    found = []
    for n in range(groups * items):
        same = draw.random() >= differ
        one = "a" if draw.random() < 0.5 else "b"
        other = one if same else "ab".replace(one, "")
        right = "a" if draw.random() < 0.7 else "b"
        found.append(ItemPair(f"i{n:05}", f"g{n // items}", "", right, MILLION * (one == right),
                          MILLION * (other == right), one, other))  # fmt: skip
    return found


def without_labels(pairs: list[ItemPair]) -> list[ItemPair]:
    return [
        ItemPair(p.item, p.group, p.stratum, "", 0, 0, p.candidate_answer, p.incumbent_answer,
             agreed=True)
        if p.candidate_answer == p.incumbent_answer
        else p
        for p in pairs
    ]  # fmt: skip


@pytest.mark.parametrize("items", [1, 4])
def test_the_interval_equals_that_with_all_labels(items: int) -> None:
    draw = np.random.default_rng(4)
    few = wanted(split="unlabelled", raters=("anna", "ben"))
    for _ in range(60):
        pairs = drawn(draw, int(draw.integers(50, 120)), items, float(draw.uniform(0.05, 0.4)))
        whole, some = judging.judge(wanted(), pairs), judging.judge(few, without_labels(pairs))
        told = ("verdict", "groups", "difference_micros", "low_micros", "high_micros", "interval",
                "groups_needed", "groups_range")  # fmt: skip
        assert [getattr(whole, n) for n in told] == [getattr(some, n) for n in told]
        assert 0 < some.agreed < some.items
    with pytest.raises(ApplianceError):  # a split that has labels tells them
        judging.judge(wanted(), without_labels(drawn(draw, 60, 1, 0.2)))


def error(seduced: float) -> float:
    """Exact share of passes in 200 groups of a candidate that is worse by the margin.

    Args:
        seduced: share of the groups it loses on which the labeller takes its answer.
    """
    gain, loss = 0.05 + 0.1 * seduced, 0.1 - 0.1 * seduced
    least = least_gained(by_tango, 200, 0.05, 0.0125, reach(200, 0.1))
    return passes(least, 200, gain, loss)


def test_a_blind_labeller_keeps_the_promise_and_one_who_sees_the_answers_does_not() -> None:
    assert error(0.0) <= 1.1 * 0.0125
    assert error(0.1) > 2 * 0.0125 and error(0.25) > 0.2  # the control


def test_the_queue_joins_no_name_of_the_log() -> None:
    key_ = b"k" * 32
    assert differing_items.alias(key_, "i1") != differing_items.alias(key_, "i2")
    assert differing_items.alias(key_, "i1") != sealed_lines.alias(key_, "i1")
