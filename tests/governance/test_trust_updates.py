"""Updates of a site's trust metadata, its ageing, and their records."""

import asyncio
import datetime
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from appliance.app import Services, initialise, open_services
from appliance.audit.search import Query
from appliance.errors import AuditUnavailable, PolicyRefused, Refused, SignatureRefused
from appliance.trust.artifacts import signing
from appliance.trust.artifacts.records import ModelRecord
from appliance.trust.bytes import ecdsa
from appliance.trust.ceremony.stick import read_offer
from appliance.trust.policy import metadata, trusted_file
from appliance.trust.statements import approval
from tests.conftest import CHECKOUT
from tests.site import MODEL, Site, approve, make_site
from tests.smol import SMALL, quiet
from tests.trust import forge, policies
from tests.trust.simulator import (
    ATTACKS,
    DAY,
    NOW,
    Attack,
    Offer,
    Simulator,
    clock_root,
    edited,
    new_root,
    resets,
    said,
    signers,
    without,
    write,
)

ACTOR = "uid:4711"


@pytest.fixture(scope="module")
def origin() -> Simulator:
    return Simulator()


@pytest.fixture
def site(origin: Simulator, tmp_path: Path) -> Site:
    return make_site(tmp_path, origin.copy())


@pytest.fixture
def services(site: Site) -> Iterator[Services]:
    with site.services() as opened:
        opened.lifecycle.import_model(ACTOR, site.artifact(site.data.parent / MODEL), None, quiet)
        approve(opened, MODEL, "Alice", "Bob")
        yield opened


def told(services: Services) -> list[dict[str, Any]]:
    """The log's entries about trust metadata."""
    found = services.reader.search(Query(kind="admin", limit=1000)).entries
    return [dict(e.body) for e in found if str(e.body["action"]).startswith("trust_")]


async def update(services: Services, offer: Offer) -> Any:
    return await services.renewal.update(ACTOR, offer, serving=False)


def later(sim: Simulator, days: int) -> Simulator:
    for role in ("root", "targets", "snapshot", "timestamp"):
        sim.expires[role] = NOW + (days + 30) * DAY
    return sim


async def test_an_update_is_recorded_and_in_force(site: Site, services: Services) -> None:
    done = await update(services, site.sim.next())
    assert done.changed and done.models == ()
    assert (done.before["policy"], done.after["policy"]) == (7, 8)
    (entry,) = told(services)
    assert (entry["action"], entry["actor"], entry["code"]) == ("trust_update", ACTOR, "")
    assert (entry["before"]["timestamp"], entry["after"]["timestamp"]) == (5, 6)
    assert services.trust.trusted().versions["policy"] == 8  # type: ignore[union-attr]


async def test_the_same_again(site: Site, services: Services) -> None:
    offer = site.sim.next()
    await update(services, offer)
    assert not (await update(services, offer)).changed
    assert [entry["action"] for entry in told(services)] == ["trust_update", "trust_unchanged"]


@pytest.mark.swept
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_an_attack_changes_nothing_and_is_recorded_once(site: Site, attack: Attack) -> None:
    path = site.data / "trust" / "metadata.json"
    before = path.read_bytes()
    offer = attack.make(site.sim)
    with site.services() as services:
        size = services.reader.size
        with pytest.raises(PolicyRefused) as caught:
            await update(services, offer)
        assert caught.value.code == attack.code
        assert services.reader.size == size + 1
        (entry,) = told(services)
    assert (entry["action"], entry["code"], entry["actor"]) == (
        "trust_update_refused", attack.code, ACTOR,
    )  # fmt: skip
    assert path.read_bytes() == before
    assert [p.name for p in (site.data / "trust").iterdir()] == ["metadata.json"]


