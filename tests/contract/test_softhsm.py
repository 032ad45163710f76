"""A site whose people hold tokens: SoftHSM2 signs all of it, and other programs verify it."""

import contextlib
import hashlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.clock import SystemClock, iso
from appliance.errors import SignatureRefused
from appliance.trust.artifacts import signing
from appliance.trust.bytes import ecdsa
from tests.cli.conftest import Done, run_command
from tests.conftest import need_tool
from tests.oracle import Oracle
from tests.tokens.softhsm import PIN, SoftToken, needs_softhsm, soft_token
from tests.trust import forge
from tests.trust.policies import document

pytestmark = [pytest.mark.slow, needs_softhsm]
OFFICERS = {"Ada": ("root",), "Bea": ("root",), "Dan": ("targets", "snapshot", "timestamp")}


class TokenSite:
    def __init__(self, root: Path, token: SoftToken) -> None:
        self.root, self.token, self.pin = root, token, root / "pin"
        self.pin.write_text(PIN)

    def run(self, *words: str | Path, data: Path | None = None, pin: bool = True) -> Done:
        secret = ("--passphrase-file", self.pin) if pin else ()
        done = run_command(*words, *secret, data=data)
        assert done.status == 0, done.err
        return done

    def key(self, name: str) -> str:
        return self.token.uri(name)

    def public(self, name: str) -> Path:
        path = self.root / f"{name}.pub"
        if not path.exists():
            self.run("signer", "new", self.key(name), "--public", path)
        return path

    def policy(self) -> Path:
        publisher, alice, bob = (
            self.public(name).read_bytes() for name in ("Paula", "Alice", "Bob")
        )
        hints = [ecdsa.hint(ecdsa.load_public(pem)) for pem in (publisher, alice, bob)]
        names = zip(hints, (publisher, alice, bob), ("Paula", "Alice", "Bob"), strict=True)
        text = document() | {
            "issued": iso(SystemClock().wall_us()),
            "keys": {hint: {"pem": pem.decode(), "person": name} for hint, pem, name in names},
            "roles": {
                "publisher": {"keys": hints[:1], "threshold": 1},
                "approver": {"keys": hints[1:], "threshold": 2, "distinct_from": ["publisher"]},
            },
            "models": [{"id": "any"}],
        }
        path = self.root / "policy.json"
        path.write_text(json.dumps(text))
        return path

    def published(self) -> Path:
        path, stick, step = self.root / "officer", self.root / "stick", ("trust", "ceremony")
        roots = [word for name in ("Ada", "Bea") for word in ("--root", name)]
        plan = ("--org", "Example", *roots, "--targets", "Dan")
        self.run(*step, "start", path, *plan, pin=False)
        for holder, roles in OFFICERS.items():
            for role in roles:
                whose = ("--role", role, "--holder", holder)
                public = self.public(f"{holder}-{role}")
                self.run(*step, "key", path, *whose, "--public", public, pin=False)
        self.run(*step, "policy", path, self.policy(), pin=False)
        keys = [
            self.key(f"{holder}-{role}") for holder, roles in OFFICERS.items() for role in roles
        ]
        self.run(*step, "sign", path, *(word for key in keys for word in ("--key", key)))
        self.run(*step, "publish", path, stick, pin=False)
        return stick


def test_ceremony_publisher_and_approvers_by_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_tool("openssl")
    site = TokenSite(tmp_path, soft_token(tmp_path / "hsm", monkeypatch))
    stick, data, artifact = site.published(), tmp_path / "data", tmp_path / "any"
    root = stick / "metadata" / "1.root.json"
    first = ("--root", root, "--fingerprint", hashlib.sha256(root.read_bytes()).hexdigest())
    site.run("init", "--profile", "site", *first, data=data, pin=False)
    site.run("trust", "update", stick, data=data, pin=False)
    forge.make_artifact(artifact)
    site.run("model", "sign", artifact, "--key", site.key("Paula"))
    site.run("model", "import", artifact, data=data, pin=False)
    for name in ("Alice", "Bob"):
        who = ("--as", name, "--key", site.key(name), "--meaning", "fit for use")
        site.run("model", "approve", "any", *who, data=data)
    assert site.run("model", "show", "any", "--json", data=data, pin=False).document["state"] == (
        "approved"
    )
    people = [*tmp_path.glob("*"), *(tmp_path / "officer").rglob("*")]
    assert not any(b"PRIVATE KEY" in path.read_bytes() for path in people if path.is_file())

    oracle = Oracle("oms.py")
    question = {"do": "verify", "model": str(artifact), "signature": str(artifact / "model.sig"),
                "key": str(site.public("Paula"))}  # fmt: skip
    try:
        assert oracle.ask(**question)["ok"]
        assert not oracle.ask(**{**question, "key": str(site.public("Alice"))})["ok"]
        (artifact / "model.sig").unlink()  # the other way: it signs with the same key
        told = oracle.ask(
            **question | {"do": "sign", "token": site.key("Paula") + f"&pin-value={PIN}"}
        )
        assert told["ok"], told["error"]
        signing.verify_directory(artifact, [site.public("Paula").read_bytes()], forge.quiet)
        with pytest.raises(SignatureRefused):
            signing.verify_directory(artifact, [site.public("Alice").read_bytes()], forge.quiet)
    finally:
        oracle.close()


def test_a_bundle_is_signed_by_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_tool("openssl")
    site = TokenSite(tmp_path, soft_token(tmp_path / "hsm", monkeypatch))
    site.public("vendor")
    (part := tmp_path / "part").mkdir()
    (part / "file").write_bytes(b"x")
    code = (
        "import sys; from pathlib import Path; from installer.bundle.media import finish;"
        "finish(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))"
    )
    out = tmp_path / "bundle"
    pid, terminal = pty.fork()
    if pid == 0:
        words = ("-c", code, str(part), str(out), site.key("vendor"))
        os.execv(sys.executable, (sys.executable, *words))
    for _ in ("the public key", "the signature"):
        said = b""
        while b"PIN of site" not in said:
            said += os.read(terminal, 1_000)
        os.write(terminal, PIN.encode() + b"\n")
    with contextlib.suppress(OSError):  # of a terminal whose program has ended
        while os.read(terminal, 1_000):
            pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    check = ["openssl", "dgst", "-sha384", "-verify", "vendor.pub", "-signature"]
    check += ["MANIFEST.sig", "MANIFEST.sha256"]
    assert subprocess.run(check, cwd=out, capture_output=True, check=False).returncode == 0
    (out / "MANIFEST.sha256").write_bytes(b"01  x\n")
    assert subprocess.run(check, cwd=out, capture_output=True, check=False).returncode == 1
