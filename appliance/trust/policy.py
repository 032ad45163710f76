"""The trust policy: who may publish and approve, and what is revoked. Bytes in, decisions out.

Rules:
- What is not understood is refused, never skipped: an unknown field, role or requirement makes
  the whole policy invalid.
- Publishers are known by their key, or by their certificate's subject under a listed authority.
- Every key is bound to one person by its own hint, which is computed again from the key; so one
  key cannot appear under two names. A person may hold several keys and still counts once.
- There is no level that warns or skips. Revocation wins over everything.
- The policy comes from a DSSE envelope signed by the trust root; only `verify` makes one.

docs/trust.md has the schema.
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from appliance.errors import PolicyRefused, SignatureRefused
from appliance.trust import authorities, dsse, ecdsa, strict_json
from appliance.trust.authorities import SERIAL, Authority
from appliance.trust.certificate import public_key
from appliance.trust.oms import Bundle

PAYLOAD_TYPE: Final = "application/vnd.appliance.trust-policy+json"
PROFILES: Final = ("lab", "site")
PUBLISHER: Final = "publisher"
APPROVER: Final = "approver"
_FIELDS: Final = {
    "version", "profile", "org", "issued", "keys", "roles", "authorities", "models",
    "algorithms", "revoked",
}  # fmt: skip
# What this version can check; a policy that asks for more cannot be honoured.
_REQUIREMENTS: Final = frozenset({"oms", "approval"})
_HEX: Final = re.compile(r"[0-9a-f]{64}")
# Only engines whose version can be told: a rule on another one would revoke nothing, silently.
_ENGINE: Final = re.compile(r"(llama-cpp-python)(<=|<|=)(\d{1,9}(?:\.\d{1,9}){0,3})")


@dataclass(frozen=True)
class PolicyKey:
    """A key and the person who holds it."""

    hint: str
    person: str
    public: ecdsa.PublicKey


@dataclass(frozen=True)
class Role:
    """Who may act in a role.

    Attributes:
        keys: hints.
        threshold: how many different persons it takes.
        distinct_from: roles whose person in the same matter may not act in this one.
    """

    keys: frozenset[str]
    threshold: int
    distinct_from: frozenset[str]


@dataclass(frozen=True)
class ModelRule:
    """What is asked of one model id; an absent digest is not pinned."""

    root_digest: str | None
    template_sha256: str | None
    require: frozenset[str]


@dataclass(frozen=True)
class Revoked:
    """What may never be used again."""

    keys: frozenset[str]
    serials: frozenset[str]
    digests: frozenset[str]
    engines: tuple[str, ...]


@dataclass(frozen=True)
class TrustPolicy:
    """The decisions of one version of the policy."""

    version: int
    profile: str
    org: str
    issued: str
    keys: Mapping[str, PolicyKey]
    roles: Mapping[str, Role]
    authorities: tuple[Authority, ...]
    models: Mapping[str, ModelRule]
    algorithms: frozenset[str]
    revoked: Revoked

    def signer(self, bundle: Bundle, at_us: int) -> PolicyKey:
        """The publisher who signed, if the signature holds: by key or by certificate.

        Args:
            at_us: when certificates must be valid, microseconds since the epoch.

        Raises:
            SignatureRefused: what `certificate.verify` raises.
            PolicyRefused: what `publisher` raises; `certificate_revoked`.
        """
        if not bundle.chain:
            return self.publisher(bundle.hint)
        if bundle.hint in self.revoked.keys:
            raise PolicyRefused("key_revoked", f"Key {bundle.hint} is revoked.")
        person = authorities.person(self.authorities, self.revoked.serials, bundle.chain, at_us)
        return self._allowed(PolicyKey(bundle.hint, person, public_key(bundle.chain[0])))

    def publisher(self, hint: str) -> PolicyKey:
        """The publisher with this key.

        Raises:
            PolicyRefused: `key_revoked`, `publisher_not_allowed`, `algorithm_not_allowed`.
        """
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
        """Refuse revoked artifacts.

        Args:
            digests: OMS root digests or SHA-256 digests of single files, in hex.

        Raises:
            PolicyRefused: `digest_revoked`.
        """
        for digest in digests:
            if digest in self.revoked.digests:
                raise PolicyRefused("digest_revoked", f"{digest} is revoked.")

    def check_engine(self, name: str, version: str) -> None:
        """Refuse revoked engines, written like `llama-cpp-python<0.3.36`.

        Args:
            version: dotted numbers.

        Raises:
            PolicyRefused: `engine_revoked`; also for a version that is not readable.
        """
        for rule in self.revoked.engines:
            match = _ENGINE.fullmatch(rule)
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
        """What the policy asks of a model.

        Raises:
            PolicyRefused: `model_not_in_policy` when models are listed (they must be, in the
                site profile) and this one is not, or its pinned digest is another.
        """
        if not self.models and self.profile == "lab":
            return ModelRule(None, None, _REQUIREMENTS)
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
        """Compare a model's chat template with the pinned one.

        Raises:
            PolicyRefused: `template_not_in_policy`.
        """
        if rule.template_sha256 is None:
            return
        digest = hashlib.sha256((template or "").encode()).hexdigest()
        if digest != rule.template_sha256:
            raise PolicyRefused("template_not_in_policy", f"The chat template has digest {digest}.")

    def may_approve(self, person: str, publisher: PolicyKey) -> bool:
        """Whether a person is another than the publisher, where the policy asks for it."""
        distinct = PUBLISHER in self.roles[APPROVER].distinct_from
        return not distinct or person != publisher.person

    def check_approvals(self, persons: Sequence[str]) -> None:
        """Ask for enough different people.

        Raises:
            PolicyRefused: `not_approved`, with the numbers.
        """
        have, need = len(set(persons)), self.roles[APPROVER].threshold
        if have < need:
            raise PolicyRefused("not_approved", f"{have} of {need} approvers have approved.")


def verify(envelope: bytes, root: ecdsa.PublicKey) -> TrustPolicy:
    """Check the root's signature over a policy and read it.

    Raises:
        PolicyRefused: `policy_signature`, `policy_invalid`.
    """
    refuse = _refuse("policy_signature")
    read = dsse.parse(envelope, PAYLOAD_TYPE, refuse)
    dsse.signers(read, {ecdsa.hint(root): root}, refuse)
    return parse(read.payload)


def parse(data: bytes) -> TrustPolicy:
    """Read a policy that something else has authenticated.

    Raises:
        PolicyRefused: `policy_invalid`.
    """
    refuse = _refuse("policy_invalid")
    value = strict_json.parse(data, refuse)
    if not isinstance(value, dict):
        raise refuse("it is not an object")
    strict_json.only(
        value,
        _FIELDS,
        "it",
        refuse,
    )
    version = strict_json.member(value, "version", int, refuse)
    profile = strict_json.member(value, "profile", str, refuse)
    if version < 1 or profile not in PROFILES:
        raise refuse("version must be positive and profile lab or site")
    keys = _keys(strict_json.member(value, "keys", dict, refuse))
    known = {algorithm.name for algorithm in ecdsa.ALGORITHMS.values()}
    algorithms = frozenset(strict_json.strings(value, "algorithms", refuse) or known)
    if not algorithms <= known:
        raise refuse("algorithms lists one that is not known")
    known_authorities = authorities.parse(
        strict_json.optional(value, "authorities", list, [], refuse), refuse
    )
    people = {person for a in known_authorities for person in a.subjects.values()}
    if not all(map(_is_name, people)):
        raise refuse("an authority vouches for somebody without a usable name")
    roles = _roles(strict_json.member(value, "roles", dict, refuse), keys, people)
    return TrustPolicy(
        version=version,
        profile=profile,
        org=strict_json.member(value, "org", str, refuse),
        issued=strict_json.optional(value, "issued", str, "", refuse),
        keys=MappingProxyType(keys),
        roles=MappingProxyType(roles),
        authorities=known_authorities,
        models=MappingProxyType(_models(strict_json.optional(value, "models", list, [], refuse))),
        algorithms=algorithms,
        revoked=_revoked(strict_json.optional(value, "revoked", dict, {}, refuse)),
    )


def _keys(table: dict[str, Any]) -> dict[str, PolicyKey]:
    refuse = _refuse("policy_invalid")
    keys = {}
    for hint, entry in table.items():
        pem = strict_json.member(entry, "pem", str, refuse)
        person = strict_json.member(entry, "person", str, refuse)
        strict_json.only(entry, {"pem", "person"}, f"key {hint[:64]}", refuse)
        if not _is_name(person):
            raise refuse(f"key {hint[:64]} has no usable person")
        try:
            public = ecdsa.load_public(pem.encode())
        except SignatureRefused as error:
            raise refuse(f"key {hint[:64]}: {error.message}") from error
        if ecdsa.hint(public) != hint:
            raise refuse(f"key {hint[:64]} stands under a hint that is not its own")
        keys[hint] = PolicyKey(hint, person, public)
    return keys


def _is_name(person: str) -> bool:
    # In one normal form, so that two spellings of one name are not two people.
    normal = unicodedata.normalize("NFC", person.strip()) == person
    return normal and bool(person) and person.isprintable() and len(person) <= 100


def _roles(
    table: dict[str, Any], keys: Mapping[str, PolicyKey], certified: set[str]
) -> dict[str, Role]:
    refuse = _refuse("policy_invalid")
    if set(table) != {PUBLISHER, APPROVER}:
        raise refuse(f"roles must be {PUBLISHER} and {APPROVER}")
    roles = {}
    for name, entry in table.items():
        hints = frozenset(strict_json.strings(entry, "keys", refuse))
        threshold = strict_json.member(entry, "threshold", int, refuse)
        distinct = frozenset(strict_json.strings(entry, "distinct_from", refuse))
        strict_json.only(entry, {"keys", "threshold", "distinct_from"}, f"role {name}", refuse)
        if not hints <= keys.keys():
            raise refuse(f"role {name} lists a key that is not among the keys")
        persons = {keys[hint].person for hint in hints}
        if name == PUBLISHER:
            persons |= certified
        if not 1 <= threshold <= len(persons):
            raise refuse(f"role {name} asks for {threshold} of {len(persons)} persons")
        if not distinct <= ({PUBLISHER} if name == APPROVER else frozenset()):
            raise refuse(f"role {name} cannot be distinct from {', '.join(sorted(distinct))}")
        roles[name] = Role(hints, threshold, distinct)
    if roles[PUBLISHER].threshold != 1:
        raise refuse("an OMS signature has one publisher, so its threshold must be 1")
    return roles


def _models(entries: list[Any]) -> dict[str, ModelRule]:
    refuse = _refuse("policy_invalid")
    models: dict[str, ModelRule] = {}
    for entry in entries:
        model_id = strict_json.member(entry, "id", str, refuse)
        strict_json.only(
            entry,
            {"id", "root_digest", "template_sha256", "require"},
            f"model {model_id!r}",
            refuse,
        )
        require = frozenset(strict_json.strings(entry, "require", refuse) or _REQUIREMENTS)
        if model_id in models or "oms" not in require or not require <= _REQUIREMENTS:
            raise refuse(f"model {model_id!r} is listed twice or asks for what cannot be checked")
        models[model_id] = ModelRule(
            _digest(entry, "root_digest"), _digest(entry, "template_sha256"), require
        )
    return models


def _digest(entry: object, name: str) -> str | None:
    refuse = _refuse("policy_invalid")
    digest = strict_json.optional(entry, name, str, "", refuse)
    if digest and not _HEX.fullmatch(digest):
        raise refuse(f"{name} is not a lower-case SHA-256")
    return digest or None


def _revoked(table: dict[str, Any]) -> Revoked:
    refuse = _refuse("policy_invalid")
    strict_json.only(table, {"keys", "serials", "digests", "engines"}, "revoked", refuse)
    keys, serials, digests, engines = (
        strict_json.strings(table, name, refuse)
        for name in ("keys", "serials", "digests", "engines")
    )
    if not all(SERIAL.fullmatch(serial) for serial in serials):
        raise refuse("revoked.serials must be certificates' serial numbers in lower-case hex")
    if not all(_HEX.fullmatch(digest) for digest in (*keys, *digests)):
        raise refuse("revoked lists what is not a lower-case SHA-256")
    if not all(_ENGINE.fullmatch(engine) for engine in engines):
        raise refuse("revoked.engines must look like llama-cpp-python<0.3.36")
    return Revoked(frozenset(keys), frozenset(serials), frozenset(digests), engines)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _refuse(code: str) -> strict_json.Refuse:
    return lambda problem: PolicyRefused(code, f"Trust policy: {problem}.")
