"""The security officer's directory: a plan, drafts that people sign, and the last publication.

    DIR/ceremony.json   `CeremonyPlan`
    DIR/draft/          metadata/ and targets/ of the next publication, signed so far
    DIR/published/      the same of the last one

Rules: every step is on the disk before the next one begins, and each step first completes the one
that a crash interrupted; `publish` publishes nothing that the appliance's own verifier would
refuse.
"""

import datetime
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from securesystemslib.signer import Signer
from tuf.api.metadata import Metadata, Root

from appliance.errors import PolicyRefused, Refused
from appliance.trust.bytes import durable
from appliance.trust.ceremony import officer
from appliance.trust.ceremony import plan as ceremony_plan
from appliance.trust.ceremony.officer import ROLES
from appliance.trust.ceremony.plan import CeremonyPlan, RolePlace
from appliance.trust.ceremony.stick import METADATA, TARGETS, read_offer
from appliance.trust.policy import freshness, metadata, policy_document
from appliance.trust.policy.metadata import POLICY, Held, Trusted
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.policy.root import holder_of, version_of

DAYS: Final = {"root": 730, "targets": 365, "snapshot": 180, "timestamp": 90}
"""Default days of validity."""


class Ceremony:
    """A ceremony in a directory, which `start` makes.

    Every method raises:
        Refused: `ceremony_step` when its turn has not come, with what to do first;
            `ceremony_plan` when the plan cannot be read.
    """

    def __init__(self, path: Path, now: datetime.datetime) -> None:
        self.path = path
        self._draft_path, self._published_path = path / "draft", path / "published"
        self._now = now.replace(microsecond=0)

    def start(
        self,
        org: str,
        holders: Mapping[str, list[str]],
        thresholds: Mapping[str, int],
        days: Mapping[str, int],
    ) -> None:
        """Write the plan; `days` is how long the metadata of each role is valid.

        Raises:
            Refused: `ceremony_plan` for a plan that no appliance would accept, and for a directory
                that others may write to.
        """
        if (self.path / ceremony_plan.FILE).exists():
            raise _step(f"{self.path} has a ceremony already")
        plan = ceremony_plan.make(org, holders, thresholds, days)
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.path.stat().st_mode & 0o022:
            raise Refused("ceremony_plan", f"Others may write to {self.path}: chmod 700 it.")
        (self.path / "keys").mkdir(mode=0o700, exist_ok=True)
        ceremony_plan.save(self.path, plan)

    def plan(self) -> CeremonyPlan:
        try:
            return ceremony_plan.load(self.path)
        except FileNotFoundError as error:
            raise _step("begin with `appliance trust ceremony start`") from error

    def keyless(self) -> list[RolePlace]:
        return self.plan().keyless()

    def add_key(self, role: str, holder: str, pem: bytes) -> None:
        """Note a public key; the last one drafts the root.

        Raises:
            Refused: `trust_profile` for a key of a lab; `ceremony_plan` for a key that is taken.
        """
        plan, place = self.plan(), RolePlace(role, holder)
        if place not in plan.keyless():
            raise _step(f"{holder} of {role} is not planned, or has a key")
        ceremony_plan.save(self.path, plan.with_key(place, pem))
        self._go_on()

    def replace(self, role: str, old: str, new: str) -> None:
        """Give the place of one holder to another, whose key drafts a root (`ceremony_plan`)."""
        plan = self.plan()
        if old not in plan.holders[role] or (new in plan.holders[role] and new != old):
            raise _step(f"{old} does not hold {role}, or {new} does already")
        self.trusted()  # nothing is rotated before something was published
        ceremony_plan.save(self.path, plan.without(RolePlace(role, old), new))

    def reset_clock(self) -> None:
        """Draft a root of the same keys that sets the appliances' clock floor to now."""
        self.trusted()
        self._draft_root(self._now)

    def set_policy(self, data: bytes) -> int:
        """Draft targets, snapshot and timestamp over a policy; returns its version.

        Raises:
            PolicyRefused: `trust_rollback`; `clock_behind` for one that was issued in the future.
        """
        policy = policy_document.parse(data)
        if policy.profile != "site":
            raise PolicyRefused("trust_profile", "The policy must be of the profile site.")
        freshness.judge(
            None, policy.issued_us, int(self._now.timestamp()) * 1_000_000
        ).check_clock()
        before = self._published()
        if before and before.policy and policy.version <= before.policy.version:
            raise PolicyRefused(
                "trust_rollback",
                f"The policy of version {before.policy.version} is published; count up.",
            )
        self._go_on()
        self._begin_draft()
        durable.replace(self._draft_path / TARGETS / POLICY, data, 0o644)
        self._draft("targets", "snapshot", "timestamp")
        return policy.version

    def policies(self) -> tuple[TrustPolicy | None, TrustPolicy | None]:
        before = self._published()
        drafted = self._draft_path / TARGETS / POLICY
        new = policy_document.parse(drafted.read_bytes()) if drafted.exists() else None
        return before.policy if before else None, new

    def refresh(self, *, root: bool = False) -> None:
        """Draft a new snapshot and timestamp that last longer; the policy stays.

        Args:
            root: also a root of the same keys and the targets.
        """
        self.trusted()
        self._go_on()
        if root:
            self._draft_root()
            return
        self._begin_draft()
        self._draft("snapshot", "timestamp")

    def _go_on(self) -> None:
        old = self.path / "published.old"  # `publish` puts it away while it takes the draft
        if old.exists() and not self._published_path.exists():
            old.rename(self._published_path)
        shutil.rmtree(old, ignore_errors=True)
        plan, newest = self.plan(), self._newest_root()
        if not plan.keyless() and (newest is None or _keys_of(plan) != _keys_in(newest)):
            self._draft_root()

    def _begin_draft(self) -> None:
        if self.keyless():
            raise _step("every holder needs a key first")
        if not self._draft_path.exists():
            part = self.path / "draft.part"
            shutil.rmtree(part, ignore_errors=True)
            if self._published_path.exists():
                shutil.copytree(self._published_path, part)
            for below in (METADATA, TARGETS):
                (part / below).mkdir(parents=True, exist_ok=True)
            part.rename(self._draft_path)

    def _draft_root(self, clock: datetime.datetime | None = None) -> None:
        """The next root of the plan's keys; holders whose keys changed must sign the rest again."""
        self._begin_draft()
        plan, before = self.plan(), self._published()
        version = before.root.version + 1 if before else 1
        keys = {
            role: [officer.public_key(pem.encode(), name) for name, pem in names.items()]
            for role, names in plan.holders.items()
        }
        data = officer.make_root(version, self._expires("root"), keys, plan.thresholds, clock)
        if before:
            self._draft("targets", "snapshot", "timestamp")
        self._write(f"{version}.root.json", data)  # last: where it is, the rest is

    def _draft(self, *roles: str) -> None:
        before = self._published()
        versions = dict(before.versions) if before else dict.fromkeys(ROLES, 0)
        for role in roles:
            versions[role] += 1
        if "targets" in roles:
            policy = (self._draft_path / TARGETS / POLICY).read_bytes()
            made = officer.make_targets(versions["targets"], self._expires("targets"), policy)
            self._write("targets.json", made)
        if "snapshot" in roles:
            made = officer.make_snapshot(
                versions["snapshot"], self._expires("snapshot"), versions["targets"]
            )
            self._write("snapshot.json", made)
        made = officer.make_timestamp(
            versions["timestamp"], self._expires("timestamp"), versions["snapshot"]
        )
        self._write("timestamp.json", made)

    def _expires(self, role: str) -> datetime.datetime:
        return self._now + datetime.timedelta(days=self.plan().days[role])

    def _write(self, name: str, data: bytes) -> None:
        durable.replace(self._draft_path / METADATA / name, data, 0o644)

    def drafts(self) -> dict[str, tuple[str, bytes]]:
        self._go_on()
        folder, published = self._draft_path / METADATA, self._published_path / METADATA
        found = {}
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
            old = published / path.name
            data = path.read_bytes()
            if not old.exists() or old.read_bytes() != data:
                found[path.name] = (path.name.split(".")[-2], data)
        return found

    def _newest_root(self) -> Root | None:
        for place in (self._draft_path, self._published_path):
            if found := _roots_in(place):
                return Metadata[Root].from_bytes(found[-1].read_bytes()).signed
        return None

    def roots_for(self, name: str) -> list[Root]:
        """The roots under which a draft must be signed: the next one, and for that the last one."""
        before, newest = self._published(), self._newest_root()
        roots = [newest] if newest else []
        if before and newest and version_of(name) and before.root.version < newest.version:
            roots.append(before.root)
        return roots

    def sign(self, signer: Signer) -> list[str]:
        signed = []
        for name, (role, data) in self.drafts().items():
            keyid = signer.public_key.keyid
            if any(keyid in root.roles[role].keyids for root in self.roots_for(name)):
                self._write(name, officer.sign(data, signer))
                signed.append(name)
        return signed

    def unsigned(self) -> dict[str, tuple[int, list[str]]]:
        """By draft, the number of missing signatures and the holders who could give them."""
        lacking = {}
        for name, (role, data) in self.drafts().items():
            parts = [officer.missing(root, role, data) for root in self.roots_for(name)]
            count = max((number for number, _ in parts), default=1)
            if count:
                people = {p for number, holders in parts if number for p in holders}
                lacking[name] = (count, sorted(people))
        return lacking

    def publish(self, out: Path) -> Trusted:
        """Verify the draft as an appliance would, make it the last publication, and copy it.

        Args:
            out: gets `metadata/` and `targets/`, for example a stick.

        Raises:
            OSError: the stick refuses; the publication is kept, and can be copied again.
        """
        if self.drafts():
            self._verify()
            old = self.path / "published.old"
            if self._published_path.exists():
                self._published_path.rename(old)
            self._draft_path.rename(self._published_path)
            shutil.rmtree(old, ignore_errors=True)
        trusted = self.trusted()
        for below in (TARGETS, METADATA):
            (out / below).mkdir(parents=True, exist_ok=True)
            for path in sorted((self._published_path / below).glob("*.json")):
                durable.replace(out / below / path.name, path.read_bytes(), 0o644)
        return trusted

    def _verify(self) -> None:
        if lacking := self.unsigned():
            name, (count, people) = next(iter(lacking.items()))
            raise _step(f"{name} lacks {count} signatures, of {', '.join(people)}")
        first = self._draft_path / METADATA / "1.root.json"
        before = self._published() or metadata.read(Held((first.read_bytes(),)))
        offer = read_offer(self._draft_path, before.root.version)
        metadata.advance(before, offer, self._now)

    def trusted(self) -> Trusted:
        found = self._published()
        if found is None:
            raise _step("nothing is published yet")
        return found

    def _published(self) -> Trusted | None:
        if not self._published_path.exists():
            return None
        folder = self._published_path / METADATA
        timestamp, snapshot, targets = (
            (folder / f"{role}.json").read_bytes() for role in ("timestamp", "snapshot", "targets")
        )
        policy = (self._published_path / TARGETS / POLICY).read_bytes()
        chain = tuple(path.read_bytes() for path in _roots_in(self._published_path))
        return metadata.read(Held(chain, timestamp, snapshot, targets, policy))


def _roots_in(place: Path) -> list[Path]:
    """Oldest first."""
    found = (place / METADATA).glob("*.root.json")
    return sorted(found, key=lambda path: version_of(path.name) or 0)


def _keys_of(plan: CeremonyPlan) -> dict[str, dict[str, str]]:
    """The holder of each key id, by role, as a root of this plan has them."""
    return {
        role: {officer.public_key(pem.encode(), name).keyid: name for name, pem in names.items()}
        for role, names in plan.holders.items()
    }


def _keys_in(root: Root) -> dict[str, dict[str, str]]:
    return {
        name: {keyid: str(holder_of(root.keys[keyid])) for keyid in role.keyids}
        for name, role in root.roles.items()
    }


_step: Final = Refused.of("ceremony_step", "Not yet")
