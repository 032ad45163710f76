"""Lines of a batch: read, checked together, written; ids that tell their line."""

import json
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.batches.files import ERASED, FilePart
from appliance.batches.lines import (
    BatchCheck,
    LineReply,
    NumberedLine,
    check_runs,
    code_of,
    line_of,
    new_batch_id,
    numbered,
    read,
    request_of,
    written,
)
from appliance.errors import CODES, BadRequest, Unavailable

CHAT = "/v1/chat/completions"


def line(custom_id: object = "a", **body: object) -> bytes:
    asked = {"model": "m", **body}
    return json.dumps({"custom_id": custom_id, "url": CHAT, "body": asked}).encode() + b"\n"


@given(st.integers(0, 999_999), st.integers(0, 255))
def test_a_request_tells_its_batch_and_line(number: int, before: int) -> None:
    batch = new_batch_id()
    request = request_of(batch, number, before)
    assert line_of(request) == (batch, number)
    assert len(request) == len("req-") + 32


def test_no_other_id_is_of_a_line() -> None:
    assert line_of("req-x") is None and line_of("batch_1") is None


def test_empty_lines_are_read_over_and_keep_their_numbers() -> None:
    parts = [FilePart(0, b"a\n\n  \n"), FilePart(3, b"b")]
    assert list(numbered(parts)) == [NumberedLine(0, b"a\n"), NumberedLine(3, b"b")]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ERASED, "erased"),
        (b"", "batch_line_invalid"),
        (b"[]", "batch_line_invalid"),
        (b'{"custom_id": 1}', "batch_line_invalid"),
        (line("x" * 513), "batch_line_invalid"),
        (b'{"custom_id":"a","url":"u","body":' + b"[" * 9_000 + b"]" * 9_000 + b"}",
         "batch_line_invalid"),
        (b'{"custom_id":"\xff","url":"u","body":{}}', "batch_line_invalid"),
    ],
)  # fmt: skip
def test_what_is_no_line_is_refused(text: bytes, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(text)
    assert caught.value.code == code


def checked(lines: Iterator[bytes]) -> BatchCheck:
    check = BatchCheck(CHAT)
    check.take(NumberedLine(number, text) for number, text in enumerate(lines))
    check.end()
    return check


def test_good_lines_are_counted_and_name_their_model() -> None:
    check = checked(line(str(n)) for n in range(1_000))
    assert (check.total, check.model, check.problems) == (1_000, "m", [])


def test_each_second_use_of_an_id_is_told_with_both_lines() -> None:
    check = checked(line(str(n % 900)) for n in range(1_000))
    assert len(check.problems) == 100
    assert {(p.code, p.param) for p in check.problems} == {("batch_id_twice", "custom_id")}
    for problem in check.problems:
        assert problem.line is not None and f"line {problem.line - 900}" in problem.message
    three = checked(line("same") for _ in range(3))
    assert sorted(problem.line or 0 for problem in three.problems) == [2, 3]


@pytest.mark.slow
def test_a_million_lines_take_little_memory_and_the_last_is_compared_with_the_first() -> None:
    text = b'{"custom_id": "%d", "url": "/v1/chat/completions", "body": {"model": "m"}}\n'
    tracemalloc.start()
    check = checked(text % (n % 999_999) for n in range(1_000_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    (problem,) = check.problems
    assert (problem.code, problem.line, check.total) == ("batch_id_twice", 1_000_000, 1_000_000)
    assert peak < 128 << 20


def test_a_file_of_nothing_is_told() -> None:
    assert [p.code for p in checked(iter(())).problems] == ["batch_empty"]


def test_what_a_line_may_not_ask_is_refused() -> None:
    for body in ({"stream": True}, {"background": True}, {"service_tier": "priority"}):
        with pytest.raises(BadRequest) as caught:
            check_runs(read(line(**body)).body)
        assert caught.value.param in body
    check_runs(read(line(stream=False, service_tier="flex")).body)


def test_lines_are_written_as_openai_writes_them() -> None:
    request = request_of(new_batch_id(), 3, 0)
    reply = LineReply(200, {}, b'{"id": "x"}')
    told = json.loads(written(request, "a", reply, "1 ab 2", ["req-1"]))
    assert told["response"] == {"status_code": 200, "request_id": request, "body": {"id": "x"}}
    assert told["error"] is None and told["id"] == f"batch_{request.replace('-', '_')}"
    assert told["x_appliance"] == {"receipt": "1 ab 2", "begun_before": ["req-1"]}
    left = json.loads(written(request, "a", Unavailable("batch_expired", "Over."), None))
    assert left["response"] is None and left["error"]["code"] == "batch_expired"
    assert CODES["batch_expired"].hint in left["error"]["message"]


def test_the_code_of_a_refusal_is_read_and_of_anything_else_is_none() -> None:
    assert code_of(LineReply(400, {}, b'{"error": {"code": "invalid_value"}}')) == "invalid_value"
    for body in (b"", b"[]", b'{"error": 5}', b'{"id": 1}'):
        assert code_of(LineReply(500, {}, body)) == ""
