"""Sealed memory: the hashed bytes stay, and links lead nowhere."""

import fcntl
import mmap
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.errors import Refused, SignatureRefused, StateRefused
from appliance.trust.bytes import sealed
from tests.trust.forge import open_descriptors, sha256

DATA = bytes(range(256)) * 64


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(DATA)
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture
def model(directory: int) -> Iterator[sealed.SealedFile]:
    made = sealed.seal_and_close(sealed.open_regular(directory, "a/file"), "a/file")
    yield made
    made.close()


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(Refused) as caught:
        action()
    return caught.value.code


def test_the_copy_is_whole_and_hashed(model: sealed.SealedFile) -> None:
    assert (model.size, model.sha256) == (len(DATA), sha256(DATA))
    assert os.pread(model.fd, len(DATA) + 1, 0) == DATA
    assert fcntl.fcntl(model.fd, fcntl.F_GET_SEALS) & sealed.SEALS == sealed.SEALS
    assert os.fstat(model.fd).st_mode & 0o777 == 0o400


def unsealed() -> int:
    fd = os.memfd_create("control", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, DATA)
    return fd


def write_through(fd: int) -> None:
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    try:
        os.pwrite(again, b"x", 0)
    finally:
        os.close(again)


def map_shared(fd: int) -> None:
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    try:
        mmap.mmap(again, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE).close()
    finally:
        os.close(again)


