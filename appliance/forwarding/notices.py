"""Messages to people about incidents. Pure.

Rules: one message for all that began or ended at one look; it names the appliance, each code, the
subject and the next step; no texts of apps, and another host's words only as data.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from appliance.clock import iso
from appliance.config import NotifyConfig
from appliance.incidents.history import Look
from appliance.incidents.rules import Alarm
from appliance.types import Json

_HOUR_US: Final = 3_600_000_000


@dataclass(frozen=True)
class IncidentNotice:
    """One message.

    Attributes:
        began, ended: changes; `still` are open ones that are repeated.
    """

    appliance: str
    time_us: int
    began: tuple[Alarm, ...]
    ended: tuple[Alarm, ...]
    still: tuple[Alarm, ...] = ()

    @property
    def subject(self) -> str:
        """The first line, which a person reads on a phone."""
        parts = [_counted(self.began, "new"), _counted(self.still, "open")]
        parts.append(_counted(self.ended, "over"))
        worst = next((a.code for a in (*self.began, *self.still, *self.ended)), "")
        said = ", ".join(part for part in parts if part)
        return f"{self.appliance}: {said} ({worst})"

    @property
    def text(self) -> str:
        lines = [self.subject, ""]
        for title, alarms in (("NEW", self.began), ("OPEN", self.still), ("OVER", self.ended)):
            for alarm in alarms:
                about = f" {alarm.subject}" if alarm.subject else ""
                lines.append(f"{title} {alarm.level} {alarm.code}{about}: {alarm.message}")
                if alarms is not self.ended:
                    lines.append(f"  next: {alarm.next}")
        return "\n".join([*lines, "", iso(self.time_us)])

    def document(self) -> dict[str, Json]:
        """The body of a webhook; chat programs show `text`."""
        return {
            "appliance": self.appliance,
            "time": iso(self.time_us),
            "text": self.text,
            **{
                name: [_shown(alarm) for alarm in alarms]
                for name, alarms in (
                    ("began", self.began), ("open", self.still), ("ended", self.ended),
                )
            },
        }  # fmt: skip


@dataclass
class NoticePlan:
    """Messages delivered to one destination, and those due.

    Attributes:
        due_began, due_ended: changes that were not delivered yet.
        told_us: when each open alarm was last delivered.
    """

    config: NotifyConfig
    appliance: str
    due_began: dict[tuple[str, str], Alarm] = field(default_factory=dict)
    due_ended: dict[tuple[str, str], Alarm] = field(default_factory=dict)
    told_us: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, look: Look) -> None:
        for alarm in self._wanted(look.began):
            if _key(alarm) not in self.told_us:
                self.due_began[_key(alarm)] = alarm
        for alarm in self._wanted(look.ended):
            if self.due_began.pop(_key(alarm), None) is None:
                self.due_ended[_key(alarm)] = alarm

    def notice(self, look: Look, now_us: int) -> IncidentNotice | None:
        """The message that is due; None for none. `delivered` notes its delivery."""
        every = self.config.repeat_hours * _HOUR_US
        still = tuple(
            alarm
            for alarm in self._wanted(look.alarms)
            if every
            and not alarm.acked_by
            and now_us - self.told_us.get(_key(alarm), now_us) >= every
        )
        began, ended = tuple(self.due_began.values()), tuple(self.due_ended.values())
        if not (began or ended or still):
            return None
        return IncidentNotice(self.appliance, now_us, began, ended, still)

    def delivered(self, notice: IncidentNotice) -> None:
        for alarm in (*notice.began, *notice.still):
            self.told_us[_key(alarm)] = notice.time_us
            self.due_began.pop(_key(alarm), None)
        for alarm in notice.ended:
            self.told_us.pop(_key(alarm), None)
            self.due_ended.pop(_key(alarm), None)

    def _wanted(self, alarms: Sequence[Alarm]) -> list[Alarm]:
        return [a for a in alarms if self.config.level == "warning" or a.level == "critical"]


def _key(alarm: Alarm) -> tuple[str, str]:
    return alarm.code, alarm.subject


def _counted(alarms: Sequence[Alarm], word: str) -> str:
    return f"{len(alarms)} {word}" if alarms else ""


def _shown(alarm: Alarm) -> dict[str, Json]:
    return {
        "id": alarm.incident, "code": alarm.code, "level": alarm.level, "subject": alarm.subject,
        "message": alarm.message, "next": alarm.next, "since": iso(alarm.since_us or 0),
    }  # fmt: skip
