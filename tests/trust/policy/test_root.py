"""Roots that follow one another, and those that set the clock; the simulator has the attacks."""

import pytest
from tuf.api.metadata import Root

from appliance.errors import PolicyRefused
from appliance.trust.policy import metadata, tuf_file
from appliance.trust.policy import root as roots
from appliance.trust.policy.root import Reset
from tests.trust.forge import sha256
from tests.trust.simulator import DAY, NOW, Simulator, clock_root, said, signers

NOW_US = int(NOW.timestamp()) * 1_000_000
_DAY_US = 86_400_000_000


@pytest.fixture(scope="module")
def origin() -> Simulator:
    return Simulator()


@pytest.fixture
def sim(origin: Simulator) -> Simulator:
    return origin.copy()


def follow(
    sim: Simulator, held: int = 1, signed_us: int = NOW_US
) -> tuple[Root, tuple[bytes, ...]]:
    """From the held roots to all of the simulator's."""
    trusted = tuf_file.load(Root, sim.roots[held - 1], "root.json").signed
    offer = {f"{number}.root.json": data for number, data in enumerate(sim.roots, 1)}
    return roots.follow(trusted, tuple(sim.roots[:held]), offer, signed_us)


def test_the_fingerprint_is_that_of_sha256sum() -> None:
    assert roots.fingerprint(b"root") == sha256(b"root")


@pytest.mark.parametrize(
    ("name", "version"),
    [("1.root.json", 1), ("32.root.json", 32), ("0.root.json", None), ("root.json", None),
     ("1.root.json.part", None), ("-1.root.json", None), ("12345678.root.json", None)],
)  # fmt: skip
def test_names(name: str, version: int | None) -> None:
    assert roots.version_of(name) == version


def test_from_root_to_root(sim: Simulator) -> None:
    for _ in range(2):
        before = sim.keys["root"]
        sim.keys["root"] = [*before[1:], *signers(1)]
        sim.sign_root(*before[:1])
    root, chain = follow(sim)
    assert (root.version, chain) == (3, tuple(sim.roots))
    assert follow(sim, 3)[0].version == 3  # the same again


def test_a_root_that_sets_the_clock_is_known_by_its_number(sim: Simulator) -> None:
    assert roots.reset_of(sim.roots) is None
    clock_root(sim, said(NOW + DAY))
    sim.sign_root()
    _root, chain = follow(sim)
    assert roots.reset_of(chain[1:]) == Reset(2, NOW_US + _DAY_US)
    clock_root(sim, said(NOW + 2 * DAY))
    assert roots.reset_of(follow(sim)[1][1:]) == Reset(4, NOW_US + 2 * _DAY_US)


def test_the_clock_is_never_set_before_what_was_signed(sim: Simulator) -> None:
    clock_root(sim, said(NOW))
    follow(sim)
    with pytest.raises(PolicyRefused) as caught:
        follow(sim, signed_us=NOW_US + 1)
    assert caught.value.code == "clock_reset_refused"
    clock_root(sim, said(NOW - DAY))
    for held in (1, 2):  # whether the earlier one comes in the same update or is held already
        with pytest.raises(PolicyRefused) as caught:
            follow(sim, held, signed_us=0)
        assert caught.value.code == "clock_reset_refused"


@pytest.mark.parametrize("floor", ["", "2026-11-25", "2026-13-01T00:00:00Z", 5, None, [], "x" * 99])
def test_a_time_that_is_none(sim: Simulator, floor: object) -> None:
    clock_root(sim, floor)
    if floor is None:  # as if it said nothing
        assert roots.reset_of(follow(sim)[1][1:]) is None
        return
    with pytest.raises(PolicyRefused) as caught:
        follow(sim)
    assert caught.value.code == "trust_metadata_malformed"


def test_a_chain_that_is_held_is_verified_again_when_one_of_it_sets_the_clock(
    sim: Simulator,
) -> None:
    clock_root(sim, said(NOW + DAY))
    sim.sign_root()
    roots.verify_chain(tuple(sim.roots))
    forger = Simulator()
    clock_root(forger, said(NOW + DAY))
    forged = (sim.roots[0], forger.roots[1], sim.roots[2])
    held = metadata.Held(forged)
    for action in (lambda: roots.verify_chain(forged), lambda: metadata.read(held)):
        with pytest.raises(PolicyRefused) as caught:
            action()
        assert caught.value.code == "trust_root_unrelated"
    assert metadata.read(metadata.Held(tuple(sim.roots))).reset == Reset(2, NOW_US + _DAY_US)
