"""An app that is refused again and again waits beside others, and only then."""

from types import SimpleNamespace

import pytest
from starlette.types import Message, Receive, Scope, Send

from appliance.api.refusals import PacedRefusals


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


async def nothing() -> Message:
    raise AssertionError("no body is read")


async def unheard(_: Message) -> None:
    pass


def paced(clock: Clock, statuses: dict[str, int]) -> PacedRefusals:
    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        status = statuses[scope["state"]["principal"].key_id]
        await send({"type": "http.response.start", "status": status, "headers": []})

    return PacedRefusals(app, clock.now, clock.sleep)


async def ask(gate: PacedRefusals, key: str) -> None:
    scope = {"type": "http", "state": {"principal": SimpleNamespace(key_id=key)}}
    await gate(scope, nothing, unheard)


async def test_beside_others_an_app_has_some_refusals_at_once_and_then_five_a_second() -> None:
    clock = Clock()
    gate = paced(clock, {"attacker": 400})
    gate._under_way["other"] = 1
    for _ in range(26):
        await ask(gate, "attacker")
    assert clock.seconds == pytest.approx(100)
    for _ in range(10):
        await ask(gate, "attacker")
    assert clock.seconds == pytest.approx(102)
    clock.seconds += 60  # it behaves for a while
    clock.slept.clear()
    await ask(gate, "attacker")
    assert clock.slept == [pytest.approx(0)]


async def test_alone_it_waits_for_nobody() -> None:
    clock = Clock()
    gate = paced(clock, {"attacker": 400})
    for _ in range(1000):
        await ask(gate, "attacker")
    assert clock.seconds == 100
    gate._under_way["other"] = 1
    clock.slept.clear()
    await ask(gate, "attacker")
    assert clock.slept == [pytest.approx(2)]  # as long as it can be


@pytest.mark.parametrize("status", [200, 503])
async def test_what_is_no_refusal_never_waits(status: int) -> None:
    clock = Clock()
    gate = paced(clock, {"app": status})
    gate._under_way["other"] = 1
    for _ in range(100):
        await ask(gate, "app")
    assert clock.slept == []


async def test_nothing_is_left_of_a_request_that_has_ended() -> None:
    clock = Clock()
    gate = paced(clock, {"attacker": 400, "app": 200})
    gate._under_way["other"] = 1
    for _ in range(100):
        await ask(gate, "attacker")
        await ask(gate, "app")
    assert dict(gate._under_way) == {"other": 1}
