"""The breaker: failures open it, and a probe alone closes it."""

from appliance.routing.upstreams.breaker import Breaker


def states(breaker: Breaker) -> str:
    return breaker.state


def closed() -> Breaker:
    breaker = Breaker()
    assert not breaker.closed and breaker.may_probe(0.0)
    breaker.probe()
    assert states(breaker) == "half-open" and not breaker.may_probe(9.0)
    breaker.probed(0.0, passed=True)
    assert states(breaker) == "closed"
    return breaker


def test_a_host_that_is_gone_opens_it_at_once() -> None:
    breaker = closed()
    breaker.failed(10.0, gone=True)
    assert breaker.state == "open" and not breaker.may_probe(10.1) and breaker.may_probe(10.25)


def test_three_failures_in_a_row_open_it() -> None:
    breaker = closed()
    for _ in range(2):
        breaker.failed(1.0, gone=False)
    breaker.succeeded()
    for _ in range(2):
        breaker.failed(1.0, gone=False)
    assert breaker.closed
    breaker.failed(1.0, gone=False)
    assert not breaker.closed


def test_probes_that_fail_are_made_less_often() -> None:
    breaker, now, waits = closed(), 0.0, []
    breaker.failed(now, gone=True)
    for _ in range(10):
        begun = now
        while not breaker.may_probe(now):
            now += 0.25
        waits.append(now - begun)
        breaker.probe()
        breaker.probed(now, passed=False)
    assert waits[:4] == [0.25, 0.25, 0.5, 1.0] and waits[-1] == 15.0
    breaker.succeeded()  # an answer that was under way closes nothing
    assert not breaker.closed
