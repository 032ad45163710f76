"""`appliance artifact …` on the real store, policy and log; no server runs."""

import datetime
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.trust.artifacts import signing
from appliance.trust.bytes import ecdsa, oms
from appliance.trust.bytes.directory import remove_tree
from tests.api.admin.lab import APPROVERS, LabData
from tests.cli.conftest import Run, run_command
from tests.trust import certs, forge


def resign(artifact: Path, lab: LabData, key: str = "publisher") -> None:
    forge.resign(artifact, ecdsa.load_private(lab.key(key).read_bytes()))


def flip(artifact: Path, lab: LabData) -> None:
    data = bytearray((artifact / "tiny.gguf").read_bytes())
    data[-1] ^= 1
    (artifact / "tiny.gguf").write_bytes(data)


def rewrite(name: str, data: bytes) -> Callable[[Path, LabData], object]:
    return lambda artifact, lab: (artifact / name).write_bytes(data)


def signed_garbage(artifact: Path, lab: LabData) -> None:
    (artifact / "tiny.gguf").write_bytes(b"GARBAGE" * 10)
    resign(artifact, lab)


def hardlink(artifact: Path, lab: LabData) -> None:
    (artifact / "again").hardlink_to(artifact / "LICENSE")


def duplicate_key(artifact: Path, lab: LabData) -> None:
    text = (artifact / "model.sig").read_text()
    (artifact / "model.sig").write_text(text.replace("{", '{"mediaType": "x", ', 1))


def dotdot(artifact: Path, lab: LabData) -> None:
    def rename(statement: dict[str, object]) -> None:
        predicate = statement["predicate"]
        assert isinstance(predicate, dict)
        predicate["resources"][0]["name"] = "../LICENSE"

    forge.resign(artifact, ecdsa.load_private(lab.key("publisher").read_bytes()), rename)


def unknown_hash(artifact: Path, lab: LabData) -> None:
    def rename(statement: dict[str, object]) -> None:
        predicate = statement["predicate"]
        assert isinstance(predicate, dict)
        predicate["serialization"]["hash_type"] = "md5"

    forge.resign(artifact, ecdsa.load_private(lab.key("publisher").read_bytes()), rename)


BAD: list[tuple[str, Callable[[Path, LabData], object], str]] = [
    ("a flipped byte", flip, "file_changed"),
    ("a truncated file", rewrite("tiny.gguf", b"GGUF"), "gguf_truncated"),
    ("a missing file", lambda a, lab: (a / "LICENSE").unlink(), "file_missing"),
    ("an extra file", rewrite("extra", b""), "file_extra"),
    ("a renamed file", lambda a, lab: (a / "LICENSE").rename(a / "COPYING"), "file_missing"),
    ("a symlink", lambda a, lab: (a / "l").symlink_to("LICENSE"), "file_symlink"),
    ("a hardlink", hardlink, "file_hardlink"),
    ("no signature", lambda a, lab: (a / "model.sig").unlink(), "signature_missing"),
    ("a signature by another key", lambda a, lab: resign(a, lab, "approver-1"),
     "publisher_not_allowed"),
    ("a signature that is not JSON", rewrite("model.sig", b"\x00"), "signature_json_invalid"),
    ("a duplicate key", duplicate_key, "signature_json_invalid"),
    ("a name with ..", dotdot, "manifest_name_refused"),
    ("an unknown algorithm", unknown_hash, "signature_method_unsupported"),
    ("a file that is not a GGUF", signed_garbage, "gguf_magic"),
]  # fmt: skip


def approve(run: Run, lab: LabData, model_id: str, name: str, key: str = "") -> object:
    done = run(
        *("artifact", "approve", model_id, "--as", name, "--key", lab.key(key or name)),
        *("--meaning", "fit", "--json"),
    )
    return done.code if done.status else done.document["state"]


def test_from_a_directory_to_an_approved_model(lab: LabData, run: Run) -> None:
    artifact = lab.data.parent / "mine"
    forge.make_artifact(artifact)
    signed = run("artifact", "sign", artifact, "--key", lab.key("publisher"), "--json")
    assert (signed.status, signed.document["files"]) == (0, 3)
    imported = run("artifact", "import", artifact, "--json")
    assert imported.status == 0
    promised = ("id", "state", "digest", "code", "message", "hint")
    assert {name: imported.document[name] for name in promised} == {
        "id": "mine", "state": "verified", "digest": signed.document["digest"], "code": None,
        "message": "", "hint": "",
    }  # fmt: skip
    assert approve(run, lab, "mine", "approver-1") == "verified"
    assert approve(run, lab, "mine", "approver-2") == "approved"
    (listed,) = run("artifact", "list", "--json").document["models"]
    assert (listed["id"], listed["state"], listed["loaded"]) == ("mine", "approved", False)


