"""A security officer's repository and its attackers, after python-tuf's simulator.

`Simulator` publishes good metadata; `ATTACKS` are the offers of an attacker, each with the code of
its refusal. Built with python-tuf alone.
"""

import copy
import datetime
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from tests.trust.forge import as_json
from tests.trust.policies import document

NOW = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
Offer = dict[str, bytes]
ROLES = ("root", "targets", "snapshot", "timestamp")


def signers(count: int) -> list[CryptoSigner]:
    return [CryptoSigner.generate_ecdsa() for _ in range(count)]


@dataclass
class Simulator:
    """Keys, versions and expiry of a repository.

    Attributes:
        hashes: whether timestamp and snapshot carry lengths and hashes, which TUF leaves open.
    """

    keys: dict[str, list[CryptoSigner]] = field(
        default_factory=lambda: {
            "root": signers(3), "targets": signers(2), "snapshot": signers(1),
            "timestamp": signers(1),
        }
    )  # fmt: skip
    thresholds: dict[str, int] = field(
        default_factory=lambda: {"root": 2, "targets": 2, "snapshot": 1, "timestamp": 1}
    )
    versions: dict[str, int] = field(
        default_factory=lambda: {"targets": 5, "snapshot": 5, "timestamp": 5}
    )
    expires: dict[str, datetime.datetime] = field(
        default_factory=lambda: {
            "root": NOW + 365 * DAY, "targets": NOW + 90 * DAY, "snapshot": NOW + 90 * DAY,
            "timestamp": NOW + 30 * DAY,
        }
    )  # fmt: skip
    policy: dict[str, Any] = field(default_factory=lambda: {**document(), "issued": said(NOW)})
    roots: list[bytes] = field(default_factory=list)
    hashes: bool = True
    root_change: Callable[[Root], object] = lambda root: None

    def __post_init__(self) -> None:
        if not self.roots:
            self.sign_root()

    def sign_root(self, *others: CryptoSigner, by: list[CryptoSigner] | None = None) -> None:
        """Make the next root of the current keys; `others` sign it too, as the keys before."""
        root = Root(
            version=len(self.roots) + 1, expires=self.expires["root"], consistent_snapshot=False
        )
        for role in ROLES:
            for signer in self.keys[role]:
                root.add_key(signer.public_key, role)
            root.roles[role].threshold = self.thresholds[role]
        self.root_change(root)
        wanted = self.keys["root"] if by is None else by
        self.roots.append(signed(root, *wanted, *others))

    def publish(self) -> Offer:
        """Sign everything that a stick holds."""
        policy = as_json(self.policy)
        targets = Targets(version=self.versions["targets"], expires=self.expires["targets"])
        targets.targets["policy.json"] = TargetFile.from_data("policy.json", policy)
        of_targets = signed(targets, *self.keys["targets"])
        snapshot = Snapshot(
            version=self.versions["snapshot"],
            expires=self.expires["snapshot"],
            meta={"targets.json": self.meta("targets", of_targets)},
        )
        of_snapshot = signed(snapshot, *self.keys["snapshot"])
        timestamp = Timestamp(
            version=self.versions["timestamp"],
            expires=self.expires["timestamp"],
            snapshot_meta=self.meta("snapshot", of_snapshot),
        )
        return {
            **{f"{n}.root.json": data for n, data in enumerate(self.roots, 1)},
            "timestamp.json": signed(timestamp, *self.keys["timestamp"]),
            "snapshot.json": of_snapshot,
            "targets.json": of_targets,
            "policy.json": policy,
        }

    def meta(self, role: str, data: bytes) -> MetaFile:
        if not self.hashes:
            return MetaFile(self.versions[role])
        return MetaFile.from_data(self.versions[role], data, ["sha256"])

    def count_up(self, *roles: str) -> "Simulator":
        for role in roles or ("targets", "snapshot", "timestamp"):
            self.versions[role] += 1
        if not roles:
            self.policy["version"] += 1
        return self

    def next(self) -> Offer:
        self.count_up()
        return self.publish()

    def copy(self) -> "Simulator":
        """The attacker's repository, which begins as this one."""
        return Simulator(
            dict(self.keys), dict(self.thresholds), dict(self.versions), dict(self.expires),
            copy.deepcopy(self.policy), list(self.roots), self.hashes,
        )  # fmt: skip

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.roots[0]).hexdigest()


