"""Routes of upstreams."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.app import open_services
from appliance.errors import Refused
from appliance.wire.admin import upstreams as wire
from tests.api.admin.lab import LabData, client_of
from tests.routing.upstreams.engine import Engine
from tests.routing.upstreams.site import BIG, config


@pytest.fixture
def engine() -> Iterator[Engine]:
    made, started = Engine(), threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with made.serve():
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    started.wait()
    yield made
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


def test_the_life_of_an_upstream(lab: LabData, engine: Engine, tmp_path: Path) -> None:
    from appliance.trust.statements import approval
    from appliance.trust.statements.approval import UpstreamSubject

    with (
        open_services(lab.data, config=config(engine.url)) as services,
        client_of(services) as client,
    ):
        (found,) = client.call(wire.UPSTREAMS).upstreams
        assert (found.name, found.hosts[0].state) == (BIG, "unlearnt")
        host = client.call(wire.UPSTREAM_LEARN, name=BIG).hosts[0]
        assert host.state == "unapproved" and host.record is not None
        subject = UpstreamSubject(BIG, host.url, host.record["digest"], host.record["identity"])
        for number, person in enumerate(("approver-1", "approver-2"), 1):
            envelope = approval.sign(
                subject, name=person, meaning="m", time_us=0,
                private_key=lab.key(person).read_bytes(),
            )  # fmt: skip
            shown = client.call(
                wire.UPSTREAM_APPROVE,
                wire.UpstreamApproval.of(url=host.url, envelope=envelope.decode()),
                name=BIG,
            )
            assert len(shown.hosts[0].approvals) == number
        assert client.call(wire.UPSTREAM_PROBE, name=BIG).hosts[0].state == "ready"
        assert (
            client.call(
                wire.UPSTREAM_DRAIN, wire.UpstreamDrain.of(url=host.url, drained=True), name=BIG
            )
            .hosts[0]
            .state
            == "drained"
        )
        assert client.call(wire.UPSTREAM, name=BIG).identity == host.record["identity"]
        with pytest.raises(Refused) as caught:
            client.call(wire.UPSTREAM, name="other")
        assert caught.value.code == "upstream_unknown"
        with pytest.raises(Refused) as caught:
            client.call(
                wire.UPSTREAM_DRAIN,
                wire.UpstreamDrain.of(url="http://elsewhere", drained=True),
                name=BIG,
            )
        assert caught.value.code == "upstream_unknown"


def test_they_are_read_again(lab: LabData, engine: Engine) -> None:
    with open_services(lab.data, config=config(engine.url)) as services:
        with client_of(services) as client:
            assert client.call(wire.UPSTREAMS_RELOAD).upstreams == []  # the file has none
            (lab.data / "appliance.toml").write_text("[upstreams.big]\nurls = 7\n")
            with pytest.raises(Refused) as wrong:
                client.call(wire.UPSTREAMS_RELOAD)
        assert wrong.value.code == "config_invalid"


def test_one_that_cannot_be_used_is_listed(lab: LabData) -> None:
    wanted = config("https://localhost:1", ca="missing.pem")
    with open_services(lab.data, config=wanted) as services, client_of(services) as client:
        (found,) = client.call(wire.UPSTREAMS).upstreams
        assert found.broken and not found.hosts