def test_an_import_reports_each_file_and_goes_on_with_an_interrupted_copy(
    lab: LabData, run: Run
) -> None:
    artifact = lab.artifact("mine")
    part = lab.data / "models" / "mine.part"
    part.mkdir(mode=0o700)
    (part / "model.sig").write_bytes((artifact / "model.sig").read_bytes())
    (part / "model.sig").chmod(0o400)
    body = (artifact / "tiny.gguf").read_bytes()
    (part / "tiny.gguf").write_bytes(body[:100])
    done = run("artifact", "import", artifact, "--json")
    assert done.status == 0
    files = {file["name"]: file for file in done.document["files"]}
    assert set(files) == {"LICENSE", "docs/card.md", "model.sig", "tiny.gguf"}
    assert files["tiny.gguf"]["copied"] == len(body) - 100
    assert files["tiny.gguf"]["sha256"] == forge.sha256(body)
    assert files["model.sig"]["copied"] == 0
    told = run("artifact", "import", artifact, "--id", "other")
    assert f"{forge.sha256(body)[:12]}  tiny.gguf\n" in told.out


@pytest.mark.parametrize(("change", "code"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_artifact_is_refused_with_its_code(
    lab: LabData, run: Run, change: Callable[[Path, LabData], object], code: str
) -> None:
    artifact = lab.artifact()
    change(artifact, lab)
    done = run("artifact", "import", artifact, "--id", "bad", "--json")
    assert done.code == (1, code)
    assert (done.document["id"], done.document["state"]) == ("bad", "refused")
    assert done.document["digest"] is None
    assert done.document["message"] and done.document["hint"]


def test_a_good_artifact_is_taken(lab: LabData, run: Run) -> None:
    # The control of the refusals above: the same artifact without the change.
    assert run("artifact", "import", lab.artifact(), "--id", "good", "--json").status == 0


def test_a_refused_artifact_says_why_to_a_person(lab: LabData, run: Run) -> None:
    artifact = lab.artifact()
    flip(artifact, lab)
    done = run("artifact", "import", artifact)
    assert done.status == 1
    assert "[!] refused" in done.out
    assert "file_changed: " in done.out


def test_a_verified_directory_needs_no_data_directory(lab: LabData) -> None:
    artifact = lab.artifact()
    public = lab.key("publisher").with_suffix(".pub")
    other = lab.key("approver-1").with_suffix(".pub")
    done = run_command("artifact", "verify", artifact, "--key", public, "--json")
    assert (done.status, done.document["ok"]) == (0, True)
    assert "tiny.gguf" in done.document["files"]
    both = run_command("artifact", "verify", artifact, "--key", other, "--key", public)
    assert both.status == 0
    refused = run_command("artifact", "verify", artifact, "--key", other, "--json")
    assert refused.code == (1, "signature_key_unknown")
    flip(artifact, lab)
    changed = run_command("artifact", "verify", artifact, "--key", public, "--json")
    assert changed.code == (1, "file_changed")


@pytest.mark.parametrize("key", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_file_that_is_no_key(lab: LabData, run: Run, tmp_path: Path, key: bytes) -> None:
    (tmp_path / "k").write_bytes(key)
    artifact = lab.artifact()
    code = (1, "signature_key_unsupported")
    assert run_command("artifact", "sign", artifact, "--key", tmp_path / "k", "--json").code == code
    assert (
        run_command("artifact", "verify", artifact, "--key", tmp_path / "k", "--json").code == code
    )
    run("artifact", "import", artifact)
    done = run(
        *("artifact", "approve", "tiny", "--as", "approver-1", "--key", tmp_path / "k"),
        *("--meaning", "fit", "--json"),
    )
    assert done.code == code


def test_progress_goes_to_stderr(lab: LabData, run: Run) -> None:
    artifact = lab.artifact()
    done = run("artifact", "sign", artifact, "--key", lab.key("publisher"), "--json")
    assert "hashing 100 %" in done.err
    assert json.loads(done.out)["files"] == 3


def test_two_different_people_make_a_model_loadable(lab: LabData, run: Run) -> None:
    run("artifact", "import", lab.artifact())
    first, second = APPROVERS
    assert approve(run, lab, "tiny", first) == "verified"
    assert approve(run, lab, "tiny", first) == (1, "approval_duplicate")
    assert approve(run, lab, "tiny", first, key=second) == (1, "approver_name_mismatch")
    assert approve(run, lab, "tiny", "publisher") == (1, "approver_not_allowed")
    assert approve(run, lab, "tiny", second) == "approved"


def test_the_private_key_is_kept_nowhere(lab: LabData, approved: str) -> None:
    secret = lab.key("approver-1").read_bytes().splitlines()[2]  # behind mark and BEGIN
    kept = [path for path in lab.data.rglob("*") if path.is_file() and secret in path.read_bytes()]
    assert kept == [lab.key("approver-1")]


def test_show_tells_approvals_and_facts(run: Run, approved: str) -> None:
    done = run("artifact", "show", approved)
    assert "approved by approver-1 at " in done.out
    assert "architecture: llama" in done.out
    document = run("artifact", "show", approved, "--json").document
    assert [a["meaning"] for a in document["approvals"]] == ["fit for use"] * 2


def test_suspend_and_retire(run: Run, approved: str) -> None:
    done = run("artifact", "suspend", approved, "--reason", "odd answers", "--json")
    assert (done.document["state"], done.document["message"]) == ("suspended", "odd answers")
    assert run("artifact", "retire", approved, "--json").document["state"] == "retired"
    assert run("artifact", "suspend", approved, "--json").code == (1, "wrong_state")


def test_an_empty_store(run: Run) -> None:
    assert run("artifact", "list").out.startswith("No artifacts. Import one with")
    assert run("artifact", "list", "--json").document == {"models": []}


def test_signing_by_certificate_and_in_shards(lab: LabData, run: Run, tmp_path: Path) -> None:
    today = datetime.datetime.now(datetime.UTC)
    dates = {"start": today - certs.DAY, "end": today + certs.DAY}
    chain = certs.chain(certs.LEAF.but(**dates), certs.ISSUER.but(**dates), certs.ROOT.but(**dates))
    for name, data in (
        ("key", ecdsa.private_pem(chain.leaf.key)),
        ("chain", chain.pem),
        ("roots", chain.root.pem),
        ("other", certs.chain().root.pem),
    ):
        (tmp_path / name).write_bytes(data)
    artifact = lab.artifact()
    sign = ("artifact", "sign", artifact, "--key", tmp_path / "key", "--json")
    assert run(*sign, "--cert", tmp_path / "chain", "--shard-size", "100").status == 0
    verify = ("artifact", "verify", artifact, "--json")
    assert run(*verify, "--roots", tmp_path / "roots").document["ok"] is True
    assert run(*verify, "--roots", tmp_path / "other").code == (1, "certificate_untrusted")
    assert run(*verify).status == 2
    assert run(*sign, "--cert", tmp_path / "roots").code == (1, "certificate_key_mismatch")


def test_revoking_and_checking_again(run: Run, lab: LabData, approved: str) -> None:
    assert run("artifact", "recheck", "--json").document["models"] == []
    stored = lab.data / "models" / approved / "LICENSE"
    stored.chmod(0o600)
    stored.write_text("changed")
    found = run("artifact", "recheck", "--json")
    assert found.status == 1
    assert [(m["state"], m["code"]) for m in found.document["models"]] == [
        ("suspended", "file_changed")
    ]
    revoked = run("artifact", "revoke", approved, "--reason", "stolen key", "--json")
    assert (revoked.document["state"], revoked.document["message"]) == ("revoked", "stolen key")


def templated(lab: LabData) -> Path:
    """Its template file says something else than the model's own."""
    path = lab.artifact("other")
    (path / "chat.jinja").write_text("{{ messages[0].content }}\nand a line more\x1b[2J")
    (path / "artifact.json").write_text('{"version": 1, "roles": {"chat.jinja": "template"}}')
    signing.sign_directory(path, lab.key("publisher").read_bytes(), forge.quiet)
    return path


def test_a_changed_template_is_shown_to_the_approver(lab: LabData, run: Run) -> None:
    assert run("artifact", "import", templated(lab)).status == 0
    shown = run("artifact", "show", "other", "--template-diff").out
    assert "+and a line more" in shown and "\x1b" not in shown
    assert "(chat.jinja)" in shown
    done = run(
        *("artifact", "approve", "other", "--as", APPROVERS[0], "--key", lab.key(APPROVERS[0])),
        *("--meaning", "fit for use"),
    )
    assert done.status == 0 and "+and a line more" in done.err
    document = run("artifact", "show", "other", "--template-diff", "--json").document
    assert document["sha256"] in done.err


def test_templates_of_two_models_are_compared(lab: LabData, run: Run) -> None:
    run("artifact", "import", templated(lab))
    run("artifact", "import", lab.artifact("tiny"))
    plain = run("artifact", "show", "tiny", "--template-diff").out
    assert plain == "no difference\n"
    against = run("artifact", "show", "tiny", "--template-diff", "--against", "other").out
    assert "-and a line more" in against
    assert run("artifact", "show", "tiny", "--against", "other").status == 2


def test_grammars_are_listed_and_shown_to_the_approver(lab: LabData, run: Run) -> None:
    path = lab.artifact("pump")
    (path / "verdict.lark").write_text('start: "ok" | "defect"\x1b')
    (path / "artifact.json").write_text('{"version": 1, "roles": {"verdict.lark": "grammar"}}')
    signing.sign_directory(path, lab.key("publisher").read_bytes(), forge.quiet)
    assert run("artifact", "import", path).status == 0
    shown = run("artifact", "show", "pump")
    digest = forge.sha256((path / "verdict.lark").read_bytes())
    assert f"grammar verdict: lark, {digest}" in shown.out
    done = run(
        *("artifact", "approve", "pump", "--as", APPROVERS[0], "--key", lab.key(APPROVERS[0])),
        *("--meaning", "fit for use"),
    )
    assert done.status == 0 and f"grammar verdict {digest}" in done.err
    assert '+start: "ok" | "defect"' in done.err and "\x1b" not in done.err
    told = run("artifact", "show", "pump", "--grammar-diff", "--json").document
    assert told["grammars"][0]["name"] == "verdict" and told["diff"]
    assert run("artifact", "show", "pump", "--grammar-diff", "--template-diff").status == 2


def test_the_bill_of_materials(run: Run, approved: str) -> None:
    document = run("artifact", "show", approved, "--bom").document
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.7")
    (model,) = document["components"]
    assert (model["name"], model["type"]) == (approved, "machine-learning-model")


def test_a_model_without_files_is_named_everywhere(lab: LabData, run: Run, approved: str) -> None:
    digest = run("artifact", "show", approved, "--json").document["digest"]
    assert run("doctor", "--json").document["problems"] == []
    remove_tree(lab.data / "models" / approved)
    assert "[!] missing" in run("artifact", "list").out
    shown = run("artifact", "show", approved, "--json").document
    assert (shown["state"], shown["code"]) == ("missing", "model_missing")
    assert any(
        approved in alarm and digest in alarm
        for alarm in run("status", "--json").document["alarms"]
    )
    doctor = run("doctor", "--json")
    (problem,) = doctor.document["problems"]
    assert (doctor.status, problem["code"]) == (1, "model_missing")
    assert approved in problem["message"] and digest in problem["message"]
    again = run("artifact", "import", lab.data.parent / approved, "--json").document
    assert (again["state"], again["code"]) == ("approved", None)
    assert run("doctor", "--json").document["ok"]


def test_every_file_is_signed_and_counted(run: Run, lab: LabData, tmp_path: Path) -> None:
    path = tmp_path / "things"
    path.mkdir()
    for name in ("a", "b"):
        (path / name).write_text(name)
    done = run("artifact", "sign", path, "--key", lab.key("publisher"))
    manifest = oms.parse_manifest(oms.parse_bundle((path / "model.sig").read_bytes()))
    assert done.out == f"signed 2 files, digest {manifest.root}\n"


@pytest.mark.parametrize("kind", ["task", "dataset"])
def test_an_empty_list_says_how_to_fill_it(run: Run, lab: LabData, kind: str) -> None:
    done = run(kind, "list")
    assert done.out == f"No {kind}s. Import one with `appliance {kind} import DIR`.\n"
    assert run(kind, "list", "--json").document == {f"{kind}s": []}
