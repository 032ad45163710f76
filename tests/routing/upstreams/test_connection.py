"""TLS to upstream hosts: the pinned certificates alone, the client's shown, errors told apart."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from appliance.auth import certificates
from appliance.clock import FixedClock, SystemClock
from appliance.config import UpstreamConfig
from appliance.errors import ApplianceError, UsageError
from appliance.routing.upstreams.connection import Connection, tls_context
from appliance.routing.upstreams.events import Probed
from tests.routing.upstreams.engine import Engine
from tests.routing.upstreams.site import CONNECT_MS

PROBE = {"prompt": "Once"}


def server(directory: Path, *, client_ca: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def code_of(engine: Engine, directory: Path, **more: Any) -> str:
    given = {"connect_ms": CONNECT_MS, "idle_seconds": 5, **more}
    config = UpstreamConfig(urls=(engine.url,), model="m", **given)
    connection = Connection(engine.url, config, tls_context(config, directory), "")
    try:
        await connection.ask("/v1/completions", dict(PROBE), Probed)
    except ApplianceError as error:
        return error.code
    return ""


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of three authorities: `a`, `b`, and the expired `old`."""
    root = tmp_path_factory.mktemp("tls")
    past = int((datetime.now(UTC) - timedelta(days=9000)).timestamp() * 1e6)
    for name, clock in (("a", SystemClock()), ("b", SystemClock()), ("old", FixedClock(past))):
        certificates.issue(root / name, ["localhost"], clock)
    return root


async def test_the_pinned_authority_and_no_other(issued: Path) -> None:
    async with Engine().serve(server(issued / "a")) as engine:
        assert await code_of(engine, issued, ca="a/ca.pem") == ""
        assert await code_of(engine, issued, ca="b/ca.pem") == "upstream_certificate"
        assert engine.requests[1:] == []
        loose = engine.url.replace("localhost", "127.0.0.1")  # the certificate names localhost
        config = UpstreamConfig(urls=(loose,), model="m", connect_ms=CONNECT_MS, ca="a/ca.pem")
        connection = Connection(loose, config, tls_context(config, issued), "")
        with pytest.raises(ApplianceError) as caught:
            await connection.ask("/v1/completions", dict(PROBE), Probed)
        assert caught.value.code == "upstream_certificate"


async def test_an_expired_certificate_of_the_host(issued: Path) -> None:
    async with Engine().serve(server(issued / "old")) as engine:
        assert await code_of(engine, issued, ca="old/ca.pem") == "upstream_certificate"


async def test_the_client_certificate(issued: Path) -> None:
    client(issued / "mine", days=9)
    client(issued / "over", days=-1)
    client(issued / "strange", days=9)
    trusted = issued / "trusted.pem"
    parts = [issued / name / "ca.pem" for name in ("mine", "over")]
    trusted.write_text("".join(part.read_text() for part in parts))
    async with Engine().serve(server(issued / "a", client_ca=trusted)) as engine:
        for name, accepted in (("mine", True), ("over", False), ("strange", False), ("", False)):
            shown = {"certificate": f"{name}/c.pem", "key": f"{name}/c.key"} if name else {}
            found = await code_of(engine, issued, ca="a/ca.pem", **shown)
            assert (found == "") == accepted, name
            # Under TLS 1.3 the host refuses after our handshake has ended.
            assert found in ("", "upstream_certificate", "upstream_lost")
        assert len(engine.requests) == 1


def client(directory: Path, *, days: int) -> None:
    directory.mkdir()
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in ("ca", "client")]
    made = []
    for number, name in enumerate(names):
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(names[0])
            .public_key(keys[number].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=99))
            .not_valid_after(now + timedelta(days=days if number else 99))
            .add_extension(x509.BasicConstraints(ca=not number, path_length=None), critical=True)
        )
        made.append(builder.sign(keys[0], SHA256()).public_bytes(Encoding.PEM))
    (directory / "ca.pem").write_bytes(made[0])
    (directory / "c.pem").write_bytes(made[1])
    plain = keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "c.key").write_bytes(plain)


async def test_a_host_that_does_not_speak_tls(issued: Path) -> None:
    async with Engine().serve() as engine:
        engine.scheme = "https"
        found = await code_of(engine, issued, ca="a/ca.pem", connect_ms=100)
        assert found in ("upstream_certificate", "upstream_unavailable")


async def test_nobody_is_there(issued: Path) -> None:
    assert await code_of(Engine(port=9), issued) == "upstream_unavailable"


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for wanted in (UpstreamConfig(ca="ca.pem"), UpstreamConfig(ca="missing.pem")):
        with pytest.raises(UsageError) as caught:
            tls_context(wanted, tmp_path)
        assert caught.value.code == "certificate_unusable"


async def test_our_key_is_sent_and_nothing_else() -> None:
    async with Engine().serve() as engine:
        connection = Connection(engine.url, UpstreamConfig(connect_ms=CONNECT_MS), None, "sk-there")
        await connection.ask("/v1/completions", dict(PROBE), Probed)
        assert engine.requests[0].headers["authorization"] == "Bearer sk-there"


async def test_a_process_is_known_by_its_certificate_and_its_beginning(issued: Path) -> None:
    found = []
    for name in ("a", "b"):
        async with Engine().serve(server(issued / name)) as engine:
            config = UpstreamConfig(
                urls=(engine.url,), model="m", connect_ms=CONNECT_MS, ca=f"{name}/ca.pem"
            )
            connection = Connection(engine.url, config, tls_context(config, issued), "")
            for path in ("", "/metrics"):
                found.append(await connection.instance(path))
                assert found[-1] == await connection.instance(path)
            engine.began += 1
            found.append(await connection.instance("/metrics"))
    assert len(set(found)) == 6 and all(len(one.partition(" ")[0]) == 64 for one in found)
