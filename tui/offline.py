"""What the files say while no server runs: read by the commands that a person would type.

Rules: a command takes the data directory for a second, so one is run for each thing that a screen
shows, when the server went away, when another screen is opened and when the person refreshes, never
by a clock; what the commands cannot read stays unknown.
"""

from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from appliance.client import AdminClient, Report
from appliance.errors import Refused, Unavailable
from appliance.wire.admin import keys, models
from appliance.wire.admin.jobs import Job, JobList
from appliance.wire.admin.labels import LabelQueueList
from appliance.wire.admin.upstreams import UpstreamList
from appliance.wire.admin.usage import Load
from tui.command import Commands

T = TypeVar("T", bound=BaseModel)


class Offline(AdminClient):
    """Answers questions of screens from the files.

    Args:
        commands: of one data directory.
    """

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def close(self) -> None:
        """Nothing is open."""

    def status(self) -> models.Status:
        """The appliance, stopped."""
        return self._read(models.Status, "status")

    def usage(self) -> Load:
        """Nothing computes. Raises Refused (`server_required`)."""
        raise Refused("server_required", "No server runs.")

    def model(self, model_id: str) -> models.ModelDetail:
        """One artifact."""
        return self._read(models.ModelDetail, "model", "show", model_id)

    def requests(self) -> models.RequestList:
        """No request runs without a server."""
        return models.RequestList(requests=[])

    def jobs(self, count: int = 100) -> JobList:
        """The newest jobs."""
        return self._read(JobList, "job", "list", "-n", str(count))

    def job(self, job_id: int) -> Job:
        """One job with its result."""
        return self._read(Job, "job", "show", str(job_id))

    def label_queues(self) -> LabelQueueList:
        """The queues of items that people label."""
        return self._read(LabelQueueList, "label", "list")

    def upstreams(self) -> UpstreamList:
        """The upstreams, as far as they were learnt and approved."""
        return self._read(UpstreamList, "upstream", "list")

    def keys(self) -> keys.KeyList:
        """Every API key."""
        return self._read(keys.KeyList, "key", "list")

    def search(self, query: models.EntryQuery) -> models.EntryList:
        """Entries of the log."""
        table = query.model_dump(exclude_none=True)
        options = ["--newest"] if table.pop("order", "") == "newest" else []
        names = {"request_id": "request", "key_id": "key"}
        for name, value in table.items():
            options += [f"--{names.get(name, name)}", str(value)]
        return self._read(models.EntryList, "audit", "search", *options)

    def entry(self, seq: int, *, content: bool = False) -> models.Entry:
        """One entry."""
        shown = ("--content",) if content else ()
        return self._read(models.Entry, "audit", "show", str(seq), *shown)

    def _read(self, kind: type[T], *words: str) -> T:
        try:
            return kind.model_validate(self._commands.run(*words))
        except ValidationError as error:
            message = f"`appliance {' '.join(words[:2])}` says something unknown."
            raise Unavailable("incompatible_server", message) from error

    def _sent(self, method: str, path: str, **options: Any) -> httpx.Response:
        raise _none()

    def _long(self, kind: type[Any], path: str, body: BaseModel | None, report: Report) -> Any:
        raise _none()


def _none() -> Refused:
    return Refused("server_required", "No server runs, and the files do not say it.")
