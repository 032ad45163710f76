"""Wheels are unpacked as their RECORD says, or not at all."""

import zipfile
from pathlib import Path

import pytest

from installer.host import wheel
from installer.host.problems import InstallError
from tests.installer.bench import pack_wheel

NAME = "appliance-1.0-py3-none-any.whl"


def with_member(tmp_path: Path, name: str, recorded: bool = True) -> Path:
    pack_wheel(tmp_path / "w", "1.0", 1, False)
    target = tmp_path / "more.whl"
    with zipfile.ZipFile(tmp_path / "w") as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename.endswith("RECORD") and recorded:
                digest = "sha256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"
                data += f'"{name}",{digest},3\n'.encode()
            new.writestr(info, data)
        new.writestr(name, b"abc")
    return target


def test_a_wheel_is_unpacked(tmp_path: Path) -> None:
    path = with_member(tmp_path, "appliance-1.0.data/purelib/extra/x.py")
    wheel.unpack(path, tmp_path / "site", NAME)
    assert (tmp_path / "site/appliance/__main__.py").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "site/extra/x.py").read_text() == "abc"


def test_scripts_and_headers_are_left_out(tmp_path: Path) -> None:
    path = with_member(tmp_path, "appliance-1.0.data/scripts/run")
    wheel.unpack(path, tmp_path / "site", NAME)
    assert not list((tmp_path / "site").rglob("run"))


@pytest.mark.parametrize(
    "name", ["../evil.py", "/evil.py", "a/../../evil.py", "evil.pth", "a\\evil.py", "EVIL.PTH"]
)
def test_what_leads_out_or_runs_at_start_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InstallError) as refused:
        wheel.unpack(with_member(tmp_path, name), tmp_path / "site", NAME)
    assert refused.value.code == "manifest_invalid"
    assert not list(tmp_path.rglob("evil*"))


def test_what_is_not_recorded_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="RECORD"):
        wheel.unpack(with_member(tmp_path, "x.py", recorded=False), tmp_path / "site", NAME)


def test_bytes_that_are_no_wheel(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(InstallError):
        wheel.unpack(tmp_path / "w", tmp_path / "site", NAME)


def test_a_file_of_another_wheel_is_not_replaced(tmp_path: Path) -> None:
    pack_wheel(tmp_path / "w", "1.0", 1, False)
    wheel.unpack(tmp_path / "w", tmp_path / "site", NAME)
    wheel.unpack(tmp_path / "w", tmp_path / "site", NAME)  # the same bytes are no matter
    pack_wheel(tmp_path / "w", "1.0", 2, False)
    with pytest.raises(InstallError, match="replace a file of another"):
        wheel.unpack(tmp_path / "w", tmp_path / "site", NAME)
