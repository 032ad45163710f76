"""Where intents and outcomes go."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.app import Services, open_services
from appliance.audit.log import Draft
from appliance.config import AuditConfig
from appliance.errors import AuditUnavailable
from appliance.serving.recording import Recording
from appliance.types import Json
from tests.smol import SMALL

FIELDS: dict[str, Json] = {"request_id": "r-1", "key_id": "k1", "model": "m"}


async def test_an_entry_is_durable_when_it_returns_and_its_time_is_counted(
    services: Services,
) -> None:
    recording = Recording(services.audit, services.metrics)
    recording.check()
    receipt = await recording.append(Draft("intent", FIELDS))
    assert services.reader.entry(receipt.seq).body["request_id"] == "r-1"
    assert 'kind="intent"' in services.metrics.text()


async def test_a_log_that_cannot_be_written_refuses_before_any_work(smol_data: Path) -> None:
    full = replace(SMALL, audit=AuditConfig(reserve_mib=1 << 20))
    with open_services(smol_data, config=full) as services:
        recording = Recording(services.audit, services.metrics)
        with pytest.raises(AuditUnavailable):
            await recording.append(Draft("intent", FIELDS))
        with pytest.raises(AuditUnavailable):
            recording.check()
