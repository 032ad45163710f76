"""The trust route: the policy in force."""

from fastapi import APIRouter

from appliance.api.admin.deps import ServicesDep, Viewer
from appliance.trust.policy import TrustPolicy
from appliance.trust.store import load_policy
from appliance.wire import admin as wire

router = APIRouter(prefix="/admin")


@router.get("/trust")
def show_trust(_: Viewer, services: ServicesDep) -> wire.Trust:
    """The policy that decides who publishes and approves, and what is revoked."""
    return trust_of(load_policy(services.data / "trust"))


def trust_of(policy: TrustPolicy) -> wire.Trust:
    """A policy as the admin socket tells it."""
    return wire.Trust(
        version=policy.version,
        profile=policy.profile,
        org=policy.org,
        issued=policy.issued,
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
        revoked_engines=list(policy.revoked.engines),
    )
