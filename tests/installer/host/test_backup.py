"""Backup, restore, drill: on an installed small bundle."""

import stat
from pathlib import Path

import pytest

from installer.host import backup
from installer.host.problems import InstallError
from tests.installer.bench import Bench


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("backup"))
    bench.bundle()
    assert bench.install().returncode == 0
    (bench.data / "models" / "m").mkdir(parents=True)
    (bench.data / "models" / "m" / "weights").write_bytes(b"w" * 1000)
    done = bench.installer("backup", str(bench.place / "whole"), "--with-models")
    assert done.returncode == 0, done.stderr
    return bench


def test_a_backup_restores_and_drills(kept: Bench) -> None:
    path = kept.place / "whole"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = kept.footprint()
    drilled = kept.installer("drill", str(path))
    assert drilled.returncode == 0, drilled.stderr
    assert kept.footprint() == before
    assert kept.told("restore", str(path))["code"] == "data_present"
    assert kept.footprint() == before
    kept.data.rename(kept.place / "moved")
    assert kept.installer("restore", str(path)).returncode == 0
    assert kept.footprint() == before


def test_models_are_left_out_unless_asked_for(kept: Bench) -> None:
    assert kept.installer("backup", str(kept.place / "small")).returncode == 0
    names = backup.read(kept.place / "small")["files"]
    assert not any(name.startswith("data/models/") for name in names)
    assert "data/audit/log" in names and "data/appliance.db" in names


def test_nothing_is_overwritten(kept: Bench) -> None:
    assert kept.told("backup", str(kept.place / "whole"))["code"] == "backup_exists"


def test_any_damage_is_found(kept: Bench, tmp_path: Path) -> None:
    data = (kept.place / "whole").read_bytes()
    body = data.index(b"w" * 1000)
    for name, damaged in (
        ("flipped", data[:body] + b"v" + data[body + 1 :]),
        ("cut", data[: body + 10]),
        ("empty", b""),
        ("other", b"x" * 4096),
    ):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(InstallError) as refused:
            backup.read(tmp_path / name)
        assert refused.value.code == "backup_invalid"
        assert kept.told("drill", str(tmp_path / name))["code"] == "backup_invalid"


def test_a_drill_finds_a_log_that_does_not_verify(kept: Bench) -> None:
    log = kept.data / "audit" / "log"
    good = log.read_text()
    log.write_text("forged\n")
    try:
        assert kept.installer("backup", str(kept.place / "forged")).returncode == 0
        assert kept.told("drill", str(kept.place / "forged"))["code"] == "backup_invalid"
    finally:
        log.write_text(good)
