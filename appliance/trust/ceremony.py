"""The security officer's directory: a plan, drafts that people sign, and what was published.

    DIR/ceremony.json   who holds which role, with the public keys that are there
    DIR/draft/          metadata/ and targets/ of the next publication, signed so far
    DIR/published/      the same of the last one

Rules: every step is kept before the next one begins, so a ceremony goes on where it stopped; the
next publication is drafted from the last one, versions counted up; `publish` asks the appliance's
own verifier first, and publishes nothing that it would refuse.
"""

import datetime
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root

from appliance.errors import PolicyRefused, Refused
from appliance.trust import metadata, officer, policy_document
from appliance.trust.metadata import POLICY, Held, Trusted
from appliance.trust.officer import ROLES
from appliance.trust.stick import METADATA, TARGETS, read_offer

DAYS: Final = {"root": 730, "targets": 365, "snapshot": 180, "timestamp": 90}
"""How long each is valid by default."""
_PLAN: Final = "ceremony.json"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}")


class Ceremony:
    """A ceremony in a directory.

    Args:
        path: the directory; `start` makes it.
        now: the time, for expiry.

    Every method raises:
        Refused: `ceremony_step` when its turn has not come, with what to do first.
    """

    def __init__(self, path: Path, now: datetime.datetime) -> None:
        self.path = path
        self._now = now.replace(microsecond=0)

    def start(
        self,
        org: str,
        holders: Mapping[str, list[str]],
        thresholds: Mapping[str, int],
        days: Mapping[str, int],
    ) -> None:
        """Write the plan: who holds which role, how many must sign, how long it is valid.

        Raises:
            Refused: `ceremony_plan` for a plan that no verifier would accept.
        """
        if (self.path / _PLAN).exists():
            raise _step(f"{self.path} has a ceremony already")
        for role in ROLES:
            names = holders.get(role, [])
            least = 2 if role == "root" else 1
            if not least <= thresholds[role] <= len(names) or len(set(names)) != len(names):
                raise Refused(
                    "ceremony_plan",
                    f"{role} needs {thresholds[role]} of {len(names)} holders, at least {least}.",
                )
            if bad := [name for name in names if not _NAME.fullmatch(name)]:
                raise Refused("ceremony_plan", f"{bad[0]!r} cannot be the name of a holder.")
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.path / "keys").mkdir(mode=0o700, exist_ok=True)
        self._save(
            {
                "org": org,
                "days": dict(days),
                "thresholds": dict(thresholds),
                "holders": {role: dict.fromkeys(holders[role], "") for role in ROLES},
            }
        )

    def plan(self) -> dict[str, Any]:
        """The plan as it is."""
        try:
            found: dict[str, Any] = json.loads((self.path / _PLAN).read_text())
        except FileNotFoundError as error:
            raise _step("begin with `trust ceremony start`") from error
        return found

    def _save(self, plan: Mapping[str, Any]) -> None:
        part = self.path / (_PLAN + ".part")
        part.write_text(json.dumps(plan, indent=1))
        part.rename(self.path / _PLAN)

    def keyless(self) -> list[tuple[str, str]]:
        """Role and holder of each key that is not there yet."""
        holders = self.plan()["holders"]
        return [(r, name) for r in ROLES for name, pem in holders[r].items() if not pem]

    def add_key(self, role: str, holder: str, pem: bytes) -> None:
        """Note the public key of a holder; with the last one the root is drafted.

        Raises:
            SignatureRefused: `signature_key_unsupported`.
            Refused: `trust_profile` for a key of a lab; `ceremony_plan` for one that is taken.
        """
        plan = self.plan()
        if (role, holder) not in self.keyless():
            raise _step(f"{holder} of {role} is not planned, or has a key")
        keyid = officer.public_key(pem, holder).keyid
        for names in plan["holders"].values():
            for other, text in names.items():
                if text and officer.public_key(text.encode(), other).keyid == keyid:
                    raise Refused("ceremony_plan", f"{other} has this key already.")
        plan["holders"][role][holder] = pem.decode()
        self._save(plan)
        if not self.keyless():
            self._draft_root()

    def replace(self, role: str, old: str, new: str) -> None:
        """Give the place of one holder to another; once the new key is there, a root is drafted."""
        plan = self.plan()
        if old not in plan["holders"][role] or (new in plan["holders"][role] and new != old):
            raise _step(f"{old} does not hold {role}, or {new} does already")
        if not _NAME.fullmatch(new):
            raise Refused("ceremony_plan", f"{new!r} cannot be the name of a holder.")
        self.trusted()  # nothing is rotated before something was published
        names = {name: pem for name, pem in plan["holders"][role].items() if name != old}
        plan["holders"][role] = {**names, new: ""}
        self._save(plan)

    def reset_clock(self) -> None:
        """Draft a root of the same keys that sets the clock's floor of appliances to now."""
        self.trusted()
        self._draft_root(self._now)

    def set_policy(self, data: bytes) -> int:
        """Draft targets, snapshot and timestamp over a policy; returns its version.

        Raises:
            PolicyRefused: `policy_invalid`, `trust_profile`, `trust_rollback`.
        """
        policy = policy_document.parse(data)
        if policy.profile != "site":
            raise PolicyRefused("trust_profile", "The policy must be of the profile site.")
        before = self._published()
        if before and before.policy and policy.version <= before.policy.version:
            raise PolicyRefused(
                "trust_rollback",
                f"The policy of version {before.policy.version} is published; count up.",
            )
        self._begin_draft()
        (self.path / "draft" / TARGETS / POLICY).write_bytes(data)
        self._draft("targets", "snapshot", "timestamp")
        return policy.version

    def refresh(self) -> None:
        """Draft snapshot and timestamp anew, for longer; the policy stays."""
        self.trusted()
        self._begin_draft()
        self._draft("snapshot", "timestamp")

    def _begin_draft(self) -> None:
        if self.keyless():
            raise _step("every holder needs a key first")
        draft, published = self.path / "draft", self.path / "published"
        if not draft.exists():
            part = self.path / "draft.part"
            shutil.rmtree(part, ignore_errors=True)
            if published.exists():
                shutil.copytree(published, part)
            for below in (METADATA, TARGETS):
                (part / below).mkdir(parents=True, exist_ok=True)
            part.rename(draft)

    def _draft_root(self, clock: datetime.datetime | None = None) -> None:
        """The next root of the plan's keys; whose keys changed must sign the rest anew."""
        self._begin_draft()
        plan, before = self.plan(), self._published()
        version = before.root.version + 1 if before else 1
        keys = {
            role: [officer.public_key(pem.encode(), name) for name, pem in names.items()]
            for role, names in plan["holders"].items()
        }
        data = officer.make_root(version, self._expires("root"), keys, plan["thresholds"], clock)
        self._write(f"{version}.root.json", data)
        if before:
            self._draft("targets", "snapshot", "timestamp")

    def _draft(self, *roles: str) -> None:
        """Unsigned metadata of these roles, one version above what is published."""
        before = self._published()
        versions = dict(before.versions) if before else dict.fromkeys(ROLES, 0)
        for role in roles:
            versions[role] += 1
        if "targets" in roles:
            policy = (self.path / "draft" / TARGETS / POLICY).read_bytes()
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
        return self._now + datetime.timedelta(days=self.plan()["days"][role])

    def _write(self, name: str, data: bytes) -> None:
        path = self.path / "draft" / METADATA / name
        part = path.with_suffix(".part")
        part.write_bytes(data)
        part.rename(path)

    def drafts(self) -> dict[str, tuple[str, bytes]]:
        """The drafted files: role and bytes by name."""
        folder, published = self.path / "draft" / METADATA, self.path / "published" / METADATA
        found = {}
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
            old = published / path.name
            data = path.read_bytes()
            if not old.exists() or old.read_bytes() != data:
                found[path.name] = (path.name.split(".")[-2], data)
        return found

    def _roots(self, name: str) -> list[Root]:
        """The roots under which a draft must be signed: the next one, and for it the last one."""
        before = self._published()
        newest = max((self.path / "draft" / METADATA).glob("*.root.json"), key=_number)
        root = Metadata[Root].from_bytes(newest.read_bytes()).signed
        roots = [root]
        if before and name.endswith("root.json") and before.root.version < root.version:
            roots.append(before.root)
        return roots

    def sign(self, signer: CryptoSigner) -> list[str]:
        """Sign every draft that this key may sign; the names of those."""
        signed = []
        for name, (role, data) in self.drafts().items():
            if any(officer.may_sign(root, role, signer) for root in self._roots(name)):
                self._write(name, officer.sign(data, signer))
                signed.append(name)
        return signed

    def unsigned(self) -> dict[str, tuple[int, list[str]]]:
        """Signatures that drafts lack: how many, and the holders who could give them."""
        lacking = {}
        for name, (role, data) in self.drafts().items():
            parts = [officer.missing(root, role, data) for root in self._roots(name)]
            count = max(number for number, _ in parts)
            if count:
                people = {p for number, holders in parts if number for p in holders}
                lacking[name] = (count, sorted(people))
        return lacking

    def publish(self, out: Path) -> Trusted:
        """Verify the draft as an appliance would, make it the last publication, and copy it.

        Args:
            out: where `metadata/` and `targets/` are written, say a stick.

        Raises:
            PolicyRefused: what `metadata.advance` raises.
        """
        draft = self.path / "draft"
        if self.drafts():
            if lacking := self.unsigned():
                name, (count, people) = next(iter(lacking.items()))
                raise _step(f"{name} lacks {count} signatures, of {', '.join(people)}")
            offer = read_offer(draft, 1)
            before = self._published() or metadata.read(Held((offer["1.root.json"],)))
            metadata.advance(before, offer, self._now)
            old = self.path / "published.old"
            shutil.rmtree(old, ignore_errors=True)
            if (self.path / "published").exists():
                (self.path / "published").rename(old)
            draft.rename(self.path / "published")
            shutil.rmtree(old, ignore_errors=True)
        trusted = self.trusted()
        for below in (METADATA, TARGETS):
            shutil.copytree(self.path / "published" / below, out / below, dirs_exist_ok=True)
        return trusted

    def trusted(self) -> Trusted:
        """What is published."""
        found = self._published()
        if found is None:
            raise _step("nothing is published yet")
        return found

    def _published(self) -> Trusted | None:
        folder = self.path / "published"
        if not folder.exists():
            return None
        offer = read_offer(folder, 1)
        roots = sorted(
            (n for n in offer if n.endswith(".root.json")), key=lambda n: _number(Path(n))
        )
        timestamp, snapshot, targets = (
            offer[f"{role}.json"] for role in ("timestamp", "snapshot", "targets")
        )
        chain = tuple(offer[name] for name in roots)
        return metadata.read(Held(chain, timestamp, snapshot, targets, offer[POLICY]))


def _number(path: Path) -> int:
    return int(path.name.split(".")[0])


def _step(what: str) -> Refused:
    return Refused("ceremony_step", f"Not yet: {what}.")
