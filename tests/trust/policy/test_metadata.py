"""TUF metadata: what moves trust forward, and every attack that must not."""

import datetime
import hashlib
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from appliance.errors import CODES, PolicyRefused
from appliance.trust.policy import metadata
from appliance.trust.policy.metadata import LIMITS, Held, Trusted
from tests.trust.simulator import ATTACKS, DAY, NOW, Attack, Offer, Simulator, signers, write

SHARED = Simulator()
OFFER = SHARED.publish()


@pytest.fixture(scope="module")
def origin() -> Simulator:
    return Simulator()


@pytest.fixture
def sim(origin: Simulator) -> Simulator:
    return origin.copy()


@pytest.fixture
def trusted(sim: Simulator) -> Trusted:
    return metadata.advance(metadata.begin(sim.roots[0], sim.fingerprint), sim.publish(), NOW)


def code_of(trusted: Trusted, offer: Offer, at: datetime.datetime = NOW) -> str:
    with pytest.raises(PolicyRefused) as caught:
        metadata.advance(trusted, offer, at)
    return caught.value.code


def test_trust_begins_with_a_compared_fingerprint(sim: Simulator) -> None:
    wanted = hashlib.sha256(sim.roots[0]).hexdigest()
    spelled = ":".join(wanted[i : i + 4] for i in range(0, 64, 4)).upper()
    for written in (wanted, spelled, f" {wanted[:32]} {wanted[32:]}\n"):
        begun = metadata.begin(sim.roots[0], written)
        assert begun.versions == {
            "root": 1, "timestamp": 0, "snapshot": 0, "targets": 0, "policy": 0,
        }  # fmt: skip
        assert begun.policy is None
    for written in ("", "ab" * 32, wanted[:-1], wanted + "0"):
        with pytest.raises(PolicyRefused) as caught:
            metadata.begin(sim.roots[0], written)
        assert caught.value.code == "trust_fingerprint"
        assert wanted not in f"{caught.value.message} {caught.value.hint}"  # it would be copied


def test_the_fingerprint_of_a_bad_root_does_not_help(sim: Simulator) -> None:
    sim.thresholds["root"] = 1
    sim.roots = []
    sim.sign_root()
    with pytest.raises(PolicyRefused) as caught:
        metadata.begin(sim.roots[0], sim.fingerprint)
    assert caught.value.code == "trust_root_weak"


def test_a_publication_is_taken(sim: Simulator, trusted: Trusted) -> None:
    assert trusted.policy is not None and trusted.policy.version == 7
    assert trusted.expires == NOW + 30 * DAY
    after = metadata.advance(trusted, sim.next(), NOW)
    assert after.versions == {
        "root": 1, "timestamp": 6, "snapshot": 6, "targets": 6, "policy": 8,
    }  # fmt: skip
    assert metadata.read(after.held) == after


def test_the_same_again_changes_nothing(sim: Simulator, trusted: Trusted) -> None:
    held = trusted.held
    offer = {
        "1.root.json": sim.roots[0],
        "timestamp.json": held.timestamp,
        "snapshot.json": held.snapshot,
        "targets.json": held.targets,
        "policy.json": held.policy,
    }
    assert metadata.advance(trusted, offer, NOW) == trusted


def test_only_the_timestamp_is_renewed(sim: Simulator) -> None:
    sim.hashes = False  # else the snapshot has those of signatures, which are made anew here
    begun = metadata.begin(sim.roots[0], sim.fingerprint)
    trusted = metadata.advance(begun, sim.publish(), NOW)
    sim.count_up("timestamp")
    sim.expires["timestamp"] += 30 * DAY
    after = metadata.advance(trusted, sim.publish(), NOW)
    assert after.versions["policy"] == trusted.versions["policy"]
    assert after.expires == NOW + 60 * DAY


def test_roots_are_followed_one_by_one(sim: Simulator, trusted: Trusted) -> None:
    for _ in range(3):
        before = sim.keys["root"]
        sim.keys["root"] = [*before[1:], *signers(1)]
        sim.sign_root(*before[:1])
    after = metadata.advance(trusted, sim.next(), NOW)
    assert after.versions["root"] == 4
    assert len(after.held.roots) == 4
    assert metadata.read(after.held) == after


def test_an_expired_root_between_is_no_obstacle(sim: Simulator, trusted: Trusted) -> None:
    sim.expires["root"] = NOW - DAY
    sim.sign_root()
    sim.expires["root"] = NOW + DAY
    sim.sign_root()
    assert metadata.advance(trusted, sim.next(), NOW).versions["root"] == 3


def test_what_is_held_and_expired_gives_way_to_something_newer(
    sim: Simulator, trusted: Trusted
) -> None:
    later = NOW + 200 * DAY
    for role in ("targets", "snapshot", "timestamp"):
        sim.expires[role] = later + 30 * DAY
    assert code_of(trusted, sim.copy().publish(), later) == "trust_mixed"
    assert metadata.advance(trusted, sim.next(), later).expires == later + 30 * DAY
    assert metadata.read(trusted.held) == trusted  # reading never asks for the time


