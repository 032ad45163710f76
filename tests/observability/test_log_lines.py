"""Log lines."""

import fcntl
import functools
import json
import logging
import os
import select
import sys
import threading

from appliance.observability.log_lines import JsonLines, TextLines, Unwaited, write_all


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


# who does not read


class Pipe:
    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, 4096)

    def handler(self, most: int = 4096) -> Unwaited:
        made = Unwaited(functools.partial(write_all, self.write_end), most)
        made.setFormatter(TextLines())
        return made

    def rest(self) -> list[str]:
        os.close(self.write_end)
        with os.fdopen(self.read_end, encoding="utf-8") as lines:
            return lines.read().splitlines()


def test_lines_that_nobody_reads_hold_nobody_up_and_are_counted() -> None:
    pipe = Pipe()
    handler = pipe.handler(100)
    for number in range(5_000):  # a handler that waits would stay here
        handler.handle(record(f"line {number}"))
    assert not handler.end(0)  # nor does its end wait
    writer = threading.Thread(target=handler._thread.join)
    writer.start()
    seen = ""
    while writer.is_alive() or select.select([pipe.read_end], [], [], 0)[0]:
        if select.select([pipe.read_end], [], [], 0.1)[0]:
            seen += os.read(pipe.read_end, 1 << 16).decode()
    writer.join()
    lines = seen.splitlines() + pipe.rest()
    kept = [line for line in lines if line.startswith("INFO line ")]
    told = [line for line in lines if "were dropped" in line]
    assert told and all(line.startswith("WARNING ") for line in told)
    assert len(kept) + sum(int(line.split()[1]) for line in told) == 5_000
    assert kept[:100] == [f"INFO line {number}" for number in range(100)]


def test_a_handler_that_waits_is_held_up() -> None:
    """The control: what the standard library's handler does with the same pipe."""
    pipe = Pipe()
    stream = os.fdopen(os.dup(pipe.write_end), "w", encoding="utf-8")
    handler = logging.StreamHandler(stream)
    ended = threading.Event()

    def log() -> None:
        for number in range(5_000):
            handler.handle(record(f"line {number}"))
        ended.set()

    thread = threading.Thread(target=log)
    thread.start()
    while select.select([], [pipe.write_end], [], 0)[1]:
        pass  # until the pipe is full
    assert not ended.is_set()
    reader = threading.Thread(target=lambda: [*iter(lambda: os.read(pipe.read_end, 4096), b"")])
    reader.start()
    thread.join()
    stream.close()
    os.close(pipe.write_end)
    reader.join()
    os.close(pipe.read_end)
    assert ended.is_set()


def test_a_reader_that_has_gone_is_no_fault() -> None:
    pipe = Pipe()
    os.close(pipe.read_end)
    handler = pipe.handler()
    handler.handle(record("a"))
    handler.handle(record("\udc80"))
    assert handler.end(60)
    os.close(pipe.write_end)
