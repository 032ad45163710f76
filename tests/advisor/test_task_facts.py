"""Facts of a real log and of results on disk."""

import json
from pathlib import Path

import pytest

from appliance.advisor.task_facts import gather
from appliance.app import Services, open_services
from appliance.audit.log import Draft
from appliance.evals.store import newest_result
from appliance.types import Json
from tests.advisor.test_options import RESULT
from tests.api.admin.lab import make_lab


def write(evaluations: Path, number: int, text: str) -> None:
    (evaluations / str(number)).mkdir(parents=True)
    (evaluations / str(number) / "result.json").write_text(text)


def answer(services: Services, model: str, took_us: int, key: str = "k") -> None:
    asked: dict[str, Json] = {"request_id": "r", "key_id": key, "model": model}
    (receipt,) = services.audit.append(Draft("intent", asked)).result()
    done: dict[str, Json] = {"intent": receipt.seq, "status": "ok", "duration_us": took_us}
    services.audit.append(Draft("outcome", {**asked, **done})).result()


def test_the_newest_result_that_can_be_read_is_the_fact(tmp_path: Path) -> None:
    assert newest_result(tmp_path, "orders") is None
    write(tmp_path, 2, json.dumps(RESULT))
    write(tmp_path, 10, json.dumps({**RESULT, "label_agreement": 0.5}))
    write(tmp_path, 11, "{")
    write(tmp_path, 12, json.dumps({**RESULT, "task": "other"}))
    (tmp_path / "notes").mkdir()
    found = newest_result(tmp_path, "orders")
    assert found is not None and (found[0], found[1].label_agreement) == (10, 0.5)


def test_arrivals_are_those_of_the_task_alone(tmp_path: Path) -> None:
    lab = make_lab(tmp_path)
    write(tmp_path / "e", 3, json.dumps(RESULT))
    with open_services(lab.data) as services:
        for model in ("orders", "orders", "other"):
            answer(services, model, 1_000)
        answer(services, "orders", 1_000, key="evaluation")  # asked by the appliance itself
        known = gather(tmp_path / "e", services.reader, "orders")
        nothing = gather(tmp_path / "e", services.reader, "")
    assert known.arrivals is not None and known.arrivals.requests == 2
    assert 0 < known.arrivals.utilisation <= 1
    assert known.made_of[0] == ("evaluation", "3") and known.host_memory > 0
    assert known.candidate("baseline") is not None
    assert (nothing.arrivals, nothing.candidates) == (None, ())


@pytest.mark.parametrize("most", [1, 3])
def test_the_log_is_read_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("appliance.advisor.task_facts.MOST_ANSWERS", most)
    monkeypatch.setattr("appliance.advisor.task_facts.MAX_LIMIT", 2)
    lab = make_lab(tmp_path)
    with open_services(lab.data) as services:
        for _ in range(5):
            answer(services, "orders", 1_000)
        known = gather(tmp_path, services.reader, "orders")
    assert known.arrivals is not None and known.arrivals.requests == most
