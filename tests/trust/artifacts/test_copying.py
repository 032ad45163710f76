"""Copies of artifacts: whole, durable, and resumed after any interruption."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.errors import Refused, SignatureRefused
from appliance.trust.artifacts import copying, signing
from appliance.trust.artifacts.copying import CopiedFile, copy_artifact
from appliance.trust.bytes import directory, ecdsa, sealed
from appliance.types import Report
from tests.conftest import CHECKOUT
from tests.trust.forge import Lab, open_descriptors, quiet, sha256, watch_syncs

BLOCK = 1000
CARD = bytes(range(251)) * 40


class Stopped(Exception):
    pass


@pytest.fixture
def source(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A signed artifact whose card takes several blocks."""
    monkeypatch.setattr(sealed, "BLOCK", BLOCK)
    (lab.artifact / "docs").mkdir(exist_ok=True)
    (lab.artifact / "docs" / "card.md").write_bytes(CARD)
    (lab.artifact / "empty").touch()
    lab.resign()
    return lab.artifact


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(Refused) as caught:
        action()
    return caught.value.code


def copy(source: Path, target: Path, progress: Report = quiet) -> dict[str, CopiedFile]:
    told: list[CopiedFile] = []
    with directory.open_artifact(source) as artifact:
        copy_artifact(artifact, target, progress, told.append)
    return {file.name: file for file in told}


def stop_after(count: int) -> Report:
    def stop(phase: str, done: int, total: int) -> None:
        if done >= count:
            raise Stopped

    return stop


def interrupted(source: Path, target: Path, count: int = 5 * BLOCK) -> int:
    """Stop a copy after some bytes; the bytes on the disk."""
    with pytest.raises(Stopped):
        copy(source, target, stop_after(count))
    return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def contents(path: Path) -> dict[str, str]:
    return {str(p.relative_to(path)): sha256(p.read_bytes())
            for p in path.rglob("*") if p.is_file()}  # fmt: skip


@contextmanager
def nothing_left_open() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert open_descriptors() == before


