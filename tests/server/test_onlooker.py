"""The look of the server: a renewed certificate, a new CA, and alarms as log lines."""

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from appliance.app import Services, open_services
from appliance.auth import certificates
from appliance.auth.certificates import CaKey
from appliance.clock import FixedClock, SystemClock
from appliance.config import AuditConfig, Config, ForwardConfig, RolesConfig, TlsConfig
from appliance.errors import AuditUnavailable
from appliance.server.onlooker import Onlooker
from appliance.server.serve import _tls_context
from tests.api.admin.lab import LabData, make_lab

PASSPHRASE = "correct horse battery"
CONFIG = Config(tls=TlsConfig(enabled=True))


@pytest.fixture
def lab(tmp_path: Path) -> LabData:
    made = make_lab(tmp_path)
    key = CaKey(made.data / "tls" / certificates.CA_KEY, PASSPHRASE)
    certificates.issue(made.data / "tls", ["localhost"], SystemClock(), key)
    return made


@pytest.fixture
def services(lab: LabData) -> Iterator[Services]:
    with open_services(lab.data, config=CONFIG) as opened:
        yield opened


@contextlib.asynccontextmanager
async def listening(context: ssl.SSLContext) -> AsyncIterator[int]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(line)
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def connected(
    port: int, client: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, x509.Certificate]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=client, server_hostname="localhost"
    )
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return reader, writer, x509.load_der_x509_certificate(shown)


def server_context(data: Path) -> ssl.SSLContext:
    tls = data / "tls"
    return certificates.server_context(tls / "server.pem", tls / "server.key")


async def test_a_running_server_takes_a_renewed_certificate_and_no_client_notices(
    lab: LabData, services: Services
) -> None:
    tls = lab.data / "tls"
    client = ssl.create_default_context(cafile=str(tls / "ca.pem"))  # the CA, and nothing else
    context = server_context(lab.data)
    onlooker = Onlooker(services, [context])
    async with listening(context) as port:
        reader, writer, before = await connected(port, client)
        certificates.renew(tls, SystemClock(), CaKey(tls / certificates.CA_KEY, PASSPHRASE))
        _, other, still = await connected(port, client)
        assert still.serial_number == before.serial_number  # the control: nobody looked yet
        onlooker.look()
        _, newer, after = await connected(port, client)
        assert after.serial_number != before.serial_number
        entry = services.reader.entry(services.reader.newest_of(("admin",)))
        assert entry.body["action"] == "certificate_taken"
        assert entry.body["sha256"] == after.fingerprint(SHA256()).hex()
        writer.write(b"still here\n")
        assert await reader.readline() == b"still here\n"
        for each in (writer, other, newer):
            each.close()


