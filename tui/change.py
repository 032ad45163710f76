"""A change that a person may make: what it is called, what it asks, and what it leaves in the log.

Rules: a change names the object, the request and the audit record before it is made; what cannot be
undone needs the object's name typed; it is sent once and never again by itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import BaseModel

from appliance.client import AdminClient
from appliance.types import Report
from appliance.wire.admin.endpoint import Endpoint, Named, R
from tui.text import Cell

Answers: TypeAlias = Mapping[str, str]


@dataclass(frozen=True)
class Blank:
    """Something that a person fills in.

    Attributes:
        must_be: the only text that is taken; for what cannot be undone.
        needed: may not stay empty.
    """

    name: str
    label: str
    value: str = ""
    must_be: str = ""
    needed: bool = False
    help: str = ""


@dataclass(frozen=True)
class Change:
    """One change.

    Attributes:
        title: what will happen to what.
        request: the request or command that makes it.
        record: the entry that the audit log will hold.
        work: makes it, in a thread; gets the answers and a progress, returns what to say.
        then: gets what `work` returned, on the screen's side; by default it is said.
        lasting: it cannot be undone.
    """

    title: str
    request: str
    record: str
    work: Callable[[Answers, Report], object]
    blanks: tuple[Blank, ...] = ()
    explain: tuple[Cell, ...] = ()
    then: Callable[[object], object] | None = None
    lasting: bool = False

    def wrong(self, answers: Answers) -> str:
        """Describe the missing or invalid answers; empty when the change can be made."""
        for blank in self.blanks:
            given = answers.get(blank.name, "").strip()
            if blank.must_be and given != blank.must_be:
                return f"Type {blank.must_be} to go on."
            if blank.needed and not given:
                return f"{blank.label} is needed."
        return ""


@dataclass
class Running:
    """A change under way, as the flash line tells it."""

    change: Change
    phase: str = ""
    percent: int | None = None
    error: Exception | None = None
    result: object = None
    done: bool = field(default=False)


def asking(
    client: AdminClient,
    at: Endpoint[Any, R],
    title: str,
    record: str,
    said: Callable[[R], object],
    *,
    request: Callable[[Answers], BaseModel] | None = None,
    blanks: tuple[Blank, ...] = (),
    explain: tuple[Cell, ...] = (),
    then: Callable[[object], object] | None = None,
    lasting: bool = False,
    **names: Named,
) -> Change:
    """The change that an endpoint makes.

    Args:
        said: makes of the reply what to say, or what `then` gets.
        request: made of the answers, where the endpoint takes one.
        names: of its path and its query.
    """

    def work(answers: Answers, report: Report) -> object:
        body = None if request is None else request(answers)
        return said(client.answer(at, body, names, report))

    return Change(title, at.said(**names), record, work, blanks, explain, then, lasting)


def to_new_file(
    title: str, request: str, what: str, name: str, fetch: Callable[[], bytes], read: str
) -> Change:
    """The change that writes what the server tells to a new file, never over another.

    Args:
        what: is in the file, as it is said afterwards.
        name: of the file, until the person types another.
        fetch: gets what is written.
        read: what is read for it, without a record in the log.
    """

    def work(answers: Answers, _report: Report) -> str:
        content = fetch()
        with open(answers["out"], "xb") as file:  # noqa: PTH123 - the path as it was typed
            file.write(content)
        return f"{what}: {answers['out']}"

    record = f"nothing: reading {read} is not recorded"
    blank = Blank("out", "New file", name, needed=True)
    return Change(title, request, record, work, blanks=(blank,))


def report_to_file(what: str, request: str, name: str, fetch: Callable[[], str]) -> Change:
    """The change that writes the page of something to a new file."""
    return to_new_file(
        f"Write the report of {what}", request, f"report of {what}", name,
        lambda: fetch().encode(), "a report",
    )  # fmt: skip


def name_blank(name: str) -> Blank:
    """The blank of a change that cannot be undone."""
    return Blank("name", "Type the name", must_be=name, help=name)


def reason_blank() -> Blank:
    """Why; it is recorded."""
    return Blank("reason", "Reason", help="recorded")
