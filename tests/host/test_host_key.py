"""The host key: its files, and its owners."""

import os
from pathlib import Path

import pytest

from appliance.errors import ApplianceError
from appliance.host import host_key

WORDS, SECRET = "correct horse battery", os.urandom(64)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "kek").write_bytes(SECRET)
    return tmp_path


def kek(data: Path) -> Path:
    return data / "audit" / "kek"


def code_of(action: object) -> str:
    with pytest.raises(ApplianceError) as caught:
        action()  # type: ignore[operator]
    return caught.value.code


def test_a_directory_without_a_host_key_stays_as_it_is(data: Path) -> None:
    assert not host_key.protected(data) and not host_key.locked(data)
    assert host_key.read(kek(data)) == SECRET == host_key.sealed(kek(data), SECRET)
    with host_key.plain_file(kek(data)) as path:
        assert path == kek(data)


def test_files_open_with_the_passphrase_only(data: Path) -> None:
    assert code_of(lambda: host_key.make(data, "short")) == "passphrase_refused"
    assert not host_key.protected(data)
    host_key.make(data, WORDS)
    (data / "old").hardlink_to(kek(data))  # the blocks where the plain key lay
    assert host_key.read(kek(data)) == SECRET  # a crash before it was encrypted
    host_key.protect(data, [kek(data)])
    sealed = kek(data).read_bytes()
    host_key.protect(data, [kek(data)])
    assert kek(data).read_bytes() == sealed  # once
    everything = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    assert SECRET not in everything and host_key.held(data) not in everything
    assert kek(data).stat().st_mode & 0o777 == 0o600
    host_key.lock(data)
    assert host_key.locked(data)
    assert code_of(lambda: host_key.read(kek(data))) == "host_key_locked"
    assert code_of(lambda: host_key.sealed(kek(data), b"")) == "host_key_locked"
    assert code_of(lambda: host_key.unlock(data, WORDS + "!")) == "passphrase_refused"
    host_key.unlock(data, WORDS)
    assert host_key.read(kek(data)) == SECRET
    with host_key.plain_file(kek(data)) as path:
        assert path.read_bytes() == SECRET
    assert not path.exists()


def test_the_passphrase_changes_and_the_files_stay(data: Path) -> None:
    host_key.make(data, WORDS)
    host_key.protect(data, [kek(data)])
    before = kek(data).read_bytes()
    host_key.change(data, "another good passphrase")
    host_key.lock(data)
    assert code_of(lambda: host_key.unlock(data, WORDS)) == "passphrase_refused"
    host_key.unlock(data, "another good passphrase")
    assert kek(data).read_bytes() == before
    host_key.unprotect(data, [kek(data)])
    assert kek(data).read_bytes() == SECRET and not host_key.protected(data)


def test_a_new_host_key_takes_over_whenever_a_crash_comes(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host_key.make(data, WORDS)
    host_key.protect(data, [kek(data)])
    old, true = host_key.held(data), host_key.rename
    for steps in (0, 1, 1):  # before the key, before the file, before the key takes its name
        left = [steps]

        def crash(part: Path, path: Path, left: list[int] = left) -> None:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            true(part, path)

        with monkeypatch.context() as cut:
            cut.setattr(host_key, "rename", crash)
            with pytest.raises(KeyboardInterrupt):
                host_key.renew(data, WORDS, [kek(data)])
        host_key.lock(data)
        host_key.unlock(data, WORDS)
        assert host_key.read(kek(data)) == SECRET
        if steps:
            assert code_of(lambda: host_key.change(data, "another")) == "host_key_renewing"
    assert code_of(lambda: host_key.renew(data, WORDS + "!", [])) == "passphrase_refused"
    (data / "old").hardlink_to(data / "keys" / "host.next.json")  # the blocks where it lay
    host_key.renew(data, WORDS, [kek(data)])
    host_key.change(data, "another good passphrase")
    assert not any((data / "old").read_bytes())  # nothing that the former passphrase opens
    assert [path.name for path in (data / "keys").iterdir()] == ["host.json"]
    assert host_key.read(kek(data)) == SECRET and host_key.held(data) != old
    host_key.take(data, old)
    assert code_of(lambda: host_key.read(kek(data))) == "host_key_damaged"


def test_damage_is_told(data: Path) -> None:
    host_key.make(data, WORDS)
    host_key.protect(data, [kek(data)])
    whole = kek(data).read_bytes()
    for torn in (whole[:-1], whole[:30], whole[:-1] + bytes([whole[-1] ^ 1])):
        kek(data).write_bytes(torn)
        assert code_of(lambda: host_key.read(kek(data))) == "host_key_damaged"
    for text in (b"", b"{}", b'{"salt":"AA==","wrapped":"AA==","n":4611686018427387904}'):
        (data / "keys" / "host.json").write_bytes(text)
        assert code_of(lambda: host_key.unlock(data, WORDS)) == "host_key_damaged"


class Reversed:
    def wrap(self, key: bytes) -> bytes:
        return b"{}" + key[::-1]

    def unwrap(self, file: bytes) -> bytes:
        if not file.startswith(b"{}"):
            raise ValueError("of another kind")
        return file[2:][::-1]


def test_another_lock_than_a_passphrase_opens_it(data: Path) -> None:
    host_key.make(data, WORDS)
    host_key.protect(data, [kek(data)])
    host_key.change(data, Reversed())
    host_key.lock(data)
    assert code_of(lambda: host_key.unlock(data, WORDS)) == "host_key_damaged"
    host_key.renew(data, Reversed(), [kek(data)])
    host_key.lock(data)
    host_key.unlock(data, Reversed())
    assert host_key.read(kek(data)) == SECRET
    host_key.change(data, WORDS)
    assert code_of(lambda: host_key.unlock(data, Reversed())) == "host_key_damaged"
