"""Signing and verifying a directory with keys in hand."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.errors import SignatureRefused
from appliance.trust.artifacts import signing
from appliance.trust.bytes import ecdsa
from tests.trust.forge import (
    make_artifact,
    new_key,
    open_descriptors,
    quiet,
    resign,
    watch_syncs,
)

KEY, OTHER = new_key(ec.SECP521R1()), new_key(ec.SECP521R1())
PUB, OTHER_PUB = ecdsa.public_pem(KEY.public_key()), ecdsa.public_pem(OTHER.public_key())
PEM = ecdsa.private_pem(KEY)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    make_artifact(tmp_path / "tiny")
    signing.sign_directory(tmp_path / "tiny", PEM, quiet)
    return tmp_path / "tiny"


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(SignatureRefused) as caught:
        action()
    return caught.value.code


def test_what_is_signed_verifies_under_any_of_the_keys(artifact: Path) -> None:
    manifest = signing.verify_directory(artifact, [OTHER_PUB, PUB], quiet)
    assert set(manifest.files) == {"LICENSE", "docs/card.md", "tiny.gguf"}
    assert manifest.signer == ecdsa.hint(KEY.public_key())


def test_signing_again_replaces_the_signature(artifact: Path) -> None:
    first = (artifact / "model.sig").read_bytes()
    (artifact / "LICENSE").write_text("MIT")
    (artifact / "model.sig.part").write_text("left by a signer that was killed")
    second = signing.sign_directory(artifact, PEM, quiet)
    assert first != second == (artifact / "model.sig").read_bytes()
    names = {path.name for path in artifact.iterdir()}
    assert names == {"LICENSE", "docs", "model.sig", "tiny.gguf"}
    signing.verify_directory(artifact, [PUB], quiet)


def test_a_signature_is_durable_and_leaves_no_descriptor_open(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = watch_syncs(monkeypatch)
    before = open_descriptors()
    signing.sign_directory(artifact, PEM, quiet)
    signing.verify_directory(artifact, [PUB], quiet)
    assert open_descriptors() == before
    assert synced == ["model.sig.part", "tiny"]


def flip(path: Path) -> None:
    data = bytearray((path / "tiny.gguf").read_bytes())
    data[-1] ^= 1
    (path / "tiny.gguf").write_bytes(data)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped bit": (flip, "file_changed"),
    "truncated": (lambda p: os.truncate(p / "tiny.gguf", 100), "file_changed"),
    "missing": (lambda p: (p / "LICENSE").unlink(), "file_missing"),
    "extra": (lambda p: (p / "evil.bin").touch(), "file_extra"),
    "renamed": (lambda p: (p / "LICENSE").rename(p / "LICENCE"), "file_missing"),
    "no signature": (lambda p: (p / "model.sig").unlink(), "signature_missing"),
    "another signer": (lambda p: resign(p, OTHER), "signature_key_unknown"),
}


@pytest.mark.parametrize(("change", "code"), CHANGES.values(), ids=CHANGES)
def test_what_changed_does_not_verify(
    artifact: Path, change: Callable[[Path], object], code: str
) -> None:
    signing.verify_directory(artifact, [PUB], quiet)
    change(artifact)
    assert code_of(lambda: signing.verify_directory(artifact, [PUB], quiet)) == code


def test_without_keys_nothing_verifies(artifact: Path) -> None:
    assert code_of(lambda: signing.verify_directory(artifact, [], quiet)) == (
        "signature_key_unknown"
    )
    assert code_of(lambda: signing.verify_directory(artifact, [b"x"], quiet)) == (
        "signature_key_unsupported"
    )


def test_a_directory_that_could_not_be_verified_is_not_signed(artifact: Path) -> None:
    before = (artifact / "model.sig").read_bytes()
    (artifact / "link").symlink_to("LICENSE")
    assert code_of(lambda: signing.sign_directory(artifact, PEM, quiet)) == "file_symlink"
    assert (artifact / "model.sig").read_bytes() == before


def test_a_signature_that_cannot_be_written_leaves_nothing(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (artifact / "model.sig").read_bytes()

    def broken(*arguments: object, **options: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "rename", broken)
    assert code_of(lambda: signing.sign_directory(artifact, PEM, quiet)) == "artifact_unreadable"
    assert (artifact / "model.sig").read_bytes() == before
    assert not (artifact / "model.sig.part").exists()


def test_progress_ends_at_the_total(artifact: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    signing.verify_directory(artifact, [PUB], lambda *step: seen.append(step))
    assert seen[-1][1] == seen[-1][2] > 0


def test_an_unsigned_file_is_refused_before_anything_is_hashed(artifact: Path) -> None:
    (artifact / "evil.bin").touch()
    seen: list[str] = []
    action = lambda: signing.verify_directory(artifact, [PUB], lambda *s: seen.append(s[0]))  # noqa: E731
    assert code_of(action) == "file_extra"
    assert seen == []
