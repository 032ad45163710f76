"""Schemas of the server's log lines."""

from typing import Final, Literal

from pydantic import Field

from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.endpoint import viewers

LEVELS: Final = ("debug", "info", "warning", "error", "critical")


class LogQuery(Request):
    """Which lines: at least this level, with this text in them, after the line with this id."""

    level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    text: str | None = Field(default=None, max_length=200)
    after: str | None = Field(default=None, max_length=60)
    limit: int = Field(default=200, ge=1, le=1_000)


class LogLine(Reply):
    """One line; `fields` holds request id, key id, code, status and milliseconds where known."""

    id: str
    time: str
    level: str
    logger: str
    message: str
    fields: dict[str, str] = Field(default={})


class LogPage(Reply):
    """The newest lines that match, in order, and their file."""

    lines: list[LogLine]
    file: str


LOGS = viewers.query("/admin/logs", LogQuery, LogPage)
