"""Routes of the API keys; each change is in the audit log."""

from appliance.api.admin.deps import PersonDep, Routes, ServicesDep
from appliance.api.admin.times import microseconds
from appliance.app import Services
from appliance.auth.key import ApiKey
from appliance.clock import iso
from appliance.types import Limits, Priority
from appliance.wire.admin import keys as wire

router = Routes()


@router.serves(wire.KEYS)
def list_keys(services: ServicesDep) -> wire.KeyList:
    """Every key, revoked ones included; never a secret."""
    return wire.KeyList(keys=[_key_of(key, services) for key in services.keys.list()])


@router.serves(wire.KEY)
def show_key(services: ServicesDep, key_id: str) -> wire.Key:
    """One key with its limits and its usage."""
    return _key_of(services.keys.get(key_id), services)


@router.serves(wire.KEY_CREATE)
def create_key(person: PersonDep, services: ServicesDep, wanted: wire.KeyCreate) -> wire.NewKey:
    """Make a key; its secret leaves only after that is durably recorded."""
    expires = None if wanted.expires is None else microseconds(wanted.expires, "expires")
    key, secret = services.keys.create(
        wanted.name,
        models=wanted.models,
        expires_us=expires,
        role=wanted.role,
        limits=_limits_of(wanted),
        certificate=bytes.fromhex(wanted.certificate) if wanted.certificate else None,
        content=wanted.content,
        examples=wanted.examples,
        tasks_only=_tasks_only(services, wanted),
        person=wanted.person,
        actor=person.actor,
    )
    return wire.NewKey(**_key_of(key, services).model_dump(), secret=secret)


@router.serves(wire.KEY_LIMIT)
def limit_key(
    person: PersonDep, services: ServicesDep, key_id: str, wanted: wire.KeyLimits
) -> wire.Key:
    """Give a key other limits."""
    key = services.keys.limit(key_id, _limits_of(wanted), person.actor)
    return _key_of(key, services)


@router.serves(wire.KEY_ROTATE)
def rotate_key(
    person: PersonDep, services: ServicesDep, key_id: str, wanted: wire.KeyRotate
) -> wire.NewKey:
    """Give a key a new secret, which leaves only after that is durably recorded."""
    key, secret = services.keys.rotate(key_id, wanted.overlap * 1_000_000, person.actor)
    return wire.NewKey(**_key_of(key, services).model_dump(), secret=secret)


@router.serves(wire.KEY_REVOKE)
def revoke_key(person: PersonDep, services: ServicesDep, key_id: str) -> wire.Key:
    """End a key for good, even when the log cannot record it, which is then the error."""
    key = services.keys.revoke(key_id, person.actor)
    return _key_of(key, services)


def _tasks_only(services: Services, wanted: wire.KeyCreate) -> bool:
    """By default a site's key gets tasks unless it names its models."""
    if wanted.tasks_only is not None:
        return wanted.tasks_only
    return services.profile == "site" and not wanted.models


def _limits_of(wanted: wire.KeyLimits) -> Limits:
    return Limits(
        rpm=wanted.rpm,
        tpm=wanted.tpm,
        concurrency=wanted.concurrency,
        weight=wanted.weight,
        priority=Priority(wanted.priority),
    )


def _key_of(key: ApiKey, services: Services) -> wire.Key:
    return wire.Key.told_by(
        key,
        created=iso(key.created_us),
        expires=None if key.expires_us is None else iso(key.expires_us),
        revoked=key.revoked_us is not None,
        state=key.state(services.clock.wall_us()),
        last_used=None if key.last_used_us is None else iso(key.last_used_us),
        rotated_until=None if key.old_until_us is None else iso(key.old_until_us),
        certificate=key.certificate.hex() if key.certificate else None,
    )
