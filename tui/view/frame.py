"""The lines around every screen: the host, the connection, trouble, and the places.

Rules: words that change without meaning are left out, so that an idle appliance sends nothing over
the line; without room, the least important words go first.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from textual.content import Content

from appliance.text import visible
from appliance.wire.admin.models import Status
from tui.keys import PLACES, Level, MapPlace
from tui.link import Files, Link, LinkState
from tui.rates import RatePoint
from tui.text import GAP, QUIET, Cell, alarm, cell, line, quiet, spread, state
from tui.view.units import iso, rate

_TROUBLE: Final = 160  # characters; it is above every screen, and takes no room from it
_HOST: Final = 20


def top(
    link: Link,
    newest: RatePoint | None,
    now: float,
    wall: float,
    width: int,
    *,
    readonly: bool = False,
    files: Files | None = None,
) -> Content:
    """The connection comes first unless all is well. `now`: monotonic seconds, `wall`: since the
    epoch.
    """
    if link.state(now) not in (LinkState.LIVE, LinkState.CONNECTING):
        return _in_trouble(link, now, wall, width, files)
    connection = line(*link_words(link, now))
    if readonly:
        connection = line(quiet("read-only"), connection)
    known = _known(link.status, newest, wall) if link.status else [cell("appliance")]
    room = width - connection.cell_length - 4
    while len(known) > 1 and _width(known) > room:
        known.pop()
    return spread(Content(" ") + line(*known), connection + " ", width)


def _in_trouble(link: Link, now: float, wall: float, width: int, files: Files | None) -> Content:
    found, read = link.state(now), files.snapshot if files else None
    words: list[Cell] = list(link_words(link, now))
    status = link.status
    if found is LinkState.DOWN and files is not None and read is not None:
        words = [state(found), f"read from the files {max(0.0, now - files.at):.0f} s ago"]
        status = read.status
    said = Content(" ") + line(*words)
    if status is not None:
        known = [cell(part.plain, QUIET) for part in _known(status, None, wall)]
        if read is None or status is not read.status:
            known[2] = quiet(f"was {status.state}")
        while known and said.cell_length + _width(known) > width - 1:
            known.pop()
        said = line(said, *known)
    return said.truncate(width, ellipsis=True, pad=True)


def _known(status: Status, newest: RatePoint | None, wall: float) -> list[Content]:
    """Most important first."""
    queued = newest.queued if newest else sum(worker.queued for worker in status.workers)
    host = status.host.name.partition(".")[0] or "appliance"
    return [
        cell(host, "bold $primary", limit=_HOST),
        cell(status.profile.upper(), "bold $text-warning" if status.profile == "lab" else "bold"),
        state(status.state),
        cell(f"{iso(wall)[11:16]} UTC"),
        cell(status.version),
        *([cell(status.url.rpartition("//")[2], limit=2 * _HOST)] if status.url else []),
        quiet(f"you: {status.role}"),
        *([state("refusing")] if status.audit.latched else []),
        cell(f"queue {queued}"),
        cell(f"{rate(newest.tokens) if newest else '-'} tok/s"),
    ]


def _width(parts: Sequence[Content]) -> int:
    return sum(part.cell_length + len(GAP) for part in parts)


def link_words(link: Link, now: float) -> list[Cell]:
    """The state of the connection and, unless it is live, the age of the data."""
    found = link.state(now)
    age = link.age(now)
    if found in (LinkState.LIVE, LinkState.CONNECTING):
        return [state(found)]
    return [state(found), "no data yet" if age is None else f"data {age:.0f} s old"]


def trouble(link: Link, now: float, data: str) -> list[str]:
    """The connection's problem, the data's age and the next step; empty when live."""
    found = link.state(now)
    if found in (LinkState.LIVE, LinkState.CONNECTING):
        return []
    said = []
    if link.error is not None:
        said += [visible(text, limit=_TROUBLE) for text in (link.error.message, link.error.hint)]
    elif found is LinkState.STALE:
        said.append("The server takes long to answer.")
    if found is LinkState.DOWN and link.error and link.error.code == "server_unreachable":
        said.append(f"Next: appliance serve --data {data}")
    return said


def worst(status: Status | None, width: int) -> Content:
    """The worst alarm and the number of others; empty without one."""
    if status is None or not status.alarms:
        return Content("")
    more = len(status.alarms) - 1
    said = f"{more} more: i" if more else "what to do: i"
    return spread(alarm(status.alarms[0]), quiet(said), width - 2)


def navigation(title: str, width: int) -> Content:
    """The lit level's places, `title` in brackets; other levels if they have room."""
    room = width - 1
    lit = next((place.level for place in PLACES if place.title == title), Level.SERVICE)
    whole = Content("  | ").join([_level(level, title, " ") for level in Level])
    tries = [
        whole,
        _level(lit, title, GAP, head=True),
        _level(lit, title, " ", head=True),
        _level(lit, title, " "),
        *_around(lit, title),
    ]
    shown = next((one for one in tries if one.cell_length <= room), tries[-1])
    return (Content(" ") + shown).truncate(width, ellipsis=True)


def _level(level: Level, title: str, gap: str, *, head: bool = False) -> Content:
    tabs = [_tab(place, title) for place in PLACES if place.level is level]
    return Content(gap).join([*([cell(level.upper(), QUIET)] if head else []), *tabs])


def _around(level: Level, title: str) -> Iterator[Content]:
    """Fewer and fewer places with whole names, the lit one among them."""
    places = [place for place in PLACES if place.level is level]
    at = next((n for n, place in enumerate(places) if place.title == title), 0)
    for count in range(len(places) - 1, 0, -1):
        first = max(0, min(at - count // 2, len(places) - count))
        some = [_tab(place, title) for place in places[first : first + count]]
        more = [cell("…", QUIET)]
        yield Content(" ").join([*more * (first > 0), *some, *more * (first + count < len(places))])


def _tab(place: MapPlace, title: str) -> Content:
    if place.title == title:
        return cell(f"[{place.key} {title}]", "bold $primary")
    return cell(f"{place.key} {place.title}", QUIET)
