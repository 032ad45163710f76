"""Content of the site screen."""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from appliance.text import ago
from appliance.wire.admin.site import PEER_TABLE, SitePeer, SitePeerList, why
from tui.columns import cells, listed
from tui.text import Cell, alarm, cell, labelled, line, quiet
from tui.view.units import clock, count, many

COLUMNS: Final = (
    listed(PEER_TABLE, "NAME", 16, name="APPLIANCE"),
    listed(PEER_TABLE, "STATE", 9),
    listed(PEER_TABLE, "HEARD", 10, drop=1),
    listed(PEER_TABLE, "BEHIND", 8, drop=2),
    listed(PEER_TABLE, "SEEN AT", 19, drop=3),
    listed(PEER_TABLE, "PROBLEM", 0, name="WHY", least=12),
)
_MOST: Final = 6


def row(one: SitePeer) -> Sequence[Cell]:
    """One peer."""
    return cells(COLUMNS, one, {})


def summary(found: SitePeerList, shown: int) -> Content:
    """This appliance, and the number of others."""
    down = sum(bool(why(one)) for one in found.peers)
    parts: list[Content | str] = [
        f"this is {found.member}" if found.member else "not a member",
        many(len(found.peers), "peer"),
    ]
    if down:
        parts.append(f"{count(down)} down")
    if found.stale:
        parts.append(alarm("stale: it hears no other"))
    if shown != len(found.peers):
        parts.append(quiet(f"{count(shown)} shown"))
    return line(*parts)


def detail(one: SitePeer, width: int) -> list[Content]:
    """The peer under the cursor."""
    told = {
        "address": one.url,
        "heard": ago(one.heard_seconds),
        "our log": f"{many(one.cosigned, 'entry')} cosigned at {clock(one.cosigned_at or '-')},"
        f" {count(one.behind)} behind",
        "its log": f"{many(one.seen, 'entry')} seen at {clock(one.seen_at or '-')}",
        "mirror": "" if one.mirrored is None else f"{many(one.mirrored, 'entry')} of our log",
    }
    said: list[Content] = []
    for name, words in told.items():
        if words:
            said += labelled(name, cell(words), width)
    if reason := why(one):
        said += labelled("why", alarm(reason), width)
    return said


def documents(found: SitePeerList, width: int) -> list[Content]:
    """The documents that do not hold here."""
    said: list[Content] = []
    for name, some in (("refused", found.refused), ("waits", found.waiting)):
        for each in some[:_MOST]:
            words = f"{each.kind}: {each.code}: {each.message}"
            said += labelled(name, cell(words), width)
        if len(some) > _MOST:
            said += labelled(name, f"and {count(len(some) - _MOST)} more", width)
    return said
