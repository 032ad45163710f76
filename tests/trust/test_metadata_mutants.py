"""Each check of the metadata workflow is needed: without it, an attack is not refused as it is."""

import pytest

from appliance.errors import PolicyRefused
from appliance.trust.policy import metadata
from tests.trust.simulator import ATTACKS, NOW, Simulator
from tests.trust.test_mutants import Mutant, function, mutated

_NO = "(lambda *_: 0)("
MUTANTS = [
    Mutant("metadata.advance", "len(data) > limit", "False", "endless data: policy.json"),
    Mutant("metadata.advance", "check_time(renewed.root", _NO + "renewed.root", "root is"),
    Mutant("root.follow", "len(offered) > MAX_ROOTS", "False", "endless roots"),
    Mutant("root.follow", "same.signed != root", "False", "unrelated root"),
    Mutant("root.follow", "== root.version + 1", ">= 0", "59 skipped root"),
    Mutant("root.follow", "demand(root,", _NO + "root,", "root as the next one"),
    Mutant("root.check", "demand(root,", _NO + "root,", "old keys alone"),
    Mutant("root.follow", "_check_clock(new.signed, name, least_us)", "0", "the policy's day"),
    Mutant("root.follow", "max(signed_us, ", "max(0, ", "the policy's day"),
    Mutant("root._check_clock", "floor_us < least_us", "False", "before an earlier one"),
    Mutant("root._clock_us", "(ValueError, TypeError)", "OSError", "that is none"),
    Mutant("root.check", "root.consistent_snapshot", "False", "consistent snapshots"),
    Mutant("root.check", "].threshold < 2", "].threshold < 1", "for one person"),
    Mutant("root.check", "ecdsa.hint(public) in hints", "False", "under two names"),
    Mutant("root.check", "people.lookalikes(filter(None, map", "len(tuple(map", "two spellings"),
    Mutant("root.check", "ecdsa.is_lab(pem)", "False", "a lab's key"),
    Mutant("root.holder_of", "people.usable(name)", "True", "does not print"),
    Mutant("root.check", "!= len(holders)", "== -1", "two keys of one person"),
    Mutant("metadata._signed", "demand(root,", _NO + "root,", "foreign keys: timestamp"),
    Mutant("tuf_file.check_time", "part.is_expired(at)", "False", "the timestamp is expired"),
    Mutant("metadata._follow", "check_time(snapshot,", _NO + "0,", "snapshot is expired"),
    Mutant("metadata._follow", "check_time(targets,", _NO + "0,", "targets are expired"),
    Mutant("metadata._check_version", "new < old", "False", "rollback of the timestamp"),
    Mutant("metadata._check_version", "new > old + MAX_STEP", "False", "of the timestamp"),
    Mutant("metadata._check_step", "new != old", "False", "another timestamp of the same"),
    Mutant("metadata._follow", '_check_step("the snapshot"', _NO + "0", "another snapshot of the"),
    Mutant("metadata._policy", "not _STRONG & target.hashes.keys()", "False", "MD5"),
    Mutant("metadata._check_meta", "version != meta.version", "False", "old snapshot, no hashes"),
    Mutant("metadata._check_bytes", "listed.verify_length_and_hashes", "len", "g hash: the policy"),
    Mutant("metadata._follow", "targets.delegations is not None", "False", "a delegation"),
    Mutant("metadata._policy", 'policy.profile != "site"', "False", "a lab's policy"),
    Mutant("metadata._check_policy", "data != before.held.policy", "False", "policy of the same"),
    Mutant("metadata._check_policy", "_check_version(", _NO, "rollback of the policy"),
    Mutant("tuf_file.load", "strict_json.parse(data, refuse)", "0", "a key twice"),
    Mutant("tuf_file.load", "metadata.signed.type != kind.type", "False", "another role in its"),
]  # fmt: skip


def attack(name: str) -> str:
    """The attack of this name, or the last one that contains it."""
    return name if name in ATTACKS else [wanted for wanted in ATTACKS if name in wanted][-1]


@pytest.fixture(scope="module")
def origin() -> Simulator:
    return Simulator()


def outcome(sim: Simulator, name: str) -> str:
    """The attack's code; "" when it is taken, the exception's name in a crash."""
    try:
        begun = metadata.begin(sim.roots[0], sim.fingerprint)
        trusted = metadata.advance(begun, sim.publish(), NOW)
        metadata.advance(trusted, ATTACKS[name].make(sim), NOW)
    except PolicyRefused as error:
        return error.code
    except Exception as error:  # a mutant may do anything
        return type(error).__name__
    return ""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.where}: {m.case}")
def test_an_attack_notices(
    origin: Simulator, mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = attack(mutant.case)
    assert outcome(origin.copy(), name) == ATTACKS[name].code
    target = function(mutant.where)
    monkeypatch.setattr(target, "__code__", mutated(mutant.where, mutant.source, mutant.by))
    assert outcome(origin.copy(), name) != ATTACKS[name].code