@pytest.mark.parametrize("role", ["timestamp", "snapshot"])
def test_recovery_from_a_fast_forward(sim: Simulator, trusted: Trusted, role: str) -> None:
    """The thief counted up as far as possible; a root with another key voids that."""
    thief = sim.copy()
    thief.versions["timestamp"] += 9_000
    thief.versions["snapshot"] += 9_000
    fooled = metadata.advance(trusted, thief.publish(), NOW)
    honest = sim.next()
    assert code_of(fooled, honest) == "trust_rollback"
    sim.keys[role] = signers(1)
    sim.sign_root()
    assert metadata.advance(fooled, sim.next(), NOW).versions["timestamp"] == 7


def test_a_policy_never_goes_back_with_keys_that_stay(sim: Simulator, trusted: Trusted) -> None:
    sim.keys["timestamp"] = signers(1)
    sim.sign_root()
    sim.policy["version"] = 1
    sim.count_up("targets", "snapshot", "timestamp")
    assert code_of(trusted, sim.publish()) == "trust_rollback"
    sim.keys["targets"] = signers(2)
    sim.sign_root()
    assert metadata.advance(trusted, sim.publish(), NOW).versions["policy"] == 1


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_attacks_are_refused(sim: Simulator, trusted: Trusted, attack: Attack) -> None:
    before = trusted.versions
    assert code_of(trusted, attack.make(sim)) == attack.code
    assert attack.code in CODES
    assert trusted.versions == before


class Stick(FetcherInterface):
    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(urllib.parse.urlparse(url).path)
        if not path.is_file():
            raise DownloadHTTPError("missing", 404)
        yield path.read_bytes()


def reference(root: bytes, first: Offer, second: Offer, place: Path) -> None:
    """Both publications through python-tuf's client, which reads the host's clock."""
    config = UpdaterConfig(
        prefix_targets_with_hash=False,
        root_max_length=LIMITS["root.json"],
        timestamp_max_length=LIMITS["timestamp.json"],
        snapshot_max_length=LIMITS["snapshot.json"],
        targets_max_length=LIMITS["targets.json"],
    )
    (place / "store").mkdir()
    (place / "targets").mkdir()
    for number, offer in enumerate((first, second)):
        stick = write(offer, place / f"stick{number}")
        updater = Updater(
            str(place / "store"),
            f"file://{stick}/metadata/",
            str(place / "targets"),
            f"file://{stick}/targets/",
            fetcher=Stick(),
            config=config,
            bootstrap=root if number == 0 else None,
        )
        updater._trusted_set.reference_time = NOW
        updater.refresh()
        found = updater.get_targetinfo("policy.json")
        if found is None:
            raise RepositoryError("no policy")
        updater.download_target(found)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_the_reference_client_agrees(sim: Simulator, attack: Attack, tmp_path: Path) -> None:
    """It refuses too, except where a mark says that we are stricter."""
    root, first = sim.roots[0], sim.publish()
    offer = attack.make(sim)
    if attack.stricter:
        reference(root, first, offer, tmp_path)
        return
    with pytest.raises((RepositoryError, DownloadError)):
        reference(root, first, offer, tmp_path)


def test_the_reference_client_takes_what_we_take(sim: Simulator, tmp_path: Path) -> None:
    first = sim.publish()
    sim.keys["timestamp"] = signers(1)
    sim.sign_root()
    reference(sim.roots[0], first, sim.next(), tmp_path)


@settings(max_examples=150)
@given(
    name=st.sampled_from(["2.root.json", "timestamp.json", "snapshot.json", "targets.json"]),
    data=st.binary(max_size=100) | st.just(b'{"signed":{},"signatures":[]}'),
)
def test_any_bytes_are_refused_with_a_code(name: str, data: bytes) -> None:
    begun = metadata.begin(SHARED.roots[0], SHARED.fingerprint)
    with pytest.raises(PolicyRefused):
        metadata.advance(begun, {**OFFER, name: data}, NOW)


@settings(max_examples=150)
@given(st.data())
def test_any_flipped_byte_is_refused_or_without_meaning(data: st.DataObject) -> None:
    """A byte of a signature or of white space may mean nothing."""
    name = data.draw(st.sampled_from([n for n in OFFER if n != "1.root.json"]))
    place = data.draw(st.integers(0, len(OFFER[name]) - 1))
    flipped = bytearray(OFFER[name])
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    begun = metadata.begin(SHARED.roots[0], SHARED.fingerprint)
    try:
        after = metadata.advance(begun, {**OFFER, name: bytes(flipped)}, NOW)
    except PolicyRefused:
        return
    good = metadata.advance(begun, OFFER, NOW)
    assert (after.versions, after.policy) == (good.versions, good.policy)


def test_held_files_are_verified_at_each_reading(sim: Simulator, trusted: Trusted) -> None:
    held = trusted.held
    for changed in (
        Held(held.roots, held.timestamp, held.snapshot, held.targets, held.policy + b" "),
        Held(held.roots, held.timestamp, held.timestamp, held.targets, held.policy),
        Held((sim.copy().roots[0][:-9],), *([b""] * 4)),
    ):
        with pytest.raises(PolicyRefused):
            metadata.read(changed)
