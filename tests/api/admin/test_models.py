"""Artifacts over the admin socket, on the real store, policy and log."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.app import Services
from appliance.audit.search import Query
from appliance.client import AdminClient
from appliance.errors import Refused
from appliance.facts import ModelFacts
from appliance.trust.bytes import ecdsa
from appliance.wire.admin import models as wire
from tests.api.admin.lab import APPROVERS, LabData, Reports, approve_model, import_model
from tests.trust import forge


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.code


def edges(services: Services, model_id: str) -> list[object]:
    return [
        e.body["state"] for e in services.reader.search(Query(kind="model", model=model_id)).entries
    ]


def test_from_a_signed_directory_to_an_approved_model(
    lab: LabData, services: Services, client: AdminClient
) -> None:
    reports = Reports()
    imported = import_model(client, lab.artifact(), report=reports)
    assert (imported.id, imported.state, imported.code) == ("tiny", "verified", None)
    assert imported.digest is not None and len(imported.digest) == 64
    one, two = APPROVERS
    assert approve_model(client, "tiny", lab.approval(client, "tiny", one)).state == "verified"
    assert approve_model(client, "tiny", lab.approval(client, "tiny", two)).state == "approved"
    assert [(m.id, m.state, m.loaded) for m in client.call(wire.MODELS).models] == [
        ("tiny", "approved", False)
    ]
    assert edges(services, "tiny") == ["quarantined", "vetted", "verified", "verified", "approved"]
    actors = {e.body["actor"] for e in services.reader.search(Query(kind="model")).entries}
    assert actors == {f"uid:{os.getuid()}"}


def test_the_detail_names_who_approved_and_what_the_file_is(
    lab: LabData, client: AdminClient
) -> None:
    detail = client.call(wire.MODEL, model_id=lab.approved(client))
    assert [(a.name, a.meaning) for a in detail.approvals] == [
        (name, "fit for use") for name in APPROVERS
    ]
    assert isinstance(detail.facts, ModelFacts) and detail.facts.architecture == "llama"


def test_approvals_do_not_count_once_the_stored_files_were_touched(
    lab: LabData, client: AdminClient
) -> None:
    model_id = lab.approved(client)
    signature = lab.data / "models" / model_id / "model.sig"
    signature.chmod(0o600)
    signature.write_bytes(b"{}")
    assert client.call(wire.MODEL, model_id=model_id).approvals == []


def test_a_refused_artifact_comes_back_with_its_code(
    lab: LabData, services: Services, client: AdminClient
) -> None:
    artifact = lab.artifact()
    (artifact / "LICENSE").write_text("Apache-2.1")
    refused = import_model(client, artifact, "bad")
    assert (refused.state, refused.code, refused.digest) == ("refused", "file_changed", None)
    assert refused.hint
    assert client.call(wire.MODEL, model_id="bad").code == "file_changed"
    assert edges(services, "bad") == ["quarantined", "vetted", "refused"]


def test_what_cannot_even_be_stored_leaves_no_model(lab: LabData, client: AdminClient) -> None:
    artifact = lab.artifact()
    (artifact / "link").symlink_to("LICENSE")
    assert code_of(lambda: import_model(client, artifact, "x")) == "file_symlink"
    assert client.call(wire.MODELS).models == []


def test_an_id_is_taken_only_once(lab: LabData, client: AdminClient) -> None:
    model_id = lab.approved(client)
    again = lab.data.parent / model_id
    assert code_of(lambda: import_model(client, again)) == "model_id_taken"
    assert client.call(wire.MODEL, model_id=model_id).state == "approved"


@pytest.mark.parametrize("bad", ["../x", "a/b", "", ".", "x" * 65, "\x1b[2J"])
def test_an_id_that_is_none_is_refused(lab: LabData, client: AdminClient, bad: str) -> None:
    path = lab.artifact()
    assert code_of(lambda: import_model(client, path, bad)) == "invalid_model_id"
    assert code_of(lambda: client.call(wire.MODEL, model_id=bad)) == "unknown_model_id"


def test_approvals_that_do_not_hold(lab: LabData, client: AdminClient) -> None:
    import_model(client, lab.artifact(), "tiny")
    import_model(client, lab.artifact("other"), "other")
    one, two = APPROVERS
    other = lab.approval(client, "other", one)
    mismatch = lab.approval(client, "tiny", one, key=two)
    publisher = lab.approval(client, "tiny", "publisher")
    first = lab.approval(client, "tiny", one)
    swapped = json.dumps(
        {**json.loads(first), "signatures": json.loads(other)["signatures"]}
    ).encode()
    assert code_of(lambda: approve_model(client, "tiny", other)) == "approval_other_artifact"
    assert code_of(lambda: approve_model(client, "tiny", mismatch)) == "approver_name_mismatch"
    assert code_of(lambda: approve_model(client, "tiny", publisher)) == "approver_not_allowed"
    assert code_of(lambda: approve_model(client, "tiny", swapped)) == "approval_signature"
    assert code_of(lambda: approve_model(client, "tiny", b"not json")) == "approval_malformed"
    approve_model(client, "tiny", first)
    assert code_of(lambda: approve_model(client, "tiny", first)) == "approval_duplicate"
    assert client.call(wire.MODEL, model_id="tiny").state == "verified"


def test_an_unknown_model_is_refused_everywhere(client: AdminClient) -> None:
    calls: list[Callable[[], object]] = [
        lambda: client.call(wire.MODEL, model_id="none"),
        lambda: client.call(wire.MODEL_SUBJECT, model_id="none"),
        lambda: approve_model(client, "none", b"{}"),
        lambda: client.call(wire.MODEL_LOAD, model_id="none"),
        lambda: client.call(wire.MODEL_UNLOAD, model_id="none"),
        lambda: client.call(wire.MODEL_SUSPEND, wire.Reason.of(reason=""), model_id="none"),
        lambda: client.call(wire.MODEL_RETIRE, wire.Reason.of(), model_id="none"),
    ]
    assert {code_of(call) for call in calls} == {"unknown_model_id"}


def test_one_approval_does_not_make_a_model_loadable(lab: LabData, client: AdminClient) -> None:
    import_model(client, lab.artifact(), "tiny")
    approve_model(client, "tiny", lab.approval(client, "tiny", APPROVERS[0]))
    assert code_of(lambda: client.call(wire.MODEL_LOAD, model_id="tiny")) == "not_approved"


def test_a_model_that_is_not_loaded_cannot_be_unloaded(lab: LabData, client: AdminClient) -> None:
    lab.approved(client)
    assert code_of(lambda: client.call(wire.MODEL_UNLOAD, model_id="tiny")) == "wrong_state"


def test_suspended_and_retired_models_stay_so(
    lab: LabData, services: Services, client: AdminClient
) -> None:
    lab.approved(client)
    suspended = client.call(
        wire.MODEL_SUSPEND, wire.Reason.of(reason="odd answers"), model_id="tiny"
    )
    assert (suspended.state, suspended.message) == ("suspended", "odd answers")
    assert code_of(lambda: client.call(wire.MODEL_LOAD, model_id="tiny")) == "wrong_state"
    assert client.call(wire.MODEL_RETIRE, wire.Reason.of(), model_id="tiny").state == "retired"
    assert (
        code_of(
            lambda: client.call(wire.MODEL_SUSPEND, wire.Reason.of(reason="again"), model_id="tiny")
        )
        == "wrong_state"
    )
    assert edges(services, "tiny")[-2:] == ["suspended", "retired"]
    reasons = [
        entry.body.get("reason") for entry in services.reader.search(Query(kind="model")).entries
    ]
    assert "odd answers" in reasons


def test_a_path_that_is_no_directory(lab: LabData, client: AdminClient) -> None:
    missing = Path("/nonexistent/model")
    assert code_of(lambda: import_model(client, missing, "x")) == "artifact_not_directory"


def test_the_default_id_is_the_name_of_the_directory(lab: LabData, client: AdminClient) -> None:
    assert import_model(client, lab.artifact("my-model")).id == "my-model"


def test_a_file_that_is_no_gguf(lab: LabData, client: AdminClient) -> None:
    artifact = lab.artifact()
    (artifact / "tiny.gguf").write_bytes(b"NOPE" + bytes(100))
    forge.resign(artifact, ecdsa.load_private(lab.key("publisher").read_bytes()))
    assert import_model(client, artifact, "bad").code == "gguf_magic"
