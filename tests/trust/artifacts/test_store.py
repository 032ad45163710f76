"""The store: the way from a directory to a verified model, and everything that stops it."""

import ast
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import appliance
from appliance.errors import ApplianceError, PolicyRefused, SignatureRefused, StateRefused
from appliance.facts import ModelFacts
from appliance.trust.artifacts import signing, store
from appliance.trust.bytes import ecdsa
from appliance.trust.policy import lab as labs
from appliance.trust.policy import policy_document
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import approval
from tests.trust import forge
from tests.trust.forge import Gguf, Lab, as_json, quiet, sha256

pytestmark = pytest.mark.long

Action = Callable[[], object]


def code_of(action: Action) -> str:
    with pytest.raises(ApplianceError) as caught:
        action()
    return caught.value.code


def refused(lab: Lab, action: Action) -> str:
    """The code of a refusal that leaves the store as it was."""
    before = lab.snapshot()
    code = code_of(action)
    assert lab.snapshot() == before
    return code


def under(lab: Lab, change: Callable[..., object]) -> TrustPolicy:
    document = lab.document()
    change(document)
    return policy_document.parse(as_json(document))


# The whole way


def test_from_a_directory_to_a_verified_model(lab: Lab) -> None:
    record = lab.store.intake.quarantine(lab.artifact, None, quiet)
    assert (record.id, record.state, record.digest) == ("tiny", "quarantined", None)
    assert record.created_us == lab.clock.wall_us()
    checked = lab.store.check("tiny", lab.policy, quiet)
    assert checked.signer == lab.hint("publisher")
    assert lab.store.inventory.record("tiny") == record  # a check notes nothing by itself
    lab.store.inventory.set_state("tiny", "verified", digest=checked.digest, facts=checked.facts)
    for name in labs.APPROVERS:
        lab.store.add_approval("tiny", lab.approval("tiny", name), lab.policy)
    valid = lab.store.approvals("tiny", lab.policy)
    assert [entry.name for entry in valid] == ["approver-1", "approver-2"]
    model = lab.store.seal("tiny", lab.policy, quiet)
    assert (model.id, model.digest, model.signer) == ("tiny", checked.digest, checked.signer)
    assert model.approvers == ("approver-1", "approver-2")
    assert (model.policy_version, model.facts) == (1, checked.facts)
    assert model.gguf_sha256 == sha256((lab.artifact / "tiny.gguf").read_bytes())
    assert os.pread(model.sealed.fd, 4, 0) == b"GGUF"
    model.close()
    facts = lab.store.inventory.record("tiny").facts
    assert isinstance(facts, ModelFacts) and facts.architecture == "llama"


def test_progress_is_reported_by_phase(lab: Lab) -> None:
    phases: dict[str, tuple[int, int]] = {}

    def watch(phase: str, done: int, total: int) -> None:
        phases[phase] = (done, total)

    model_id = lab.approved()
    lab.store.inventory.discard(model_id)
    lab.store.intake.quarantine(lab.artifact, None, watch)
    lab.store.check(model_id, lab.policy, watch)
    assert set(phases) == {"copying", "hashing"}
    assert all(done == total > 0 for done, total in phases.values())


