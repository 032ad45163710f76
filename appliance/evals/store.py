"""The files of evaluations: `DATA/evaluations/JOB/`, one file of outcomes for each candidate.

Rules: outcomes are appended and made durable in batches, so that an evaluation resumes at the item
where it stopped; a line that a crash cut short is dropped, and its item is answered again.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from appliance.errors import EvaluationRefused
from appliance.evals.outcomes import Outcome, parse

REPORT: Final = "report.html"


class OutcomeFiles:
    """The outcomes of one evaluation.

    Args:
        directory: of this evaluation; made if it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read(self, number: int) -> list[Outcome]:
        """What the candidate with this number did so far.

        Raises:
            EvaluationRefused: `outcomes_invalid`.
        """
        path = self._path(number)
        if not path.exists():
            return []
        whole, _, rest = path.read_bytes().rpartition(b"\n")
        if rest:
            os.truncate(path, len(whole) + bool(whole))
        return [parse(line) for line in whole.split(b"\n") if line]

    def append(self, number: int, outcomes: Iterable[Outcome]) -> None:
        """Add outcomes and make them durable."""
        with self._path(number).open("ab") as file:
            file.writelines(outcome.line() for outcome in outcomes)
            file.flush()
            os.fsync(file.fileno())

    def write_report(self, html: str) -> None:
        """Keep the page."""
        part = self._directory / f"{REPORT}.part"
        part.write_text(html, encoding="utf-8")
        part.replace(self._directory / REPORT)

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:03}.jsonl"


def read_report(evaluations: Path, job_id: int) -> str:
    """The page of an evaluation.

    Raises:
        EvaluationRefused: `report_missing`.
    """
    try:
        return (evaluations / str(job_id) / REPORT).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise EvaluationRefused(
            "report_missing", f"Job {job_id} has no report: it is no evaluation, or is not done."
        ) from error
