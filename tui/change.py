"""A change that a person may make: its name, its questions, its entry in the log.

Rules: a change names the object, the request and the audit record before it is made; what cannot be
undone needs the object's name typed; it is sent once and never again by itself.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from pydantic import BaseModel

from appliance.client import AdminClient
from appliance.types import Report
from appliance.wire.admin.endpoint import Endpoint, Named, R
from tui.command import Commands
from tui.text import Cell
from tui.view.units import many

Answers: TypeAlias = Mapping[str, str]


@dataclass(frozen=True)
class Blank:
    """Something that a person fills in.

    Attributes:
        must_be: the only text that is taken; for what cannot be undone.
        needed: may not stay empty.
        choices: for up and down; anything else may be typed, too.
    """

    name: str
    label: str
    value: str = ""
    must_be: str = ""
    needed: bool = False
    help: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """One change.

    Attributes:
        title: what will happen to what.
        request: the request or command that makes it.
        record: the entry that the audit log will hold.
        work: makes it, in a thread; gets the answers and a progress, returns what to say.
        then: gets the result of `work`, on the screen's side; by default it is said.
        lasting: it cannot be undone.
        undo: makes the change that takes this one back, if any.
    """

    title: str
    request: str
    record: str
    work: Callable[[Answers, Report], object]
    blanks: tuple[Blank, ...] = ()
    explain: tuple[Cell, ...] = ()
    then: Callable[[object], object] | None = None
    lasting: bool = False
    undo: "Callable[[], Change] | None" = None

    def wrong(self, answers: Answers) -> str:
        """Missing or invalid answers; "" when the change can be made."""
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
    undo: Callable[[], Change] | None = None,
    **names: Named,
) -> Change:
    """The change that an endpoint makes.

    Args:
        said: makes of the reply what to say, or what `then` gets.
        request: made of the answers, where the endpoint takes one.
    """

    def work(answers: Answers, report: Report) -> object:
        body = None if request is None else request(answers)
        return said(client.answer(at, body, names, report))

    return Change(title, at.said(**names), record, work, blanks, explain, then, lasting, undo)


def to_new_file(
    title: str, request: str, what: str, name: str, fetch: Callable[[], bytes], read: str
) -> Change:
    """Write data of the server to a new file, never over another.

    Args:
        name: suggested to the person.
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
    """Write a page to a new file."""
    return to_new_file(
        f"Write the report of {what}", request, f"report of {what}", name,
        lambda: fetch().encode(), "a report",
    )  # fmt: skip


def name_blank(name: str) -> Blank:
    """The blank of a change that cannot be undone."""
    return Blank("name", "Type the name", must_be=name, help=name)


def reason_blank() -> Blank:
    """Recorded."""
    return Blank("reason", "Reason", help="recorded")


def joined(words: str, changes: Sequence[Change]) -> Change:
    """Several changes of one kind, named by `words`, as one question, made one after the other."""

    def work(answers: Answers, report: Report) -> str:
        said = []
        for number, change in enumerate(changes):
            report(words, number, len(changes))
            said.append(str(change.work(answers, report)))
        return "; ".join(said)

    first = changes[0]
    undos = [change.undo for change in changes if change.undo is not None]
    undone = len(undos) == len(changes)
    return Change(
        f"{words}: {many(len(changes), 'row')}",
        first.request,
        first.record,
        work,
        first.blanks,
        tuple(change.title for change in changes),
        lasting=first.lasting,
        undo=(lambda: joined(f"Undo {words}", [undo() for undo in undos])) if undone else None,
    )


_COMMAND: Final = re.compile(r"`(appliance [^`]+)`")


def first_step(said: str) -> str:
    """The command that a text names, or ""."""
    found = _COMMAND.search(said)
    return found[1] if found else ""


def typed(commands: Commands, line: str) -> Change:
    """A command line as a change; its capitals are blanks to fill in."""
    words = line.split()[1:]
    blanks = tuple(
        Blank(word, word.replace("_", " ").capitalize(), needed=True)
        for word in words
        if word.isupper()
    )

    def work(answers: Answers, report: Report) -> str:
        given = [answers[word] if word.isupper() else word for word in words]
        commands.run(*given, "--directory", str(commands.data), report=report, data=False)
        return " ".join(["done: appliance", *given])

    return Change(f"Run {line}", line, "what the command records, by you", work, blanks)
