"""Long work as lines: progress, then one result or one error."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from appliance.api.admin.private import serve_in_thread
from appliance.api.admin.stream import MEDIA_TYPE, stream, stream_job
from appliance.app import Services
from appliance.errors import Refused, Unavailable
from appliance.types import Report
from appliance.wire.admin.models import StepProgress, StreamLine
from tests.api.admin.test_jobs import Steps, Taken

RESULT = StepProgress(phase="done", done=1, total=1)


@contextlib.contextmanager
def answer(work: Callable[[Report], StepProgress], at: Path) -> Iterator[httpx.Response]:
    app = FastAPI()

    @app.post("/work")
    def route() -> StreamingResponse:
        return stream(work)

    with (
        serve_in_thread(app, at / "s"),
        httpx.Client(transport=httpx.HTTPTransport(uds=str(at / "s"))) as client,
        client.stream("POST", "http://x/work") as response,
    ):
        yield response


def lines_of(response: httpx.Response) -> list[StreamLine]:
    return [StreamLine.model_validate_json(line) for line in response.iter_lines()]


def test_the_result_is_the_last_line(tmp_path: Path) -> None:
    with answer(lambda report: RESULT, tmp_path) as response:
        assert response.headers["content-type"].startswith(MEDIA_TYPE)
        assert lines_of(response) == [StreamLine(result=RESULT.model_dump())]


def test_progress_arrives_while_the_work_goes_on(tmp_path: Path) -> None:
    seen = threading.Event()

    def work(report: Report) -> StepProgress:
        report("copying", 1, 3)
        seen.wait()  # until the reader has the line: it cannot have been held back
        return RESULT

    with answer(work, tmp_path) as response:
        lines = response.iter_lines()
        first = StreamLine.model_validate_json(next(lines))
        seen.set()
        assert first.progress == StepProgress(phase="copying", done=1, total=3)
        assert StreamLine.model_validate_json(list(lines)[-1]).result is not None


def test_a_slow_reader_misses_no_phase_and_gets_the_newest_of_each(tmp_path: Path) -> None:
    def work(report: Report) -> StepProgress:
        for phase in ("verifying", "sealing", "loading"):
            for done in range(4):
                report(phase, done, 3)
        return RESULT

    with answer(work, tmp_path) as response:
        *events, last = lines_of(response)
    newest = {e.progress.phase: e.progress.done for e in events if e.progress}
    assert list(newest.items()) == [("verifying", 3), ("sealing", 3), ("loading", 3)]
    assert last.result is not None


def test_a_refusal_is_the_last_line_with_its_code_and_hint(tmp_path: Path) -> None:
    def work(report: Report) -> StepProgress:
        raise Refused("wrong_state", "no", param="id")

    with answer(work, tmp_path) as response:
        (line,) = lines_of(response)
    assert line.error is not None and line.result is None
    assert (line.error.code, line.error.message, line.error.param) == ("wrong_state", "no", "id")
    assert line.error.hint


def test_a_crash_ends_the_answer_without_a_result(tmp_path: Path) -> None:
    def work(report: Report) -> StepProgress:
        raise ZeroDivisionError

    with answer(work, tmp_path) as response, pytest.raises(httpx.RemoteProtocolError):
        lines_of(response)


def test_work_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    ended: list[Unavailable] = []
    over = threading.Event()

    def work(report: Report) -> StepProgress:
        try:
            while True:
                report("copying", 1, 2)
        except Unavailable as error:
            ended.append(error)
            raise
        finally:
            over.set()

    with answer(work, tmp_path) as response:
        next(response.iter_lines())
        response.close()
        over.wait()
    assert [error.code for error in ended] == ["interrupted"]


@pytest.mark.parametrize("leave", [False, True])
def test_a_job_as_lines_and_what_becomes_of_it_when_its_reader_leaves(
    services: Services, leave: bool
) -> None:
    steps = Steps()
    services.jobs.add(steps)
    app = FastAPI()

    @app.post("/work")
    async def route() -> StreamingResponse:
        live = await services.jobs.start("steps", {}, "uid:1")
        return stream_job(
            services.jobs,
            live,
            Taken,
            lambda made: StepProgress(phase="x", done=made.done, total=1),
        )

    with (
        serve_in_thread(app, services.data / "s"),
        httpx.Client(transport=httpx.HTTPTransport(uds=str(services.data / "s"))) as client,
        client.stream("POST", "http://x/work") as response,
    ):
        lines = response.iter_lines()
        first = StreamLine.model_validate_json(next(lines))
        assert first.job == 1 and first.progress is not None
        if leave:
            response.close()
            while services.jobs._store.get(1).state != "paused":
                time.sleep(0.01)
        else:
            steps.go.set()
            last = StreamLine.model_validate_json(list(lines)[-1])
            assert last.result is not None and last.result["done"] > 0
    kept = services.jobs._store.get(1)
    assert (kept.state, kept.code) == (("paused", "interrupted") if leave else ("done", ""))
