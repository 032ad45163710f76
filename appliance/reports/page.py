"""A report as one HTML file.

Rules: the answer is first and fits one screen; the file loads nothing and runs nothing, and its
content policy enforces that; text of data passes the sanitiser and is escaped.
"""

from dataclasses import dataclass, field
from importlib import resources
from typing import Literal, TypeAlias

from jinja2 import Environment, StrictUndefined

from appliance.text import visible

_TEXT_LIMIT = 4_000
Tone: TypeAlias = Literal["good", "no", "muted", "bad"]
"""Yes; a no that is worth knowing; not decided; somebody must act, the only red one."""


@dataclass(frozen=True)
class Fact:
    """A figure next to the answer, with its meaning."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class ReportTable:
    """Rows under a heading; a column that starts with `>` is aligned to the right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A chart of `charts` and the sentence below it."""

    drawing: str
    caption: str


@dataclass(frozen=True)
class Links:
    """Other pages: the file next to this one, its title and its content."""

    rows: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Listing:
    """Lines to be typed."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A heading, sentences, then tables, figures, links and listings."""

    title: str
    sentences: tuple[str, ...] = ()
    parts: tuple[ReportTable | Figure | Links | Listing, ...] = ()


@dataclass(frozen=True)
class ReportPage:
    """A whole report.

    Attributes:
        answer: in one or two sentences.
        tone: marks the answer.
        facts: at most six figures behind the answer.
        made_of: digests and versions, for the last table.
        when: ISO 8601.
    """

    title: str
    answer: str
    tone: Tone
    facts: tuple[Fact, ...]
    sections: tuple[Section, ...]
    made_of: tuple[tuple[str, str], ...]
    when: str
    figure: Figure | None = field(default=None)


def render(page: ReportPage) -> str:
    """The page as HTML text."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["seen"] = lambda text: visible(text, limit=_TEXT_LIMIT)
    environment.tests["table"] = lambda part: isinstance(part, ReportTable)
    environment.tests["links"] = lambda part: isinstance(part, Links)
    environment.tests["listing"] = lambda part: isinstance(part, Listing)
    source = resources.files(__package__).joinpath("page.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(source).render(page=page)
