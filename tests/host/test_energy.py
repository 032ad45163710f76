"""Joules: of all packages, over the end of a counter; unknown where one cannot be read."""

from pathlib import Path

from appliance.host.energy import EnergyMeter

NAMES = {"intel-rapl:0:0": "core", "intel-rapl:2": "psys", "dtpm": "dtpm"}


def package(root: Path, name: str, count: int, most: int = 1_000_000_000) -> None:
    zone = root / name
    zone.mkdir(parents=True, exist_ok=True)
    (zone / "name").write_text(f"{NAMES.get(name, 'package-' + name[-1])}\n")
    (zone / "energy_uj").write_text(f"{count}\n")
    (zone / "max_energy_range_uj").write_text(f"{most}\n")


def test_packages_are_added_but_neither_their_parts_nor_the_platform(tmp_path: Path) -> None:
    every = ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0", "intel-rapl:2", "dtpm")
    for name in every:
        package(tmp_path, name, 5_000_000)
    meter = EnergyMeter(tmp_path)
    assert meter.joules() == 0.0
    for name in every[:-1]:
        package(tmp_path, name, 12_000_000)
    assert meter.joules() == 14.0 == meter.joules()


def test_a_counter_that_began_again_is_counted_on(tmp_path: Path) -> None:
    package(tmp_path, "intel-rapl:0", 990_000_000)
    meter = EnergyMeter(tmp_path)
    package(tmp_path, "intel-rapl:0", 15_000_000)
    assert meter.joules() == 25.0


def test_a_host_that_does_not_tell_is_unknown(tmp_path: Path) -> None:
    assert EnergyMeter(tmp_path).joules() is None
    package(tmp_path, "intel-rapl:0", 1)
    meter = EnergyMeter(tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert meter.joules() is None
    package(tmp_path, "intel-rapl:0", 5)
    assert meter.joules() is None  # what was taken meanwhile is not known
