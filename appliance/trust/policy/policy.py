"""The trust policy: who may publish and approve, and what is revoked.

Rules: a key is one person; a person may hold several keys and counts once. There is no level that
warns or skips. Revocation wins over everything. Only `policy_document.py` makes one.
"""

import datetime
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from appliance.errors import PolicyRefused
from appliance.trust.bytes import ecdsa
from appliance.trust.bytes.certificate import public_key
from appliance.trust.bytes.oms import Bundle
from appliance.trust.policy import authorities
from appliance.trust.policy.authorities import Authority
from appliance.trust.policy.members import SiteRule

PAYLOAD_TYPE: Final = "application/vnd.appliance.trust-policy+json"
PROFILES: Final = ("lab", "site")
PUBLISHER: Final = "publisher"
APPROVER: Final = "approver"
EVALUATOR: Final = "evaluator"
REQUIREMENTS: Final = frozenset({"oms", "approval"})
"""Requirements of an artifact where the policy names none."""
EVALUATION: Final = "evaluation"
# What this version can check; a policy that asks for more cannot be honoured.
KNOWN_REQUIREMENTS: Final = REQUIREMENTS | {EVALUATION}
# Only engines whose version can be told: a rule on another one would revoke nothing, silently.
ENGINE: Final = re.compile(r"(llama-cpp-python)(<=|<|=)(\d{1,9}(?:\.\d{1,9}){0,3})")


@dataclass(frozen=True)
class PolicyKey:
    """A key and the person who holds it."""

    hint: str
    person: str
    public: ecdsa.PublicKey


@dataclass(frozen=True)
class SigningRole:
    """Holders of a role.

    Attributes:
        keys: hints.
        threshold: number of different persons.
        distinct_from: roles whose person in the same matter may not act in this one.
    """

    keys: frozenset[str]
    threshold: int
    distinct_from: frozenset[str]


@dataclass(frozen=True)
class ModelRule:
    """Requirements on one model id; an absent digest is not pinned.

    Attributes:
        min_version: lowest version that `artifact.json` may state; None asks for none.
        adapters: root digests of the adapters that may be used with it; None allows any.
    """

    root_digest: str | None
    template_sha256: str | None
    require: frozenset[str]
    min_version: int | None = None
    adapters: frozenset[str] | None = None


@dataclass(frozen=True)
class Revoked:
    """Things that may never be used again."""

    keys: frozenset[str]
    serials: frozenset[str]
    digests: frozenset[str]
    engines: tuple[str, ...]


@dataclass(frozen=True)
class Stale:
    """Age at which expired metadata ends its policy.

    Attributes:
        refuse_serve_days: days for which models that were approved in time are still served.
    """

    refuse_serve_days: int = 365


@dataclass(frozen=True)
class TaskRule:
    """Requirements on every task, besides those on its id.

    Attributes:
        grace_days: days for which a task serves on an expired evaluation.
        yearly_delta: most false certificates of gates a year, together; None: no limit.
    """

    require: frozenset[str] = frozenset()
    grace_days: int = 30
    yearly_delta: float | None = None