async def test_the_record_comes_before_the_file(
    site: Site, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        assert told(services)[-1]["action"] == "trust_update"
        raise OSError("the disk is full")

    offer = site.sim.next()
    with monkeypatch.context() as patched:
        patched.setattr(trusted_file, "save", failing)
        with pytest.raises(Refused, match="full") as caught:
            await update(services, offer)
        assert caught.value.code == "file_unusable"
    assert policy_here(services) == 7
    # Recorded and not in force: nothing new comes in until the update is done again.
    assert refusal_of(services) == "trust_rollback"
    assert (await update(services, offer)).changed
    assert refusal_of(services) == ""


def policy_here(services: Services) -> int:
    trusted = services.trust.trusted()
    assert trusted is not None
    return trusted.versions["policy"]


_KILLED = """# forked
import asyncio, os, shutil, signal, sys
from pathlib import Path
from appliance.audit import log
from appliance.governance.trust_updates import Renewal
from appliance.trust.artifacts import records
from appliance.trust.bytes import durable
from appliance.trust.policy import trusted_file
from tests.governance import test_trust_updates as story

def killed(call):
    def die():
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
    def dying(*args, **kwargs):
        die()
        done = call(*args, **kwargs)
        die()
        return done
    return dying

origin, stick = Path(sys.argv[1]), Path(sys.argv[2])
for step in range(99):
    data = origin.with_name(f"killed-{step}")
    shutil.copytree(origin, data)
    child = os.fork()
    if not child:
        left = step
        for holder, name in (
            (Renewal, "_record"), (Renewal, "_ask"), (trusted_file, "save"), (os, "rename"),
            (Path, "rename"), (durable.sealed, "write_all"), (log.AuditLog, "append"),
            (durable, "sync_directory"), (records.Records, "save"),
        ):
            if hasattr(holder, name):
                setattr(holder, name, killed(getattr(holder, name)))
        story.taken(data, stick)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print(step, story.after_a_kill(data, stick), flush=True)
    shutil.rmtree(data)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
"""


def taken(data: Path, stick: Path) -> None:
    with Site(data, Simulator()).services() as opened:
        asyncio.run(update(opened, read_offer(stick, 1)))


def after_a_kill(data: Path, stick: Path) -> str:
    """The state when the data directory opens again; then the update is repeated to its end."""
    with Site(data, Simulator()).services() as opened:
        logged = [e["action"] for e in told(opened)]
        here = policy_here(opened)
        assert here in (7, 8)
        # Old, and the log does not say otherwise or the difference is told; or new.
        assert refusal_of(opened) == ("trust_rollback" if logged and here == 7 else "")
        if here == 8:
            asyncio.run(opened.renewal.look())  # what the update did not get to
            assert opened.lifecycle.record(MODEL).state == "revoked"
    taken(data, stick)
    with Site(data, Simulator()).services() as opened:
        assert (policy_here(opened), refusal_of(opened)) == (8, "")
        record = opened.lifecycle.record(MODEL)
        assert (record.state, record.code) == ("revoked", "digest_revoked")
        edges = opened.reader.search(Query(kind="model", model=MODEL, limit=100)).entries
        assert [e.body["state"] for e in edges].count("revoked") <= 2
    assert [p.name for p in (data / "trust").iterdir()] == ["metadata.json"]
    return f"{here} {len(logged)}"


def test_a_kill_at_any_step_of_an_update(site: Site, tmp_path: Path) -> None:
    """The old metadata or the new, never a mixture; a missing part is reported or completed."""
    with site.services() as opened:
        opened.lifecycle.import_model(ACTOR, site.artifact(site.data.parent / MODEL), None, quiet)
        approve(opened, MODEL, "Alice", "Bob")
        digest = str(opened.lifecycle.record(MODEL).digest)
    site.sim.policy["revoked"] = revoked(digests=[digest])
    stick = write(site.sim.next(), tmp_path / "stick")
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, site.data, stick],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-300:]} {done.stderr}"
    seen = {line.split(" ", 1)[1] for line in done.stdout.splitlines()}
    assert seen >= {"7 0", "7 1", "8 1"}  # before, recorded only, in force


async def test_an_older_file_that_is_put_back_is_noticed(site: Site) -> None:
    path = site.data / "trust" / "metadata.json"
    first = path.read_bytes()
    with site.services() as services:
        await update(services, site.sim.next())
        await update(services, site.sim.next())
        assert services.trust.freshness().undone == ""
    for there in (first, strangers_file(site)):
        path.write_bytes(there)
        with site.services() as services:  # also in a process that has not seen the update
            assert refusal_of(services) == "trust_rollback"
            assert "policy 9" in " ".join(services.trust.freshness().alarms())
            await services.renewal.look()
            await services.renewal.look()
            codes = [e["code"] for e in told(services) if e["action"] == "trust_alarm"]
            assert codes.count("undone") == 1
    path.write_bytes(first)
    with site.services() as services:
        assert policy_here(services) == 7
        await update(services, site.sim.next())
        assert refusal_of(services) == ""


