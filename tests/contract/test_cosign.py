"""Signatures of two programs: `cosign` of Debian verifies ours, and we verify its own."""

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.errors import Refused
from appliance.trust.artifacts import signing
from appliance.trust.bytes import ecdsa, manifest, oms
from tests.cli.conftest import run_command
from tests.tokens.softhsm import PIN, needs_softhsm, soft_token
from tests.trust import forge
from tests.trust.forge import quiet

pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    shutil.which("cosign") is None, reason="no cosign, which Debian 12 lacks")]  # fmt: skip
OFFLINE = "--insecure-ignore-tlog=true"
NO_ROOTS = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"


class Cosign:
    """Offline, with a key of its own."""

    def __init__(self, at: Path) -> None:
        self.at, self._program = at, "cosign"
        assert self.does("generate-key-pair")
        self.public = ecdsa.load_public((at / "cosign.pub").read_bytes())

    def does(self, *words: str | Path) -> bool:
        done = subprocess.run(
            [self._program, *map(str, words)], cwd=self.at, capture_output=True,
            env={"HOME": str(self.at), "PATH": os.defpath, "COSIGN_PASSWORD": "of the tests"},
        )  # fmt: skip
        self.said = done.stderr.decode()
        return done.returncode == 0

    def public_key(self) -> ecdsa.PublicKey:
        return self.public

    def sign(self, data: bytes, _: ec.ECDSA) -> bytes:
        (self.at / "payload").write_bytes(data)
        words = ("--yes", "--tlog-upload=false", "--key", "cosign.key", "--output-signature", "sig")
        assert self.does("sign-blob", *words, "payload"), self.said
        return base64.b64decode((self.at / "sig").read_bytes())

    def exchange(self, _: ec.ECDH, peer_public_key: ecdsa.PublicKey) -> bytes:
        raise NotImplementedError

    def takes(self, blob: Path, signature: Path, public: Path) -> bool:
        """As one of a blob."""
        words = ("verify-blob", OFFLINE, "--key", public, "--signature", signature)
        return self.does(*words, blob)

    def takes_model(self, model: Path, public: Path) -> bool:
        """As a bundle over the digests of the model's files."""
        bundle = model / "model.sig"
        signed = oms.parse_manifest(oms.parse_bundle(bundle.read_bytes()))
        digests = b"".join(bytes.fromhex(digest) for digest in signed.files.values())
        (self.at / "digests").write_bytes(digests)
        (self.at / "root.json").write_text(f'{{"mediaType": "{NO_ROOTS}"}}')
        words = ("--new-bundle-format", "--trusted-root", "root.json", "--bundle", bundle)
        kind = ("--type", manifest.PREDICATE_TYPE)
        return self.does(
            "verify-blob-attestation", OFFLINE, *words, *kind, "--key", public, "digests"
        )


@pytest.fixture
def cosign(tmp_path: Path) -> Cosign:
    (at := tmp_path / "cosign").mkdir()
    return Cosign(at)


def flipped(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@needs_softhsm
@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=["P-256", "P-384"])
def test_cosign_verifies_what_a_token_signs(
    cosign: Cosign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, curve: ec.EllipticCurve
) -> None:
    """Of P-256 only: it takes SHA-256 for every curve, where we and OMS take each curve's own."""
    token, public = soft_token(tmp_path / "hsm", monkeypatch), tmp_path / "paula.pub"
    (pin := tmp_path / "pin").write_text(PIN)
    token.take("paula", ec.generate_private_key(curve))
    key, secret = token.uri("paula"), ("--passphrase-file", pin)
    assert run_command("signer", "show", key, "--public", public, *secret).status == 0
    (blob := tmp_path / "blob").write_bytes(b"a listing")
    signature, verifies = tmp_path / "signature", curve.name == "secp256r1"
    sign = ("signer", "sign", blob, "--key", key, "--out", signature, *secret)
    assert run_command(*sign).status == 0
    assert cosign.takes(blob, signature, public) == verifies, cosign.said
    forge.make_artifact(model := tmp_path / "model")
    assert run_command("artifact", "sign", model, "--key", key, *secret).status == 0
    assert cosign.takes_model(model, public) == verifies, cosign.said
    flipped(blob)
    flipped(signature)
    assert not cosign.takes(blob, signature, public)
    assert not cosign.takes_model(model, cosign.at / "cosign.pub")


def test_cosign_signs_what_is_verified_here(cosign: Cosign, tmp_path: Path) -> None:
    forge.make_artifact(model := tmp_path / "model")
    signing.sign_directory(model, cosign, quiet)
    key = ecdsa.public_pem(cosign.public)
    assert "tiny.gguf" in signing.verify_directory(model, [key], quiet).files
    assert cosign.takes_model(model, cosign.at / "cosign.pub"), cosign.said
    flipped(model / "tiny.gguf")
    with pytest.raises(Refused):
        signing.verify_directory(model, [key], quiet)
