"""The texts that were signed with a model, beside those of the version that was served before."""

import json
from pathlib import Path

from appliance.app import Services
from appliance.client import AdminClient
from appliance.registry.audit_entries import Edges
from appliance.trust.artifacts import signing
from appliance.trust.artifacts.store import load_policy
from appliance.wire.admin.model_texts import MODEL_GRAMMARS, MODEL_TEMPLATE
from appliance.wire.admin.models import MODEL
from tests.api.admin.lab import APPROVERS, LabData, approve_model, import_model
from tests.trust import forge

OWN = "{{ messages[0].content }}"
"""The template in the file of the tiny model."""


def texts(lab: LabData, name: str, template: str, **grammars: str) -> Path:
    path = lab.artifact(name)
    (path / "chat.jinja").write_text(template)
    for grammar, text in grammars.items():
        (path / f"{grammar}.lark").write_text(text)
    roles = {"chat.jinja": "template", **{f"{g}.lark": "grammar" for g in grammars}}
    (path / "artifact.json").write_text(json.dumps({"version": 1, "roles": roles}))
    signing.sign_directory(path, lab.key("publisher").read_bytes(), forge.quiet)
    return path


def take(
    lab: LabData, services: Services, client: AdminClient, path: Path, *, served: bool
) -> None:
    """Import and approve an artifact; record a load, for which the tiny model is too small."""
    import_model(client, path)
    for name in APPROVERS:
        approve_model(client, path.name, lab.approval(client, path.name, name))
    if served:
        policy = load_policy(services.data / "trust")
        record = services.store.inventory.record(path.name)
        Edges(services.audit).record("uid:0", record, "serving", policy)


def test_without_an_earlier_version_there_is_nothing_before(
    lab: LabData, services: Services, client: AdminClient
) -> None:
    take(lab, services, client, texts(lab, "pump-v1", "one", report='start: "a"'), served=True)
    shown = client.call(MODEL_TEMPLATE, model_id="pump-v1")
    assert (shown.used, shown.own, shown.file) == ("one", OWN, "chat.jinja")
    assert (shown.against, shown.before) == (None, "")
    grammars = client.call(MODEL_GRAMMARS, model_id="pump-v1")
    assert [(g.name, g.kind, g.file, g.text) for g in grammars.grammars] == [
        ("report", "lark", "report.lark", 'start: "a"')
    ]
    assert (grammars.against, grammars.before) == (None, [])


def test_the_version_before_is_the_newest_that_was_served(
    lab: LabData, services: Services, client: AdminClient
) -> None:
    for name, served in (("pump-v1", True), ("pump-v2", True), ("pump-v3", False)):
        take(lab, services, client, texts(lab, name, f"of {name}", report=f'start: "{name}"'),
             served=served)  # fmt: skip
    import_model(client, texts(lab, "pump-v4", "new"))
    shown = client.call(MODEL_TEMPLATE, model_id="pump-v4")
    assert (shown.against, shown.before) == ("pump-v2", "of pump-v2")
    grammars = client.call(MODEL_GRAMMARS, model_id="pump-v4")
    assert (grammars.against, grammars.grammars) == ("pump-v2", [])
    assert [g.text for g in grammars.before] == ['start: "pump-v2"']


def test_a_version_whose_artifact_is_not_acceptable_any_more_is_passed_over(
    lab: LabData, services: Services, client: AdminClient
) -> None:
    for name in ("pump-v1", "pump-v2"):
        take(lab, services, client, texts(lab, name, f"of {name}"), served=True)
    stored = services.data / "models" / "pump-v2" / "chat.jinja"
    stored.chmod(0o600)
    stored.write_text("changed")
    import_model(client, texts(lab, "pump-v3", "new"))
    shown = client.call(MODEL_TEMPLATE, model_id="pump-v3")
    assert (shown.against, shown.before) == ("pump-v1", "of pump-v1")


def test_the_detail_lists_the_grammars_while_the_artifact_is_acceptable(
    lab: LabData, services: Services, client: AdminClient
) -> None:
    take(lab, services, client, texts(lab, "pump-v1", "one", report='start: "a"'), served=False)
    (grammar,) = client.call(MODEL, model_id="pump-v1").grammars
    assert (grammar.name, grammar.kind) == ("report", "lark")
    assert grammar.sha256 == forge.sha256(b'start: "a"')
    stored = services.data / "models" / "pump-v1" / "report.lark"
    stored.chmod(0o600)
    stored.write_text("changed")
    assert client.call(MODEL, model_id="pump-v1").grammars == []
