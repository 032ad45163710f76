"""What commands print.

Rules: stdout carries data only: with `--json` exactly one JSON document, otherwise lines for a
person; progress and narration go to stderr. JSON escapes everything but printable ASCII, and
every other text that a model, a key or a file may have brought passes `text.visible`, so nothing
that is printed can steer the terminal. A state is a word with a mark, never a colour.
"""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from pydantic import BaseModel

from appliance.config import data_directory
from appliance.errors import ApplianceError
from appliance.text import visible
from appliance.wire.admin.marks import mark

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Output:
    """Where one command prints; `as_json` is set by `--json`."""

    def __init__(self) -> None:
        self.as_json = False

    def data(self, document: BaseModel | dict[str, Any], lines: Iterable[str]) -> None:
        """Print the result: the document with `--json`, otherwise the lines."""
        if not self.as_json:
            for line in lines:
                click.echo(line)
            return
        if isinstance(document, BaseModel):
            document = document.model_dump(mode="json", by_alias=True)
        click.echo(json.dumps(document, indent=2))

    def note(self, text: str) -> None:
        """Tell the person something that is not the result."""
        click.echo(text, err=True)

    def error(self, error: ApplianceError) -> None:
        """Print why the command failed and what to do next."""
        shown = [f"{error.code}: {safe(error.message)}", f"  {error.hint}"]
        if self.as_json:
            found = {"code": error.code, "message": error.message, "hint": error.hint}
            self.data(found, ())
        else:
            for line in shown:
                self.note(line)


class Progress:
    """Shows how far a long step is.

    On a terminal it is one line that is overwritten, elsewhere a line for every tenth part.
    """

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown: tuple[str, int] | None = None
        self._open = False

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Report that `done` of `total` are done."""
        percent = 100 * done // total if total else 100
        step = (phase, percent if self._terminal else percent // 10)
        if step == self._shown:
            return
        self._shown = step
        line = f"{safe(phase)} {percent} %"
        click.echo(f"\r{line:<40}" if self._terminal else line, err=True, nl=not self._terminal)
        self._open = self._terminal

    def close(self) -> None:
        """End the line."""
        if self._open:
            click.echo(err=True)
            self._open = False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def safe(text: str) -> str:
    """Untrusted text for one line."""
    return visible(text)


def state(word: str) -> str:
    """A state with its mark: + good, ~ under way, ! needs a person, - at rest."""
    return f"[{mark(word)}] {safe(word)}"


def size(count: int) -> str:
    """Bytes for a person."""
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Aligned columns; the last one is as long as it is. Cells must be safe already."""
    grid = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[n]) for row in grid) for n in range(len(head) - 1)]
    return [
        "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in grid
    ]


def data_option(command: Decorated) -> Decorated:
    """`--data DIR`, as a Path; without it APPLIANCE_DATA decides."""
    return click.option(
        "--data",
        metavar="DIR",
        callback=lambda _ctx, _param, value: data_directory(value),
        help="The data directory; by default the one that APPLIANCE_DATA names.",
    )(command)


def json_option(command: Decorated) -> Decorated:
    """`--json`: one JSON document on stdout."""

    def choose(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        ctx.ensure_object(Output).as_json = value

    return click.option(
        "--json",
        is_flag=True,
        is_eager=True,  # before another option can fail
        expose_value=False,
        callback=choose,
        help="Print one JSON document.",
    )(command)