def test_each_step_is_durable_and_leaves_no_descriptor_open(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_id = lab.approved()
    lab.store.inventory.discard(model_id)
    before = forge.open_descriptors()
    synced = forge.watch_syncs(monkeypatch)
    lab.approved()
    lab.store.seal(model_id, lab.policy, quiet).close()
    store.load_policy(lab.data / "trust")
    assert forge.open_descriptors() == before
    assert synced[-1] == "models"  # after the copy was given its name
    assert {"tiny.gguf", "model.sig", "tiny.part"} <= set(synced[:-1])


# Quarantine


def link(lab: Lab) -> None:
    (lab.artifact / "link").symlink_to("LICENSE")


def twin(lab: Lab) -> None:
    os.link(lab.artifact / "tiny.gguf", lab.data / "twin")


MEDIA: dict[str, tuple[Callable[[Lab], object], str]] = {
    "symbolic link": (link, "file_symlink"),
    "hard link": (twin, "file_hardlink"),
    "FIFO": (lambda lab: os.mkfifo(lab.artifact / "fifo"), "file_special"),
    "ignored path": (lambda lab: (lab.artifact / ".gitignore").touch(), "file_ignored_path"),
    "twins": (lambda lab: (lab.artifact / "license").touch(), "file_name_refused"),
}


@pytest.mark.parametrize(("change", "code"), MEDIA.values(), ids=MEDIA)
def test_bad_media_are_not_copied(lab: Lab, change: Callable[[Lab], object], code: str) -> None:
    change(lab)
    assert refused(lab, lambda: lab.store.intake.quarantine(lab.artifact, None, quiet)) == code


@pytest.mark.parametrize(
    "model_id",
    ["", ".", "..", "../x", "a/b", ".hidden", "-x", "a b", "a" * 65, "x.part", "ä", "a\n", "a\0"],
)
def test_ids_that_are_no_ids(lab: Lab, model_id: str) -> None:
    action = lambda: lab.store.intake.quarantine(lab.artifact, model_id, quiet)  # noqa: E731
    assert refused(lab, action) == "invalid_model_id"


def test_the_id_is_the_directory_s_name_or_the_one_given(lab: Lab) -> None:
    assert lab.store.intake.quarantine(lab.artifact, None, quiet).id == "tiny"
    assert lab.store.intake.quarantine(lab.artifact, "Qwen3.5-x_1", quiet).id == "Qwen3.5-x_1"
    assert [record.id for record in lab.store.inventory.records()] == ["Qwen3.5-x_1", "tiny"]


def test_a_source_that_is_a_link(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "stick").symlink_to(lab.artifact)
    action = lambda: lab.store.intake.quarantine(tmp_path / "stick", None, quiet)  # noqa: E731
    assert refused(lab, action) == "artifact_not_directory"


def test_an_id_is_taken_until_its_model_was_refused(lab: Lab) -> None:
    model_id = lab.approved()
    for state in store.ModelState:
        if state != "refused":
            lab.store.inventory.set_state(model_id, state)
            assert (
                refused(lab, lambda: lab.store.intake.quarantine(lab.artifact, None, quiet))
                == "model_id_taken"
            )
    lab.store.inventory.set_state(model_id, "refused", code="file_changed")
    (lab.artifact / "LICENSE").write_text("MIT")
    lab.resign()
    again = lab.store.intake.quarantine(lab.artifact, None, quiet)
    assert (again.state, again.code, again.digest) == ("quarantined", None, None)
    assert (lab.data / "models" / "tiny" / "LICENSE").read_text() == "MIT"
    assert lab.store.approvals(model_id, lab.policy) == []


def test_a_taken_id_is_refused_before_anything_is_copied(lab: Lab) -> None:
    lab.store.intake.quarantine(lab.artifact, None, quiet)
    seen: list[str] = []

    def watch(phase: str, done: int, total: int) -> None:
        seen.append(phase)

    assert (
        code_of(lambda: lab.store.intake.quarantine(lab.artifact, None, watch)) == "model_id_taken"
    )
    assert seen == []


def test_two_imports_of_one_id_at_once(lab: Lab) -> None:
    def import_again(phase: str, done: int, total: int) -> None:
        assert (
            code_of(lambda: lab.store.intake.quarantine(lab.artifact, None, quiet))
            == "model_id_taken"
        )

    lab.store.intake.quarantine(lab.artifact, None, import_again)
    assert lab.store.check("tiny", lab.policy, quiet).digest


def test_an_import_that_finished_in_between_is_not_overwritten(lab: Lab) -> None:
    def finish_another(phase: str, done: int, total: int) -> None:
        lab.store.inventory.save(store.ModelRecord("tiny", "verified", digest="ab" * 32))
        (lab.data / "models" / "tiny").mkdir(exist_ok=True)

    action = lambda: lab.store.intake.quarantine(lab.artifact, None, finish_another)  # noqa: E731
    assert code_of(action) == "model_id_taken"
    assert lab.store.inventory.record("tiny").digest == "ab" * 32
    assert [path.name for path in (lab.data / "models").iterdir()] == ["tiny"]


def test_an_interrupted_import_is_cleaned_up(lab: Lab) -> None:
    part = lab.data / "models" / "big.part"
    (part / "sub").mkdir(parents=True)
    (part / "sub" / "half.gguf").write_bytes(b"GGUF")
    lab.verified()
    (lab.data / "models" / "orphan").mkdir()  # renamed, and no record made
    opened = store.ModelStore(lab.database, lab.data / "models", lab.clock)
    assert opened.intake.clean() == ["big", "orphan"]
    assert opened.intake.clean() == []
    assert not part.exists()
    assert opened.check("tiny", lab.policy, quiet).digest


def test_a_copy_that_was_stopped_is_no_model(lab: Lab) -> None:
    class Pulled(Exception):
        pass

    def pull_the_stick(phase: str, done: int, total: int) -> None:
        raise Pulled

    before = lab.snapshot()
    with pytest.raises(Pulled):
        lab.store.intake.quarantine(lab.artifact, None, pull_the_stick)
    assert lab.store.inventory.records() == []
    assert [path.name for path in (lab.data / "models").iterdir()] == ["tiny.part"]
    assert lab.store.intake.quarantine(lab.artifact, None, quiet).state == "quarantined"
    lab.store.inventory.discard("tiny")
    assert lab.snapshot() == before


# Checking what is stored


def test_a_refused_check_changes_nothing(lab: Lab) -> None:
    (lab.artifact / "tiny.gguf").write_bytes(Gguf(tail=b"x").build())
    lab.resign()
    lab.store.intake.quarantine(lab.artifact, None, quiet)
    assert refused(lab, lambda: lab.store.check("tiny", lab.policy, quiet)) == "gguf_trailing"
    assert refused(lab, lambda: lab.store.seal("tiny", lab.policy, quiet)) == "not_approved"


def test_unknown_models(lab: Lab) -> None:
    for action in (
        lambda: lab.store.check("none", lab.policy, quiet),
        lambda: lab.store.seal("none", lab.policy, quiet),
        lambda: lab.store.subject("none"),
        lambda: lab.store.add_approval("none", b"{}", lab.policy),
        lambda: lab.store.approvals("none", lab.policy),
        lambda: lab.store.inventory.record("none"),
        lambda: lab.store.inventory.set_state("none", "verified"),
    ):
        assert refused(lab, action) == "unknown_model_id"


# Approvals


def test_what_is_approved_is_the_root_digest_and_the_signature_file(lab: Lab) -> None:
    model_id = lab.verified()
    subject = lab.store.subject(model_id)
    assert subject.digest == lab.store.inventory.record(model_id).digest
    assert subject.signature_sha256 == sha256((lab.artifact / "model.sig").read_bytes())


def test_only_a_verified_model_is_approved(lab: Lab) -> None:
    lab.store.intake.quarantine(lab.artifact, None, quiet)
    assert refused(lab, lambda: lab.store.subject("tiny")) == "wrong_state"
    lab.store.inventory.discard("tiny")
    model_id = lab.verified()
    for state in ("refused", "revoked", "retired"):
        lab.store.inventory.set_state(model_id, state)
        assert refused(lab, lambda: lab.store.subject(model_id)) == "wrong_state"


def test_one_approval_is_not_enough(lab: Lab) -> None:
    model_id = lab.verified()
    assert refused(lab, lambda: lab.store.seal(model_id, lab.policy, quiet)) == "not_approved"
    lab.store.add_approval(model_id, lab.approval(model_id, "approver-1"), lab.policy)
    assert refused(lab, lambda: lab.store.seal(model_id, lab.policy, quiet)) == "not_approved"


def test_the_same_person_twice(lab: Lab) -> None:
    model_id = lab.verified()
    lab.store.add_approval(model_id, lab.approval(model_id, "approver-1"), lab.policy)
    lab.clock.advance(60)
    again = lab.approval(model_id, "approver-1")
    assert (
        refused(lab, lambda: lab.store.add_approval(model_id, again, lab.policy))
        == "approval_duplicate"
    )


def test_the_same_person_with_two_keys_counts_once(lab: Lab) -> None:
    second = forge.new_key()
    hint = ecdsa.hint(second.public_key())
    pem = ecdsa.public_pem(second.public_key()).decode()

    def bind(document: dict[str, dict[str, dict[str, object]]]) -> None:
        document["keys"][hint] = {"pem": pem, "person": "approver-1"}
        keys = document["roles"]["approver"]["keys"]
        assert isinstance(keys, list)
        keys.append(hint)

    lab.policy = under(lab, bind)
    model_id = lab.verified()
    lab.store.add_approval(model_id, lab.approval(model_id, "approver-1"), lab.policy)
    with_second = approval.sign(
        lab.store.subject(model_id),
        name="approver-1",
        meaning="fit for use",
        time_us=lab.clock.wall_us(),
        private_key=ecdsa.private_pem(second),
    )
    assert (
        refused(lab, lambda: lab.store.add_approval(model_id, with_second, lab.policy))
        == "approval_duplicate"
    )
    # Even when both lie in the store already, by an older policy say, they are one person.
    lab.store._records.add_approval(model_id, hint, with_second)
    assert len(lab.store.approvals(model_id, lab.policy)) == 1
    assert code_of(lambda: lab.store.seal(model_id, lab.policy, quiet)) == "not_approved"


def test_one_key_under_two_names(lab: Lab) -> None:
    model_id = lab.verified()
    lab.store.add_approval(model_id, lab.approval(model_id, "approver-1"), lab.policy)
    borrowed = lab.approval(model_id, "approver-2", key="approver-1")
    assert (
        refused(lab, lambda: lab.store.add_approval(model_id, borrowed, lab.policy))
        == "approver_name_mismatch"
    )


def test_the_publisher_does_not_approve(lab: Lab) -> None:
    def promote(document: dict[str, dict[str, dict[str, object]]]) -> None:
        keys = document["roles"]["approver"]["keys"]
        assert isinstance(keys, list)
        keys.append(lab.hint("publisher"))

    model_id = lab.verified()
    own = lab.approval(model_id, "publisher")
    assert (
        refused(lab, lambda: lab.store.add_approval(model_id, own, lab.policy))
        == "approver_not_allowed"
    )
    lab.policy = under(lab, promote)
    assert (
        refused(lab, lambda: lab.store.add_approval(model_id, own, lab.policy))
        == "approver_not_distinct"
    )
    lab.store._records.add_approval(model_id, lab.hint("publisher"), own)
    assert lab.store.approvals(model_id, lab.policy) == []


def test_approvals_of_another_artifact_do_not_count(lab: Lab) -> None:
    model_id = lab.approved()
    other = lab.store.intake.quarantine(lab.artifact, "other", quiet).id
    (lab.data / "models" / "other" / "model.sig").unlink()
    forge.resign(lab.data / "models" / "other", lab.key("publisher"))
    checked = lab.store.check(other, lab.policy, quiet)
    lab.store.inventory.set_state(other, "verified", digest=checked.digest)
    for name in labs.APPROVERS:
        envelope = lab.approval(model_id, name)
        assert (
            refused(lab, lambda e=envelope: lab.store.add_approval(other, e, lab.policy))  # type: ignore[misc]
            == "approval_other_artifact"
        )
    assert code_of(lambda: lab.store.seal(other, lab.policy, quiet)) == "not_approved"


def test_approvals_are_void_when_the_signature_file_changes(lab: Lab) -> None:
    model_id = lab.approved()
    stored = lab.data / "models" / model_id
    (stored / "model.sig").unlink()
    forge.resign(stored, lab.key("publisher"))  # the same content, signed again
    assert lab.store.approvals(model_id, lab.policy) == []
    assert code_of(lambda: lab.store.seal(model_id, lab.policy, quiet)) == "not_approved"


def test_a_revoked_approver_does_not_count_any_more(lab: Lab) -> None:
    model_id = lab.approved()
    later = under(lab, lambda d: d["revoked"].update(keys=[lab.hint("approver-2")]))
    assert [entry.name for entry in lab.store.approvals(model_id, later)] == ["approver-1"]
    assert refused(lab, lambda: lab.store.seal(model_id, later, quiet)) == "not_approved"


def test_a_policy_may_do_without_approvals(lab: Lab) -> None:
    model_id = lab.verified()
    free = under(lab, lambda d: d.update(models=[{"id": "tiny", "require": ["oms"]}]))
    lab.store.seal(model_id, free, quiet).close()


# Sealing


def test_revocation_after_approval(lab: Lab) -> None:
    model_id = lab.approved()
    digest = lab.store.inventory.record(model_id).digest
    for revoked, code in (
        ({"keys": [lab.hint("publisher")]}, "key_revoked"),
        ({"digests": [digest]}, "digest_revoked"),
    ):
        later = under(lab, lambda d, r=revoked: d["revoked"].update(r))
        assert refused(lab, lambda p=later: lab.store.seal(model_id, p, quiet)) == code  # type: ignore[misc]
    lab.store.seal(model_id, lab.policy, quiet).close()


def test_models_that_were_given_up_are_not_sealed(lab: Lab) -> None:
    model_id = lab.approved()
    for state in ("refused", "revoked", "retired"):
        lab.store.inventory.set_state(model_id, state)
        assert refused(lab, lambda: lab.store.seal(model_id, lab.policy, quiet)) == "wrong_state"


def stored_model(lab: Lab) -> Path:
    path = lab.data / "models" / "tiny" / "tiny.gguf"
    path.chmod(0o600)
    return path


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))


