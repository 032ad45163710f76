"""TLS: a CA that can vouch for nothing else, and a context that reloads."""

import ssl
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from appliance.auth import certificates
from appliance.auth.certificates import issue, load, server_context
from appliance.clock import SystemClock
from appliance.errors import UsageError

NAMES = ("appliance.lan", "127.0.0.1")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    issue(tmp_path / "tls", NAMES, SystemClock())
    return tmp_path / "tls"


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str:
    """Both ends in memory; the subject of the server's certificate."""
    one, two = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        server.wrap_bio(one, two, server_side=True),
        client.wrap_bio(two, one, server_hostname=name),
    ]
    done: list[ssl.SSLObject] = []
    for _ in range(10):
        for end in ends:
            if end not in done:
                try:
                    end.do_handshake()
                    done.append(end)
                except ssl.SSLWantReadError:
                    continue
        if len(done) == 2:
            return str(ends[1].version())
    raise AssertionError("no handshake")


def client_of(ca: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca))


@pytest.mark.parametrize("name", NAMES)
def test_a_client_with_the_ca_reaches_each_name(made: Path, name: str) -> None:
    context = server_context(made / "server.pem", made / "server.key", None)
    assert handshake(context, client_of(made / "ca.pem"), name) == "TLSv1.3"


def test_no_other_name_and_no_other_ca(made: Path, tmp_path: Path) -> None:
    context = server_context(made / "server.pem", made / "server.key", None)
    with pytest.raises(ssl.SSLError):
        handshake(context, client_of(made / "ca.pem"), "other.lan")
    issue(tmp_path / "other", NAMES, SystemClock())
    with pytest.raises(ssl.SSLError):
        handshake(context, client_of(tmp_path / "other" / "ca.pem"), NAMES[0])


def test_old_tls_is_refused(made: Path) -> None:
    context = server_context(made / "server.pem", made / "server.key", None)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_the_ca_is_limited_to_the_names_and_its_key_is_nowhere(made: Path) -> None:
    ca = x509.load_pem_x509_certificate((made / "ca.pem").read_bytes())
    found = ca.extensions.get_extension_for_oid(ExtensionOID.NAME_CONSTRAINTS)
    assert found.critical and isinstance(found.value, x509.NameConstraints)
    assert [str(n.value) for n in found.value.permitted_subtrees or ()] == [
        "appliance.lan",
        "127.0.0.1/32",
    ]
    assert {f.name for f in made.iterdir()} == {"ca.pem", "server.pem", "server.key"}
    assert stat.S_IMODE((made / "server.key").stat().st_mode) == 0o600


def test_a_certificate_beyond_the_constraints_is_worthless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the constraint: the same CA signs another name, and clients refuse it."""
    inner: Callable[[x509.GeneralName], x509.GeneralName] = certificates._constraint
    monkeypatch.setattr(certificates, "_constraint", lambda _: inner(x509.DNSName("appliance.lan")))
    issue(tmp_path / "tls", ["bank.example"], SystemClock())
    made = tmp_path / "tls"
    context = server_context(made / "server.pem", made / "server.key", None)
    with pytest.raises(ssl.SSLError, match="permitted subtree violation"):
        handshake(context, client_of(made / "ca.pem"), "bank.example")


def test_a_new_certificate_serves_the_next_handshake(made: Path) -> None:
    context = server_context(made / "server.pem", made / "server.key", None)
    old = client_of(made / "ca.pem")
    issue(made, NAMES, SystemClock())
    load(context, made / "server.pem", made / "server.key")
    handshake(context, client_of(made / "ca.pem"), NAMES[0])
    with pytest.raises(ssl.SSLError):
        handshake(context, old, NAMES[0])


def test_a_bad_pair_changes_nothing(made: Path) -> None:
    context = server_context(made / "server.pem", made / "server.key", None)
    (made / "bad.pem").write_text("no certificate")
    with pytest.raises(UsageError) as caught:
        load(context, made / "bad.pem", made / "server.key")
    assert caught.value.code == "certificate_unusable"
    handshake(context, client_of(made / "ca.pem"), NAMES[0])


@pytest.mark.parametrize("name", ["", "a b", "*", "a..b", "x" * 64, "ä.lan", "-/.lan"])
def test_what_is_no_name_gets_no_certificate(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        issue(tmp_path / "tls", [name], SystemClock())
    with pytest.raises(UsageError):
        issue(tmp_path / "tls", [], SystemClock())
