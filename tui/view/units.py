"""Numbers for a person: with units, of constant width where they are in columns, never jittering.

Rules: at most three digits that matter.
"""

from datetime import UTC, datetime

from appliance import text
from appliance.text import age as age


def duration(seconds: float) -> str:
    """A time span to the minute, in its two largest units."""
    whole = int(max(0.0, seconds))
    days, hours, minutes = whole // 86_400, whole // 3_600 % 24, whole // 60 % 60
    shown = [f"{n} {unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if n]
    return " ".join(shown[:2]) or "<1 min"


def size(count: int) -> str:
    """Bytes in GiB, or in MiB where that is less than one."""
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"


def rate(value: float) -> str:
    """Something a second: one decimal below a hundred."""
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def seconds(value: float | None) -> str:
    """A latency in ms or s."""
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if value < 0.9995 else f"{value:.1f} s"


def count(value: int | None) -> str:
    """A number with thin thousands, as many digits as it has."""
    return "-" if value is None else spaced(value)


def spaced(value: float, form: str = ",") -> str:
    """Spaces between thousands."""
    return format(value, form).replace(",", " ")


def many(number: int, noun: str) -> str:
    """A count, as `count` writes it, and its noun."""
    return text.many(number, noun).replace(",", " ")


def since(moment_text: str, now: float) -> float:
    """Seconds from an ISO 8601 time to `now`; 0 for an unreadable or future time."""
    return max(0.0, -_ahead(moment_text, now))


def until(moment_text: str, now: float) -> float:
    """Seconds from `now` to an ISO 8601 time; 0 for an unreadable or past time."""
    return max(0.0, _ahead(moment_text, now))


def _ahead(moment_text: str, now: float) -> float:
    try:
        moment = datetime.fromisoformat(moment_text.replace("Z", "+00:00"))
    except ValueError:
        return 0.0
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.timestamp() - now


def clock(moment: str) -> str:
    """An ISO 8601 time to the second, without the letters."""
    return moment[:19].replace("T", " ")


def iso(now: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
