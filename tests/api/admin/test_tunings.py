"""The page of a tuning, its losses, and tunings side by side, over the admin socket."""

import hashlib
from typing import Any

import msgspec
import pytest

from appliance.app import Services
from appliance.cli.job import watched
from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.jobs.kind import Context, JobKind
from appliance.tuning import dev_outcomes, losses, record
from appliance.tuning.dev_outcomes import DevOutcomes
from appliance.tuning.exporting import ADAPTER, DIRECTORY
from appliance.tuning.losses import LossAt
from appliance.types import Role
from appliance.wire.admin import tunings as wire
from appliance.wire.admin.results import AdapterTuned, TuningPlanned
from tests.api.admin.lab import start_job
from tests.tuning import example
from tests.tuning.kept import kept


class Changes(msgspec.Struct):
    """What a tuning did otherwise; a plan where nothing is said."""

    result: dict[str, Any] | None = None


class Trained(JobKind[Changes, AdapterTuned | TuningPlanned]):
    """Tunings that were done before; what it says comes with the parameters."""

    name = "tune"
    form = Changes
    role = Role.OPERATOR

    def title(self, params: Changes) -> str:
        return "licences from notices"

    async def run(self, job: Context[Changes]) -> AdapterTuned | TuningPlanned:
        if job.params.result is None:
            return TuningPlanned.model_validate(example.PLAN)
        return AdapterTuned.model_validate(example.result(**job.params.result))


def done(services: Services, client: AdminClient, params: dict[str, Any]) -> int:
    services.jobs._kinds["tune"] = Trained()
    given = {} if not params or "plan" in params else {"result": params}
    return watched(client, start_job(client, "tune", given).id).id


def code(call: Any, *arguments: object) -> str:
    with pytest.raises(ApplianceError) as caught:
        call(*arguments)
    return caught.value.code


def test_a_page_is_made_of_the_record(services: Services, client: AdminClient) -> None:
    assert code(lambda: client.call(wire.TUNING_REPORT, job_id=5)) == "report_missing"
    adapter = services.data / DIRECTORY / "5" / ADAPTER
    adapter.mkdir(parents=True)
    (adapter / record.FILE).write_bytes(record.document(example.kept()))
    html = client.call(wire.TUNING_REPORT, job_id=5).html
    assert "Tuning 5: licences" in html and f"artifact sign {adapter}" in html
    (adapter / "model.sig").touch()
    assert "artifact sign" not in client.call(wire.TUNING_REPORT, job_id=5).html


def test_losses_are_handed_out_while_it_trains(services: Services, client: AdminClient) -> None:
    assert client.call(wire.TUNING_LOSSES, job_id=5).runs == []
    directory = services.data / DIRECTORY / "5"
    directory.mkdir(parents=True)
    many = [LossAt(n, 1.0, 0.5 if n == 900 else None) for n in range(1, 1001)]
    losses.write(directory / "seed-0.losses", many)
    (run,) = client.call(wire.TUNING_LOSSES, job_id=5).runs
    assert run.name == "seed-0" and len(run.points) < 500
    assert (900, 1.0, 0.5) in run.points and run.points[-1] == (1000, 1.0, None)


def test_tunings_stand_side_by_side(services: Services, client: AdminClient) -> None:
    settings = example.result()["settings"]
    first = done(services, client, {"seconds": 10.5})
    second = done(services, client, {"settings": {**settings, "rank": 32}, "joules": 5.0})
    found = client.call(wire.TUNINGS_COMPARE, wire.CompareTunings.of(tunings=[second, first]))
    assert [each.id for each in found.tunings] == [second, first] and found.same_dev
    assert [(each.name, each.values) for each in found.differing] == [("rank", ["32", "16"])]
    one, other = found.tunings
    assert (one.joules, other.joules, other.seconds) == (5.0, None, 10.5)
    assert (one.value, one.interval, one.groups) == (0.844, (0.793, 0.885), 237)
    assert (one.best, one.best_value, one.dev_nats) == ("blend", 0.86, 0.1243)


def with_outcomes(services: Services, client: AdminClient, found: DevOutcomes, **more: Any) -> int:
    data = found.document()
    told = {**more, "best": "model", "outcomes_sha256": hashlib.sha256(data).hexdigest()}
    number = done(services, client, told)
    directory = services.data / DIRECTORY / str(number)
    (directory / ADAPTER).mkdir(parents=True)
    (directory / dev_outcomes.FILE).write_bytes(data)
    (directory / ADAPTER / record.FILE).write_bytes(record.document(example.kept(**told)))
    return number


def test_each_is_held_against_the_first_item_by_item(
    services: Services, client: AdminClient
) -> None:
    first = with_outcomes(services, client, kept("0100"))
    second = with_outcomes(services, client, kept("1110"), seconds=5.0)
    old = done(services, client, {"seconds": 10.5})
    pair, other = client.call(
        wire.TUNINGS_COMPARE, wire.CompareTunings.of(tunings=[first, second, old])
    ).paired
    assert (pair.tuning, pair.against, pair.reason, pair.items) == (second, first, "", 4)
    ((what, value, gained),) = [(d.what, d.value, d.gained) for d in pair.differences]
    assert (what, value, gained) == ("tuned model", 0.5, 2)
    assert f"tuning {old} kept no outcomes" in other.reason and other.differences == []
    html = client.call(wire.TUNING_REPORT, job_id=second, against=first).html
    assert f"Against tuning {first}" in html and "+50.0" in html
    assert "Against" not in client.call(wire.TUNING_REPORT, job_id=second).html
    assert (
        code(lambda: client.call(wire.TUNING_REPORT, job_id=second, against=old))
        == "report_missing"
    )  # it has no record
    path = services.data / DIRECTORY / str(first) / dev_outcomes.FILE
    path.write_bytes(path.read_bytes().replace(b'"i1"', b'"i9"'))
    (pair,) = client.call(
        wire.TUNINGS_COMPARE, wire.CompareTunings.of(tunings=[first, second])
    ).paired
    assert f"tuning {first} has another outcomes.json" in pair.reason


def test_what_trained_no_adapter_cannot_be_compared(
    services: Services, client: AdminClient
) -> None:
    first, plan = done(services, client, {"seconds": 10.5}), done(services, client, {})
    assert (
        code(
            lambda: client.call(wire.TUNINGS_COMPARE, wire.CompareTunings.of(tunings=[first, plan]))
        )
        == "report_missing"
    )
    assert (
        code(lambda: client.call(wire.TUNINGS_COMPARE, wire.CompareTunings.of(tunings=[first, 99])))
        == "unknown_job_id"
    )
    assert (
        code(lambda: client.call(wire.TUNINGS_COMPARE, wire.CompareTunings.of(tunings=[first])))
        == "invalid_value"
    )
