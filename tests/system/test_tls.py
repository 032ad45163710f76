"""The server over TLS: its certificate, a client certificate in place of a secret, and SIGHUP."""

import re
import signal
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.api.admin.lab import LabData, make_lab
from tests.cli.conftest import run_command
from tests.cli.test_serve import refused, start
from tests.people.cards import Cards


@pytest.fixture
def lab(tmp_path: Path) -> LabData:
    return make_lab(tmp_path)


def client_pair(directory: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(hours=1),
                                now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )  # fmt: skip
    paths = directory / "app.pem", directory / "app.key"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


def context_of(ca: Path, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    if pair:
        context.load_cert_chain(*pair)
    return context


def test_beyond_loopback_takes_tls_and_a_key_and_more_than_a_lab(lab: LabData) -> None:
    status, words = refused(lab.data, "--host", "0.0.0.0")
    assert status == 2 and "TLS is off" in words
    with (lab.data / "appliance.toml").open("a") as file:
        file.write("[tls]\nenabled = true\n")
    status, words = refused(lab.data, "--host", "0.0.0.0")
    assert status == 2 and "no key exists" in words
    run_command("key", "create", "app", data=lab.data)
    status, words = refused(lab.data, "--host", "0.0.0.0")
    assert status == 2 and "loopback only" in words  # a trial stays on its machine


def test_tls_client_certificates_and_reloading(lab: LabData, tmp_path: Path) -> None:
    pair, cards = client_pair(tmp_path), Cards(tmp_path / "cards", now=datetime.now(UTC))
    with (lab.data / "appliance.toml").open("a") as file:
        file.write(f'[tls]\nenabled = true\nclient_ca = "{pair[0]}"\n[certificates.card]\n')
        file.write(f'ca = "{cards.at}/ca.pem"\ncrls = ["{cards.at}/crl"]\n')
    assert run_command("tls", "issue", "localhost", "127.0.0.1", data=lab.data).status == 0
    made = run_command("key", "create", "app", "--certificate", pair[0], data=lab.data)
    assert made.status == 0
    strict = run_command("key", "create", "strict", "--person", data=lab.data).out.strip()
    ca = lab.data / "tls" / "ca.pem"
    with start(lab.data) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if "listening" in line)
            found = re.search(r"https://127.0.0.1:(\d+)", line)
            assert found is not None
            url = f"https://127.0.0.1:{found[1]}/v1/models"
            with httpx.Client(verify=context_of(ca, pair)) as known:
                assert known.get(url).status_code == 200
                assert known.get(url, headers={"x-api-key": "wrong"}).status_code == 401
                with httpx.Client(verify=context_of(ca)) as stranger:
                    assert stranger.get(url).status_code == 401
                nowhere, secret = url.replace("models", "responses/r"), {"x-api-key": strict}
                with httpx.Client(verify=context_of(ca, cards.keep(cards.card()))) as person:
                    assert person.get(url).status_code == 401  # no certificate of an app
                    assert person.get(nowhere, headers=secret).status_code == 404
                reply = known.get(nowhere, headers=secret)  # an app's is no person's
                assert reply.json()["error"]["code"] == "person_required"
                old = context_of(ca)
                run_command("tls", "issue", "localhost", "127.0.0.1", data=lab.data)
                process.send_signal(signal.SIGHUP)
                assert any("read again" in line for line in process.stderr)
                assert known.get(url).status_code == 200  # its connection goes on
            with httpx.Client(verify=context_of(ca, pair)) as anew:
                assert anew.get(url).status_code == 200
            with httpx.Client(verify=old) as outdated, pytest.raises(httpx.ConnectError):
                outdated.get(url)
        finally:
            process.terminate()
            process.communicate()
