"""Whole runs of the small bundle: installing, upgrading, going back, and being killed anywhere."""

import json
import shutil
import subprocess

import pytest

from tests.installer.bench import Bench

LEDGER_LINES = 14  # begin, twelve phases, commit
LOG = ".local/share/appliance-data/audit/log"


def settled(bench: Bench, before: dict[str, str], log: str) -> None:
    after = bench.footprint()
    if LOG in before:
        assert (bench.home / LOG).read_text().startswith(log)
        before = before | {LOG: after[LOG]}
    assert after == before


def prepared(tmp_path_factory: pytest.TempPathFactory, upgrade: bool) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("bench"))
    bench.bundle("1.0", 1)
    if upgrade:
        assert bench.install().returncode == 0
        bench.bundle("2.0", 2, schema=2)
    bench.home.mkdir(exist_ok=True)
    shutil.copytree(bench.home, bench.place / "saved", symlinks=True)
    return bench


def again(bench: Bench) -> None:
    shutil.rmtree(bench.home)
    shutil.copytree(bench.place / "saved", bench.home, symlinks=True)


@pytest.fixture(scope="module")
def upgrading(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return prepared(tmp_path_factory, upgrade=True)


@pytest.fixture(scope="module")
def installing(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return prepared(tmp_path_factory, upgrade=False)


def survive(bench: Bench, kind: str, point: int) -> None:
    """Kill a run; then undo it, kill it again, and continue it."""
    again(bench)
    before = bench.footprint()
    log = (bench.home / LOG).read_text() if (bench.home / LOG).exists() else ""
    release = json.loads((bench.stick / "manifest.json").read_text())["release"]
    for way in ("recover", "continue"):
        bench.kill(kind, point)
        done = bench.install()
        bench.unhook()
        if done.returncode == 0:  # there were fewer points
            assert bench.current == release
            return
        assert done.returncode in (-9, 137), done.stderr
        committed = (
            '"event": "commit", "health"'
            in (bench.state / "ledger").read_text().split('"event": "begin"')[-1]
            if (bench.state / "ledger").exists()
            else False
        )
        if way == "recover" and not committed:
            recover(bench)
            settled(bench, before, log)
        else:
            done = bench.install()
            assert done.returncode == 0, done.stderr
            assert bench.current == release
            assert bench.is_whole()
            assert bench.told("status")["unfinished"] is None
            return


def recover(bench: Bench) -> None:
    """The next boot's command; on an empty host, from the stick."""
    command = bench.home / ".local" / "bin" / "appliance-installer"
    if command.exists() and bench.current is not None:
        done = bench.installer("recover", "--boot")
        assert done.returncode == 0, done.stderr
        return
    options = ["-I", str(bench.stick / "install.pyz"), "recover", "--user"]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(bench.home)}
    subprocess.run(["/usr/bin/env", "python3", *options], env=env, check=True, capture_output=True)


@pytest.mark.parametrize("point", [4, 9, 13])
def test_an_upgrade_survives_a_kill_after_a_line_of_the_ledger(
    upgrading: Bench, point: int
) -> None:
    survive(upgrading, "ledger", point)


@pytest.mark.parametrize("point", [10])
def test_an_installation_survives_a_kill_after_a_line_of_the_ledger(
    installing: Bench, point: int
) -> None:
    survive(installing, "ledger", point)


@pytest.mark.slow
@pytest.mark.parametrize("point", range(1, LEDGER_LINES + 1))
def test_every_line_of_the_ledger(installing: Bench, upgrading: Bench, point: int) -> None:
    survive(upgrading, "ledger", point)
    survive(installing, "ledger", point)