def said(at: datetime.datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def signed(part: Any, *by: CryptoSigner) -> bytes:
    metadata: Metadata[Any] = Metadata(part)
    for signer in by:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


def write(offer: Offer, stick: Path) -> Path:
    for below in ("metadata", "targets"):
        (stick / below).mkdir(parents=True, exist_ok=True)
    for name, data in offer.items():
        (stick / ("targets" if name == "policy.json" else "metadata") / name).write_bytes(data)
    return stick


def edited(offer: Offer, name: str, change: Callable[[dict[str, Any]], object]) -> Offer:
    document = json.loads(offer[name])
    change(document)
    return {**offer, name: as_json(document)}


def without(offer: Offer, *names: str) -> Offer:
    return {name: data for name, data in offer.items() if name not in names}


# What an attacker can do. Each gets a repository of which publication 5 is trusted.


def with_keys(sim: Simulator, role: str, keys: list[CryptoSigner]) -> Offer:
    """Newer metadata of which one role is signed by other keys than the root names."""
    sim.keys[role] = keys
    return sim.next()


def new_root(
    sim: Simulator,
    change: Callable[[Simulator], object] = lambda s: None,
    *others: CryptoSigner,
    by: list[CryptoSigner] | None = None,
) -> Offer:
    change(sim)
    sim.sign_root(*others, by=by)
    return sim.next()


def strangers(sim: Simulator) -> Offer:
    return Simulator(versions={"targets": 9, "snapshot": 9, "timestamp": 9}).publish()


def skipped_root(sim: Simulator) -> Offer:
    sim.sign_root()
    sim.sign_root()
    return without(sim.next(), "2.root.json")


def renumbered_root(sim: Simulator) -> Offer:
    """Root 1 again as 2.root.json."""
    return {**sim.next(), "2.root.json": sim.roots[0]}


def mixed(sim: Simulator, *names: str) -> Offer:
    before = sim.publish()
    after = sim.next()
    return {**after, **{name: before[name] for name in names}}


def older(sim: Simulator, *roles: str) -> Offer:
    """Lower versions, by a thief of these roles' keys."""
    for role in roles:
        sim.versions[role] -= 2
    return sim.publish()


def rolled_back_policy(sim: Simulator) -> Offer:
    sim.count_up("targets", "snapshot", "timestamp")
    sim.policy["version"] -= 1
    return sim.publish()


def rewritten_policy(sim: Simulator) -> Offer:
    sim.count_up("targets", "snapshot", "timestamp")
    sim.policy["org"] = "Elsewhere"
    return sim.publish()


def jumped(sim: Simulator, *roles: str) -> Offer:
    for role in roles:
        sim.versions[role] = (1 << 31) - 1
    return sim.publish()


def jumped_policy(sim: Simulator) -> Offer:
    sim.count_up("targets", "snapshot", "timestamp")
    sim.policy["version"] = 1 << 40
    return sim.publish()


def expired(sim: Simulator, role: str) -> Offer:
    sim.expires[role] = NOW - DAY
    if role == "root":
        sim.sign_root()
    return sim.next()


def same_version(sim: Simulator, role: str) -> Offer:
    sim.expires[role] += DAY
    if role != "timestamp":
        sim.count_up("timestamp")
    if role == "targets":
        sim.count_up("snapshot")
    return sim.publish()


def changed(sim: Simulator, name: str, old: bytes, new: bytes) -> Offer:
    offer = sim.next()
    assert old in offer[name]
    return {**offer, name: offer[name].replace(old, new, 1)}


def padded(sim: Simulator, name: str) -> Offer:
    """A file that does not end: good JSON with blanks behind it."""
    offer = sim.next()
    return {**offer, name: offer[name] + b" " * (2 << 20)}


def no_hashes(sim: Simulator) -> Simulator:
    sim.hashes = False
    return sim


def twice(sim: Simulator) -> Offer:
    """One person makes a threshold of two."""

    def double(root: Root) -> None:
        key = copy.deepcopy(sim.keys["root"][0].public_key)
        key.keyid = "ab" * 32
        root.keys[key.keyid] = key
        root.roles["root"].keyids.append(key.keyid)

    sim.root_change = double
    return new_root(sim)


def lab_key(sim: Simulator) -> Offer:
    def mark(root: Root) -> None:
        keyid = root.roles["timestamp"].keyids[0]
        key = root.keys[keyid] = copy.deepcopy(root.keys[keyid])
        key.keyval["public"] = f"LAB KEY, not for production\n{key.keyval['public']}"

    sim.root_change = mark
    return new_root(sim)


def exchanged(sim: Simulator) -> Offer:
    """Two keys of the root, each under the key id of the other."""

    def exchange(root: Root) -> None:
        a, b = root.roles["root"].keyids[:2]
        root.keys[a], root.keys[b] = root.keys[b], root.keys[a]

    sim.root_change = exchange
    return new_root(sim)


def held_by(sim: Simulator, *holders: object) -> Offer:
    def name(root: Root) -> None:
        for keyid, holder in zip(root.roles["targets"].keyids, holders, strict=True):
            root.keys[keyid] = copy.deepcopy(root.keys[keyid])  # signers are shared by all
            root.keys[keyid].unrecognized_fields["x-holder"] = holder

    sim.root_change = name
    return new_root(sim)


def delegated(sim: Simulator) -> Offer:
    from tuf.api.metadata import Delegations

    offer = sim.next()
    targets = Metadata[Targets].from_bytes(offer["targets.json"]).signed
    targets.delegations = Delegations({}, {})
    data = signed(targets, *sim.keys["targets"])
    sim.hashes = False  # so that nothing but the delegation is wrong
    return {**sim.publish(), "targets.json": data}


def lab_policy(sim: Simulator) -> Offer:
    sim.policy["profile"] = "lab"
    return sim.next()


def bad_policy(sim: Simulator) -> Offer:
    sim.policy["verification"] = "warn"
    return sim.next()


def weak_hash(sim: Simulator) -> Offer:
    """Targets that name the policy by a weak digest."""
    sim.count_up()
    sim.hashes = False
    offer = sim.publish()
    targets = Metadata[Targets].from_bytes(offer["targets.json"]).signed
    targets.targets["policy.json"] = TargetFile.from_data(
        "policy.json", offer["policy.json"], ["md5"]
    )
    return {**offer, "targets.json": signed(targets, *sim.keys["targets"])}


def signature(sim: Simulator, name: str, change: Callable[[list[dict[str, str]]], object]) -> Offer:
    """A file whose list of signatures, two of them, was changed."""
    return edited(sim.next(), name, lambda d: change(d["signatures"]))


def no_policy(sim: Simulator) -> Offer:
    offer = sim.next()
    targets = Metadata[Targets].from_bytes(offer["targets.json"]).signed
    targets.targets = {"other.json": targets.targets["policy.json"]}
    sim.hashes = False
    return {**sim.publish(), "targets.json": signed(targets, *sim.keys["targets"])}


def unlisted_targets(sim: Simulator) -> Offer:
    sim.count_up()
    sim.hashes = False
    offer = sim.publish()
    snapshot = Metadata[Snapshot].from_bytes(offer["snapshot.json"]).signed
    snapshot.meta = {"other.json": MetaFile(1)}
    return {**offer, "snapshot.json": signed(snapshot, *sim.keys["snapshot"])}


def removed_meta(sim: Simulator) -> Offer:
    """The targets under a lower version, in a snapshot that is newer."""
    sim.count_up("timestamp", "snapshot")
    sim.versions["targets"] -= 1
    return sim.publish()


def put_keys(role: str, keys: list[CryptoSigner]) -> Callable[[Simulator], object]:
    return lambda sim: sim.keys.__setitem__(role, keys)


def put_threshold(role: str, count: int) -> Callable[[Simulator], object]:
    return lambda sim: sim.thresholds.__setitem__(role, count)


def consistent(sim: Simulator) -> Offer:
    sim.root_change = lambda root: setattr(root, "consistent_snapshot", True)
    return new_root(sim)


def ed25519(sim: Simulator) -> Offer:
    return new_root(sim, put_keys("timestamp", [CryptoSigner.generate_ed25519()]))


def clock_root(sim: Simulator, floor: object) -> None:
    sim.root_change = lambda root: root.unrecognized_fields.__setitem__("x-clock-floor", floor)
    sim.sign_root()
    sim.root_change = lambda root: None


def resets(sim: Simulator, *floors: object) -> Offer:
    """Roots that reset the clock, one after the other; the policy in force was issued at NOW."""
    for floor in floors:
        clock_root(sim, floor)
    return sim.next()


def lacking(sim: Simulator, name: str) -> Offer:
    return without(sim.next(), name)


def on(attack: Callable[[Simulator, str], Offer], name: str) -> Callable[[Simulator], Offer]:
    return lambda sim: attack(sim, name)


@dataclass(frozen=True)
class Attack:
    """An attacker's stick, and the code.

    Attributes:
        stricter: python-tuf's own client accepts it.
    """

    make: Callable[[Simulator], Offer]
    code: str
    stricter: bool = False


ATTACKS: dict[str, Attack] = {
    # rollback
    "rollback of everything": Attack(
        lambda s: older(s, "timestamp", "snapshot", "targets"), "trust_rollback"
    ),
    "rollback of the timestamp": Attack(lambda s: older(s, "timestamp"), "trust_rollback"),
    "rollback of the snapshot under a new timestamp": Attack(
        lambda s: older(s.count_up("timestamp"), "snapshot"), "trust_rollback"
    ),
    "rollback of the targets under a new snapshot": Attack(removed_meta, "trust_rollback"),
    "56 rollback of the policy": Attack(rolled_back_policy, "trust_rollback", stricter=True),
    # freeze
    "57 freeze: the timestamp is expired": Attack(
        lambda s: expired(s, "timestamp"), "trust_expired"
    ),
    "freeze: the snapshot is expired": Attack(lambda s: expired(s, "snapshot"), "trust_expired"),
    "freeze: the targets are expired": Attack(lambda s: expired(s, "targets"), "trust_expired"),
    "freeze: the root is expired": Attack(lambda s: expired(s, "root"), "trust_expired"),
    # mix and match
    "58 mix: an old snapshot": Attack(lambda s: mixed(s, "snapshot.json"), "trust_mixed"),
    "58 mix: an old snapshot, no hashes": Attack(
        lambda s: mixed(no_hashes(s).count_up(), "snapshot.json"), "trust_mixed"
    ),
    "58 mix: old targets": Attack(lambda s: mixed(s, "targets.json"), "trust_mixed"),
    "58 mix: old targets, no hashes": Attack(
        lambda s: mixed(no_hashes(s).count_up(), "targets.json"), "trust_mixed"
    ),
    "58 mix: an old snapshot with its targets": Attack(
        lambda s: mixed(no_hashes(s).count_up(), "snapshot.json", "targets.json", "policy.json"),
        "trust_mixed",
    ),
    "mix: an old policy": Attack(lambda s: mixed(s, "policy.json"), "trust_hash"),
    "another timestamp of the same version": Attack(
        lambda s: same_version(s, "timestamp"), "trust_mixed", stricter=True
    ),
    "another snapshot of the same version": Attack(
        lambda s: same_version(no_hashes(s), "snapshot"), "trust_mixed", stricter=True
    ),
    "the same snapshot over newer targets": Attack(
        lambda s: no_hashes(s).count_up("timestamp", "targets").publish(),
        "trust_mixed",
        stricter=True,
    ),
    "other targets of the same version": Attack(
        lambda s: same_version(no_hashes(s), "targets"), "trust_mixed", stricter=True
    ),
    "another policy of the same version": Attack(rewritten_policy, "trust_mixed", stricter=True),
    # thresholds and foreign keys
    "59 under the threshold: targets": Attack(
        lambda s: with_keys(s, "targets", s.keys["targets"][:1]), "trust_threshold"
    ),
    "under the threshold: one key signs twice": Attack(
        lambda s: with_keys(s, "targets", s.keys["targets"][:1] * 2), "trust_threshold"
    ),
    "under the threshold: one signature twice": Attack(
        lambda s: signature(no_hashes(s), "targets.json", lambda two: two.__setitem__(1, two[0])),
        "trust_metadata_malformed",
    ),
    "under the threshold: one signature under the name of another key": Attack(
        lambda s: signature(
            no_hashes(s), "targets.json", lambda two: two[1].update(sig=two[0]["sig"])
        ),
        "trust_threshold",
    ),
    "under the threshold: one key under its name in capitals": Attack(
        lambda s: signature(
            no_hashes(s),
            "targets.json",
            lambda two: two.__setitem__(1, {**two[0], "keyid": two[0]["keyid"].upper()}),
        ),
        "trust_threshold",
    ),
    "foreign keys: timestamp": Attack(
        lambda s: with_keys(s, "timestamp", signers(1)), "trust_threshold"
    ),
    "foreign keys: snapshot": Attack(
        lambda s: with_keys(s, "snapshot", signers(1)), "trust_threshold"
    ),
    "foreign keys: targets": Attack(
        lambda s: with_keys(s, "targets", signers(2)), "trust_threshold"
    ),
    "keys of another role: the timestamp key signs targets": Attack(
        lambda s: with_keys(s, "targets", s.keys["timestamp"]), "trust_threshold"
    ),
    "signatures removed": Attack(
        lambda s: edited(s.next(), "timestamp.json", lambda d: d.update(signatures=[])),
        "trust_threshold",
    ),
    "signed bytes changed": Attack(
        lambda s: edited(s.next(), "timestamp.json", lambda d: d["signed"].update(version=9)),
        "trust_threshold",
    ),
    # roots
    "unrelated root": Attack(strangers, "trust_root_unrelated"),
    "unrelated root as the next one": Attack(
        lambda s: new_root(s, put_keys("root", signers(3))), "trust_root_unrelated"
    ),
    "59 next root by one of the old keys": Attack(
        lambda s: new_root(s, put_keys("root", signers(3)), s.keys["root"][0]),
        "trust_root_unrelated",
    ),
    "next root by the old keys alone": Attack(
        lambda s: new_root(s, put_keys("root", signers(3)), *s.keys["root"], by=[]),
        "trust_threshold",
    ),
    "59 skipped root": Attack(skipped_root, "trust_root_version", stricter=True),
    "root 1 again as root 2": Attack(renumbered_root, "trust_root_version"),
    "a root for one person": Attack(
        lambda s: new_root(s, put_threshold("root", 1)), "trust_root_weak", stricter=True
    ),
    "61 one key under two names": Attack(twice, "trust_root_weak", stricter=True),
    "61 two keys of one person": Attack(
        lambda s: held_by(s, "Ada", "Ada"), "trust_root_weak", stricter=True
    ),
    "61 one person in two spellings": Attack(
        lambda s: held_by(s, "Ada", "ada"), "trust_root_weak", stricter=True
    ),
    "61 one person in letters of two alphabets": Attack(
        lambda s: held_by(s, "Ada", "Ad\u0430"), "trust_root_weak", stricter=True
    ),
    "61 a holder whose name does not print": Attack(
        lambda s: held_by(s, "Ada", "Ada\u200b"), "trust_root_weak", stricter=True
    ),
    "61 a holder that is no text": Attack(
        lambda s: held_by(s, "Ada", ["Bea"]), "trust_root_weak", stricter=True
    ),
    "a key listed twice for a role": Attack(
        lambda s: edited(
            new_root(s),
            "2.root.json",
            lambda d: (r := d["signed"]["roles"]["root"]["keyids"]).append(r[0]),
        ),
        "trust_metadata_malformed",
    ),
    "a lab's key": Attack(lab_key, "trust_profile", stricter=True),
    "two keys under each other's names": Attack(exchanged, "trust_threshold"),
    "a threshold of nobody": Attack(
        lambda s: edited(
            new_root(s),
            "2.root.json",
            lambda d: d["signed"]["roles"]["targets"].update(threshold=0),
        ),
        "trust_metadata_malformed",
    ),
    "a threshold that nobody can reach": Attack(
        lambda s: new_root(s, put_threshold("targets", 3)), "trust_root_weak"
    ),
    "an algorithm that is not ours": Attack(ed25519, "trust_root_weak", stricter=True),
    "consistent snapshots": Attack(consistent, "trust_metadata_malformed"),
    # roots that reset the clock
    "clock: before the policy's day": Attack(
        lambda s: resets(s, said(NOW - DAY)), "clock_reset_refused", stricter=True
    ),
    "clock: before an earlier one": Attack(
        lambda s: resets(s, said(NOW + 2 * DAY), said(NOW + DAY)),
        "clock_reset_refused",
        stricter=True,
    ),
    "clock: a time that is none": Attack(
        lambda s: resets(s, "yesterday"), "trust_metadata_malformed", stricter=True
    ),
    "clock: no text": Attack(lambda s: resets(s, 0), "trust_metadata_malformed", stricter=True),
    # fast-forward
    "fast-forward of everything": Attack(
        lambda s: jumped(s, "timestamp", "snapshot", "targets"), "trust_fast_forward", stricter=True
    ),
    "fast-forward of the timestamp": Attack(
        lambda s: jumped(s, "timestamp"), "trust_fast_forward", stricter=True
    ),
    "fast-forward of the snapshot": Attack(
        lambda s: jumped(s.count_up("timestamp"), "snapshot"),
        "trust_fast_forward",
        stricter=True,
    ),
    "fast-forward of the targets": Attack(
        lambda s: jumped(s.count_up("timestamp", "snapshot"), "targets"),
        "trust_fast_forward",
        stricter=True,
    ),
    "fast-forward of the policy": Attack(jumped_policy, "trust_fast_forward", stricter=True),
    # lengths, hashes, endless data
    "wrong hash: the policy": Attack(
        lambda s: changed(s, "policy.json", b"Example", b"Exampel"), "trust_hash"
    ),
    "wrong length: the policy": Attack(
        lambda s: {**(o := s.next()), "policy.json": o["policy.json"] + b" "}, "trust_hash"
    ),
    "weak hash: the policy by MD5 alone": Attack(weak_hash, "trust_hash", stricter=True),
    "wrong hash: the snapshot": Attack(
        lambda s: {**s.next(), "snapshot.json": s.publish()["snapshot.json"]}, "trust_hash"
    ),
    **{
        f"endless data: {name}": Attack(on(padded, name), "trust_metadata_too_long")
        for name in ("timestamp.json", "snapshot.json", "targets.json", "policy.json")
    },
    "endless data: the next root": Attack(
        lambda s: (new_root(s), padded(s, "2.root.json"))[1], "trust_metadata_too_long"
    ),
    "endless roots": Attack(
        lambda s: {**s.next(), **{f"{n}.root.json": b"{}" for n in range(2, 60)}},
        "trust_metadata_too_long",
    ),
    # what is no metadata
    **{
        f"missing: {name}": Attack(on(lacking, name), "trust_metadata_missing")
        for name in ("timestamp.json", "snapshot.json", "targets.json", "policy.json")
    },
    "missing: the policy in the targets": Attack(no_policy, "trust_metadata_missing"),
    "missing: the targets in the snapshot": Attack(unlisted_targets, "trust_metadata_malformed"),
    "nothing at all": Attack(lambda s: {}, "trust_metadata_missing"),
    "no JSON": Attack(
        lambda s: {**s.next(), "timestamp.json": b"\xff"}, "trust_metadata_malformed"
    ),
    "a key twice": Attack(
        lambda s: changed(s, "timestamp.json", b'"signed"', b'"signed":{},"signed"'),
        "trust_metadata_malformed",
        stricter=True,
    ),
    "another role in its place": Attack(
        lambda s: {**(o := s.next()), "timestamp.json": o["snapshot.json"]},
        "trust_metadata_malformed",
    ),
    "a bomb of brackets": Attack(
        lambda s: {**s.next(), "targets.json": b"[" * 9999}, "trust_metadata_malformed"
    ),
    "an unknown file": Attack(
        lambda s: {**s.next(), "mirrors.json": b"{}"}, "trust_metadata_malformed", stricter=True
    ),
    "a delegation": Attack(delegated, "trust_metadata_malformed", stricter=True),
    # the policy itself
    "a lab's policy": Attack(lab_policy, "trust_profile", stricter=True),
    "a policy that asks for less": Attack(bad_policy, "policy_invalid", stricter=True),
}
