"""Uninstalling keeps the records; purging takes them; both may be repeated."""

from tests.installer.bench import Bench


def test_records_stay_and_a_new_installation_takes_them_over(bench: Bench) -> None:
    bench.bundle()
    assert bench.install().returncode == 0
    log = (bench.data / "audit" / "log").read_text()
    command = bench.home / ".local" / "bin" / "appliance-installer"
    assert bench.installer("uninstall").returncode == 0
    assert not command.exists() and bench.current is None and not bench.prefix.exists()
    assert (bench.data / "audit" / "log").read_text() == log
    assert bench.install().returncode == 0
    assert (bench.data / "audit" / "log").read_text().startswith(log)


def test_purging_leaves_nothing(bench: Bench) -> None:
    bench.bundle()
    assert bench.install().returncode == 0
    assert bench.installer("uninstall", "--purge").returncode == 0
    assert bench.footprint() == {}
    assert not bench.state.exists()


def test_an_older_bundle_stays_refused_after_uninstalling(bench: Bench) -> None:
    bench.bundle("2.0", 2)
    assert bench.install().returncode == 0
    assert bench.installer("uninstall").returncode == 0
    bench.bundle("1.0", 1)
    done = bench.install()
    assert done.returncode == 1 and "bundle_older" in done.stderr
