"""Reading a trust policy: bytes in, a policy or one refusal out.

Rules: an unknown field, role or requirement makes the whole policy invalid. A key's hint is
computed again, so one key cannot appear under two names; no two names look alike. docs/trust.md has
the schema.
"""

import datetime
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from appliance.errors import PolicyRefused, SignatureRefused
from appliance.trust.bytes import dsse, ecdsa, strict_json
from appliance.trust.bytes.names import MODEL_ID
from appliance.trust.policy import authorities, members, people
from appliance.trust.policy.authorities import SERIAL
from appliance.trust.policy.members import SiteRule
from appliance.trust.policy.policy import (
    APPROVER,
    ENGINE,
    EVALUATOR,
    KNOWN_REQUIREMENTS,
    PAYLOAD_TYPE,
    PROFILES,
    PUBLISHER,
    REQUIREMENTS,
    ModelRule,
    PolicyKey,
    Revoked,
    SigningRole,
    Stale,
    TaskRule,
    TrustPolicy,
)
from appliance.types import JsonValue

_FIELDS: Final = {
    "version", "profile", "org", "issued", "keys", "roles", "authorities", "models",
    "algorithms", "revoked", "stale", "tasks", "site",
}  # fmt: skip
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_MOST_DAYS: Final = 3650


def verify(envelope: bytes, root: ecdsa.PublicKey) -> TrustPolicy:
    """Check the root's signature and read a policy (`policy_signature`, `policy_invalid`)."""
    refuse = _refuse("policy_signature")
    read = dsse.parse(envelope, PAYLOAD_TYPE, refuse)
    dsse.signers(read, {ecdsa.hint(root): root}, refuse)
    return parse(read.payload)


def parse(data: bytes) -> TrustPolicy:
    """Read a policy that something else has authenticated (`policy_invalid`)."""
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
    certified = {person for a in known_authorities for person in a.subjects.values()}
    if not all(map(people.usable, certified)):
        raise refuse("an authority vouches for somebody without a usable name")
    if pair := people.lookalikes(certified | {key.person for key in keys.values()}):
        raise refuse(f"the names {pair[0]!r} and {pair[1]!r} look like one; spell one person alike")
    roles = _roles(strict_json.member(value, "roles", dict, refuse), keys, certified)
    issued = strict_json.optional(value, "issued", str, "", refuse)
    if issued and not _is_time(issued):
        raise refuse("issued is not like 2026-11-24T16:00:00Z")
    org = strict_json.member(value, "org", str, refuse)
    if not people.usable(org):
        raise refuse("org is not a usable name")
    return TrustPolicy(
        version=version,
        profile=profile,
        org=org,
        issued=issued,
        keys=MappingProxyType(keys),
        roles=MappingProxyType(roles),
        authorities=known_authorities,
        models=MappingProxyType(
            _models(strict_json.optional(value, "models", list, [], refuse), profile)
        ),
        algorithms=algorithms,
        revoked=_revoked(strict_json.optional(value, "revoked", dict, {}, refuse)),
        stale=_stale(strict_json.optional(value, "stale", dict, {}, refuse)),
        tasks=_tasks(strict_json.optional(value, "tasks", dict, {}, refuse)),
        site=_site(value, roles),
    )


def _keys(table: dict[str, Any]) -> dict[str, PolicyKey]:
    refuse = _refuse("policy_invalid")
    keys = {}
    for hint, entry in table.items():
        pem = strict_json.member(entry, "pem", str, refuse)
        person = strict_json.member(entry, "person", str, refuse)
        strict_json.only(entry, {"pem", "person"}, f"key {hint[:64]}", refuse)
        if not people.usable(person):
            raise refuse(f"key {hint[:64]} has no usable person")
        if ecdsa.is_lab(pem.encode()):
            raise refuse(f"key {hint[:64]} is marked as one of a lab")
        try:
            public = ecdsa.load_public(pem.encode())
        except SignatureRefused as error:
            raise refuse(f"key {hint[:64]}: {error.message}") from error
        if ecdsa.hint(public) != hint:
            raise refuse(f"key {hint[:64]} is under a hint that is not its own")
        keys[hint] = PolicyKey(hint, person, public)
    return keys


def _is_time(text: str) -> bool:
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:  # the 31st of February
        return False
    return True


def _roles(
    table: dict[str, Any], keys: Mapping[str, PolicyKey], certified: set[str]
) -> dict[str, SigningRole]:
    refuse = _refuse("policy_invalid")
    if set(table) - {EVALUATOR} != {PUBLISHER, APPROVER}:
        raise refuse(f"roles must be {PUBLISHER} and {APPROVER}, and may be {EVALUATOR}")
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
        if not distinct <= ({PUBLISHER, EVALUATOR} if name == APPROVER else frozenset()):
            raise refuse(f"role {name} cannot be distinct from {', '.join(sorted(distinct))}")
        roles[name] = SigningRole(hints, threshold, distinct)
    if roles[PUBLISHER].threshold != 1:
        raise refuse("an OMS signature has one publisher, so its threshold must be 1")
    _check_evaluators(roles, keys, certified)
    return roles