def replace_file(path: Path) -> None:
    path.unlink()
    path.write_bytes(Gguf(tail=b"x").build())


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


SWAPS: dict[str, tuple[Callable[[Path], object], str]] = {
    "overwritten": (overwrite, "file_changed"),
    "truncated": (lambda path: os.truncate(path, 10), "file_changed"),
    "replaced": (replace_file, "file_changed"),
    "replaced by a link": (replace_by_link, "file_symlink"),
    "unlinked": (lambda path: path.unlink(), "file_missing"),
}


@pytest.mark.parametrize(("swap", "code"), SWAPS.values(), ids=SWAPS)
def test_the_file_may_change_before_or_after_it_is_sealed(
    lab: Lab, swap: Callable[[Path], object], code: str
) -> None:
    model_id = lab.approved()
    path = stored_model(lab)
    good = path.read_bytes()
    model = lab.store.seal(model_id, lab.policy, quiet)
    swap(path)
    # Before: the swap is seen. After: it does not reach what was sealed.
    assert code_of(lambda: lab.store.seal(model_id, lab.policy, quiet)) == code
    again = model.sealed.reopen()
    assert os.pread(again, len(good) + 1, 0) == good
    os.close(again)
    model.close()


def test_the_artifact_is_the_one_that_was_verified(lab: Lab) -> None:
    model_id = lab.approved()
    stored = lab.data / "models" / model_id
    (stored / "LICENSE").unlink()
    (stored / "LICENSE").write_text("MIT")
    (stored / "model.sig").unlink()
    forge.resign(stored, lab.key("publisher"))
    free = under(lab, lambda d: d.update(models=[{"id": "tiny", "require": ["oms"]}]))
    for trusted in (lab.policy, free):
        action = lambda p=trusted: lab.store.seal(model_id, p, quiet)  # noqa: E731
        assert refused(lab, action) == "artifact_changed"
    assert refused(lab, lambda: lab.store.subject(model_id)) == "artifact_changed"


