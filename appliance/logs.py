"""How log lines are written: for a person, or as one JSON object a line.

Rules: a line holds what the code says and ids, never a text of a client; whatever came from outside
passes the sanitiser.
"""

import json
import logging
import sys
import time
from typing import Final

from appliance.text import visible

_FIELDS: Final = ("request_id", "key_id", "code", "status", "milliseconds")


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the ids that belong to it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: record.__dict__[name] for name in _FIELDS if record.__dict__.get(name)}
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__  # its message may quote a prompt
        return json.dumps(line)


class TextLines(logging.Formatter):
    """Level, message and the request id."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        request_id = record.__dict__.get("request_id")
        text = f"{record.levelname} {visible(record.getMessage(), limit=4_000)}"
        return f"{text} {request_id}" if request_id else text


def configure(style: str) -> None:
    """Write the log to stderr.

    Args:
        style: `text` or `json`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
