"""An appliance of a site is lost: a new one takes its place from the stick and the others. One that
was restored is named.
"""

import functools
import shutil
from pathlib import Path

import pytest

from appliance.app import initialise
from appliance.audit.checkpoint import VerifierKey
from appliance.audit.entry import LogEntry
from appliance.clock import FixedClock
from appliance.datasets.ledger import LOOKS
from appliance.errors import Unauthenticated
from appliance.host import host_key
from appliance.peers.mirroring import MirrorLink
from appliance.wiring import protection
from tests.datasets.test_ledger import look
from tests.peers.site_members import OneOf, made_site, member_of, opened, publish
from tests.peers.test_kept_looks import code, looks, meet, put_back
from tests.peers.test_travelling_keys import admits
from tests.site import MODEL, NOW_US, Site, approve
from tests.smol import quiet


def mirror(one: OneOf, by: OneOf) -> MirrorLink:
    """The link to a mirror, which has begun."""
    address, witness = one.peer(by.name).address, by.services.ring.witness.key
    made = MirrorLink(
        by.name, witness, one.services.reader, functools.partial(one.exchange.mirror, address)
    )
    made.send()
    return made


def mirrored(one: OneOf, by: OneOf) -> list[bytes]:
    """Have another one keep its entries from here on, one of them new; all of these."""
    link, begun = mirror(one, by), one.services.reader.size
    one.services.keys.create(f"number {begun}")
    link.send()
    assert link.problem == "" and link.size == one.services.reader.size
    return [entry.raw for entry in one.services.reader.range(begun, 500)]


def test_a_new_one_takes_the_place_of_a_lost_one(tmp_path: Path) -> None:
    sim, sites = made_site(tmp_path)
    stick = sites["a"].artifact(tmp_path / MODEL)
    with opened(sites) as found:
        a, b, c = found.values()
        meet(found)
        for one in (a, b):
            one.services.lifecycle.import_model("uid:0", stick, None, quiet)
        key, secret = a.services.keys.create("crm")
        approve(a.services, MODEL, "Alice")
        approve(b.services, MODEL, "Bob")
        assert [looks(a, look(n)) for n in (1, 2)] == [1, 2]
        meet(found)
        entries = mirrored(a, b)
        genesis = VerifierKey.parse(a.services.reader.genesis())
        old = member_of("a", sites["a"].data)
    shutil.rmtree(sites.pop("a").data)
    new = Site(tmp_path / "d" / "data", sim, FixedClock(NOW_US))
    new.data.parent.mkdir()
    initialise(new.data, "site", new.clock, root=sim.roots[0], fingerprint=sim.fingerprint)
    sites["d"] = new
    listed = [member_of(name, made.data).document() for name, made in sites.items()]
    sim.policy["site"] = {"members": listed}
    publish(sim, sites)
    with opened(sites) as found:
        b, c, d = found.values()
        # The log of the lost one is on its mirror, entry by entry, under the head that it signed.
        assert b.exchange._mirrored.entries(genesis) == entries
        head, _ = b.exchange._mirrored.seen(genesis)
        assert head.size == LogEntry.parse(entries[-1]).seq + 1
        with pytest.raises(Unauthenticated):  # the control: nobody told it yet
            d.services.keys.authenticate(secret)
        d.services.lifecycle.import_model("uid:0", stick, None, quiet)
        meet(found)
        assert admits(d, secret)
        assert d.services.lifecycle.record(MODEL).state == "approved"  # nobody signed again
        assert looks(d, look(3)) == 3
        assert looks(c, look(4)) == LOOKS
        assert [code(one, look(5)) for one in found.values()] == ["looks_spent"] * 3
        assert old.hint not in d.services.policy().site.members
        d.services.keys.revoke(key.id)
        meet(found)
        assert not any(admits(one, secret) for one in found.values())
        for one in found.values():
            assert one.services.agreement.look().differences == ()


def test_a_mirror_outlives_a_new_kek_and_names_a_restored_log(tmp_path: Path) -> None:
    _, sites = made_site(tmp_path, "ab")
    with opened(sites) as found:
        a, b = found.values()
        genesis = VerifierKey.parse(a.services.reader.genesis())
        first = mirrored(a, b)
    for made in sites.values():
        protection.protect(made.data, "correct horse battery")
        protection.renew_kek(made.data)
    backup = shutil.copytree(sites["a"].data, tmp_path / "backup")
    with opened(sites) as found:
        a, b = found.values()
        last = mirrored(a, b)
        kept = b.exchange._mirrored.entries(genesis)
        assert kept[: len(first)] == first and kept[-len(last) :] == last
    put_back(sites["a"], backup)
    with opened(sites) as found:
        a, b = found.values()
        link = mirror(a, b)
        assert "is not here" in link.problem  # its mirror has more than it
        for number in range(20):
            a.services.keys.create(f"other {number}")
        link.send()
        assert "not those that were seen" in link.problem and link.size == 0
        assert b.services.ring.witness.peer("a").differs
        assert b.exchange._mirrored.entries(genesis) == kept
        for made in sites.values():
            host_key.lock(made.data)
