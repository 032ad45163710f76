"""Output of commands.

Rules: stdout carries data only: with `--json` exactly one JSON document, otherwise lines; all else
goes to stderr. JSON escapes everything but printable ASCII, and other untrusted text passes
`text.visible`, so nothing can steer the terminal. A state is a word with a mark, never a colour.
"""

import io
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from pydantic import BaseModel

from appliance.config import data_directory
from appliance.errors import ApplianceError, UsageError
from appliance.text import visible
from appliance.types import JsonValue
from appliance.wire.admin.columns import ColumnKind, ListColumn, ListTable
from appliance.wire.admin.jobs import Job
from appliance.wire.admin.marks import mark

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_NARROWEST: Final = 20
"""Columns that the last column of a table has at least, if it is to be wrapped."""
DIRECTORY: Final = click.Path(path_type=Path)
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
OUT: Final = click.Path(dir_okay=False, path_type=Path)
READ_THERE: Final = click.Path(exists=True, file_okay=False, resolve_path=True)
"""A directory that the server reads, wherever it runs: the path is absolute."""
T = TypeVar("T")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def write_whole() -> None:
    """Buffer stdout: unbuffered, ctrl-z cuts writes."""
    raw = getattr(sys.stdout, "buffer", None)
    if isinstance(raw, io.RawIOBase):
        encoding, errors = sys.stdout.encoding, sys.stdout.errors
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=True)


class Output:
    """Where one command prints; `as_json` is set by `--json`."""

    def __init__(self) -> None:
        self.as_json = False
        self._kept: list[str | tuple[Path, bytes]] | None = None

    def data(self, document: BaseModel | Mapping[str, JsonValue], lines: Iterable[str]) -> None:
        if self.as_json:
            if isinstance(document, BaseModel):
                document = document.model_dump(mode="json", by_alias=True)
            lines = [json.dumps(document, indent=2)]
        for line in lines:
            if self._kept is None:
                click.echo(line)
            else:
                self._kept.append(line)

    def file(self, path: Path, content: str | bytes) -> None:
        data = content if isinstance(content, bytes) else content.encode()
        if self._kept is None:
            path.write_bytes(data)
        else:
            self._kept.append((path, data))

    def page(self, path: Path, html: str) -> None:
        """Replaces a file."""
        path.unlink(missing_ok=True)
        self.file(path, html)
        self.data({"report": str(path)}, [f"wrote {path}"])

    def keep(self) -> None:
        """Print and write nothing until `release`: pagers and disks must not hold up others."""
        self._kept = []

    def release(self) -> None:
        """In order."""
        kept, self._kept = self._kept or [], None
        for each in kept:
            if isinstance(each, str):
                click.echo(each)
            else:
                self.file(*each)

    def listing(
        self, document: BaseModel | Mapping[str, JsonValue], items: Sequence[T], of: ListTable[T]
    ) -> None:
        """Its table, or how to fill it."""
        self.data(document, rows(items, of) if items else [of.empty])

    def unfinished(self, job: Job) -> None:
        """Print the state of a job that came to no result."""
        told = job.model_dump(include={"id", "state", "code", "message", "hint"})
        self.data(told, [f"{job.kind} {job.id}: {job.state} {safe(job.message)}".rstrip()])

    def note(self, text: str) -> None:
        click.echo(text, err=True)

    def require(self, passed: bool) -> None:
        """Exit status 1 unless a check passed."""
        if not passed:
            raise click.exceptions.Exit(1)

    def error(self, error: ApplianceError) -> None:
        shown = [f"{error.code}: {safe(error.message)}", f"  {error.hint}"]
        if self.as_json:
            found = {"code": error.code, "message": error.message, "hint": error.hint}
            self.data(found, ())
        else:
            for line in shown:
                self.note(line)


class ProgressBar:
    """Shows how far a long step is: a bar on a terminal, elsewhere a line for every tenth part.

    A terminal that cannot move its cursor gets the lines, too.
    """

    def __init__(self) -> None:
        self._shown: tuple[str, int] | None = None
        self._bars = _bars()
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, phase: str, done: int, total: int) -> None:
        """A total of 0 is not known."""
        percent = 100 * done // total if total else 100
        step = (phase, percent // 10 if self._bars is None else percent)
        if step == self._shown:
            return
        self._shown = step
        if self._bars is None:
            click.echo(f"{safe(phase)} {percent} %" if total else safe(phase), err=True)
            return
        if phase not in self._tasks:
            self._bars.start()
            self._tasks[phase] = self._bars.add_task(safe(phase), total=None)
        whole = 100 if total else None
        self._bars.update(self._tasks[phase], completed=percent, total=whole, refresh=True)

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def __enter__(self) -> "ProgressBar":
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
    """Aligned columns. Cells must be safe already.

    On a too narrow terminal the last column is wrapped within its place.
    """
    grid = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[n]) for row in grid) for n in range(len(head) - 1)]
    lines = [
        "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in grid
    ]
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    left = sum(widths) + 2 * len(widths)
    if columns is None or max(map(len, lines)) <= columns or columns < left + _NARROWEST:
        return lines
    return _wrapped(grid, columns)


