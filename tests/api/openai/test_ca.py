"""`GET /ca.pem`."""

from pathlib import Path

import httpx
import pytest

from appliance.api.app import create_lan_app
from appliance.app import initialise, open_services
from appliance.auth import certificates
from appliance.auth.certificates import CaKey
from appliance.clock import SystemClock
from appliance.config import Config, TlsConfig


@pytest.mark.parametrize("tls", [True, False])
async def test_an_app_gets_the_ca_and_in_the_days_before_a_change_both(
    tmp_path: Path, tls: bool
) -> None:
    initialise(tmp_path / "data", "lab", names=["localhost"])
    directory = tmp_path / "data" / "tls"
    with open_services(tmp_path / "data", config=Config(tls=TlsConfig(enabled=tls))) as services:
        _, secret = services.keys.create("app")
        app = create_lan_app(services)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://lan") as client:
            assert (await client.get("/ca.pem")).status_code == 401
            client.headers["authorization"] = f"Bearer {secret}"
            before = await client.get("/ca.pem")
            certificates.replace_ca(directory, SystemClock(), CaKey(directory / "ca.key"))
            after = await client.get("/ca.pem")
    if not tls:
        assert before.status_code == after.status_code == 404
        return
    assert before.content == (directory / "ca.pem").read_bytes()
    assert after.content == before.content + (directory / "next" / "ca.pem").read_bytes()
