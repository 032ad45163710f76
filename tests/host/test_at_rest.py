"""The one cipher of texts: hidden and plain content, and its key."""

from pathlib import Path

import pytest

from appliance.errors import StateRefused
from appliance.host import at_rest, host_key
from appliance.host.at_rest import COLLECTION, FILE, MARK, OVERHEAD, PLAIN, TextCipher

KEK = bytes(range(32))


def code_of(action: object) -> str:
    with pytest.raises(StateRefused) as caught:
        action()  # type: ignore[operator]
    return caught.value.code


@pytest.fixture
def data(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    (made / "audit").mkdir(parents=True)
    (made / "audit" / "kek").write_bytes(KEK)
    (made / "evaluations" / "5").mkdir(parents=True)
    return made


def test_texts_open_under_their_key_and_purpose_only() -> None:
    cipher = TextCipher(KEK, FILE)
    sealed = cipher.seal(b"the relief valve")
    assert sealed == cipher.seal(b"the relief valve") != cipher.seal(b"the relief valvf")
    assert len(sealed) == OVERHEAD + 16 and b"valve" not in sealed
    assert cipher.open(sealed) == b"the relief valve"
    line = cipher.seal_line(b"two\nlines")
    assert b"\n" not in line and cipher.open_line(line) == b"two\nlines"
    for other in (TextCipher(KEK, COLLECTION), TextCipher(bytes(32), FILE), PLAIN):
        assert code_of(lambda other=other: other.open(sealed)) == "content_unavailable"
        assert code_of(lambda other=other: other.open_line(line)) == "content_unavailable"
    for changed in (sealed[:-1], MARK, MARK + b"x", sealed[:-1] + b"\0"):
        assert code_of(lambda changed=changed: cipher.open(changed)) == "content_unavailable"
    assert code_of(lambda: cipher.open_line(MARK + b"no base64!")) == "content_unavailable"


def test_what_is_plain_is_read_as_it_lies() -> None:
    cipher = TextCipher(KEK, FILE)
    for kept in (b"", b"{}", b"plain"):
        assert cipher.open(kept) == PLAIN.open(kept) == PLAIN.seal(kept) == kept
    assert cipher.seal(b"") == b""
    assert cipher and not PLAIN


def test_files_of_a_data_directory_lie_encrypted_and_others_do_not(
    data: Path, tmp_path: Path
) -> None:
    for path, encrypted in ((data / "evaluations" / "5" / "a", True), (tmp_path / "a", False)):
        path.write_bytes(at_rest.sealed(path, b"canary"))
        assert (b"canary" not in path.read_bytes()) == encrypted
        assert at_rest.read(path) == b"canary"
        path.write_bytes(at_rest.sealed_lines(path, [b"one", b"two"]) + b"a line cut sho")
        assert (b"one" not in path.read_bytes()) == encrypted
        assert at_rest.read_lines(path) == [b"one", b"two"]
    moved = tmp_path / "other"
    data.rename(moved)  # as a restore does
    assert at_rest.read_lines(moved / "evaluations" / "5" / "a") == [b"one", b"two"]


def test_a_locked_directory_neither_reads_nor_writes(data: Path) -> None:
    path = data / "evaluations" / "5" / "a"
    path.write_bytes(at_rest.sealed(path, b"canary"))
    host_key.make(data, "correct horse battery")
    host_key.protect(data, [data / "audit" / "kek"])
    assert at_rest.read(path) == b"canary"
    host_key.lock(data)
    assert code_of(lambda: at_rest.read(path)) == "host_key_locked"
    assert code_of(lambda: at_rest.sealed(path, b"x")) == "host_key_locked"
