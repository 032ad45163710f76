"""TLS: a CA that can vouch for nothing else, and a context that reloads."""

import ssl
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtensionOID, NameOID

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
    context = server_context(made / "server.pem", made / "server.key")
    assert handshake(context, client_of(made / "ca.pem"), name) == "TLSv1.3"


def test_no_other_name_and_no_other_ca(made: Path, tmp_path: Path) -> None:
    context = server_context(made / "server.pem", made / "server.key")
    with pytest.raises(ssl.SSLError):
        handshake(context, client_of(made / "ca.pem"), "other.lan")
    issue(tmp_path / "other", NAMES, SystemClock())
    with pytest.raises(ssl.SSLError):
        handshake(context, client_of(tmp_path / "other" / "ca.pem"), NAMES[0])


def only(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client of one version, also of old ones that OpenSSL otherwise disables."""
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_older_than_1_2_is_refused(made: Path) -> None:
    context = server_context(made / "server.pem", made / "server.key")
    old = only(client_of(made / "ca.pem"), ssl.TLSVersion.TLSv1_1)
    with pytest.raises(ssl.SSLError, match="unsupported protocol"):
        handshake(context, old, NAMES[0])
    good = only(client_of(made / "ca.pem"), ssl.TLSVersion.TLSv1_2)
    assert handshake(context, good, NAMES[0]) == "TLSv1.2"
    # The control: it is our minimum that refuses.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1_1
    assert handshake(context, old, NAMES[0]) == "TLSv1.1"


@dataclass(frozen=True)
class Issued:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def keep(self, path: Path, *chain: "Issued") -> tuple[Path, Path]:
        """Certificate, with its chain, and key as two files."""
        path.with_suffix(".pem").write_bytes(self.pem + b"".join(one.pem for one in chain))
        private = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.with_suffix(".key").write_bytes(private)
        return path.with_suffix(".pem"), path.with_suffix(".key")


def issued(name: str, by: Issued | None = None, *, ca: bool = False, days: int = 9) -> Issued:
    """Negative days mean that it has expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    end = datetime.now(UTC) + timedelta(days=days)
    issuer, signer = (subject, key) if by is None else (by.certificate.subject, by.key)
    certificate = (
        x509.CertificateBuilder(
            issuer, subject, key.public_key(), x509.random_serial_number(),
            end - timedelta(days=20), end,
        )
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(certificates._usage(signs_certificates=ca), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, SHA256())
    )  # fmt: skip
    return Issued(certificate, key)


def test_an_organisations_own_chain_is_shown_whole(tmp_path: Path) -> None:
    root = issued("root", ca=True)
    middle = issued("middle", root, ca=True)
    own = issued("llm.example", middle)
    trusted, _ = root.keep(tmp_path / "root")
    whole = server_context(*own.keep(tmp_path / "own", middle))
    assert handshake(whole, client_of(trusted), "llm.example") == "TLSv1.3"
    short = server_context(*own.keep(tmp_path / "short"))
    with pytest.raises(ssl.SSLError):  # the control
        handshake(short, client_of(trusted), "llm.example")


def test_a_client_certificate_is_of_the_named_ca_and_in_its_time_or_there_is_no_handshake(
    made: Path, tmp_path: Path
) -> None:
    ours = issued("clients", ca=True)
    ca, _ = ours.keep(tmp_path / "ca")
    context = server_context(made / "server.pem", made / "server.key", ca)

    def connect(shown: Issued | None) -> str:
        client = client_of(made / "ca.pem")
        if shown is not None:
            client.load_cert_chain(*shown.keep(tmp_path / "shown"))
        return handshake(context, client, NAMES[0])

    assert connect(issued("app", ours)) == connect(None) == "TLSv1.3"
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        connect(issued("app", issued("clients", ca=True)))
    with pytest.raises(ssl.SSLError, match="expired"):
        connect(issued("app", ours, days=-1))


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
    """The control: the same CA signs another name, and clients refuse it."""
    inner: Callable[[x509.GeneralName], x509.GeneralName] = certificates._constraint
    monkeypatch.setattr(certificates, "_constraint", lambda _: inner(x509.DNSName("appliance.lan")))
    issue(tmp_path / "tls", ["bank.example"], SystemClock())
    made = tmp_path / "tls"
    context = server_context(made / "server.pem", made / "server.key")
    with pytest.raises(ssl.SSLError, match="permitted subtree violation"):
        handshake(context, client_of(made / "ca.pem"), "bank.example")


def test_a_new_certificate_serves_the_next_handshake(made: Path) -> None:
    context = server_context(made / "server.pem", made / "server.key")
    old = client_of(made / "ca.pem")
    issue(made, NAMES, SystemClock())
    load(context, made / "server.pem", made / "server.key")
    handshake(context, client_of(made / "ca.pem"), NAMES[0])
    with pytest.raises(ssl.SSLError):
        handshake(context, old, NAMES[0])


def test_a_bad_pair_changes_nothing(made: Path) -> None:
    context = server_context(made / "server.pem", made / "server.key")
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