def _check_evaluators(
    roles: Mapping[str, SigningRole], keys: Mapping[str, PolicyKey], certified: set[str]
) -> None:
    """An evidence key is an appliance's: no publisher or approver holds one."""
    refuse = _refuse("policy_invalid")
    role = roles.get(EVALUATOR)
    if role is None:
        return
    if role.threshold != 1:
        raise refuse("an evaluation has one signature, so the threshold must be 1")
    people_ = {keys[hint].person for r in (PUBLISHER, APPROVER) for hint in roles[r].keys}
    if both := (people_ | certified) & {keys[hint].person for hint in role.keys}:
        raise refuse(f"{min(both)} may not evaluate and publish or approve")


def _site(value: dict[str, JsonValue], roles: Mapping[str, SigningRole]) -> SiteRule:
    refuse = _refuse("policy_invalid")
    if "site" not in value:
        return SiteRule()
    site = members.parse(strict_json.member(value, "site", dict, refuse), refuse)
    for role in (PUBLISHER, APPROVER):
        if both := roles[role].keys & site.members.keys():
            raise refuse(f"key {min(both)} is an appliance's and has the role {role}")
    return site


def _models(entries: list[Any], profile: str) -> dict[str, ModelRule]:
    refuse = _refuse("policy_invalid")
    models: dict[str, ModelRule] = {}
    for entry in entries:
        model_id = strict_json.member(entry, "id", str, refuse)
        strict_json.only(
            entry,
            {"id", "root_digest", "template_sha256", "require", "min_version", "adapters"},
            f"model {model_id!r}",
            refuse,
        )
        require = frozenset(strict_json.strings(entry, "require", refuse) or REQUIREMENTS)
        if not MODEL_ID.fullmatch(model_id) or ":" in model_id:
            raise refuse(f"{model_id[:80]!r} cannot be the id of a model, so it would rule nothing")
        if model_id in models or "oms" not in require or not require <= KNOWN_REQUIREMENTS:
            raise refuse(f"model {model_id!r} is listed twice or asks for what cannot be checked")
        models[model_id] = ModelRule(
            _digest(entry, "root_digest"),
            _digest(entry, "template_sha256"),
            require,
            _min_version(entry),
            _adapters(entry, profile),
        )
    return models


def _min_version(entry: dict[str, Any]) -> int | None:
    refuse = _refuse("policy_invalid")
    version = strict_json.optional(entry, "min_version", int, 0, refuse)
    if version < 0 or ("min_version" in entry and version == 0):
        raise refuse("min_version must be positive")
    return version or None


def _adapters(entry: dict[str, Any], profile: str) -> frozenset[str] | None:
    """The listed adapters; without a list none at a site, any in a lab."""
    refuse = _refuse("policy_invalid")
    adapters = strict_json.strings(entry, "adapters", refuse)
    if not all(_HEX.fullmatch(digest) for digest in adapters):
        raise refuse("adapters lists what is not a lower-case SHA-256")
    if profile == "lab" and "adapters" not in entry:
        return None
    return frozenset(adapters)


def _stale(table: dict[str, Any]) -> Stale:
    refuse = _refuse("policy_invalid")
    strict_json.only(table, {"refuse_serve_days"}, "stale", refuse)
    days = strict_json.optional(table, "refuse_serve_days", int, Stale.refuse_serve_days, refuse)
    if not 0 <= days <= _MOST_DAYS:
        raise refuse(f"stale.refuse_serve_days must be 0 to {_MOST_DAYS}")
    return Stale(days)


def _tasks(table: dict[str, Any]) -> TaskRule:
    refuse = _refuse("policy_invalid")
    strict_json.only(table, {"require", "grace_days", "yearly_delta"}, "tasks", refuse)
    require = frozenset(strict_json.strings(table, "require", refuse))
    if not require <= KNOWN_REQUIREMENTS:
        raise refuse("tasks asks for what cannot be checked")
    days = strict_json.optional(table, "grace_days", int, TaskRule.grace_days, refuse)
    if not 0 <= days <= _MOST_DAYS:
        raise refuse(f"tasks.grace_days must be 0 to {_MOST_DAYS}")
    delta = table.get("yearly_delta")
    if delta is not None and not (type(delta) in (int, float) and 0 < delta <= 100):
        raise refuse("tasks.yearly_delta must be above 0 and at most 100")
    return TaskRule(require, days, delta)


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
    if not all(ENGINE.fullmatch(engine) for engine in engines):
        raise refuse("revoked.engines must look like llama-cpp-python<0.3.36")
    return Revoked(frozenset(keys), frozenset(serials), frozenset(digests), engines)


def _refuse(code: str) -> strict_json.Refuse:
    return lambda problem: PolicyRefused(code, f"Trust policy: {problem}.")