@dataclass(frozen=True)
class TrustPolicy:
    """The decisions of one version of the policy."""

    version: int
    profile: str
    org: str
    issued: str
    keys: Mapping[str, PolicyKey]
    roles: Mapping[str, SigningRole]
    authorities: tuple[Authority, ...]
    models: Mapping[str, ModelRule]
    algorithms: frozenset[str]
    revoked: Revoked
    stale: Stale = Stale()
    tasks: TaskRule = TaskRule()
    site: SiteRule = field(default_factory=SiteRule)

    @property
    def issued_us(self) -> int:
        """Microseconds since the epoch; 0 if it does not say so."""
        if not self.issued:
            return 0
        return int(datetime.datetime.fromisoformat(self.issued).timestamp()) * 1_000_000

    def signer(self, bundle: Bundle, at_us: int, *, accepted: bool = False) -> PolicyKey:
        """The publisher who signed, by key or by certificate, if the signature holds.

        Args:
            at_us: when certificates must be valid, microseconds since the epoch.
            accepted: as in `authorities.person`.
        """
        if not bundle.chain:
            return self.publisher(bundle.hint)
        if bundle.hint in self.revoked.keys:
            raise PolicyRefused("key_revoked", f"Key {bundle.hint} is revoked.")
        person = authorities.person(
            self.authorities, self.revoked.serials, bundle.chain, at_us, accepted=accepted
        )
        return self._allowed(PolicyKey(bundle.hint, person, public_key(bundle.chain[0])))

    def publisher(self, hint: str) -> PolicyKey:
        return self._actor(hint, PUBLISHER, "publisher_not_allowed")

    def approver(self, hint: str, name: str) -> PolicyKey:
        """The approver with this key, who must be the person `name`.

        Raises:
            PolicyRefused: `key_revoked`, `approver_not_allowed`, `algorithm_not_allowed`,
                `approver_name_mismatch`.
        """
        key = self._actor(hint, APPROVER, "approver_not_allowed")
        if key.person != name:
            raise PolicyRefused(
                "approver_name_mismatch", f"Key {hint} belongs to {key.person}, not to {name}."
            )
        return key

    def evaluator(self, hint: str) -> PolicyKey:
        """Evidence key (`evaluator_revoked`, `evaluator_not_allowed`, `algorithm_not_allowed`)."""
        if hint in self.revoked.keys:
            raise PolicyRefused("evaluator_revoked", f"Key {hint} is revoked.")
        if EVALUATOR not in self.roles:
            raise PolicyRefused("evaluator_not_allowed", "The policy has no role evaluator.")
        return self._actor(hint, EVALUATOR, "evaluator_not_allowed")

    def member(self, hint: str) -> PolicyKey:
        """The key of an appliance of the site (`member_revoked`, `member_not_listed`,
        `algorithm_not_allowed`).
        """
        if hint in self.revoked.keys:
            raise PolicyRefused("member_revoked", f"Key {hint} of an appliance is revoked.")
        member = self.site.members.get(hint)
        if member is None:
            raise PolicyRefused("member_not_listed", f"No appliance of the site has key {hint}.")
        return self._allowed(PolicyKey(hint, member.name, member.key))

    def specifier(self, hint: str, name: str) -> PolicyKey:
        """The person who may sign the specification of a gate: a publisher or an approver.

        Raises:
            PolicyRefused: `key_revoked`, `specifier_not_allowed`, `algorithm_not_allowed`.
        """
        if hint in self.revoked.keys:
            raise PolicyRefused("key_revoked", f"Key {hint} is revoked.")
        allowed = self.roles[PUBLISHER].keys | self.roles[APPROVER].keys
        if hint not in allowed or self.keys[hint].person != name:
            raise PolicyRefused(
                "specifier_not_allowed", f"Key {hint} is no publisher's or approver's named {name}."
            )
        return self._allowed(self.keys[hint])

    def _actor(self, hint: str, role: str, code: str) -> PolicyKey:
        if hint in self.revoked.keys:
            raise PolicyRefused("key_revoked", f"Key {hint} is revoked.")
        if hint not in self.roles[role].keys:
            raise PolicyRefused(code, f"Key {hint} does not have the role {role}.")
        return self._allowed(self.keys[hint])

    def _allowed(self, key: PolicyKey) -> PolicyKey:
        algorithm = ecdsa.algorithm(key.public).name
        if algorithm not in self.algorithms:
            raise PolicyRefused("algorithm_not_allowed", f"Key {key.hint} signs with {algorithm}.")
        return key

    def check_digests(self, *digests: str) -> None:
        """Refuse revoked OMS root digests or SHA-256 digests of single files, in hex
        (`digest_revoked`).
        """
        for digest in digests:
            if digest in self.revoked.digests:
                raise PolicyRefused("digest_revoked", f"{digest} is revoked.")

    def check_engine(self, name: str, version: str) -> None:
        """Refuse revoked engines, written like `llama-cpp-python<0.3.36`, and unreadable versions
        (`engine_revoked`).
        """
        for rule in self.revoked.engines:
            match = ENGINE.fullmatch(rule)
            if match is None or match[1] != name:
                continue
            if not re.fullmatch(r"\d{1,9}(\.\d{1,9})*", version):
                raise PolicyRefused("engine_revoked", f"{name} {version} is not comparable.")
            ours, limit = _numbers(version), _numbers(match[3])
            if (
                ours < limit
                if match[2] == "<"
                else ours <= limit
                if match[2] == "<="
                else ours == limit
            ):
                raise PolicyRefused("engine_revoked", f"{name} {version} is revoked by {rule}.")

    def model_rule(self, model_id: str, root_digest: str) -> ModelRule:
        """The policy's rule for a model; `model_not_in_policy` when models are listed (required in
        the site profile) and this one is not, or its pinned digest is another.
        """
        if not self.models and self.profile == "lab":
            return ModelRule(None, None, REQUIREMENTS)
        rule = self.models.get(model_id)
        if rule is None:
            raise PolicyRefused("model_not_in_policy", f"The policy does not list {model_id}.")
        if rule.root_digest not in (None, root_digest):
            raise PolicyRefused(
                "model_not_in_policy",
                f"The policy allows {model_id} with digest {rule.root_digest}, not {root_digest}.",
            )
        return rule

    def check_template(self, rule: ModelRule, template: str | None) -> None:
        """Refuse a chat template other than the pinned one (`template_not_in_policy`)."""
        if rule.template_sha256 is None:
            return
        digest = hashlib.sha256((template or "").encode()).hexdigest()
        if digest != rule.template_sha256:
            raise PolicyRefused("template_not_in_policy", f"The chat template has digest {digest}.")

    def check_version(self, rule: ModelRule, version: int | None) -> None:
        """Refuse an artifact whose version is too low, or missing (`model_version_refused`)."""
        if rule.min_version is None or (version is not None and version >= rule.min_version):
            return
        stated = "states no version" if version is None else f"has version {version}"
        raise PolicyRefused(
            "model_version_refused",
            f"The artifact {stated}; the policy asks for {rule.min_version} or newer.",
        )

    def adapter_rule(self, base_id: str, digest: str) -> ModelRule:
        """Find the policy's rule for an adapter: the signatures and approvals of its base.

        Raises:
            PolicyRefused: `adapter_not_in_policy` when the base's rule does not list it.
        """
        if not self.models and self.profile == "lab":
            return ModelRule(None, None, REQUIREMENTS)
        rule = self.models.get(base_id)
        if rule is None:
            raise PolicyRefused("model_not_in_policy", f"The policy does not list {base_id}.")
        if rule.adapters is not None and digest not in rule.adapters:
            raise PolicyRefused(
                "adapter_not_in_policy", f"The policy does not list the adapter {digest}."
            )
        return ModelRule(None, None, rule.require)

    def approvers(self, publisher: PolicyKey | None = None) -> list[str]:
        """The possible approvers by name: of this publisher's artifact, if it is known."""
        keys = [self.keys[hint] for hint in self.roles[APPROVER].keys - self.revoked.keys]
        return sorted(
            {key.person for key in keys if publisher is None or self.may_approve(key, publisher)}
        )

    def may_approve_after(self, approver: PolicyKey, specifier: str) -> bool:
        """False if the policy asks for another person than the one who specified the evaluation."""
        return EVALUATOR not in self.roles[APPROVER].distinct_from or approver.person != specifier

    def may_approve(self, approver: PolicyKey, publisher: PolicyKey) -> bool:
        """False for the publisher, where the policy asks for another person."""
        distinct = PUBLISHER in self.roles[APPROVER].distinct_from
        same = approver.person == publisher.person or approver.hint == publisher.hint
        return not (distinct and same)

    def approvals_needed(self, rule: ModelRule) -> int:
        return self.roles[APPROVER].threshold if "approval" in rule.require else 0

    def check_approvals(self, persons: Sequence[str], least: int = 0) -> None:
        """Refuse fewer different people than the policy asks for, or than `least` (`not_approved`,
        with the numbers).
        """
        have, need = len(set(persons)), max(least, self.roles[APPROVER].threshold)
        if have < need:
            raise PolicyRefused("not_approved", f"{have} of {need} approvers have approved.")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
