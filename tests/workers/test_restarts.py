"""The number of an engine's restarts, over the runs of the server."""

import os
import signal
from pathlib import Path

from appliance.app import Services, open_services
from tests.smol import ID, SMALL, loaded, make_data, until


async def killed(services: Services) -> None:
    (before,) = services.supervisor.status()
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    await until(lambda: services.supervisor.status()[0].restarts == before.restarts + 1)
    await until(services.supervisor.ready)


def counted(services: Services) -> float:
    return float(services.metrics.restarts.labels(ID)._value.get())


async def test_the_number_goes_on_after_a_restart_of_the_server(
    tmp_path: Path, narrow_path: Path
) -> None:
    data = make_data(tmp_path, narrow_path)
    for before, kills in ((0, 2), (2, 1), (3, 0)):
        with open_services(data, config=SMALL) as services:
            async with loaded(services):
                (status,) = services.supervisor.status()
                assert (status.restarts, counted(services)) == (before, before)
                for _ in range(kills):
                    await killed(services)
                assert counted(services) == before + kills
                # A load of the same run neither counts nor forgets.
                await services.supervisor.stop(ID)
                await services.pool.load("uid:0", ID)
                assert services.supervisor.status()[0].restarts == before + kills
                assert counted(services) == before + kills
