"""Encrypted lines: durable by batches, read by nobody else, and whole after a crash."""

from pathlib import Path

import pytest

from appliance.errors import EvaluationRefused
from appliance.looks.sealed_lines import KEY_FILE, SealedLines, key_of

KEK = bytes(range(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "7"


def lines(path: Path) -> SealedLines:
    return SealedLines(path / "000.sealed", key_of(path, KEK))


def test_lines_come_back_and_lie_encrypted(path: Path) -> None:
    file = lines(path)
    assert file.read() == []
    file.append([b"first secret", b"second"])
    file.append([])
    file.append([b"third"])
    assert lines(path).read() == [b"first secret", b"second", b"third"]
    assert b"secret" not in (path / "000.sealed").read_bytes()


@pytest.mark.parametrize("left", [1, 3, 5, 40])
def test_a_record_that_a_crash_cut_is_dropped(path: Path, left: int) -> None:
    file = lines(path)
    file.append([b"kept"])
    whole = (path / "000.sealed").stat().st_size
    file.append([b"a longer line that is cut short"])
    data = (path / "000.sealed").read_bytes()
    (path / "000.sealed").write_bytes(data[: whole + left])
    again = lines(path)
    assert again.read() == [b"kept"]
    again.append([b"answered again"])
    assert lines(path).read() == [b"kept", b"answered again"]


def test_records_cannot_be_swapped_or_changed(path: Path) -> None:
    file = lines(path)
    file.append([b"one"])
    size = (path / "000.sealed").stat().st_size
    file.append([b"two"])
    data = (path / "000.sealed").read_bytes()
    for changed in (data[size:] + data[:size], data[:-1] + bytes([data[-1] ^ 1])):
        (path / "000.sealed").write_bytes(changed)
        with pytest.raises(EvaluationRefused) as caught:
            lines(path).read()
        assert caught.value.code == "outcomes_invalid"
    (path / "001.sealed").write_bytes(data)
    with pytest.raises(EvaluationRefused):
        SealedLines(path / "001.sealed", key_of(path, KEK)).read()


def test_the_key_is_wrapped_and_made_once(path: Path) -> None:
    key = key_of(path, KEK)
    assert key_of(path, KEK) == key and key not in (path / KEY_FILE).read_bytes()
    with pytest.raises(EvaluationRefused):
        key_of(path, bytes(32))
