"""The files of evaluations: `DATA/evaluations/JOB/`, one file of outcomes for each candidate.

Rules: outcomes are appended and made durable in batches, so that an evaluation resumes at the item
where it stopped; a line that a crash cut short is dropped, and its item is answered again; the
result lies beside them, so that it outlives the record of the job.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from appliance.errors import EvaluationRefused
from appliance.evals.outcomes import Outcome, parse

REPORT: Final = "report.html"
RESULT: Final = "result.json"
NEIGHBOURS: Final = "neighbours.json"


class OutcomeFiles:
    """The outcomes of one evaluation.

    Args:
        directory: of this evaluation; made if it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read(self, number: int, pack: str = "") -> list[Outcome]:
        """What the candidate with this number did so far, on the items or on a pack.

        Raises:
            EvaluationRefused: `outcomes_invalid`.
        """
        path = self._path(number, pack)
        if not path.exists():
            return []
        whole, _, rest = path.read_bytes().rpartition(b"\n")
        if rest:
            os.truncate(path, len(whole) + bool(whole))
        return [parse(line) for line in whole.split(b"\n") if line]

    def append(self, number: int, outcomes: Iterable[Outcome], pack: str = "") -> None:
        """Add outcomes and make them durable."""
        with self._path(number, pack).open("ab") as file:
            file.writelines(outcome.line() for outcome in outcomes)
            file.flush()
            os.fsync(file.fileno())

    def write_report(self, html: str, result: dict[str, Any] | None = None) -> None:
        """Keep the page and the result."""
        if result is not None:
            self._write(RESULT, json.dumps(result, ensure_ascii=False, sort_keys=True))
        self._write(REPORT, html)

    def write_neighbours(self, document: bytes) -> None:
        """Keep the nearest neighbours that were learned, as a classifier's file."""
        self._write(NEIGHBOURS, document.decode())

    def _write(self, name: str, text: str) -> None:
        part = self._directory / f"{name}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(self._directory / name)

    def _path(self, number: int, pack: str) -> Path:
        return self._directory / (f"{number:03}-{pack}.pack" if pack else f"{number:03}.jsonl")


def read_report(evaluations: Path, job_id: int) -> str:
    """The page of an evaluation.

    Raises:
        EvaluationRefused: `report_missing`.
    """
    return _read(evaluations, job_id, REPORT)


def read_result(evaluations: Path, job_id: int) -> dict[str, Any]:
    """The result of an evaluation.

    Raises:
        EvaluationRefused: `report_missing`.
    """
    result: dict[str, Any] = json.loads(_read(evaluations, job_id, RESULT))
    return result


def read_neighbours(evaluations: Path, job_id: int) -> str:
    """The nearest neighbours that an evaluation learned, as a classifier's file.

    Raises:
        EvaluationRefused: `neighbours_missing`.
    """
    try:
        return _read(evaluations, job_id, NEIGHBOURS)
    except EvaluationRefused as error:
        raise EvaluationRefused(
            "neighbours_missing", f"Job {job_id} learned no nearest neighbours of labels."
        ) from error


def _read(evaluations: Path, job_id: int, name: str) -> str:
    try:
        return (evaluations / str(job_id) / name).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise EvaluationRefused(
            "report_missing", f"Job {job_id} has no report: it is no evaluation, or is not done."
        ) from error
