"""Since when each alarm has been there, and which began or ended since the last look.

Rules: an alarm is the same one while its code and subject are; a fact that knows its own time is
believed, for all others the first look that found it counts. Nothing here outlives the process.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

from appliance.incidents.rules import Alarm


@dataclass(frozen=True)
class Look:
    """One look at the facts.

    Attributes:
        alarms: all that hold now, the most urgent first.
        began, ended: those that were not there at the look before, or are there no longer.
    """

    alarms: tuple[Alarm, ...]
    began: tuple[Alarm, ...]
    ended: tuple[Alarm, ...]


class AlarmMemory:
    """Remembers the alarms of the look before; callable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first: dict[tuple[str, str], int] = {}
        self._told: dict[tuple[str, str, int | None], Alarm] = {}

    def dated(self, alarms: Iterable[Alarm], now_us: int) -> tuple[Alarm, ...]:
        """The alarms with the time since when each has been there."""
        with self._lock:
            return self._dated(alarms, now_us)

    def look(self, alarms: Iterable[Alarm], now_us: int) -> Look:
        """The same, with what changed since the look before; for the one that tells it."""
        with self._lock:
            dated = self._dated(alarms, now_us)
            now = {(alarm.code, alarm.subject, alarm.since_us): alarm for alarm in dated}
            began = tuple(alarm for key, alarm in now.items() if key not in self._told)
            left = {(alarm.code, alarm.subject) for alarm in dated}
            ended = tuple(a for k, a in self._told.items() if k[:2] not in left)
            self._told = now
            return Look(dated, began, ended)

    def _dated(self, alarms: Iterable[Alarm], now_us: int) -> tuple[Alarm, ...]:
        held = {(alarm.code, alarm.subject): alarm for alarm in alarms}
        self._first = {key: self._first.get(key, now_us) for key in held}
        return tuple(
            alarm if alarm.since_us is not None else replace(alarm, since_us=self._first[key])
            for key, alarm in held.items()
        )