def rows(items: Iterable[T], of: ListTable[T]) -> list[str]:
    """The table of a list."""
    cells = [[_cell(column, item) for column in of.columns] for item in items]
    return table([column.title for column in of.columns], cells)


def _cell(column: ListColumn[T], item: T) -> str:
    value = column.of(item)
    if value is None:
        return column.none
    if column.kind is ColumnKind.STATE:
        return state(str(value))
    return size(int(value)) if column.kind is ColumnKind.BYTES else safe(str(value))


def _wrapped(grid: Sequence[Sequence[str]], columns: int) -> list[str]:
    from rich.console import Console  # 20 ms and 0.2 ms a row: only where it is of use
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    for number in range(len(grid[0])):
        drawn.add_column(no_wrap=number < len(grid[0]) - 1, overflow="fold")
    for row in grid:
        drawn.add_row(*map(Text, row))  # as text: what looks like markup is none
    out = io.StringIO()
    Console(file=out, width=columns, color_system=None, legacy_windows=False).print(drawn)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def _bars() -> "Bars | None":
    """None unless stderr is a terminal which can draw them."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Drawn

    console = Console(file=sys.stderr, color_system=None, highlight=False, markup=False)
    if console.is_dumb_terminal:
        return None
    told = TextColumn("{task.description}", markup=False)
    share = TextColumn("{task.percentage:>3.0f} %", markup=False)
    return Drawn(
        told, BarColumn(), share, console=console, auto_refresh=False,
        redirect_stdout=False, redirect_stderr=False,
    )  # fmt: skip


def data_option(command: Decorated) -> Decorated:
    """`--directory DIR`, or `--data`, as a Path; without it APPLIANCE_DATA decides."""
    return _directory(command, "--directory", "--data", "data")


def directory_option(command: Decorated) -> Decorated:
    """`--directory DIR`: the data directory, where `--data` names a dataset."""
    return _directory(command, "--directory", "data")


def _directory(command: Decorated, *names: str) -> Decorated:
    return click.option(
        *names,
        metavar="DIR",
        callback=lambda _ctx, _param, value: data_directory(value),
        help="Data directory, else APPLIANCE_DATA.",
    )(command)


def dataset_option(what: str) -> Callable[[Decorated], Decorated]:
    """`--data DATASET_DIR`, as `dataset`: a directory that the server reads; `what` is for the
    help.
    """
    return click.option(
        "--data", "dataset", metavar="DATASET_DIR", type=READ_THERE, required=True, help=what
    )


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


def page_option(command: Decorated) -> Decorated:
    """`--out`: where a page is written."""
    return click.option("--out", type=OUT, required=True, help="The HTML file to write.")(command)


def prints(command: Callable[..., None]) -> Callable[..., None]:
    """`--data` and `--json`: the command gets where it prints, and the data directory."""
    return data_option(json_option(click.pass_obj(command)))


def prints_of_dataset(command: Callable[..., None]) -> Callable[..., None]:
    """`--directory` and `--json`, where `--data` names a dataset."""
    return directory_option(json_option(click.pass_obj(command)))


def asks() -> bool:
    """True if a person is there to be asked."""
    return sys.stdin.isatty()


def asked(value: T | None, question: str, default: T | None = None) -> T:
    """Asked on a terminal, the default elsewhere.

    Raises:
        UsageError: no default and no person to ask.
    """
    if value is not None:
        return value
    if asks():
        found: T = click.prompt(question, default=default, err=True)
        return found
    if default is None:
        raise click.UsageError(f"{question}: pass it as an option.")
    return default


def passphrase_of(file: Path | None, key_file: Path, *, new: bool = False) -> str:
    """The first line of a file, or from a prompt that shows nothing."""
    if file is not None:
        return (file.read_text(encoding="utf-8").splitlines() or [""])[0]
    text: str = click.prompt(
        f"Passphrase of {key_file.name}", hide_input=True, confirmation_prompt=new, err=True
    )
    return text


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet. Raises UsageError (`data_exists`)."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError("data_exists", f"{path} exists already.") from error
