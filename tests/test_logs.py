"""Log lines."""

import json
import logging
import sys

from appliance.logs import JsonLines, TextLines


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("appliance.access", logging.INFO, "f", 1, message, (), None)
    made.__dict__.update(extra)
    return made


def test_a_line_is_one_json_object_with_its_ids() -> None:
    line = JsonLines().format(record("POST\n/x 400", request_id="req-1", status=400, prompt="x"))
    assert "\n" not in line
    found = json.loads(line)
    assert (found["message"], found["request_id"], found["status"]) == (
        "POST\n/x 400", "req-1", 400,
    )  # fmt: skip
    assert "prompt" not in found and found["time"].endswith("Z")


def test_an_exception_is_named_and_its_words_are_not_told() -> None:
    made = record("failed")
    try:
        raise ValueError("secret words")
    except ValueError:
        made.exc_info = sys.exc_info()
    line = JsonLines().format(made)
    assert json.loads(line)["error"] == "ValueError" and "secret" not in line


def test_a_text_line_cannot_steer_the_terminal() -> None:
    line = TextLines().format(record("a\x1b[2J\nb", request_id="req-1"))
    assert "\x1b" not in line and "\n" not in line and line.endswith("req-1")
