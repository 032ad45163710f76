"""The state of the connection, and the thread that polls."""

import queue
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.responses import Response
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.admin.private import serve_in_thread
from appliance.client import AdminClient
from appliance.errors import ApplianceError, NotFound, Refused, ServerUnreachable, Unavailable
from appliance.wire.admin.keys import KEYS
from appliance.wire.admin.models import MODEL
from appliance.wire.admin.usage import CurrentLoad
from tests.tui.scripted import DOWN, NEVER, Script
from tests.tui.scripted import status as plain_status
from tui.link import Link, LinkState, Poller, Question, Snapshot, attempt, look


def status(**changes: object) -> Snapshot:
    return Snapshot(plain_status(**changes))


def forbidden_by_the_socket() -> ServerUnreachable:
    error = ServerUnreachable("server_unreachable", "no")
    error.__cause__ = PermissionError(13, "Permission denied")
    return error


def test_it_begins_without_data() -> None:
    assert Link().state(0) is LinkState.CONNECTING
    assert Link().age(0) is None


def test_data_are_live_until_three_polls_are_missing() -> None:
    link = Link(period=5).succeeded(status(), 100)
    assert link.state(115) is LinkState.LIVE
    assert link.state(116) is LinkState.STALE


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (DOWN, LinkState.DOWN),
        (Unavailable("audit_unavailable", "full"), LinkState.DOWN),
        (Refused("forbidden", "no"), LinkState.DENIED),
        (forbidden_by_the_socket(), LinkState.DENIED),
        (Unavailable("incompatible_server", "what?"), LinkState.INCOMPATIBLE),
    ],
)
def test_a_failure_has_its_state_and_keeps_the_data(
    error: ApplianceError, state: LinkState
) -> None:
    link = Link().succeeded(status(version="7"), 100).failed(error)
    assert link.state(100) is state
    assert link.status is not None and link.status.version == "7"
    assert link.failed(error).age(160) == 60
    assert link.succeeded(status(), 161).state(161) is LinkState.LIVE


def test_an_age_is_never_negative() -> None:
    assert Link().succeeded(status(), 100).age(99) == 0


def test_each_failure_doubles_the_wait_up_to_a_quarter_of_a_minute() -> None:
    link, waits = Link(), []
    for _ in range(7):
        waits.append(link.wait)
        link = link.failed(DOWN)
    assert waits == [1, 1, 2, 4, 8, 15, 15]
    assert link.succeeded(status(), 1).wait == 1


@given(st.floats(0.01, 3_600), st.integers(0, 10_000))
def test_the_wait_is_never_shorter_than_the_period(period: float, failures: int) -> None:
    assert period <= Link(period, failures=failures).wait <= max(period, 15)


@pytest.mark.parametrize(
    ("raised", "state"),
    [
        (DOWN, LinkState.DOWN),
        (OSError(24, "Too many open files"), LinkState.DOWN),
        (RuntimeError("closed"), LinkState.INCOMPATIBLE),
    ],
)
def test_whatever_a_poll_raises_is_a_state(raised: Exception, state: LinkState) -> None:
    def fetch() -> Snapshot:
        raise raised

    link = attempt(Link(), fetch, lambda: 1.0)
    assert link.state(1) is state
    assert link.error is not None and str(raised).rstrip(".") in link.error.message


def test_a_body_that_cannot_be_unpacked_is_a_state(tmp_path: Path) -> None:
    app = FastAPI(openapi_url=None)

    @app.get("/admin/status")
    async def answer() -> Response:
        return Response(b"no", headers={"content-encoding": "gzip"})

    with serve_in_thread(app, tmp_path / "s"), AdminClient(tmp_path / "s") as client:
        assert (
            attempt(Link(), lambda: look(client, None), lambda: 1.0).state(1)
            is LinkState.INCOMPATIBLE
        )


def poller(
    fetch: Callable[[], Snapshot], period: float = NEVER
) -> tuple[Poller, "queue.Queue[Link]"]:
    heard: queue.Queue[Link] = queue.Queue()
    return Poller(fetch, heard.put, period=period, clock=lambda: 1.0), heard


def test_the_first_poll_is_made_at_once_and_more_when_asked() -> None:
    polling, heard = poller(status)
    polling.start()
    try:
        assert heard.get(timeout=30).state(1) is LinkState.LIVE
        polling.poll_now()
        assert heard.get(timeout=30).state(1) is LinkState.LIVE
    finally:
        polling.stop()


def test_it_polls_by_itself() -> None:
    polling, heard = poller(status, period=0.001)
    polling.start()
    try:
        for _ in range(20):
            heard.get(timeout=30)
    finally:
        polling.stop()


@pytest.mark.parametrize("stopped", [False, True])
def test_nothing_is_heard_after_stop(stopped: bool) -> None:
    asked, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def fetch() -> Snapshot:
        asked.set()
        go_on.wait(30)
        done.set()
        return status()

    others = set(threading.enumerate())  # pollers of earlier tests may still end
    polling, heard = poller(fetch)
    polling.start()
    assert asked.wait(30)
    (thread,) = [t for t in threading.enumerate() if t.name == "poller" and t not in others]
    if stopped:
        polling.stop()
    go_on.set()
    assert done.wait(30)
    if stopped:
        thread.join(30)
        assert not thread.is_alive() and heard.empty()
    else:  # the control
        assert heard.get(timeout=30).failures == 0
        polling.stop()
        thread.join(30)


def test_a_look_brings_status_load_and_the_answer() -> None:
    found = look(Script(), Question("keys", lambda client: client.call(KEYS)))
    assert found.load is not None and found.topic == "keys" and found.answer is not None


def test_a_question_that_is_refused_is_answered_with_the_reason() -> None:
    found = look(Script(), Question("model x", lambda client: client.call(MODEL, model_id="x")))
    assert isinstance(found.answer, ApplianceError) and found.answer.code == "unknown_model_id"


def test_an_older_server_has_no_load() -> None:
    class Old(Script):
        def usage(self) -> CurrentLoad:
            raise NotFound("not_found", "no such path")

    assert look(Old(), None).load is None


def test_a_server_that_goes_away_in_between_is_no_answer() -> None:
    def ask(_client: object) -> object:
        raise DOWN

    with pytest.raises(ServerUnreachable):
        look(Script(), Question("x", ask))
