"""The files of evaluations: `DATA/evaluations/JOB/`, one file of outcomes for each candidate.

Rules: outcomes are made durable in batches; a line that a crash cut short is dropped, and its item
is answered again; the result is next to them, so that it outlives the record of the job; texts of
an item can be erased, and its scores stay; all of it lies encrypted (`host/at_rest.py`).
"""

import json
import os
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from appliance.errors import EvaluationRefused
from appliance.evals.outcomes import Outcome, parse
from appliance.evals.report import without_items
from appliance.host import at_rest
from appliance.wire.admin.results import EvaluationResult

REPORT: Final = "report.html"
RESULT: Final = "result.json"
NEIGHBOURS: Final = "neighbours.json"
_WRITING: Final = threading.Lock()
"""An erasure writes a file of outcomes anew, and must lose none that is appended meanwhile."""


class OutcomeFiles:
    """Outcomes of one evaluation; its directory is made if it is missing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read(self, number: int, pack: str = "") -> list[Outcome]:
        """Outcomes so far. Raises EvaluationRefused (`outcomes_invalid`)."""
        path = self._path(number, pack)
        if not path.exists():
            return []
        whole, _, rest = path.read_bytes().rpartition(b"\n")
        if rest:
            os.truncate(path, len(whole) + bool(whole))
        return [parse(line) for line in at_rest.read_lines(path)]

    def append(self, number: int, outcomes: Iterable[Outcome], pack: str = "") -> None:
        path = self._path(number, pack)
        lines = at_rest.sealed_lines(path, (outcome.line()[:-1] for outcome in outcomes))
        with _WRITING, path.open("ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())

    def write_report(self, html: str, result: EvaluationResult | None = None) -> None:
        """The page was made of outcomes in memory: once any is erased here, it shows no items."""
        kept = (line for p in self._directory.glob("*.jsonl") for line in at_rest.read_lines(p))
        if any(b'"erased":true' in line for line in kept):
            html = without_items(html)
        if result is not None:
            self._write(RESULT, json.dumps(result.document, ensure_ascii=False, sort_keys=True))
        self._write(REPORT, html)

    def write_neighbours(self, document: bytes) -> None:
        self._write(NEIGHBOURS, document.decode())

    def _write(self, name: str, text: str) -> None:
        _replace(self._directory / name, text.encode())

    def _path(self, number: int, pack: str) -> Path:
        return self._directory / (f"{number:03}-{pack}.pack" if pack else f"{number:03}.jsonl")


class OutcomeTexts:
    """Texts of items in the outcomes and pages of all evaluations."""

    def __init__(self, *directories: Path) -> None:
        self._directories = directories

    def holds(self, ids: Collection[str]) -> Mapping[str, int]:
        """Outcomes by evaluation."""
        found = Counter(path.parent.name for path, line in self._lines(ids))
        return dict(found)

    def erase(self, ids: Collection[str]) -> None:
        """The page of an evaluation loses the section that shows items."""
        for path in dict.fromkeys(path for path, _ in self._lines(ids)):
            with _WRITING:
                lines = (_erased(line, ids) for line in at_rest.read_lines(path))
                _write(path, at_rest.sealed_lines(path, lines))
            page = path.parent / REPORT
            if page.exists():
                _replace(page, without_items(at_rest.read(page).decode()).encode())

    def _lines(self, ids: Collection[str]) -> Iterator[tuple[Path, bytes]]:
        names = [f'"item":{json.dumps(one, ensure_ascii=False)},'.encode() for one in ids]
        for directory in self._directories:
            for path in sorted(directory.glob("*/*.jsonl")):
                for line in at_rest.read_lines(path):
                    if any(name in line for name in names) and _erased(line, ids) != line:
                        yield path, line


def _erased(line: bytes, ids: Collection[str]) -> bytes:
    try:
        found = parse(line)
    except EvaluationRefused:
        return line
    return found.without_texts().line()[:-1] if found.item in ids else line


def _replace(path: Path, data: bytes) -> None:
    _write(path, at_rest.sealed(path, data))


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_report(evaluations: Path, job_id: int) -> str:
    """Raises EvaluationRefused (`report_missing`)."""
    return _read(evaluations, job_id, REPORT)


def read_result(evaluations: Path, job_id: int) -> EvaluationResult:
    """Raises EvaluationRefused (`report_missing`, `outcomes_invalid`)."""
    text = _read(evaluations, job_id, RESULT)
    try:
        return EvaluationResult.model_validate(json.loads(text))
    except ValueError as error:
        message = f"The result of evaluation {job_id} cannot be used."
        raise EvaluationRefused("outcomes_invalid", message) from error


def newest_result(evaluations: Path, task: str) -> tuple[int, EvaluationResult] | None:
    """Number and result of the newest readable evaluation of a task."""
    numbers = [int(path.name) for path in evaluations.glob("*") if path.name.isdecimal()]
    for number in sorted(numbers, reverse=True):
        try:
            found = read_result(evaluations, number)
        except (EvaluationRefused, OSError):
            continue
        if found.task == task and found.candidates:
            return number, found
    return None


def read_neighbours(evaluations: Path, job_id: int) -> str:
    """Raises EvaluationRefused (`neighbours_missing`)."""
    try:
        return _read(evaluations, job_id, NEIGHBOURS)
    except EvaluationRefused as error:
        raise EvaluationRefused(
            "neighbours_missing", f"Job {job_id} learned no nearest neighbours of labels."
        ) from error


def _read(evaluations: Path, job_id: int, name: str) -> str:
    try:
        return at_rest.read(evaluations / str(job_id) / name).decode()
    except FileNotFoundError as error:
        raise EvaluationRefused(
            "report_missing", f"Job {job_id} has no report: it is no evaluation, or is not done."
        ) from error
