"""Routes of the texts that were signed with a model: its chat template and its grammars.

Rules: each is shown beside that of the version served before, so that an approver sees changes.
An adapter has the texts of its base.
"""

import hashlib
from collections.abc import Iterator

from appliance.api.admin.deps import Routes, ServicesDep
from appliance.app import Services
from appliance.errors import Refused
from appliance.registry.versions import served_before
from appliance.trust.artifacts.adapter import base_of
from appliance.trust.artifacts.artifact import SignedArtifact, Vetted
from appliance.wire.admin import model_texts as wire

router = Routes()


@router.serves(wire.MODEL_TEMPLATE)
def show_template(services: ServicesDep, model_id: str) -> wire.Template:
    """The chat template that is used, the one in the model's own file, and the one before."""
    signed, facts = _texts(services, model_id)
    own, used = facts.chat_template or "", _used(signed, facts)
    against, before = next(_before(services, model_id), (None, None))
    return wire.Template(
        id=model_id,
        used=used,
        own=own,
        sha256=hashlib.sha256(used.encode()).hexdigest(),
        file=signed.description.template,
        against=against,
        before=_used(*before) if before else "",
    )


@router.serves(wire.MODEL_GRAMMARS)
def show_grammars(services: ServicesDep, model_id: str) -> wire.Grammars:
    """The grammars that requests may name, and those before."""
    signed, _facts = _texts(services, model_id)
    against, before = next(_before(services, model_id), (None, None))
    return wire.Grammars(
        id=model_id,
        grammars=_grammars(signed),
        against=against,
        before=_grammars(before[0]) if before else [],
    )


def _texts(services: Services, model_id: str) -> tuple[SignedArtifact, Vetted]:
    policy = services.policy()
    return services.store.inspect(base_of(model_id) or model_id, policy)


def _before(
    services: Services, model_id: str
) -> Iterator[tuple[str, tuple[SignedArtifact, Vetted]]]:
    """Versions served before, still stored and acceptable."""
    record = services.store.inventory.record(base_of(model_id) or model_id)
    for other in served_before(record, services.store.inventory.records(), services.reader):
        try:
            yield other.id, _texts(services, other.id)
        except Refused:  # revoked, say: the one before it, then
            continue


def _used(signed: SignedArtifact, facts: Vetted) -> str:
    return (facts.chat_template or "") if signed.template is None else signed.template


def _grammars(signed: SignedArtifact) -> list[wire.GrammarText]:
    return [wire.GrammarText.told_by(each) for each in signed.grammars]