def test_a_copy_is_complete_private_and_read_only(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    with nothing_left_open():
        told = copy(source, target)
    assert contents(target) == contents(source)
    assert (target / "tiny.gguf").stat().st_mode & 0o777 == 0o400
    assert target.stat().st_mode & 0o777 == 0o700
    assert {name: file.sha256 for name, file in told.items()} == contents(source)
    assert all(file.copied == file.size for file in told.values())


def test_a_copy_is_durable(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = watch_syncs(monkeypatch)
    copy(source, tmp_path / "copy")
    # The files first, then the directories that name them.
    files = {"LICENSE", "card.md", "tiny.gguf", "model.sig", "empty"}
    assert files == set(synced[: -len({"docs", "copy", tmp_path.name})])
    assert set(synced[-3:]) == {"docs", "copy", tmp_path.name}


@pytest.mark.parametrize("count", [5 * BLOCK, 7 * BLOCK, 11 * BLOCK])
def test_an_interrupted_copy_is_gone_on_with(source: Path, tmp_path: Path, count: int) -> None:
    target = tmp_path / "copy"
    there = interrupted(source, target, count)
    told = copy(source, target)
    assert contents(target) == contents(source)
    total = sum(file.size for file in told.values())
    assert sum(file.copied for file in told.values()) == total - there > 0
    assert {name: file.sha256 for name, file in told.items()} == contents(source)


def test_an_artifact_signed_by_shards_is_gone_on_with(lab: Lab, source: Path) -> None:
    (source / "empty").unlink()  # no shard covers a file of no bytes
    pem = ecdsa.private_pem(lab.key("publisher"))
    signing.sign_directory(source, pem, quiet, shard_size=700)
    target = source.parent / "copy"
    there = interrupted(source, target, 9 * BLOCK)
    told = copy(source, target)
    assert contents(target) == contents(source)
    total = sum(file.size for file in told.values())
    assert there > 0 and sum(file.copied for file in told.values()) < total


def test_what_is_there_is_read_again(source: Path, tmp_path: Path) -> None:
    """A power cut may leave zeros where bytes were written."""
    target = tmp_path / "copy"
    interrupted(source, target, 6 * BLOCK)
    card = target / "docs" / "card.md"
    assert 0 < card.stat().st_size < len(CARD)
    with card.open("r+b") as file:
        file.write(b"\0" * 10)
    told = copy(source, target)
    assert contents(target) == contents(source)
    assert told["docs/card.md"].copied == len(CARD)


def test_a_whole_file_that_rotted_is_copied_again(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    interrupted(source, target, sum(p.stat().st_size for p in source.rglob("*") if p.is_file()))
    card = target / "docs" / "card.md"
    assert card.stat().st_mode & 0o777 == 0o400
    card.chmod(0o600)
    card.write_bytes(CARD[::-1])
    card.chmod(0o400)
    assert copy(source, target)["docs/card.md"].copied == len(CARD)
    assert contents(target) == contents(source)


def test_another_signature_begins_anew(lab: Lab, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    interrupted(source, target, 6 * BLOCK)
    (source / "docs" / "card.md").write_bytes(CARD[::-1])
    lab.resign()
    told = copy(source, target)
    assert all(file.copied == file.size for file in told.values())
    assert contents(target) == contents(source)


def test_a_file_that_changed_on_the_stick_is_copied_as_it_is_and_refused(
    lab: Lab, source: Path
) -> None:
    target = lab.data / "models" / "tiny.part"
    interrupted(source, target, 6 * BLOCK)
    (source / "docs" / "card.md").write_bytes(CARD[::-1])
    model_id = lab.store.intake.quarantine(source, "tiny", quiet).id
    assert code_of(lambda: lab.store.check(model_id, lab.policy, quiet)) == "file_changed"


def test_more_files_than_before_begin_anew(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    interrupted(source, target)
    (target / "planted").write_text("x")
    told = copy(source, target)
    assert contents(target) == contents(source)
    assert all(file.copied == file.size for file in told.values())


@pytest.mark.parametrize("what", ["none", "no signature"])
def test_without_a_signature_nothing_is_kept_for_later(
    source: Path, tmp_path: Path, what: str
) -> None:
    if what == "none":
        (source / "model.sig").unlink()
    else:
        (source / "model.sig").write_bytes(b"{}")
    target = tmp_path / "copy"
    interrupted(source, target, 6 * BLOCK)
    told = copy(source, target)
    assert all(told[name].copied == told[name].size for name in ("docs/card.md", "tiny.gguf"))
    assert contents(target) == contents(source)


def test_a_stick_that_is_pulled_out_keeps_what_was_copied(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = os.preadv, [6]

    def pulled(fd: int, buffers: list[memoryview], offset: int) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, buffers, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", pulled)
        assert code_of(lambda: copy(source, tmp_path / "copy")) == "artifact_unreadable"
    told = copy(source, tmp_path / "copy")
    assert any(file.copied < file.size for file in told.values())
    assert contents(tmp_path / "copy") == contents(source)


def test_more_than_the_disk_has_room_for(source: Path, tmp_path: Path) -> None:
    with directory.open_artifact(source) as artifact:
        too_much = directory.Artifact(artifact.fd, {"LICENSE": 1 << 62})
        action = lambda: copy_artifact(too_much, tmp_path / "copy", quiet)  # noqa: E731
        assert code_of(action) == "insufficient_disk"
    assert not (tmp_path / "copy").exists()


def test_a_disk_that_fills_up_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, block: memoryview) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sealed, "write_all", full)
    assert code_of(lambda: copy(source, tmp_path / "copy")) == "insufficient_disk"
    assert not (tmp_path / "copy").exists()


def test_a_file_that_became_a_hard_link_leaves_nothing(source: Path, tmp_path: Path) -> None:
    with directory.open_artifact(source) as artifact:
        os.link(source / "tiny.gguf", tmp_path / "twin")
        action = lambda: copy_artifact(artifact, tmp_path / "copy", quiet)  # noqa: E731
        assert code_of(action) == "file_hardlink"
    assert not (tmp_path / "copy").exists()


KILLED = """# forked
import os, signal, sys
from pathlib import Path
from appliance.trust.artifacts import copying
from appliance.trust.bytes import directory

def die(phase, done, total):
    if done * 2 > total:
        os.kill(os.getpid(), signal.SIGKILL)

with directory.open_artifact(Path(sys.argv[1])) as artifact:
    copying.copy_artifact(artifact, Path(sys.argv[2]), die)
"""


def test_killed_in_mid_copy(lab: Lab, tmp_path: Path) -> None:
    body = hashlib.shake_128(b"seed").digest(1 << 20) * 40
    (lab.artifact / "notes.bin").write_bytes(body)
    lab.resign()
    part = lab.data / "models" / "tiny.part"
    command = [sys.executable, "-c", KILLED, str(lab.artifact), str(part)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    there = (part / "notes.bin").stat().st_size
    assert 0 < there < len(body)
    assert lab.store.intake.clean() == []  # the next start leaves it
    told: list[CopiedFile] = []
    lab.store.intake.admit(lab.store.intake.copy(lab.artifact, "tiny", quiet, told.append))
    assert {f.name: f.copied for f in told}["notes.bin"] == len(body) - there
    assert lab.store.check("tiny", lab.policy, quiet).digest


def test_only_what_has_a_whole_signature_can_be_gone_on_with(tmp_path: Path) -> None:
    assert not copying.resumable(tmp_path)
    (tmp_path / "model.sig").touch(mode=0o600)
    assert not copying.resumable(tmp_path)
    (tmp_path / "model.sig").chmod(0o400)
    assert copying.resumable(tmp_path)


def test_a_stick_that_fails_at_the_signature_keeps_what_was_copied(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = interrupted(source, tmp_path / "copy")

    def fail(*_: object) -> bytes:
        raise SignatureRefused("artifact_unreadable", "model.sig cannot be read.")

    with monkeypatch.context() as patch:
        patch.setattr(directory.Artifact, "prefix", fail)
        assert code_of(lambda: copy(source, tmp_path / "copy")) == "artifact_unreadable"
    assert sum(p.stat().st_size for p in (tmp_path / "copy").rglob("*") if p.is_file()) == there