# Policy on disk


def test_the_policy_on_disk_must_be_the_root_s(lab: Lab) -> None:
    trust = lab.data / "trust"
    assert store.load_policy(trust) == lab.policy
    good = (trust / "policy.json").read_bytes()
    (trust / "policy.json").write_bytes(good.replace(b"payload", b"pay1oad"))
    assert code_of(lambda: store.load_policy(trust)) == "policy_signature"
    (trust / "policy.json").write_bytes(good)
    root = (trust / "root.pub").read_bytes()
    (trust / "root.pub").write_bytes((lab.data / "keys/lab/approver-1.pub").read_bytes())
    assert code_of(lambda: store.load_policy(trust)) == "policy_signature"
    (trust / "root.pub").write_bytes(b"x")
    assert code_of(lambda: store.load_policy(trust)) == "policy_signature"
    (trust / "root.pub").write_bytes(root)
    (trust / "policy.json").unlink()
    assert code_of(lambda: store.load_policy(trust)) == "policy_missing"
    (trust / "policy.json").symlink_to(lab.data / "keys" / "lab" / "root.pub")
    assert code_of(lambda: store.load_policy(trust)) == "policy_missing"
    assert code_of(lambda: store.load_policy(lab.data / "none")) == "policy_missing"


# Verified is a type


