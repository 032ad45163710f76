"""What is gathered of a real appliance for the table of alarms."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.api.admin.facts import gathered
from appliance.app import Services, open_services
from appliance.auth import certificates
from appliance.auth.certificates import CaKey
from appliance.clock import FixedClock, SystemClock
from appliance.config import Config, TlsConfig, UpstreamConfig
from appliance.incidents.rules import alarms
from appliance.jobs.states import JobState
from appliance.jobs.store import JobStore
from appliance.wire.admin.models import MODEL_SUSPEND, Reason
from tests.api.admin.lab import LabData, opened


def codes(services: Services) -> list[str]:
    return [alarm.code for alarm in alarms(gathered(services))]


def test_a_fresh_lab_has_no_alarm(services: Services) -> None:
    assert codes(services) == []


def test_a_suspended_and_a_missing_artifact_are_told(lab: LabData) -> None:
    with opened(lab) as (services, client):
        for name in ("tiny", "other"):
            lab.approved(client, name)
        client.call(MODEL_SUSPEND, Reason.of(reason="it lies"), model_id="tiny")
        shutil.rmtree(lab.data / "models" / "other")
        found = {alarm.code: alarm for alarm in alarms(gathered(services))}
        assert set(found) == {"model_suspended", "model_missing"}
        assert found["model_suspended"].message == "Model tiny is suspended: it lies"
        assert found["model_missing"].subject == "other"


def _fail(store: JobStore, kind: str, title: str, event: str = "fail") -> int:
    job = store.create(kind, title, "uid:0", "{}", served=True)
    store.advance(job.id, "start")
    columns = {"code": "job_failed", "message": "It broke."} if event == "fail" else {}
    assert store.advance(job.id, event, **columns).state in (JobState.FAILED, JobState.DONE)
    return job.id


def test_a_failed_job_is_told_until_one_like_it_succeeds(services: Services) -> None:
    store = services.jobs.store
    _fail(store, "verify", "the log")
    newest = _fail(store, "verify", "the log")
    _fail(store, "verify", "another")
    _fail(store, "load", "m, by hand")  # that is an alarm of the model's own
    found = [(a.code, a.subject) for a in alarms(gathered(services))]
    assert found == [("job_failed", str(newest + 1)), ("job_failed", str(newest))]
    _fail(store, "verify", "the log", "finish")
    assert [a.subject for a in alarms(gathered(services))] == [str(newest + 1)]


def test_an_old_backup_is_told_and_a_new_one_ends_it(services: Services) -> None:
    notes = services.data / "backups.json"
    notes.write_text(json.dumps({"backups": [{"time": "2026-01-01T00:00:00Z"}]}))
    assert codes(services) == ["backup_old"]
    notes.write_text(json.dumps({"backups": [{"time": datetime.now(UTC).isoformat()}]}))
    assert codes(services) == []


def test_an_app_that_floods_is_named(services: Services) -> None:
    key, _ = services.keys.create("planner")
    for _ in range(100):
        services.rejected.note("10.0.0.1", "rate_limit_exceeded", key.id)
    services.rejected.note("10.0.0.1", "queue_full", key.id)
    services.rejected.take(everything=True)  # the log takes them; the alarm still knows
    found = {alarm.code: alarm for alarm in alarms(gathered(services))}
    assert set(found) == {"app_floods", "queue_full"}
    assert found["app_floods"].subject == "planner"


@pytest.mark.parametrize(("renewable", "words"), [(True, "expires in"), (False, "every client")])
def test_a_certificate_near_its_end(
    lab: LabData, monkeypatch: pytest.MonkeyPatch, renewable: bool, words: str
) -> None:
    tls = lab.data / "tls"
    monkeypatch.setattr(certificates, "DAYS", 7)
    certificates.issue(
        tls, ["localhost"], SystemClock(), CaKey(tls / "ca.key") if renewable else None
    )
    with open_services(lab.data, config=Config(tls=TlsConfig(enabled=True))) as services:
        (found,) = alarms(gathered(services))
    assert found.code == "certificate_ends" and words in found.message


def test_a_certificate_that_is_gone_or_has_ended(
    lab: LabData,
) -> None:
    config = Config(tls=TlsConfig(enabled=True))
    with open_services(lab.data, config=config) as services:
        assert codes(services) == ["certificate_ended"]  # it is not there at all
        long_ago = FixedClock(SystemClock().wall_us() - 398 * 86_400_000_000)
        certificates.issue(lab.data / "tls", ["localhost"], long_ago)
        (found,) = alarms(gathered(services))
    assert found.code == "certificate_ended" and found.message.endswith("clients refuse it.")


def test_an_upstream_that_cannot_be_used_as_configured(lab: LabData, tmp_path: Path) -> None:
    broken = UpstreamConfig(urls=("https://a",), model="m", ca="none.pem")
    with open_services(lab.data, config=Config(upstreams={"big": broken})) as services:
        assert codes(services) == ["upstream_broken"]
