"""Routes of the API keys: make, list, revoke; each change is in the audit log."""

from fastapi import APIRouter

from appliance.api.admin.deps import Admin, ServicesDep, Viewer
from appliance.api.admin.times import microseconds
from appliance.audit.log import Draft
from appliance.auth.key import ApiKey
from appliance.clock import iso
from appliance.runtime import Services
from appliance.types import Json
from appliance.wire import admin as wire

router = APIRouter(prefix="/admin/keys")


@router.get("")
def list_keys(_: Viewer, services: ServicesDep) -> wire.KeyList:
    """Every key, revoked ones included; never a secret."""
    return wire.KeyList(keys=[_key_of(key) for key in services.keys.list()])


@router.post("")
def create_key(person: Admin, services: ServicesDep, wanted: wire.KeyCreate) -> wire.NewKey:
    """Make a key. Its secret leaves only after its making is durably recorded."""
    expires = None if wanted.expires is None else microseconds(wanted.expires, "expires")
    key, secret = services.keys.create(
        wanted.name, models=wanted.models, expires_us=expires, role=wanted.role
    )
    try:
        _record(services, person.actor, "key_create", key)
    except BaseException:
        services.keys.revoke(key.id)
        raise
    return wire.NewKey(**_key_of(key).model_dump(), secret=secret)


@router.post("/{key_id}/revoke")
def revoke_key(person: Admin, services: ServicesDep, key_id: str) -> wire.Key:
    """End a key for good. It ends even when the log cannot record it, which is then the error."""
    key = services.keys.revoke(key_id)
    _record(services, person.actor, "key_revoke", key)
    return _key_of(key)


def _record(services: Services, actor: str, action: str, key: ApiKey) -> None:
    models: list[Json] = list(key.models)
    fields: dict[str, Json] = {
        "action": action,
        "actor": actor,
        "key_id": key.id,
        "name": key.name,
        "role": key.role,
        "models": models,
        "expires_us": key.expires_us,
    }
    services.audit.append(Draft("admin", fields)).result()


def _key_of(key: ApiKey) -> wire.Key:
    return wire.Key(
        id=key.id,
        name=key.name,
        role=key.role,
        models=list(key.models),
        created=iso(key.created_us),
        expires=None if key.expires_us is None else iso(key.expires_us),
        revoked=key.revoked_us is not None,
        last_used=None if key.last_used_us is None else iso(key.last_used_us),
    )
