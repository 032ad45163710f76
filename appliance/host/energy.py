"""Energy that the processors took, where the kernel tells it.

Rules: all packages, without their parts and the whole platform's zone (`psys`); wrapped counters
count on; without a readable one (most kernels let only root read) the answer is "unknown".

Source: Linux, Documentation/power/powercap/powercap.rst; the control type `intel-rapl` is that of
AMD's processors, too.
"""

from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/class/powercap")
_MICRO: Final = 1e-6


class EnergyMeter:
    """Energy taken since the meter was made; asked once an hour at least, it misses no wrap."""

    def __init__(self, root: Path = _ROOT) -> None:
        zones = root.glob("intel-rapl:*")
        self._packages = sorted(zone for zone in zones if _package(zone))
        self._last = self._read()
        self._taken = 0.0

    def joules(self) -> float | None:
        """All packages together; None when the host does not tell."""
        now = self._read()
        if not now or not self._last:
            self._last = None
            return None
        for (count, most), (before, _) in zip(now, self._last, strict=True):
            self._taken += ((count - before) if count >= before else count + most - before) * _MICRO
        self._last = now
        return self._taken

    def _read(self) -> list[tuple[int, int]] | None:
        """Of each package its counter and its range, in microjoules."""
        try:
            return [
                (
                    int((package / "energy_uj").read_text()),
                    int((package / "max_energy_range_uj").read_text()),
                )
                for package in self._packages
            ]
        except (OSError, ValueError):
            return None


def _package(zone: Path) -> bool:
    try:
        return (zone / "name").read_text().startswith("package")
    except OSError:
        return False
