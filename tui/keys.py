"""The one model of keys: places, verbs, and actions.

Rules: help, footer, map and docs/keys.md are made of this page, and nothing else binds a key of a
place. A lower-case letter or a digit opens a place or moves. A change stands in the
actions (`a`) or the palette (`:`) only, asks once, and says what it sends and records. Escape goes
one step back, `q` ends the program; neither means anything else anywhere. A letter means the same
on every screen.
"""

import enum
from dataclasses import dataclass
from typing import Final

from appliance.types import Role


class Level(enum.StrEnum):
    """Levels of the map."""

    SERVICE = "service"
    METHOD = "method"
    TRUST = "trust"


@dataclass(frozen=True)
class MapPlace:
    """A screen of the map: its key, its title, and its content."""

    key: str
    title: str
    level: Level
    finds: str

    @property
    def name(self) -> str:
        return self.title.lower()


@dataclass(frozen=True)
class Verb:
    """A key that means the same everywhere.

    Attributes:
        keys: as Textual names them, the shown one first.
        page: screens say whether they have it; the frame has the others.
        shown: in the footer.
    """

    keys: str
    action: str
    words: str
    does: str
    display: str = ""
    page: bool = False
    shown: bool = False


START: Final = "Start"
"""The screen of a host without an appliance; it is no place of the map."""
PLACES: Final = (
    MapPlace("1", "Overview", Level.SERVICE, "serving, speed, who waits, what failed, what ends"),
    MapPlace("2", "Models", Level.SERVICE, "the store: state, signatures, why refused"),
    MapPlace("3", "Requests", Level.SERVICE, "who is being answered now"),
    MapPlace("5", "Keys", Level.SERVICE, "apps: limits, use, secrets"),
    MapPlace("6", "Jobs", Level.SERVICE, "imports, loads, exports"),
    MapPlace("u", "Usage", Level.SERVICE, "who asked how much, by hour, day or month"),
    MapPlace("9", "Logs", Level.SERVICE, "the server's lines, live"),
    MapPlace("h", "Upstreams", Level.SERVICE, "engines on other hosts"),
    MapPlace("7", "Tasks", Level.METHOD, "a task's life: data, evaluation, gate, route, drift"),
    MapPlace("8", "Evaluations", Level.METHOD, "verdicts, intervals, wrong items"),
    MapPlace("e", "Datasets", Level.METHOD, "labelled examples of the store"),
    MapPlace("t", "Labels", Level.METHOD, "items to label, blind"),
    MapPlace("m", "Tuning", Level.METHOD, "adapters and how they learn"),
    MapPlace("o", "Routes", Level.METHOD, "the small stage first: shares and certificates"),
    MapPlace("p", "People", Level.METHOD, "answers that wait for a person"),
    MapPlace("d", "Drift", Level.METHOD, "weeks in which requests changed"),
    MapPlace("v", "Advice", Level.METHOD, "what pays for each task"),
    MapPlace("c", "Collections", Level.METHOD, "documents as evidence, and their search"),
    MapPlace("4", "Audit", Level.TRUST, "the log: entries, proofs, verification"),
    MapPlace("i", "Incidents", Level.TRUST, "what is wrong, since when, who cares"),
    MapPlace("x", "Trust", Level.TRUST, "policy and people; what expires"),
    MapPlace("n", "Site", Level.TRUST, "other appliances: heard, behind, put back"),
    MapPlace("0", "Import", Level.TRUST, "from a stick to an approved model"),
)
VERBS: Final = (
    Verb("enter", "", "Open", "opens the row, or runs an empty screen's first step"),
    Verb("escape", "escape", "Back", "one step back: filter, marks, then the place before", "esc"),
    Verb("space", "", "Mark", "marks a row; actions then take all marked rows"),
    Verb("a", "acts", "Actions", "what may be done here, or why not", page=True, shown=True),
    Verb("g", "map", "Map", "all places", shown=True),
    Verb("slash", "filter", "Filter", "keeps rows that hold the words", "/", page=True, shown=True),
    Verb("s", "sort", "Sort", "by a column; again turns it round", page=True),
    Verb("y", "copy", "Copy", "an id, a digest or a command to the clipboard", page=True),
    Verb("w", "write", "Write to a file", "a report to a new file", page=True),
    Verb("f", "follow", "Follow", "goes along with what is new, or holds still", page=True),
    Verb("left_square_bracket", "span(-1)", "Less", "less: newer, a shorter time, more important "
         "lines", "[", page=True),
    Verb("right_square_bracket", "span(1)", "More", "more: older, a longer time, less important "
         "lines", "]", page=True),
    Verb("colon,ctrl+p", "palette", "Find", "places, actions, rows and colours by their letters",
         ":", shown=True),
    Verb("question_mark,f1", "help", "Help", "this place on one page", "?", shown=True),
    Verb("r", "refresh", "Refresh", "asks again now"),
    Verb("q", "leave", "Quit", "ends the program, never the server", shown=True),
)  # fmt: skip
OF_SCREENS: Final = frozenset(verb.action.partition("(")[0] for verb in VERBS if verb.page)
"""Actions that a screen has or has not."""


def place(title: str) -> MapPlace | None:
    """The place with a title; None for the first screen."""
    return next((one for one in PLACES if one.title == title), None)


@dataclass(frozen=True)
class Act:
    """Something that may be done on a screen, by its letter in the actions.

    Attributes:
        role: None where reading is enough.
        item: for the row under the cursor, or for the marked ones where `many`.
        without_server: it can be done while no server runs.
    """

    key: str
    name: str
    words: str
    role: Role | None = None
    item: bool = True
    many: bool = False
    without_server: bool = False


UNDO: Final = Act("z", "undo", "Undo", Role.VIEWER, item=False)
"""Takes the last change back, where there is an undo: on every screen, and asked for like each."""
