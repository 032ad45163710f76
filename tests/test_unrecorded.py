"""A disk that takes no more while an answer runs: no answer ends well without its outcome.

The numbers in names are those of the faults in the audit log's design. The fault is real: the log's
file may not grow (RLIMIT_FSIZE), so the commit fails in SQLite.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.app import Services, open_services
from appliance.audit.verification.verify import verify_log
from appliance.config import AuditConfig
from appliance.errors import AuditUnavailable
from appliance.types import Delta
from tests.answers import outcome_of
from tests.audit.writing import file_size_limit
from tests.smol import SMALL, caller, request, sealed, until


async def read(services: Services, *, full: bool) -> list[Delta]:
    """The disk may be full from the moment at which the answer began."""
    generation = await services.inference.start(caller(), request(max_tokens=8))
    pieces: list[Delta] = []

    async def collect() -> None:
        async for delta in generation:
            pieces.append(delta)

    if full:
        size = (services.data / "audit" / "log.db-wal").stat().st_size
        with file_size_limit(size), pytest.raises(AuditUnavailable):
            await collect()
        assert generation.outcome is None
    else:
        await collect()
    return pieces


@pytest.mark.parametrize("stream", ["live", "buffered"])
async def test_35_36_37_no_answer_ends_well_whose_outcome_is_not_recorded(
    smol_data: Path, stream: str
) -> None:
    config = replace(SMALL, audit=AuditConfig(stream=stream, reserve_mib=0, ballast_mib=0))
    with open_services(smol_data, config=config) as services:
        await services.supervisor.start(sealed(services))
        whole = await read(services, full=False)  # the control
        assert whole[-1].finish_reason == "length"
        asked = services.audit.size
        pieces = await read(services, full=True)
        assert all(piece.finish_reason is None for piece in pieces)
        assert bool(pieces) == (stream == "live")  # a buffered answer gives nothing away
        with pytest.raises(AuditUnavailable, match="until it is opened again"):
            await services.inference.start(caller(), request())
        await until(lambda: not services.inference.running())
        (worker,) = services.supervisor.status()
        assert (worker.running, worker.queued) == (0, 0)
        await services.supervisor.close()
    with open_services(smol_data, config=SMALL) as again:
        closing = outcome_of(again, asked)
        assert closing is not None
        assert closing["status"] == "unknown"
    assert verify_log(smol_data / "audit").ok