def strangers_file(site: Site) -> bytes:
    other = Simulator()
    begun = metadata.begin(other.roots[0], other.fingerprint)
    place = site.data.parent / "stranger"
    place.mkdir()
    trusted_file.save(place, metadata.advance(begun, other.publish(), NOW).held)
    return (place / "metadata.json").read_bytes()


@pytest.mark.parametrize("open_already", [True, False])
async def test_a_lab_never_takes_the_place_of_a_site(
    site: Site, tmp_path: Path, open_already: bool
) -> None:
    initialise(tmp_path / "lab", "lab")

    def exchange() -> None:
        (site.data / "trust" / "metadata.json").unlink()
        for name in ("root.pub", "policy.json"):
            shutil.copy(tmp_path / "lab" / "trust" / name, site.data / "trust" / name)

    artifact = site.artifact(site.data.parent / MODEL)
    if not open_already:
        exchange()
    with pytest.raises(PolicyRefused) as caught, site.services() as services:
        exchange()
        services.lifecycle.import_model(ACTOR, artifact, None, quiet)
    assert caught.value.code == "trust_profile"


async def test_a_policy_of_the_future_is_not_taken(site: Site, services: Services) -> None:
    """Otherwise the clock would be behind it, and no update could follow."""
    wrong = site.sim.copy()
    wrong.policy["issued"] = said(NOW + 9999 * DAY)
    before = (site.data / "trust" / "metadata.json").read_bytes()
    assert await refused(services, wrong.next()) == "clock_behind"
    assert (site.data / "trust" / "metadata.json").read_bytes() == before
    assert len(told(services)) == 1
    assert (await update(services, site.sim.next())).changed
    assert refusal_of(services) == ""


async def test_a_medium_that_is_none_is_recorded_once(site: Site, services: Services) -> None:
    with pytest.raises(Refused) as caught:
        await services.renewal.refuse(ACTOR, SignatureRefused("file_symlink", "x is a link."))
    assert caught.value.code == "file_symlink"
    (entry,) = told(services)
    assert (entry["action"], entry["code"], entry["actor"], entry["reason"]) == (
        "trust_update_refused", "file_symlink", ACTOR, "x is a link.",
    )  # fmt: skip


