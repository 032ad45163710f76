"""Sticks and the artifacts on them."""

from pathlib import Path

from appliance.host.removable_media import places, sticks

MOUNTS = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 8:17 / /media/op/PUMP\\040STICK rw,nosuid shared:1 - vfat /dev/sdb1 rw
31 22 8:33 / /srv/usb rw - exfat /dev/sdc1 rw
32 22 8:1 / /boot/efi rw - vfat /dev/sda2 rw
33 22 0:5 / /mnt/nfs rw - nfs4 store:/x rw
34 22 0:6 / /proc rw - proc proc rw
broken
35 22 - x
"""


def test_what_can_be_carried_is_known_by_kind_or_place() -> None:
    assert [where for where, _, _ in sticks(MOUNTS)] == [
        "/media/op/PUMP STICK", "/mnt/nfs", "/srv/usb",
    ]  # fmt: skip
    assert sticks("") == []


def artifact(path: Path, *names: str) -> None:
    path.mkdir(parents=True)
    for name in names:
        (path / name).write_bytes(b"12345")


def test_artifacts_are_found_and_nothing_is_followed(tmp_path: Path) -> None:
    artifact(tmp_path / "a" / "pump", "m.GGUF", "model.sig")
    artifact(tmp_path / "a" / "pump" / "deeper", "n.gguf")
    artifact(tmp_path / "raw", "m.gguf")
    artifact(tmp_path / ".hidden", "m.gguf")
    artifact(tmp_path / "1" / "2" / "3" / "4", "m.gguf")
    (tmp_path / "link").symlink_to(tmp_path / "raw")
    (place,) = places((tmp_path,), "")
    assert [(a.name, a.files, a.bytes, a.signed) for a in place.artifacts] == [
        ("raw", 1, 5, False), ("pump", 2, 10, True),
    ]  # fmt: skip
    assert place.total >= place.free > 0


def test_a_place_that_is_not_there_has_none(tmp_path: Path) -> None:
    (place,) = places((tmp_path / "gone",), "")
    assert (place.total, place.artifacts) == (0, ())


def test_a_crowded_place_ends(tmp_path: Path) -> None:
    for n in range(300):
        artifact(tmp_path / f"d{n:03}", "m.gguf")
    (place,) = places((tmp_path,), "")
    assert len(place.artifacts) < 250


def test_the_host_s_own_mounts_can_be_read() -> None:
    assert isinstance(places(), list)
