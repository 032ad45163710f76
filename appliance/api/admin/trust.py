"""The trust routes: the policy in force, the metadata behind it, and newer metadata."""

import base64
import binascii

from appliance.api.admin.deps import PersonDep, Routes, ServicesDep, State
from appliance.api.admin.models import model_of
from appliance.app import Services
from appliance.clock import iso
from appliance.errors import PolicyRefused, Refused, SignatureRefused
from appliance.trust.policy import root as roots
from appliance.trust.policy.policy import TrustPolicy
from appliance.wire.admin import trust as wire

router = Routes()


@router.serves(wire.TRUST)
def show_trust(services: ServicesDep) -> wire.Trust:
    """The policy that decides who publishes and approves, and what is revoked."""
    shown = trust_of(services.policy())
    if services.profile == "site":
        return shown.model_copy(update={"metadata": metadata_of(services)})
    return shown


@router.serves(wire.TRUST_METADATA)
def show_metadata(services: ServicesDep) -> wire.TrustMetadata:
    """The metadata of a site, also before it has a policy."""
    return metadata_of(services)


@router.serves(wire.TRUST_UPDATE)
async def update_trust(
    person: PersonDep, services: ServicesDep, offer: wire.TrustOffer, state: State
) -> wire.TrustUpdated:
    """Verify newer metadata, put it in force, and end what it no longer allows."""
    if offer.refusal is not None:
        told: Refused = SignatureRefused(offer.refusal.code, offer.refusal.message)
        await services.renewal.refuse(person.actor, told)
    try:
        files = {name: base64.b64decode(text, validate=True) for name, text in offer.files.items()}
    except (binascii.Error, ValueError):
        told = PolicyRefused("trust_metadata_malformed", "A file is not in base64.")
        await services.renewal.refuse(person.actor, told)
    done = await services.renewal.update(person.actor, files, serving=state.served)
    return wire.TrustUpdated(
        changed=done.changed,
        before=dict(done.before),
        after=dict(done.after),
        models=[model_of(services, record) for record in done.models],
    )


def metadata_of(services: Services) -> wire.TrustMetadata:
    """The site's trust metadata and its freshness.

    `trust_profile` in a lab.
    """
    trusted = services.trust.trusted()
    if trusted is None:
        raise PolicyRefused("trust_profile", "A lab has a policy of its own and no metadata.")
    fresh = services.trust.freshness()
    word = "stale" if fresh.stale else "expired" if fresh.expired else "valid"
    root = trusted.root
    return wire.TrustMetadata(
        versions=trusted.versions,
        root=roots.fingerprint(trusted.held.roots[-1]),
        first_root=roots.fingerprint(trusted.held.roots[0]),
        holders={
            name: [roots.holder_of(root.keys[keyid]) or keyid[:16] for keyid in role.keyids]
            for name, role in root.roles.items()
        },
        expires=iso(int(trusted.expires.timestamp()) * 1_000_000),
        serve_until=None if fresh.serve_until_us is None else iso(fresh.serve_until_us),
        floor=iso(fresh.floor_us),
        state=word,
        alarms=fresh.alarms(),
    )


def trust_of(policy: TrustPolicy) -> wire.Trust:
    """A policy as the admin socket reports it."""
    return wire.Trust.told_by(
        policy,
        roles={
            name: wire.TrustRole(
                threshold=role.threshold,
                distinct_from=sorted(role.distinct_from),
                holders=[
                    wire.TrustKey(
                        person=policy.keys[hint].person,
                        key=hint,
                        revoked=hint in policy.revoked.keys,
                    )
                    for hint in sorted(role.keys, key=lambda hint: policy.keys[hint].person)
                ],
            )
            for name, role in policy.roles.items()
        },
        models=sorted(policy.models),
        algorithms=sorted(policy.algorithms),
        revoked_keys=sorted(policy.revoked.keys),
        revoked_digests=sorted(policy.revoked.digests),
        revoked_serials=sorted(policy.revoked.serials),
        revoked_engines=list(policy.revoked.engines),
    )