ATTACKS: dict[str, Callable[[int], object]] = {
    "reopen and write": write_through,
    "map shared and writable": map_shared,
    "truncate": lambda fd: os.truncate(f"/proc/self/fd/{fd}", 0),
    "grow": lambda fd: os.truncate(f"/proc/self/fd/{fd}", len(DATA) * 2),
    "change the seals": lambda fd: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_nobody_changes_it(model: sealed.SealedFile, attack: Callable[[int], object]) -> None:
    control = unsealed()
    attack(control)  # works on memory that is not sealed
    os.close(control)
    with pytest.raises(PermissionError):
        attack(model.fd)
    assert os.pread(model.fd, len(DATA) + 1, 0) == DATA


def test_the_descriptor_is_for_reading_only(model: sealed.SealedFile) -> None:
    with pytest.raises(OSError):
        os.write(model.fd, b"x")


def test_each_descriptor_has_its_own_offset(model: sealed.SealedFile) -> None:
    one, two = model.reopen(), model.reopen()
    try:
        assert os.read(one, 10) == os.read(two, 10) == DATA[:10]
        with pytest.raises(OSError):
            os.write(one, b"x")
    finally:
        os.close(one)
        os.close(two)


def test_closing_twice_closes_nothing_else(directory: int) -> None:
    made = sealed.seal_and_close(sealed.open_regular(directory, "a/file"), "a/file")
    number = made.fd
    made.close()
    other = os.open("/dev/null", os.O_RDONLY)
    made.close()
    os.fstat(other)
    os.close(other)
    assert number >= 0


def test_an_older_kernel_without_noexec_seals(
    directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.memfd_create

    def older(name: str, flags: int) -> int:
        if flags & 8:
            raise OSError(22, "Invalid argument")
        return real(name, flags)

    monkeypatch.setattr(os, "memfd_create", older)
    made = sealed.seal_and_close(sealed.open_regular(directory, "a/file"), "a/file")
    assert made.sha256 == sha256(DATA)
    with pytest.raises(PermissionError):
        write_through(made.fd)
    made.close()


def test_without_memory_nothing_is_sealed(directory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str, flags: int) -> int:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(os, "memfd_create", none)
    source = sealed.open_regular(directory, "a/file")
    with pytest.raises(StateRefused) as caught:
        sealed.seal_and_close(source, "a/file")
    assert caught.value.code == "sealing_failed"
    with pytest.raises(OSError):
        os.fstat(source)  # it is closed all the same


def test_a_kernel_that_does_not_keep_the_seals(
    directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.fcntl

    def forgetful(fd: int, command: int, argument: int = 0) -> int:
        return 0 if command == fcntl.F_ADD_SEALS else int(real(fd, command, argument))

    monkeypatch.setattr(fcntl, "fcntl", forgetful)
    source = sealed.open_regular(directory, "a/file")
    assert code_of(lambda: sealed.seal_and_close(source, "a/file")) == "sealing_failed"


def test_ways_out_of_the_directory(tmp_path: Path, directory: int) -> None:
    (tmp_path / "link").symlink_to("a/file")
    (tmp_path / "linked").symlink_to("a")
    (tmp_path / "out").symlink_to("/etc")
    for path in ("link", "linked/file", "out/passwd", "../x", "a/../../x", "/etc/passwd"):
        with pytest.raises(OSError) as caught:
            os.close(sealed.open_beneath(directory, path))
        assert caught.value.errno in (18, 40)  # EXDEV, ELOOP
        assert code_of(lambda p=path: sealed.open_regular(directory, p)) == "file_symlink"  # type: ignore[misc]


def test_what_is_not_a_plain_file(tmp_path: Path, directory: int) -> None:
    os.mkfifo(tmp_path / "fifo")
    os.link(tmp_path / "a" / "file", tmp_path / "hard")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    listener.close()
    assert code_of(lambda: sealed.open_regular(directory, "fifo")) == "file_special"
    assert code_of(lambda: sealed.open_regular(directory, "socket")) == "file_special"
    assert code_of(lambda: sealed.open_regular(directory, "a")) == "file_special"
    assert code_of(lambda: sealed.open_regular(directory, "hard")) == "file_hardlink"
    assert code_of(lambda: sealed.open_regular(directory, "none")) == "file_missing"
    assert code_of(lambda: sealed.open_regular(directory, "a/file/x")) == "artifact_unreadable"


def test_refusing_leaves_no_descriptor_open(tmp_path: Path, directory: int) -> None:
    os.link(tmp_path / "a" / "file", tmp_path / "hard")
    before = open_descriptors()
    code_of(lambda: sealed.open_regular(directory, "hard"))
    assert open_descriptors() == before


def read(path: Path, consume: sealed.Blocks) -> str:
    fd = os.open(path, os.O_RDONLY)
    try:
        return sealed.read_blocks(fd, path.name, consume, lambda count: None)
    finally:
        os.close(fd)


def test_reading_gives_every_block_once(tmp_path: Path) -> None:
    path = tmp_path / "big"
    data = os.urandom(sealed.BLOCK * 2 + 17)
    path.write_bytes(data)
    seen = bytearray()
    assert read(path, lambda block: seen.extend(block)) == sha256(data)
    assert seen == data


def test_a_file_that_changes_its_size_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big"

    def grow(block: memoryview) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    def shrink(block: memoryview) -> None:
        os.truncate(path, sealed.BLOCK)

    for change in (grow, shrink):
        path.write_bytes(bytes(sealed.BLOCK + 5))
        with pytest.raises(SignatureRefused) as caught:
            read(path, change)
        assert caught.value.code == "file_changing"


def test_a_medium_that_fails(tmp_path: Path) -> None:
    with pytest.raises(SignatureRefused) as caught:
        read(tmp_path, lambda block: None)  # read(2) on a directory fails
    assert caught.value.code == "artifact_unreadable"


STRANGER = 54_321


def test_a_file_of_another_owner_or_writable_by_others(tmp_path: Path, directory: int) -> None:
    owner = (tmp_path / "a" / "file").stat().st_uid
    ours, theirs = frozenset({owner}), frozenset({STRANGER})
    (tmp_path / "a" / "file").chmod(0o400)
    os.close(sealed.open_regular(directory, "a/file", ours))
    assert code_of(lambda: sealed.open_regular(directory, "a/file", theirs)) == "file_owner"
    for mode in (0o420, 0o402, 0o666):
        (tmp_path / "a" / "file").chmod(mode)
        assert code_of(lambda: sealed.open_regular(directory, "a/file", ours)) == "file_owner"
    os.close(sealed.open_regular(directory, "a/file"))  # on a medium nobody's word is taken


def hold(directory: int) -> sealed.SealedFile:
    return sealed.hold_and_close(sealed.open_regular(directory, "a/file"), "a/file")


def test_a_file_is_held_on_the_disk_only_if_the_service_cannot_write_it(
    tmp_path: Path, directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a" / "file"
    path.chmod(0o444)
    owner = path.stat().st_uid
    for euid in (0, owner):
        monkeypatch.setattr(os, "geteuid", lambda euid=euid: euid)
        assert code_of(lambda: hold(directory)) == "store_not_separated"
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    held = hold(directory)
    assert (held.on_disk, held.sha256, held.size) == (True, sha256(DATA), len(DATA))
    assert held.inode == path.stat().st_ino
    held.close()
    path.chmod(0o664)
    assert code_of(lambda: hold(directory)) == "store_not_separated"


def test_a_held_file_that_changes_is_noticed_when_it_is_hashed_again(
    tmp_path: Path, directory: int, monkeypatch: pytest.MonkeyPatch, model: sealed.SealedFile
) -> None:
    path = tmp_path / "a" / "file"
    path.chmod(0o444)
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    held = hold(directory)
    sealed.rehash(held, "a/file")
    path.chmod(0o644)
    path.write_bytes(DATA[:-1] + b"x")
    assert code_of(lambda: sealed.rehash(held, "a/file")) == "file_changed"
    sealed.rehash(model, "a/file")  # sealed memory is as it was
    held.close()