def constructions(source: str) -> list[int]:
    """Lines that make a `VerifiedModel`, by its name or by copying one with changes."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Name) and node.func.id == "VerifiedModel")
            or (isinstance(node.func, ast.Attribute) and node.func.attr == "VerifiedModel")
        )
    ]


def test_only_trust_makes_a_verified_model() -> None:
    package = Path(appliance.__file__).parent
    found = {
        path.relative_to(package).as_posix(): lines
        for path in package.rglob("*.py")
        if (lines := constructions(path.read_text()))
    }
    assert list(found) == ["trust/artifacts/store.py"]
    assert len(found["trust/artifacts/store.py"]) == 1
    # The control: what the test looks for is found where it is.
    assert constructions("x = store.VerifiedModel(id='x')\nVerifiedModel()") == [1, 2]


def test_a_verified_model_cannot_be_changed(lab: Lab) -> None:
    model = lab.store.seal(lab.approved(), lab.policy, quiet)
    with pytest.raises(AttributeError):
        model.digest = "ab" * 32  # type: ignore[misc]
    model.close()


def test_errors_have_their_kind(lab: Lab) -> None:
    with pytest.raises(StateRefused):
        lab.store.inventory.record("none")
    lab.store.intake.quarantine(lab.artifact, None, quiet)
    (lab.data / "models" / "tiny" / "LICENSE").unlink()
    with pytest.raises(SignatureRefused):
        lab.store.check("tiny", lab.policy, quiet)
    with pytest.raises(PolicyRefused):
        lab.store.check("tiny", replace(lab.policy, algorithms=frozenset()), quiet)


def test_a_model_that_is_held_must_have_the_template_that_is_pinned_now(lab: Lab) -> None:
    lab.approved()
    model = lab.store.seal("tiny", lab.policy, quiet)
    used = sha256((model.facts.chat_template or "").encode())

    def pinned(digest: str) -> TrustPolicy:
        entry = {"id": "tiny", "template_sha256": digest}
        return under(lab, lambda d: d.update(models=[entry]))

    lab.store.recheck(model, pinned(used))
    with pytest.raises(PolicyRefused) as caught:
        lab.store.recheck(model, pinned("ab" * 32))
    assert caught.value.code == "template_not_in_policy"
    model.close()


@pytest.mark.parametrize("shard_size", [None, 10])
@pytest.mark.parametrize("name", ["chat.jinja", "verdict.lark", "artifact.json"])
def test_a_small_file_that_is_revoked_is_found_without_hashing_the_model(
    lab: Lab, shard_size: int | None, name: str
) -> None:
    """In shards the manifest lacks the digest of the file."""
    (lab.artifact / "chat.jinja").write_text("x" * 25)
    (lab.artifact / "verdict.lark").write_text('start: "a"')
    roles = {"chat.jinja": "template", "verdict.lark": "grammar"}
    (lab.artifact / "artifact.json").write_bytes(as_json({"version": 1, "roles": roles}))
    signing.sign_directory(lab.artifact, lab.pem("publisher"), quiet, shard_size=shard_size)
    lab.approved()
    digest = sha256((lab.artifact / name).read_bytes())
    lab.store.ask("tiny", lab.policy)
    revoked = under(lab, lambda d: d["revoked"].update(digests=[digest]))
    with pytest.raises(PolicyRefused) as caught:
        lab.store.ask("tiny", revoked)
    assert caught.value.code == "digest_revoked"
