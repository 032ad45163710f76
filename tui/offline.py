"""State read from files while no server runs: by the commands that a person would type.

Rules: a command takes the data directory for a second, so commands run when the server went away,
when a screen is opened and when the person refreshes, never by a clock.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from appliance.client import AdminClient
from appliance.errors import Refused, Unavailable
from appliance.types import Report
from appliance.wire.admin.endpoint import Endpoint, Named, R
from appliance.wire.admin.jobs import JOB, JOBS
from appliance.wire.admin.keys import KEYS
from appliance.wire.admin.labels import LABEL_QUEUES
from appliance.wire.admin.models import AUDIT_ENTRIES, AUDIT_ENTRY, MODEL, REQUESTS, STATUS
from appliance.wire.admin.upstreams import UPSTREAMS
from tui.command import Commands

_COMMANDS: Final[Mapping[Endpoint[Any, Any], str]] = {
    STATUS: "status",
    MODEL: "model show {model_id}",
    JOBS: "job list -n {count}",
    JOB: "job show {job_id}",
    LABEL_QUEUES: "label list",
    UPSTREAMS: "upstream list",
    KEYS: "key list",
    AUDIT_ENTRIES: "audit search",
    AUDIT_ENTRY: "audit show {seq}",
}
_JOBS: Final = 100
_OPTIONS: Final = {"request_id": "request", "key_id": "key", "end_user": "person"}


class Offline(AdminClient):
    """Answers questions of screens from the files of one data directory."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def close(self) -> None:
        """Nothing is open."""

    def answer(
        self,
        at: Endpoint[Any, R],
        request: BaseModel | None,
        names: Mapping[str, Named],
        report: Report,
    ) -> R:
        """Raises Refused (`server_required`) where no command reads it."""
        if not issubclass(at.reply, BaseModel) or at not in (*_COMMANDS, REQUESTS):
            raise Refused("server_required", "No server runs, and only one knows this.")
        if at == REQUESTS:  # none runs without a server
            return at.reply.model_validate({"requests": []})
        words = [word.format_map({"count": _JOBS, **names}) for word in _COMMANDS[at].split()]
        words += ["--content"] if names.get("content") else []
        try:
            return at.reply.model_validate(self._commands.run(*words, *_options(request)))
        except ValidationError as error:
            message = f"`appliance {' '.join(words[:2])}` says something unknown."
            raise Unavailable("incompatible_server", message) from error


def _options(request: BaseModel | None) -> list[str]:
    table = {} if request is None else request.model_dump(exclude_none=True)
    options = ["--newest"] if table.pop("order", "") == "newest" else []
    for name, value in table.items():
        options += [f"--{_OPTIONS.get(name, name)}", str(value)]
    return options
