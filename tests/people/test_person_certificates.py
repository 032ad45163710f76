"""People by client certificates: forty attacks with those of the directory, lists, times."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.clock import FixedClock
from appliance.errors import ApplianceError
from appliance.people import person_certificates
from appliance.people.person_certificates import LOOKED_S, PersonCertificates
from tests.people.cards import ATTACKS, LISTS, Cards

US = 1_000_000


@pytest.fixture
def cards(tmp_path: Path) -> Cards:
    return Cards(tmp_path / "cards")


def der(card: x509.Certificate) -> bytes:
    return card.public_bytes(Encoding.DER)


class Site:
    """The certificates as a site knows them, at a time that a test moves."""

    def __init__(self, cards: Cards, **changes: object) -> None:
        self.clock, self.steady = FixedClock(), 0.0
        self.clock.now_us = int(cards.now.timestamp() * US)
        config = cards.config(**changes)
        self.made = PersonCertificates("card", config, Path("/"), self.clock, lambda: self.steady)

    def later(self, seconds: float) -> None:
        self.steady += seconds
        self.clock.advance(seconds)

    async def subject(self, shown: bytes) -> str | None:
        found = await self.made.find(shown)
        return None if found is None else found[0].subject

    async def refusal(self, shown: bytes) -> str:
        with pytest.raises(ApplianceError) as refused:
            await self.made.find(shown)
        return refused.value.code


@pytest.mark.parametrize("name", ATTACKS)
async def test_attacks(cards: Cards, name: str) -> None:
    make, code = ATTACKS[name]
    shown, site = make(cards), Site(cards)
    if code is None:
        assert await site.subject(shown) is None
    else:
        assert await site.refusal(shown) == code


async def test_a_good_certificate_is_a_person(cards: Cards) -> None:
    site = Site(cards)
    assert await site.subject(der(cards.card())) == "ann"
    named = Site(cards, subject="subject")
    assert await named.subject(der(cards.card(alternative=None))) == "CN=Ann"
    (person, until) = await site.made.find(der(cards.card())) or pytest.fail("nobody")
    assert until == cards.now + timedelta(days=1, minutes=15) < person.until  # list and grace


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_that_is_none(cards: Cards, name: str) -> None:
    put, code = LISTS[name]
    put(cards)
    assert await Site(cards).refusal(der(cards.card())) == code


@pytest.mark.parametrize("name", LISTS)
async def test_a_bad_list_over_a_good_one_frees_nobody(cards: Cards, name: str) -> None:
    card, site = cards.card(), Site(cards)
    cards.revoke(card.serial_number)
    assert await site.refusal(der(card)) == "person_certificate_revoked"
    LISTS[name][0](cards)
    site.later(LOOKED_S)
    assert await site.refusal(der(card)) == "person_certificate_revoked"


async def test_the_next_list_holds_seconds_after_it_is_there(cards: Cards) -> None:
    card, site = cards.card(), Site(cards)
    assert await site.subject(der(card)) == "ann"
    cards.revoke(card.serial_number, form=Encoding.PEM)
    site.later(LOOKED_S - 1)
    assert await site.subject(der(card)) == "ann"
    site.later(1)
    assert await site.refusal(der(card)) == "person_certificate_revoked"


async def test_a_list_is_good_beyond_its_end_for_the_grace(cards: Cards) -> None:
    card, site = cards.card(), Site(cards, grace_minutes=2)
    site.later(86_400 + 119)
    assert await site.subject(der(card)) == "ann"
    site.later(1)
    assert await site.refusal(der(card)) == "people_unavailable"
    cards.revoke(issued=timedelta(days=1))
    site.later(LOOKED_S)
    assert await site.subject(der(card)) == "ann"


async def test_a_certificate_that_is_known_ends_at_its_end(cards: Cards) -> None:
    card, site = cards.card(end=cards.now + timedelta(hours=1)), Site(cards)
    assert await site.subject(der(card)) == "ann"
    site.later(3_600)
    assert await site.refusal(der(card)) == "person_certificate_expired"


async def test_two_cas_have_a_list_each(cards: Cards, tmp_path: Path) -> None:
    other = Cards(tmp_path / "more", name="More CA")
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join((one.at / "ca.pem").read_bytes() for one in (cards, other)))
    site = Site(cards, ca=str(both))
    assert await site.subject(der(cards.card())) == "ann"
    assert await site.refusal(der(other.card())) == "people_unavailable"
    site = Site(cards, ca=str(both), crls=(str(cards.at / "crl"), str(other.at / "crl")))
    assert await site.subject(der(other.card())) == "ann"


async def test_a_ca_that_cannot_be_read(cards: Cards) -> None:
    with pytest.raises(ApplianceError) as refused:
        Site(cards, ca=str(cards.at / "crl"))
    assert refused.value.code == "people_unavailable"


async def test_what_is_remembered_is_bounded(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(person_certificates, "MOST_KNOWN", 2)
    site = Site(cards)
    for _ in range(4):
        await site.subject(der(cards.card()))
    assert len(site.made._known) == 2


async def test_lists_are_read_once_while_they_stay(
    cards: Cards, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, read = Site(cards), list[Path]()
    take: Callable[[Path, int], None] = site.made._take

    def taken(path: Path, size: int) -> None:
        read.append(path)
        take(path, size)

    monkeypatch.setattr(site.made, "_take", taken)
    for _ in range(3):
        await site.subject(der(cards.card()))
        site.later(LOOKED_S)
    assert len(read) == 1
