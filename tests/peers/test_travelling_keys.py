"""Keys travel: an app has one key at all appliances; forged or old documents change none."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.errors import PolicyRefused, Unauthenticated, Unavailable
from appliance.host import host_key
from appliance.peers.documents import TravelLine
from appliance.peers.signed_key import SignedKey
from appliance.trust.bytes import ecdsa, evidence
from appliance.types import Limits
from appliance.wiring import protection
from tests.peers.site_members import OneOf, made_site, member_of, opened, publish
from tests.site import Site
from tests.trust.forge import new_key
from tests.trust.simulator import Simulator


@pytest.fixture
def site(tmp_path: Path) -> tuple[Simulator, dict[str, Site]]:
    return made_site(tmp_path)


@pytest.fixture
def members(site: tuple[Simulator, dict[str, Site]]) -> Iterator[dict[str, OneOf]]:
    with opened(site[1]) as found:
        yield found


def entries(one: OneOf) -> int:
    return one.services.reader.size


def admits(one: OneOf, secret: str) -> bool:
    try:
        one.services.keys.authenticate(secret)
    except Unauthenticated:
        return False
    return True


def test_a_key_made_once_holds_at_all_and_so_does_its_end(members: dict[str, OneOf]) -> None:
    a, b, c = members.values()
    key, secret = a.services.keys.create("crm", models=["m"], limits=Limits(rpm=9, tpm=90))
    assert not admits(b, secret)
    assert b.pulls("a") == "" and c.pulls("b") == ""  # c hears of it from b
    assert admits(b, secret) and admits(c, secret)
    principal = c.services.keys.authenticate(secret)
    assert (principal.limits.rpm, principal.limits.tpm) == (3, 30)  # its part
    assert c.key("crm").limits == key.limits
    last = c.services.reader.entry(entries(c) - 1).body
    assert (last["action"], last["actor"]) == ("key_create", "site a")
    c.services.keys.limit(key.id, Limits(rpm=30))
    _, newer = b.services.keys.rotate(key.id, 0)  # at the same time, elsewhere
    for _ in range(2):
        for one in (a, b, c):
            one.listens()
    assert len({repr(one.key("crm").limits) for one in (a, b, c)}) == 1
    assert len({(admits(one, secret), admits(one, newer)) for one in (a, b, c)}) == 1
    b.services.keys.revoke(key.id)
    a.services.keys.limit(key.id, Limits(rpm=60))  # whoever does not know yet changes nothing
    assert c.pulls("a") == "" and a.pulls("b") == "" and c.pulls("b") == "" and b.pulls("a") == ""
    for one in (a, b, c):
        assert not admits(one, newer) and one.key("crm").revoked_us is not None
        assert one.services.agreement.look().differences == ()
        sizes = entries(one)
        one.listens()
        assert entries(one) == sizes  # and then it is quiet


def test_protected_appliances_hear_of_each_other_after_a_new_kek_too(tmp_path: Path) -> None:
    _, sites = made_site(tmp_path, "ab")
    with opened(sites) as members:
        a, b = members.values()
        key, secret = a.services.keys.create("crm", models=["m"])
        assert b.pulls("a") == "" and admits(b, secret)
    for made in sites.values():
        protection.protect(made.data, "correct horse battery")
    protection.renew_kek(sites["b"].data)
    protection.renew_evidence(sites["a"].data)  # which no policy lists yet
    with opened(sites) as members:
        a, b = members.values()
        _, fresh = a.services.keys.create("erp", models=["m"])
        assert b.pulls("a") == "" and admits(b, fresh) and admits(b, secret)
        b.services.keys.revoke(key.id)
        assert a.pulls("b") == "" and not admits(a, secret)
    for made in sites.values():
        host_key.lock(made.data)


def test_a_key_from_before_the_site_travels_and_names_may_be_two(tmp_path: Path) -> None:
    sim, sites = made_site(tmp_path, "ab")
    listed = sim.policy.pop("site")
    publish(sim, sites)
    with opened(sites) as found:
        made = {name: one.services.keys.create("crm") for name, one in found.items()}
        for one in found.values():
            one.listens()
            assert one.exchange.travels.popitem()[1].problem == ""
            assert [key.name for key in one.services.keys.list()] == ["crm"]
    sim.policy["site"] = listed
    publish(sim, sites)
    with opened(sites) as found:
        for one in found.values():
            one.listens()
        for one in found.values():
            assert all(admits(one, secret) for _, secret in made.values())
            assert [key.name for key in one.services.keys.list()] == ["crm", "crm"]
            with pytest.raises(Exception, match="exists"):
                one.services.keys.create("crm")


def test_one_that_was_put_back_hears_of_what_ended_and_waits_until_it_does(
    tmp_path: Path,
) -> None:
    _, sites = made_site(tmp_path, "ab", refuse_stale=True)
    with opened(sites) as found:
        _, secret = found["a"].services.keys.create("crm")
        for one in (*found.values(), *found.values()):
            one.listens()
        assert admits(found["b"], secret)
    copy = shutil.copytree(sites["b"].data, tmp_path / "copy")
    with opened(sites) as found:
        found["a"].services.keys.revoke(found["a"].key("crm").id)
        found["b"].listens()
        assert not admits(found["b"], secret)
    shutil.rmtree(sites["b"].data)
    copy.rename(sites["b"].data)
    with opened(sites) as found:
        assert found["b"].key("crm").revoked_us is None
        with pytest.raises(Unavailable) as caught:
            found["b"].services.keys.authenticate(secret)
        assert caught.value.code == "site_stale"
        found["b"].listens()
        assert not admits(found["b"], secret)
        found["a"].listens()
        assert found["a"].key("crm").revoked_us is not None


def test_the_keys_of_one_that_is_gone_stay_and_its_documents_are_refused(
    site: tuple[Simulator, dict[str, Site]],
) -> None:
    sim, sites = site
    with opened(sites) as found:
        a, b, c = found.values()
        _, secret = a.services.keys.create("crm")
        assert b.pulls("a") == ""
        left = list(a.exchange.travelling.all())
        sim.policy["site"]["members"] = sim.policy["site"]["members"][1:]
        publish(sim, sites)
        _, late = a.services.keys.create("late")
        assert "member_not_listed" in b.pulls("a") or "does not list" in b.pulls("a")
        _, refused = c.exchange.travelling.take_all(left)
        assert [one.code for one in refused] == ["member_not_listed"]
        assert "member_not_listed" in a.pulls("b")  # and it learns nothing any more
        assert c.pulls("b") == ""  # b signed it again
        assert admits(b, secret) and admits(c, secret) and not admits(b, late)
        assert c.pulls("b") == "" and b.pulls("c") == ""
        revoked = sim.policy["revoked"]
        revoked["keys"] = [b.exchange.hint]
        publish(sim, sites)
        _, refused = c.exchange.travelling.take_all(list(b.exchange.travelling.all()))
        assert {one.code for one in refused} == {"member_revoked"}


def test_a_key_that_cannot_travel_keeps_no_other_away(members: dict[str, OneOf]) -> None:
    a, b, _ = members.values()
    _, odd = a.services.keys.create("odd", models=["m" * 300])
    _, secret = a.services.keys.create("crm")
    assert b.pulls("a") == ""
    assert admits(b, secret) and not admits(b, odd) and admits(a, odd)


def attacks(a: OneOf, key: ecdsa.PrivateKey, envelope: bytes) -> dict[str, tuple[str, bytes]]:
    """Documents that must change nothing, each with its code."""
    said = SignedKey.open(envelope).said
    newer = msgspec.structs.replace(said, version=said.version + 1, name="owned")

    def but(**changed: Any) -> bytes:
        return msgspec.structs.replace(newer, **changed).sign(key)

    ahead = "2026-11-27T00:00:01Z"
    forged = json.loads(newer.sign(key))
    forged["payload"] = json.loads(but(name="other"))["payload"]
    return {
        "forged": ("travelling_signature", json.dumps(forged).encode()),
        "by a stranger": ("member_not_listed", newer.sign(new_key())),
        "of another site": ("travelling_other_site", but(site="00" * 32)),
        "from a clock two days ahead": ("travelling_from_future", but(time=ahead)),
        "no document": ("travelling_malformed", b"{}"),
        "an approval under this kind": ("travelling_malformed", envelope[:-9]),
        "huge": ("travelling_malformed", b"[" * (1 << 20)),
    }


def test_what_is_forged_old_or_of_others_changes_nothing(
    site: tuple[Simulator, dict[str, Site]], members: dict[str, OneOf]
) -> None:
    a, b, _ = members.values()
    key = evidence.ensure(site[1]["a"].data)
    made, secret = a.services.keys.create("crm")
    a.listens()
    (first,) = a.exchange.travelling.all()
    a.services.keys.limit(made.id, Limits(rpm=5))
    assert b.pulls("a") == ""
    (second,) = a.exchange.travelling.all()
    cases = attacks(a, key, second.envelope.encode())
    assert SignedKey.open(second.envelope.encode()).said.version == 2
    before, keys = entries(b), b.services.keys.rows()
    for name, (code, envelope) in cases.items():
        new, refused = b.exchange.travelling.take_all(
            [TravelLine("api-key", envelope.decode("latin-1"))]
        )
        assert (new, [one.code for one in refused]) == (0, [code]), name
    policy = b.services.policy()
    for line, code in (
        (first, "travelling_older"), (TravelLine("leader", "{}"), "travelling_unknown_kind"),
    ):  # fmt: skip
        with pytest.raises(PolicyRefused) as caught:
            b.exchange.travelling.take(line, policy)
        assert caught.value.code == code
    assert b.exchange.travelling.take(second, policy) is False  # it is here
    assert (entries(b), b.services.keys.rows()) == (before, keys)
    assert b.exchange.travelling.waiting() == [] and admits(b, secret)
    signed = msgspec.structs.replace(SignedKey.open(second.envelope.encode()).said, version=3)
    control = TravelLine("api-key", signed.sign(key).decode())
    assert b.exchange.travelling.take(control, policy)  # a true one is taken


def test_what_ended_stays_ended_whatever_a_row_says(members: dict[str, OneOf]) -> None:
    a, b, _ = members.values()
    key, secret = a.services.keys.create("crm")
    assert b.pulls("a") == ""
    a.services.keys.revoke(key.id)
    assert b.pulls("a") == ""
    row = b.services.keys.row(key.id)
    assert row is not None
    b.services.keys.take(replace(row, key=replace(row.key, revoked_us=None)), "somebody")
    assert admits(b, secret)
    b.listens()
    assert not admits(b, secret)
    assert member_of("a", a.services.data).hint == a.exchange.hint
