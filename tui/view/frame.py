"""The lines around every screen: who this is, the connection, trouble, and the screens there are.

Rules: pure; words that change without meaning are left out, so that an idle appliance sends nothing
over the line; where there is no room, the least important words go first.
"""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from appliance.text import visible
from appliance.wire.admin.models import Status
from tui.link import Files, Link, LinkState
from tui.rates import RatePoint
from tui.text import GAP, QUIET, Cell, cell, line, quiet, spread, state
from tui.view.units import rate

_HELP: Final = "? Help"
_CUT: Final = 3  # letters of a screen's name on a terminal of 80 columns
_TROUBLE: Final = 160  # characters; it is above every screen, and takes no room from it


def top(
    link: Link,
    newest: RatePoint | None,
    now: float,
    width: int,
    *,
    readonly: bool = False,
    files: Files | None = None,
) -> Content:
    """The first line of every screen; where all is not well, the connection comes first."""
    if link.state(now) not in (LinkState.LIVE, LinkState.CONNECTING):
        return _in_trouble(link, now, width, files)
    connection = line(*link_words(link, now))
    known = _known(link.status, newest, readonly) if link.status else [cell("appliance")]
    room = width - connection.cell_length - 4
    while len(known) > 1 and _width(known) > room:
        known.pop(-1 if len(known) <= 3 else -2 if readonly else -1)
    return spread(Content(" ") + line(*known), connection + " ", width)


def _in_trouble(link: Link, now: float, width: int, files: Files | None) -> Content:
    """The connection, and without any colour what was known, or what the files say."""
    found, read = link.state(now), files.snapshot if files else None
    words: list[Cell] = list(link_words(link, now))
    status = link.status
    if found is LinkState.DOWN and files is not None and read is not None:
        words = [state(found), f"read from the files {max(0.0, now - files.at):.0f} s ago"]
        status = read.status
    said = Content(" ") + line(*words)
    if status is not None:
        known = [cell(part.plain, QUIET) for part in _known(status, None, False)]
        if read is None or status is not read.status:
            known[1] = quiet(f"was {status.state}")
        while known and said.cell_length + _width(known) > width - 1:
            known.pop()
        said = line(said, *known)
    return said.truncate(width, ellipsis=True, pad=True)


def _known(status: Status, newest: RatePoint | None, readonly: bool) -> list[Content]:
    """Most important first."""
    held = status.audit
    good = sum(model.loaded for model in status.models)
    bad = sum(model.state in ("refused", "revoked", "suspended") for model in status.models)
    queued = newest.queued if newest else sum(worker.queued for worker in status.workers)
    words = [
        cell(status.profile.upper(), "bold $text-warning" if status.profile == "lab" else "bold"),
        state(status.state),
        cell(f"models {good}+") if not bad else cell(f"models {good}+ {bad}!"),
        state("refusing") if held.latched else cell(f"audit {held.entries}"),
        cell(f"queue {queued}"),
        cell(f"{rate(newest.tokens) if newest else '-'} tok/s"),
        quiet(f"you: {status.role}"),
        *([quiet(f"{status.host.name} {status.url}")] if status.url else []),
    ]
    return [*words, quiet("read-only")] if readonly else words


def _width(parts: Sequence[Content]) -> int:
    return sum(part.cell_length + len(GAP) for part in parts)


def link_words(link: Link, now: float) -> list[Cell]:
    """The state of the connection and, unless it is live, the age of what is shown."""
    found = link.state(now)
    age = link.age(now)
    if found in (LinkState.LIVE, LinkState.CONNECTING):
        return [state(found)]
    return [state(found), "no data yet" if age is None else f"data {age:.0f} s old"]


def trouble(link: Link, now: float, data: str) -> list[str]:
    """Describe the connection's problem, the data's age and the next step; empty when live."""
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


def navigation(pages: Sequence[tuple[str, str]], current: str, width: int) -> Content:
    """The screens with their digits, the one in front in brackets; and where help is, always."""
    tabs = [_tab(d, name, name == current, short=False) for d, name in pages]
    shorter = [_tab(d, name, name == current, short=True) for d, name in pages]
    room = width - len(GAP) - len(_HELP) - 2
    names = Content(GAP).join(tabs)
    if names.cell_length > room:
        names = Content(" ").join(tabs)
    if names.cell_length > room:
        cut = [
            _tab(d, name if name == current else name[:_CUT], name == current, short=False)
            for d, name in pages
        ]
        names = Content(" ").join(cut)
    if names.cell_length > room:
        names = Content(" ").join(shorter)
    return spread(Content(" ") + names, line(cell(_HELP, QUIET)) + " ", width)


def _tab(digit: str, title: str, current: bool, *, short: bool) -> Content:
    if current:
        return cell(f"[{digit} {title}]", "bold $primary")
    return cell(digit if short else f"{digit} {title}", "$secondary")
