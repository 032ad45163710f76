"""Reading a stick: bounded, plain files only, nothing judged."""

import os
import stat
from pathlib import Path

import pytest

from appliance.errors import PolicyRefused, SignatureRefused
from appliance.trust.bytes import directory
from appliance.trust.ceremony.stick import read_offer
from appliance.trust.policy import metadata
from appliance.trust.policy.metadata import LIMITS
from tests.trust.simulator import NOW, Simulator, write

SIM = Simulator()


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    return write(SIM.publish(), tmp_path)


def test_what_is_there_is_read(stick: Path) -> None:
    (stick / "metadata" / "notes.txt").write_text("x")
    (stick / "metadata" / "12.snapshot.json").write_text("x")
    offer = read_offer(stick, 1)
    assert set(offer) == {
        "1.root.json", "timestamp.json", "snapshot.json", "targets.json", "policy.json",
    }  # fmt: skip
    begun = metadata.begin(SIM.roots[0], SIM.fingerprint)
    assert metadata.advance(begun, offer, NOW).versions["policy"] == 7


def test_older_roots_stay_where_they_are(stick: Path) -> None:
    for number in (2, 3, 10):
        (stick / "metadata" / f"{number}.root.json").write_bytes(b"{}")
    assert {n for n in read_offer(stick, 3) if "root" in n} == {"3.root.json", "10.root.json"}


def test_what_is_missing_is_left_out(stick: Path) -> None:
    (stick / "metadata" / "timestamp.json").unlink()
    assert "timestamp.json" not in read_offer(stick, 1)


@pytest.mark.parametrize("name", ["timestamp.json", "snapshot.json", "targets.json"])
def test_no_more_is_read_than_may_be_there(stick: Path, name: str) -> None:
    with (stick / "metadata" / name).open("ab") as file:
        file.truncate(1 << 40)  # a sparse file: a stick that does not end
    offer = read_offer(stick, 1)
    assert len(offer[name]) == LIMITS[name] + 1
    begun = metadata.begin(SIM.roots[0], SIM.fingerprint)
    with pytest.raises(PolicyRefused) as caught:
        metadata.advance(begun, offer, NOW)
    assert caught.value.code == "trust_metadata_too_long"


def test_links_and_fifos_are_refused(stick: Path) -> None:
    path = stick / "metadata" / "timestamp.json"
    for make, code in (
        (lambda: path.symlink_to("snapshot.json"), "file_symlink"),
        (lambda: os.mkfifo(path), "file_special"),
        (lambda: os.link(stick / "metadata" / "snapshot.json", path), "file_hardlink"),
    ):
        path.unlink()
        make()  # type: ignore[no-untyped-call]
        with pytest.raises(SignatureRefused) as caught:
            read_offer(stick, 1)
        assert caught.value.code == code


@pytest.mark.parametrize("below", ["metadata", "targets"])
def test_directories_that_are_links_are_refused(stick: Path, below: str) -> None:
    elsewhere = stick / "elsewhere"
    (stick / below).rename(elsewhere)
    (stick / below).symlink_to(elsewhere)
    with pytest.raises(SignatureRefused) as caught:
        read_offer(stick, 1)
    assert caught.value.code == "file_symlink"


def test_a_stick_that_fails_while_it_is_read(stick: Path) -> None:
    """A real file whose reading fails: another process's memory, at an unmapped address."""
    path = Path("/proc/self/mem")
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(SignatureRefused) as caught:
            directory.read_prefix(fd, path.name, 10)
    finally:
        os.close(fd)
    assert caught.value.code == "artifact_unreadable"


def test_a_device_is_refused(stick: Path) -> None:
    path = stick / "metadata" / "timestamp.json"
    path.unlink()
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("only root makes devices")
    with pytest.raises(SignatureRefused) as caught:
        read_offer(stick, 1)
    assert caught.value.code in {"file_special", "artifact_unreadable"}  # on a mount with nodev


def test_a_stick_that_changes_after_it_was_read(stick: Path) -> None:
    offer = read_offer(stick, 1)
    for path in stick.glob("*/*.json"):
        path.write_bytes(b"{}")
    begun = metadata.begin(SIM.roots[0], SIM.fingerprint)
    held = metadata.advance(begun, offer, NOW).held
    assert held.policy == offer["policy.json"] != b"{}"


def test_a_directory_without_metadata(tmp_path: Path) -> None:
    with pytest.raises(SignatureRefused) as caught:
        read_offer(tmp_path, 1)
    assert caught.value.code == "artifact_not_directory"