async def test_what_an_update_could_not_end_ends_within_a_minute(
    site: Site, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full() -> list[ModelRecord]:
        raise AuditUnavailable("audit_unavailable", "The log is full.")

    digest = str(services.lifecycle.record(MODEL).digest)
    site.sim.policy["revoked"] = revoked(digests=[digest])
    with monkeypatch.context() as patched:
        patched.setattr(services.sweep, "ask", full)
        with pytest.raises(AuditUnavailable):
            await update(services, site.sim.next())
        assert services.lifecycle.record(MODEL).state == "approved"
    await services.renewal.look()
    record = services.lifecycle.record(MODEL)
    assert (record.state, record.code) == ("revoked", "digest_revoked")


async def test_models_are_asked_about_once_for_each_policy(
    site: Site, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    ask = services.sweep.ask

    async def counted() -> list[ModelRecord]:
        asked.append(policy_here(services))
        return await ask()

    monkeypatch.setattr(services.sweep, "ask", counted)
    for _ in range(3):
        await services.renewal.look()
    await update(services, site.sim.next())
    await services.renewal.look()
    assert asked == [7, 8]


async def test_a_lab_takes_no_metadata(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    with open_services(tmp_path / "data", config=SMALL) as services:
        with pytest.raises(PolicyRefused) as caught:
            await update(services, Simulator().publish())
        assert caught.value.code == "trust_profile"
        assert told(services)[-1]["code"] == "trust_profile"


# what a new policy ends


def revoked(**what: list[str]) -> dict[str, list[str]]:
    return {"keys": [], "serials": [], "digests": [], "engines": [], **what}


async def ended(site: Site, services: Services) -> tuple[str, str | None]:
    (record,) = (await update(services, site.sim.next())).models
    return record.state, record.code


async def test_a_revoked_key(site: Site, services: Services) -> None:
    site.sim.policy["revoked"] = revoked(keys=[policies.hint(policies.PUBLISHER)])
    assert await ended(site, services) == ("revoked", "key_revoked")


async def test_a_revoked_digest(site: Site, services: Services) -> None:
    digest = services.lifecycle.record(MODEL).digest
    site.sim.policy["revoked"] = revoked(digests=[str(digest)])
    assert await ended(site, services) == ("revoked", "digest_revoked")


async def test_keys_of_publisher_and_approver_are_replaced_with_an_overlap(
    site: Site, services: Services
) -> None:
    keys, roles, fresh = site.sim.policy["keys"], site.sim.policy["roles"], forge.new_key()
    keys |= policies.bound(fresh, "Paula")
    roles["publisher"]["keys"].append(policies.hint(fresh))  # of Alice two are listed
    assert (await update(services, site.sim.next())).models == ()
    newer = site.data.parent / "newer"
    forge.make_artifact(newer)
    signing.sign_directory(newer, ecdsa.private_pem(fresh), quiet)
    site.sim.policy["models"].append({"id": "newer"})
    await update(services, site.sim.next())
    services.lifecycle.import_model(ACTOR, newer, None, quiet)
    for old in (policies.PUBLISHER, policies.ALICE):
        del keys[policies.hint(old)]
    roles["publisher"]["keys"].remove(policies.hint(policies.PUBLISHER))
    roles["approver"]["keys"].remove(policies.hint(policies.ALICE))
    assert await ended(site, services) == ("suspended", "publisher_not_allowed")
    statement = approval.sign(
        services.lifecycle.subject("newer"), name="Alice", meaning="fit for use",
        time_us=services.clock.wall_us(), private_key=ecdsa.private_pem(policies.ALICE_TOO),
    )  # fmt: skip
    services.lifecycle.approve(ACTOR, "newer", statement)
    approve(services, "newer", "Bob")
    assert services.lifecycle.record("newer").state == "approved"
    assert [entry["action"] for entry in told(services)].count("trust_update") == 3


async def test_a_revoked_approver(site: Site, services: Services) -> None:
    site.sim.policy["revoked"] = revoked(keys=[policies.hint(policies.BOB)])
    assert await ended(site, services) == ("suspended", "not_approved")


async def test_a_model_that_is_not_listed_any_more(site: Site, services: Services) -> None:
    site.sim.policy["models"] = [{"id": "another"}]
    assert await ended(site, services) == ("suspended", "model_not_in_policy")


async def test_two_updates_at_once(site: Site, services: Services) -> None:
    """The newer one stays, whichever was first."""
    older, newer = site.sim.next(), site.sim.next()
    size = services.reader.size
    done = await asyncio.gather(
        update(services, newer), update(services, newer), update(services, older),
        return_exceptions=True,
    )  # fmt: skip
    changed = [one.changed for one in done if not isinstance(one, BaseException)]
    assert changed == [True, False]
    assert [e.code for e in done if isinstance(e, PolicyRefused)] == ["trust_rollback"]
    assert policy_here(services) == 9 and services.reader.size == size + 3


# age


async def test_expired_metadata_blocks_what_is_new(site: Site, services: Services) -> None:
    site.days(31)
    new = site.artifact(site.data.parent / "new")
    with pytest.raises(PolicyRefused) as caught:
        services.lifecycle.import_model(ACTOR, new, None, quiet)
    assert caught.value.code == "trust_expired"
    await services.pool.suspend(ACTOR, MODEL, "a look")  # what makes safe is never blocked
    with pytest.raises(PolicyRefused) as caught:
        approve(services, MODEL, "Alice")
    assert caught.value.code == "trust_expired"
    codes = [e.body["code"] for e in services.reader.search(Query(kind="model", limit=100)).entries]
    assert codes.count("trust_expired") == 2
    await update(services, later(site.sim, 31).next())
    approve(services, MODEL, "Alice", "Bob")
    assert services.lifecycle.record(MODEL).state == "approved"


async def test_a_clock_that_is_behind(site: Site, services: Services) -> None:
    offer = site.sim.next()
    site.days(-1)
    for action in (
        lambda: services.lifecycle.import_model(
            ACTOR, site.artifact(site.data.parent / "new"), None, quiet
        ),
        lambda: approve(services, MODEL, "Alice"),
    ):
        with pytest.raises(PolicyRefused) as caught:
            action()
        assert caught.value.code == "clock_behind"
    with pytest.raises(PolicyRefused) as caught:
        await update(services, offer)
    assert caught.value.code == "clock_behind"
    assert told(services)[-1]["code"] == "clock_behind"
    site.days(1)
    assert (await update(services, offer)).changed


async def test_alarms_are_recorded_once_each(site: Site, services: Services) -> None:
    seen = []
    for days in (0, 1, 16, 1, 6, 1, 7, 300, 35, 16, 8):
        site.days(days)
        await services.renewal.look()
        await services.renewal.look()
        seen = [entry["code"] for entry in told(services) if entry["action"] == "trust_alarm"]
    assert seen == [
        "expires-30d", "expires-14d", "expires-7d", "expired", "stale-30d", "stale-14d",
        "stale-7d",
    ]  # fmt: skip


async def test_a_clock_that_is_behind_is_an_alarm(site: Site, services: Services) -> None:
    await services.renewal.look()
    site.days(-3)
    await services.renewal.look()
    await services.renewal.look()
    assert [e["code"] for e in told(services) if e["action"] == "trust_alarm"][1:] == ["clock"]


# a clock that was once in the future


@pytest.fixture
async def future(site: Site) -> AsyncIterator[Services]:
    """A site whose clock was three years ahead when entries were recorded, and is right again."""
    with site.services() as opened:
        opened.lifecycle.import_model(ACTOR, site.artifact(site.data.parent / MODEL), None, quiet)
        approve(opened, MODEL, "Alice", "Bob")
        site.days(3 * 365)
        await opened.pool.note(MODEL, "recheck_failed", PolicyRefused("trust_expired", "x"))
        site.days(1 - 3 * 365)
        yield opened


def refusal_of(services: Services) -> str:
    """The code of an import's refusal; "" when the time allows it."""
    try:
        services.trust.freshness().check_change()
    except PolicyRefused as error:
        return error.code
    return ""


async def refused(services: Services, offer: Offer) -> str:
    held = trusted_file.load(services.data / "trust").held
    with pytest.raises(PolicyRefused) as caught:
        await update(services, offer)
    assert trusted_file.load(services.data / "trust").held == held
    assert told(services)[-1]["code"] == caught.value.code
    return caught.value.code


async def test_a_clock_once_in_the_future_stops_changes_and_serving(
    site: Site, future: Services
) -> None:
    assert refusal_of(future) == "clock_behind"
    with pytest.raises(PolicyRefused) as caught:
        await future.pool.load(ACTOR, MODEL)
    assert caught.value.code == "trust_stale"
    assert await refused(future, later(site.sim, 3 * 365).next()) == "clock_behind"


async def test_a_root_resets_the_clock_once(site: Site, future: Services) -> None:
    offer = resets(site.sim, said(NOW + DAY))
    assert (await update(future, offer)).changed
    entry = told(future)[-1]
    assert (entry["action"], entry["code"]) == ("trust_update", "clock_reset")
    assert entry["reset"] == {"root": 2, "floor": said(NOW + DAY)}
    assert refusal_of(future) == ""
    assert not future.trust.freshness().stale
    new = site.artifact(site.data.parent / "new")
    site.sim.policy["models"] = [{"id": MODEL}, {"id": "new"}]
    await update(future, site.sim.next())
    assert future.lifecycle.import_model(ACTOR, new, None, quiet).state == "verified"
    # From here on the log counts again.
    site.days(-0.5)
    assert refusal_of(future) == "clock_behind"


async def test_a_reset_is_not_replayed(site: Site, future: Services) -> None:
    offer = resets(site.sim, said(NOW + DAY))
    await update(future, offer)
    site.days(700)  # in the future again
    await future.pool.note(MODEL, "recheck_failed", PolicyRefused("trust_expired", "x"))
    site.days(-700)
    assert refusal_of(future) == "clock_behind"
    for again in (offer, site.sim.next()):  # the same stick, and a newer one with the same root
        assert await refused(future, again) == "clock_behind"
    await update(future, resets(site.sim, said(NOW + DAY)))  # another root is another decision
    assert refusal_of(future) == ""


async def test_a_reset_that_does_not_reach_the_clock_changes_nothing(
    site: Site, future: Services
) -> None:
    """The clock may not be behind the time that the root says."""
    offer = resets(site.sim, said(NOW + 20 * DAY))
    assert await refused(future, offer) == "clock_behind"
    site.days(20)
    assert (await update(future, offer)).changed


async def test_a_reset_does_not_make_an_old_stick_fresh(site: Site, future: Services) -> None:
    """Neither the policy's day nor versions go back."""
    old = site.sim.copy().next()
    clock_root(site.sim, said(NOW + DAY))
    site.sim.policy["issued"] = said(NOW + 2 * DAY)
    assert await refused(future, site.sim.next()) == "clock_behind"  # it is older than the policy
    site.days(1)
    await update(future, site.sim.next())
    assert await refused(future, old) == "trust_rollback"


def signed_by(sim: Simulator, keys: list[CryptoSigner]) -> Offer:
    sim.root_change = lambda root: root.unrecognized_fields.update(
        {"x-clock-floor": said(NOW + DAY)}
    )
    sim.sign_root(by=keys)
    return sim.next()


def one_signature(sim: Simulator) -> Offer:
    return signed_by(sim, sim.keys["root"][:1])


def in_policy(sim: Simulator) -> Offer:
    sim.policy["x-clock-floor"] = said(NOW + DAY)
    return sim.next()


RESETS: dict[str, tuple[Callable[[Simulator], Offer], str]] = {
    "one of the root's keys": (
        one_signature, "trust_root_unrelated",
    ),
    "the keys of the policy": (
        lambda s: signed_by(s, s.keys["targets"]), "trust_root_unrelated",
    ),
    "somebody else": (lambda s: signed_by(s, signers(3)), "trust_root_unrelated"),
    "a time put in after it was signed": (
        lambda s: edited(
            new_root(s), "2.root.json",
            lambda d: d["signed"].update({"x-clock-floor": said(NOW + DAY)}),
        ), "trust_root_unrelated",
    ),
    "a root that skips one": (
        lambda s: without(resets(s, said(NOW), said(NOW + DAY)), "2.root.json"),
        "trust_root_version",
    ),
    "a time before the policy's day": (
        lambda s: resets(s, said(NOW - DAY)), "clock_reset_refused",
    ),
    "the policy, which takes fewer people": (
        in_policy, "policy_invalid",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "code"), RESETS.values(), ids=RESETS)
async def test_who_may_not_reset_the_clock(
    site: Site, future: Services, make: Callable[[Simulator], Offer], code: str
) -> None:
    assert await refused(future, make(site.sim)) == code
    assert refusal_of(future) == "clock_behind"


async def test_old_metadata_refuses_to_serve(site: Site, services: Services) -> None:
    site.days(30 + 365)
    with pytest.raises(Refused) as caught:
        await services.pool.load(ACTOR, MODEL)
    assert caught.value.code == "trust_stale"
    assert services.lifecycle.record(MODEL).state == "approved"  # nothing was revoked by time


async def test_the_floor_is_the_latest_entry_and_not_the_last(
    site: Site, services: Services
) -> None:
    latest = services.reader.latest_us()
    site.days(-2)
    await services.pool.note(MODEL, "recheck_failed", PolicyRefused("trust_expired", "x"))
    assert services.reader.latest_us() == latest
    assert services.trust.freshness().clock_behind


async def test_metadata_that_was_changed_on_the_disk_serves_nothing_new(
    site: Site, services: Services
) -> None:
    path = site.data / "trust" / "metadata.json"
    path.write_text(path.read_text().replace("Example", "Exampel"))
    with pytest.raises(PolicyRefused) as caught:
        await services.pool.load(ACTOR, MODEL)
    assert caught.value.code == "trust_hash"
    with pytest.raises(PolicyRefused):
        await services.sweep.run()
    assert (
        services.store.inventory.record(MODEL).state == "approved"
    )  # a broken file revokes nothing


def test_at_is_utc() -> None:
    assert NOW.tzinfo is datetime.UTC
