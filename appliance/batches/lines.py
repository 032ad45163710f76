"""The lines of a batch: read, checked together, and written with their answers. Pure.

Rules: a request's id has its batch, its line and how often the line was begun before, so that after
a crash the log shows what was begun. All lines are checked before the first one runs: their names
are unique, all ask the same address and one model. A line's request is judged when it runs.

Source: OpenAI API reference, batches: the request input and output objects.
"""

import re
import secrets
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import msgspec
import numpy as np

from appliance.batches.files import ERASED, FilePart, lines_of
from appliance.errors import CODES, ApplianceError, BadRequest
from appliance.text import visible

LONGEST_ID: Final = 512
MOST_BEGUN: Final = 255
"""How often a line may be begun."""
_MOST_PROBLEMS: Final = 100
_REQUEST: Final = re.compile(r"req-([0-9a-f]{22})([0-9a-f]{8})([0-9a-f]{2})")
_ID_BYTES: Final = 16


def new_batch_id() -> str:
    """An id that no other batch has."""
    return f"batch_{secrets.token_hex(11)}"


def request_of(batch: str, line: int, before: int) -> str:
    """The id of the request of a line that was begun so often before."""
    return f"req-{batch.removeprefix('batch_')}{line:08x}{before:02x}"


def line_of(request_id: str) -> tuple[str, int] | None:
    """The batch and the line that a request may be of."""
    found = _REQUEST.fullmatch(request_id)
    return None if found is None else (f"batch_{found[1]}", int(found[2], 16))


class BatchLine(msgspec.Struct):
    """One line of a batch's file."""

    custom_id: str
    url: str
    body: msgspec.Raw
    method: str = "POST"


class _Looked(msgspec.Struct):
    """The fields of a body that a batch checks."""

    model: str
    stream: bool | None = None
    background: bool | None = None
    service_tier: str | None = None


class LineProblem(msgspec.Struct):
    """A fault of one line, numbered from 1, or of the whole file."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


@dataclass(frozen=True)
class NumberedLine:
    """A line of a file, numbered from 0."""

    number: int
    text: bytes


def numbered(parts: Iterable[FilePart]) -> Iterable[NumberedLine]:
    """The lines that are not empty."""
    for part in parts:
        for place, text in enumerate(lines_of(part.text)):
            if text.strip():
                yield NumberedLine(part.number + place, text)


def read(text: bytes) -> BatchLine:
    """Parse a line (`erased`, `batch_line_invalid`)."""
    if text == ERASED:
        raise BadRequest("erased", "The line was erased.")
    try:
        found = msgspec.json.decode(text, type=BatchLine)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise BadRequest("batch_line_invalid", f"{visible(str(error), limit=200)}.") from error
    if not 1 <= len(found.custom_id) <= LONGEST_ID:
        what = f"custom_id: 1 to {LONGEST_ID} characters."
        raise BadRequest("batch_line_invalid", what, param="custom_id")
    return found


class BatchCheck:
    """Checks all lines of a file; `total` counts those that are not empty, `problems` has the first
    faults.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint, self._secret = endpoint, secrets.token_bytes(16)
        self._digests, self._numbers = bytearray(), array("Q")
        self.model, self.total = "", 0
        self.problems: list[LineProblem] = []

    def take(self, lines: Iterable[NumberedLine]) -> None:
        for line in lines:
            self.total += 1
            if len(self.problems) < _MOST_PROBLEMS:
                try:
                    self._look(line)
                except BadRequest as error:
                    found = LineProblem(error.code, error.message, line.number + 1, error.param)
                    self.problems.append(found)

    def end(self) -> None:
        if not self.total:
            self.problems.append(LineProblem("batch_empty", "The file has no line."))
        halves = np.frombuffer(bytes(self._digests), dtype="<u8").reshape(-1, 2)
        order = np.lexsort((halves[:, 1], halves[:, 0]))
        same = (halves[order[1:]] == halves[order[:-1]]).all(axis=1)
        for place in np.flatnonzero(same)[: _MOST_PROBLEMS - len(self.problems)]:
            first, second = sorted(self._numbers[i] for i in order[place : place + 2])
            message = f"Line {second} has the custom_id of line {first}."
            problem = LineProblem("batch_id_twice", message, second, "custom_id")
            self.problems.append(problem)

    def _look(self, line: NumberedLine) -> None:
        found = read(line.text)
        if found.method != "POST":
            raise BadRequest("batch_line_invalid", "method: POST is the only one.", param="method")
        if found.url != self._endpoint:
            what = f"url: the batch is for {self._endpoint}."
            raise BadRequest("batch_wrong_url", what, param="url")
        model = _looked(found.body).model
        if self.model and model != self.model:
            what = f"body.model: the lines before it ask {visible(self.model, limit=100)}."
            raise BadRequest("batch_mixed_models", what, param="body.model")
        self.model = model
        name = found.custom_id.encode()
        self._digests += blake2b(name, digest_size=_ID_BYTES, key=self._secret).digest()
        self._numbers.append(line.number + 1)


def _looked(body: msgspec.Raw) -> _Looked:
    try:
        return msgspec.json.decode(body, type=_Looked)
    except msgspec.MsgspecError as error:
        what = f"body: {visible(str(error), limit=200)}."
        raise BadRequest("batch_line_invalid", what, param="body") from error


def check_runs(body: msgspec.Raw) -> None:
    """Refuse what no line of a batch may ask for."""
    found = _looked(body)
    if found.stream:
        what = "stream: a batch has whole answers; leave it out."
        raise BadRequest("unsupported_parameter", what, param="stream")
    if found.background:
        what = "background: a batch is that already; leave it out."
        raise BadRequest("unsupported_parameter", what, param="background")
    if found.service_tier == "priority":
        what = "service_tier: lines of a batch run at the lowest priority; leave it out."
        raise BadRequest("unsupported_parameter", what, param="service_tier")


@dataclass(frozen=True)
class LineReply:
    """An answer of a route to a line; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return self.status == 200


class _Response(msgspec.Struct):
    status_code: int
    request_id: str
    body: msgspec.Raw


class _Error(msgspec.Struct):
    code: str
    message: str


class _Told(msgspec.Struct):
    receipt: str | None
    begun_before: Sequence[str]


class _Written(msgspec.Struct):
    id: str
    custom_id: str | None
    response: _Response | None
    error: _Error | None
    x_appliance: _Told


def written(
    request_id: str,
    custom_id: str | None,
    reply: LineReply | ApplianceError,
    receipt: str | None,
    begun_before: Sequence[str] = (),
) -> bytes:
    """A line of an output or error file.

    Args:
        reply: an answer, or why there is none.
        receipt: of the outcome in the log, if any.
        begun_before: requests of the line that ended without a kept answer.
    """
    response = error = None
    if isinstance(reply, LineReply):
        response = _Response(reply.status, request_id, msgspec.Raw(reply.body))
    else:
        error = _Error(reply.code, f"{reply.message} {CODES[reply.code].hint}")
    name = f"batch_{request_id.replace('-', '_')}"
    told = _Told(receipt, begun_before)
    return msgspec.json.encode(_Written(name, custom_id, response, error, told)) + b"\n"


def code_of(reply: LineReply) -> str:
    """The code of a refusal; "" where it has none."""
    try:
        found: Any = msgspec.json.decode(reply.body)
        return str(found["error"]["code"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return ""
