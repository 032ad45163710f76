"""Units of quotas over three appliances: asked for by listed ones, never more than the limit."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from appliance.admission.quotas import QuotaUnits
from appliance.errors import BadRequest, Overloaded, PolicyRefused
from appliance.forwarding.receivers import HttpAnswer
from appliance.peers.exchange import UnitsAsked
from appliance.peers.lending import QuotaBorrowing
from appliance.trust.bytes import ecdsa, evidence
from appliance.types import Limits
from tests.peers.site_members import OneOf, made_site, opened
from tests.trust.forge import new_key

STATEMENT = b"appliance site request v1\n"
NOW = 1000.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[dict[str, OneOf]]:
    with opened(made_site(tmp_path)[1]) as found:
        found["a"].services.keys.create("crm", limits=Limits(tpm=100))
        for one in found.values():
            one.services.shares.now = lambda: NOW
            one.listens()
        yield found


def asks(one: OneOf) -> None:
    """One round of a second."""
    for name in one.others:
        one.peer(name)
    QuotaBorrowing(one.services.shares, one.exchange).ask()


def takes(one: OneOf, tokens: int) -> bool:
    quotas, key = one.services.shares.quotas, one.key("crm").id
    limits = one.exchange.standing.share(one.key("crm").limits)
    try:
        quotas.reserve(key, limits, tokens, NOW)
    except Overloaded:
        return False
    return True


def test_a_request_above_the_own_part_is_answered_and_the_limit_holds(
    site: dict[str, OneOf],
) -> None:
    rounds = 0
    while not takes(site["a"], 90):
        rounds += 1
        assert rounds < 10
        asks(site["a"])
    assert not any(takes(one, 11) for one in site.values())
    for _ in range(10):
        for one in site.values():
            asks(one)
        takes(site["b"], 11)
    assert sum(takes(one, 1) for one in site.values() for _ in range(20)) == 10
    with pytest.raises(BadRequest):
        takes(site["a"], 103)


def test_an_appliance_that_hears_no_other_keeps_its_part(site: dict[str, OneOf]) -> None:
    others, site["a"].others = site["a"].others, {}
    for name in others:
        site["a"].pulls(name)
    assert not takes(site["a"], 90)
    asks(site["a"])
    assert not takes(site["a"], 90) and takes(site["a"], 33)
    assert takes(site["b"], 33) and takes(site["c"], 33)


def test_an_older_release_lends_nothing_and_the_next_one_is_asked(site: dict[str, OneOf]) -> None:
    a, asked = site["a"], []

    def older(path: str, *_: object) -> HttpAnswer:
        asked.append(path)
        return HttpAnswer(404, b'{"detail":"Not Found"}')

    assert not takes(a, 50)
    peer = a.peer("c"), a.peer("b")
    peer[1].address = replace(peer[1].address, post=older)
    QuotaBorrowing(a.services.shares, a.exchange).ask()
    assert asked == ["/site/quotas"] and takes(a, 50)
    peer[0].address = replace(peer[0].address, post=older)
    assert not takes(a, 50)
    QuotaBorrowing(a.services.shares, a.exchange).ask()
    limits, key = a.exchange.standing.share(a.key("crm").limits), a.key("crm").id
    with pytest.raises(Overloaded) as caught:
        a.services.shares.quotas.reserve(key, limits, 30, NOW)
    assert caught.value.retry_after is not None and caught.value.retry_after > 2  # the true wait


def test_units_that_were_not_asked_for_and_askers_that_are_not_listed_change_nothing(
    site: dict[str, OneOf],
) -> None:
    a, b = site["a"], site["b"]
    wanted = QuotaUnits(a.key("crm").id, True, 10)
    peer = a.peer("b")
    for said in (b"[11]", b"[-1]", b"[]", b"[1,1]", b"{}"):
        peer.address = replace(peer.address, post=lambda *_, said=said: HttpAnswer(200, said))
        with pytest.raises(PolicyRefused, match="peer"):
            a.exchange.borrow(peer.address, [wanted])
    body = msgspec.json.encode(UnitsAsked(a.exchange.hint, b.services.reader.origin, (wanted,)))
    with pytest.raises(PolicyRefused):
        b.exchange.lend(body, ecdsa.sign(new_key(), STATEMENT + body))
    key = evidence.ensure(a.services.data)
    odd = (QuotaUnits(wanted.account, True, -5), QuotaUnits("nobody", True, 5))
    body = msgspec.json.encode(UnitsAsked(a.exchange.hint, b.services.reader.origin, odd))
    assert b.exchange.lend(body, ecdsa.sign(key, STATEMENT + body)) == b"[0,0]"
    assert takes(b, 33) and not takes(b, 2)  # all of its part was there
