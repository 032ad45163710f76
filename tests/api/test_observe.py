"""What is counted of the traffic, and what of it reaches the log."""

import logging
from pathlib import Path

import pytest

from appliance.api.observe import Observer, write_counts
from appliance.app import initialise, open_services
from appliance.audit.log import AuditLog, Draft
from appliance.audit.search import Query
from appliance.auth.rejected import SOURCES, RejectedCounts
from appliance.clock import FixedClock
from appliance.observability.metrics import Metrics
from appliance.types import Json
from tests.api.conftest import Lan

FLOOD = 100_000


def scope_of(ip: str, path: str = "/v1/chat/completions", code: str = "") -> dict[str, object]:
    return {
        "type": "http", "method": "POST", "path": path, "client": (ip, 1),
        "state": {"request_id": "req-1", "error_code": code},
    }  # fmt: skip


async def test_a_flood_adds_few_rows_and_the_control_adds_one_each(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    with open_services(tmp_path / "data") as services:
        clock = FixedClock()
        rejected = RejectedCounts(clock)
        observer = Observer(rejected, Metrics())
        size = services.audit.size
        for number in range(FLOOD):
            ip = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            observer.answered(scope_of(ip, code="invalid_api_key"), 401, 0.0)
        await write_counts(rejected, services.audit)
        assert services.audit.size == size  # the minute is not over
        clock.advance(60)
        await write_counts(rejected, services.audit)
        assert services.audit.size == size + SOURCES + 1
        counted = services.reader.search(Query(kind="counted", limit=1000)).entries
        total = 0
        for entry in counted:
            count = entry.body["count"]
            assert isinstance(count, int)
            total += count
        assert total == FLOOD
        # The control: without counting each request is a row.
        before = services.audit.size
        for number in range(200):
            fields: dict[str, Json] = {
                "source": str(number),
                "count": 1,
                "since_us": 0,
                "until_us": 0,
            }
            services.audit.append(Draft("counted", fields)).result()
        assert services.audit.size == before + 200


async def test_the_reserve_of_the_disk_is_not_touched(tmp_path: Path) -> None:
    clock = FixedClock()
    AuditLog.create(tmp_path / "log", origin="t/x", profile="lab", clock=clock)
    rejected = RejectedCounts(clock)
    rejected.note("10.0.0.1", "invalid_api_key")
    with AuditLog.open(tmp_path / "log", clock=clock, content="off", reserve_bytes=1 << 62) as full:
        await write_counts(rejected, full, everything=True)
        assert full.size == 1
    with AuditLog.open(tmp_path / "log", clock=clock, content="off", reserve_bytes=0) as log:
        await write_counts(rejected, log, everything=True)  # nothing was lost meanwhile
        assert log.size == 2


async def test_refusals_and_polls_are_counted_by_source_and_key(
    lan: Lan, caplog: pytest.LogCaptureFixture
) -> None:
    rejected = lan.services.rejected
    rejected.take(everything=True)
    with caplog.at_level(logging.INFO, "appliance.access"):
        async with lan.anonymous() as stranger:
            await stranger.get("/v1/models")
        await lan.client.get("/v1/models")
        await lan.client.post("/v1/chat/completions", json={"model": "secret words"})
        await lan.client.get("/healthz")
    found = {c.key_id: c.codes for c in rejected.take(everything=True)}
    key_id = lan.secret.split("-")[1]
    assert found == {"": {"invalid_api_key": 1}, key_id: {"models": 1, "invalid_value": 1}}
    assert 'route="/healthz",status="200"' in lan.services.metrics.text()
    logged = [r for r in caplog.records if r.name == "appliance.access"]
    # A probe is counted and not logged.
    assert [r.__dict__["status"] for r in logged] == [401, 200, 400]
    assert all(r.__dict__["request_id"].startswith("req-") for r in logged)
    assert "secret words" not in caplog.text