async def test_half_a_pair_changes_nothing(
    lab: LabData, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    tls = lab.data / "tls"
    client = ssl.create_default_context(cafile=str(tls / "ca.pem"))
    context = server_context(lab.data)
    onlooker = Onlooker(services, [context])
    kept = (tls / "server.key").read_bytes()
    certificates.renew(tls, SystemClock(), CaKey(tls / certificates.CA_KEY, PASSPHRASE))
    (tls / "server.key").write_bytes(kept)
    onlooker.look()
    assert "the certificate was not changed" in caplog.text
    async with listening(context) as port:
        _, writer, _ = await connected(port, client)
        writer.close()


async def test_a_new_ca_takes_over_on_its_day_and_clients_of_both_never_fail(lab: LabData) -> None:
    tls, now = lab.data / "tls", datetime.now(UTC)
    (tls / certificates.CA_KEY).unlink()  # gone
    day = certificates.replace_ca(tls, SystemClock(), CaKey(tls / certificates.CA_KEY, PASSPHRASE))
    assert now + timedelta(days=29) < day <= datetime.now(UTC) + timedelta(days=30)
    both = ssl.create_default_context(cafile=str(tls / certificates.CLIENTS))
    old = ssl.create_default_context(cafile=str(tls / "ca.pem"))
    context = server_context(lab.data)
    with open_services(lab.data, config=CONFIG) as services:
        onlooker = Onlooker(services, [context])
        async with listening(context) as port:
            onlooker.look()
            shown = []
            for client in (both, old):  # 30 days in which clients are given the file
                _, writer, present = await connected(port, client)
                shown.append(present.serial_number)
                writer.close()
    assert certificates.for_clients(tls / "server.pem") == (tls / "clients.pem").read_bytes()
    later = FixedClock(int(day.timestamp() * 1e6) + 1)
    with open_services(lab.data, config=CONFIG, clock=later) as services:
        onlooker = Onlooker(services, [context])
        onlooker.look()
        async with listening(context) as port:
            newer = x509.load_pem_x509_certificate((tls / "server.pem").read_bytes())
            assert newer.serial_number not in shown
            assert not (tls / certificates.NEXT).exists()
            assert not (tls / certificates.CLIENTS).exists()
            with pytest.raises(ssl.SSLCertVerificationError):
                await connected(port, old)
    assert certificates.standing(tls / "server.pem").renewable


def test_a_start_serves_although_a_new_ca_cannot_take_over(
    lab: LabData, caplog: pytest.LogCaptureFixture
) -> None:
    tls = lab.data / "tls"
    (tls / certificates.CA_KEY).unlink(missing_ok=True)
    day = certificates.replace_ca(tls, SystemClock(), CaKey(tls / certificates.CA_KEY, PASSPHRASE))
    (tls / certificates.NEXT / "note.txt").write_text("left by a person")
    later = FixedClock(int(day.timestamp() * 1e6) + 1)
    with open_services(lab.data, config=CONFIG, clock=later) as services:
        assert _tls_context(services) is not None
    assert "was not put in place" in caplog.text


def test_alarms_that_begin_and_end_are_lines_at_their_level(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lab = make_lab(tmp_path)
    caplog.set_level(logging.INFO, "appliance")
    config = Config(audit=AuditConfig(reserve_mib=1 << 20), roles=RolesConfig(viewer=("nobody9",)))
    with open_services(lab.data, config=config) as services:
        onlooker = Onlooker(services, [])
        onlooker.look()
        onlooker.look()  # told once
        told = [(r.levelname, getattr(r, "code", "")) for r in caplog.records]
        assert told.count(("ERROR", "insufficient_disk")) == 1
        assert told.count(("WARNING", "role_name_unknown")) == 1
        (lab.data / "backups.json").write_text(
            json.dumps({"backups": [{"time": "2026-01-01T00:00:00Z"}]})
        )
        onlooker.look()
        (lab.data / "backups.json").unlink()
        onlooker.look()
    assert "alarm backup_old: The backup is older than 7 days" in caplog.text
    assert "alarm backup_old is over" in caplog.text


def test_how_the_disk_filled_is_known_after_a_restart(lab: LabData) -> None:
    now_us = SystemClock().wall_us()
    for run in range(2):
        clock = FixedClock(now_us + run * 60_000_000)
        with open_services(lab.data, config=CONFIG, clock=clock) as services:
            onlooker, trend = Onlooker(services, []), services.disk_trend
            assert len(trend.looks) == 122 * run
            if not run:
                for minute in range(121, 0, -1):
                    trend.note(now_us / 1e6 - 60 * minute, (minute + 1) << 40)
            onlooker.look()
            assert (trend.seconds_to(0) is None) == (not trend.looks)
    (lab.data / "run" / "disk-looks.json").write_text("[[1")
    with open_services(lab.data, config=CONFIG) as services:
        Onlooker(services, [])  # one that cannot be read is none
        assert services.disk_trend.looks == []


def test_answers_stop_while_a_receiver_lacks_what_is_too_old(lab: LabData) -> None:
    receiver = ForwardConfig(to="tcp://127.0.0.1:9", stop_after_minutes=5)
    clock = FixedClock(SystemClock().wall_us())
    with open_services(lab.data, config=Config(forward={"siem": receiver}), clock=clock) as opened:
        onlooker = Onlooker(opened, [])
        onlooker.look()
        opened.audit.check()
        clock.advance(360)
        onlooker.look()
        with pytest.raises(AuditUnavailable) as caught:
            opened.audit.check()
        assert caught.value.code == "receiver_behind"
        assert not opened.audit.unwritable
