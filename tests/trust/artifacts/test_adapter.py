"""Adapters in the store: bound to one base by their signature."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from appliance.errors import ApplianceError
from appliance.facts import AdapterFacts
from appliance.trust.artifacts import signing
from appliance.trust.artifacts.adapter import STATEMENT_FILE, base_of
from appliance.trust.artifacts.store import VerifiedAdapter, VerifiedModel
from appliance.trust.policy import policy_document
from appliance.trust.policy.policy import TrustPolicy
from tests.trust import forge
from tests.trust.forge import Gguf, Lab, Tensor, quiet


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(ApplianceError) as caught:
        action()
    return caught.value.code


@pytest.fixture
def base(lab: Lab) -> VerifiedModel:
    return lab.store.seal(lab.approved(), lab.policy, quiet)


def test_from_a_directory_to_a_verified_adapter(lab: Lab, base: VerifiedModel) -> None:
    path = lab.adapter()
    statement = json.loads((path / STATEMENT_FILE).read_bytes())
    assert statement["base"] == {"oms_root": base.digest, "gguf_sha256": base.gguf_sha256}
    adapter = lab.store.seal_adapter(lab.take(path, "tiny:fr"), base, lab.policy, quiet)
    assert isinstance(adapter, VerifiedAdapter)
    assert (adapter.id, base_of(adapter.id), base_of(base.id)) == ("tiny:fr", "tiny", None)
    assert adapter.digest != base.digest and adapter.approvers == ("approver-1", "approver-2")
    assert adapter.facts.lora.rank == 2
    shown = lab.store.inventory.record("tiny:fr").facts
    assert isinstance(shown, AdapterFacts) and shown.base_digest == base.digest
    lab.store.recheck(adapter, lab.policy)
    adapter.close()
    base.close()


def test_only_an_approved_adapter_is_sealed(lab: Lab, base: VerifiedModel) -> None:
    lab.store.intake.quarantine(lab.adapter(), "tiny:fr", quiet)
    assert (
        code_of(lambda: lab.store.seal_adapter("tiny:fr", base, lab.policy, quiet))
        == "not_approved"
    )


def test_a_revoked_adapter_is_not_accepted_again(lab: Lab, base: VerifiedModel) -> None:
    adapter = lab.store.seal_adapter(lab.take(lab.adapter(), "tiny:fr"), base, lab.policy, quiet)
    revoked = replace(lab.policy.revoked, digests=frozenset({adapter.digest}))
    policy = replace(lab.policy, revoked=revoked)
    assert code_of(lambda: lab.store.recheck(adapter, policy)) == "digest_revoked"


# Each in the place of the other


def test_an_adapter_in_the_place_of_a_model(lab: Lab) -> None:
    lab.approved()
    lab.store.intake.quarantine(lab.adapter(), "fr", quiet)
    assert code_of(lambda: lab.store.inventory.vet("fr")) == "adapter_in_model_place"
    assert code_of(lambda: lab.store.check("fr", lab.policy, quiet)) == "adapter_in_model_place"


def test_a_model_in_the_place_of_an_adapter(lab: Lab) -> None:
    lab.approved()
    lab.store.intake.quarantine(lab.artifact, "tiny:fr", quiet)
    code = "model_in_adapter_place"
    assert code_of(lambda: lab.store.inventory.vet("tiny:fr")) == code
    assert code_of(lambda: lab.store.check("tiny:fr", lab.policy, quiet)) == code


def test_an_adapter_is_not_sealed_as_a_model_nor_a_model_as_an_adapter(
    lab: Lab, base: VerifiedModel
) -> None:
    lab.take(lab.adapter(), "tiny:fr")
    code = code_of(lambda: lab.store.seal("tiny:fr", lab.policy, quiet))
    assert code == "adapter_in_model_place"
    code = code_of(lambda: lab.store.seal_adapter("tiny", base, lab.policy, quiet))
    assert code == "model_in_adapter_place"


@pytest.mark.parametrize("name", ["a:", ":a", "a:b:c", "a:.b", "a:b.part"])
def test_an_id_that_names_no_place(lab: Lab, name: str) -> None:
    assert code_of(lambda: lab.store.intake.copy(lab.adapter(), name, quiet)) == "invalid_model_id"


# Bound to a base


def checked(lab: Lab, path: Path, model_id: str = "tiny:fr") -> str:
    lab.store.intake.quarantine(path, model_id, quiet)
    return code_of(lambda: lab.store.check(model_id, lab.policy, quiet))


def other_model(lab: Lab) -> Path:
    """Another signed model of the same shapes."""
    path = lab.artifact.parent / "other"
    forge.make_artifact(path)
    gguf = Gguf()
    gguf.pairs["general.name"] = forge.string("other")
    (path / "tiny.gguf").write_bytes(gguf.build())
    forge.resign(path, lab.key("publisher"))
    return path


def test_an_adapter_for_another_base(lab: Lab, base: VerifiedModel) -> None:
    path = lab.adapter()
    signing.bind_adapter(path, other_model(lab), quiet)
    forge.resign(path, lab.key("publisher"))
    assert checked(lab, path) == "adapter_other_base"


@pytest.mark.parametrize("field", ["oms_root", "gguf_sha256"])
def test_both_digests_of_the_base_count(lab: Lab, base: VerifiedModel, field: str) -> None:
    path = lab.adapter()
    document = json.loads((path / STATEMENT_FILE).read_bytes())
    document["base"][field] = "0" * 64
    (path / STATEMENT_FILE).write_text(json.dumps(document))
    forge.resign(path, lab.key("publisher"))
    assert checked(lab, path) == "adapter_other_base"


def test_a_base_that_is_another_one_at_load(lab: Lab, base: VerifiedModel) -> None:
    """The store may be right, and another model sealed."""
    lab.take(lab.adapter(), "tiny:fr")

    def refused(loaded: VerifiedModel) -> str:
        return code_of(lambda: lab.store.seal_adapter("tiny:fr", loaded, lab.policy, quiet))

    assert refused(replace(base, digest="0" * 64)) == "adapter_other_base"
    assert refused(replace(base, gguf_sha256="0" * 64)) == "adapter_other_base"
    assert refused(replace(base, facts=structs.replace(base.facts, tensors={}))) == "adapter_shape"


def test_wrong_shapes(lab: Lab, base: VerifiedModel) -> None:
    def change(gguf: Gguf) -> None:
        gguf.tensors[1] = Tensor("output.weight.lora_b", (2, 16), 0, 2 * 16 * 4)

    assert checked(lab, lab.adapter(change=change)) == "adapter_shape"


def test_a_base_that_is_not_there(lab: Lab) -> None:
    path = lab.adapter()
    assert checked(lab, path) == "adapter_base_missing"
    lab.approved()
    lab.store.check("tiny:fr", lab.policy, quiet)
    lab.store.inventory.set_state("tiny", "retired")
    assert code_of(lambda: lab.store.check("tiny:fr", lab.policy, quiet)) == "adapter_base_missing"


def test_a_base_that_is_signed_in_shards(lab: Lab) -> None:
    """Its manifest lacks the digest of its file; the sealed bytes have it."""
    signing.sign_directory(lab.artifact, lab.pem("publisher"), quiet, shard_size=100)
    base = lab.store.seal(lab.approved(), lab.policy, quiet)
    lab.store.seal_adapter(lab.take(lab.adapter(), "tiny:fr"), base, lab.policy, quiet).close()
    base.close()


# Signed


def test_an_unsigned_adapter(lab: Lab, base: VerifiedModel) -> None:
    path = lab.adapter()
    (path / "model.sig").unlink()
    assert checked(lab, path) == "signature_missing"


def test_a_statement_that_is_not_signed(lab: Lab, base: VerifiedModel) -> None:
    path = lab.adapter()
    signing.bind_adapter(path, other_model(lab), quiet)
    assert checked(lab, path) == "file_changed"


def test_an_adapter_without_a_statement(lab: Lab, base: VerifiedModel) -> None:
    path = lab.adapter()
    (path / STATEMENT_FILE).unlink()
    forge.resign(path, lab.key("publisher"))
    assert checked(lab, path) == "adapter_unbound"


GOOD = {"_type": "https://appliance.invalid/adapter/v1", "base": {"oms_root": "a" * 64,
        "gguf_sha256": "b" * 64}}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        json.dumps({**GOOD, "_type": "x"}),
        json.dumps({**GOOD, "base": {"oms_root": "a" * 64}}),
        json.dumps({**GOOD, "base": {**GOOD["base"], "scale": 1}}),  # type: ignore[dict-item] # a dict
        json.dumps({**GOOD, "base": {"oms_root": "A" * 64, "gguf_sha256": "b" * 64}}),
        json.dumps({**GOOD, "base": {"oms_root": 1, "gguf_sha256": "b" * 64}}),
        '{"_type": "x", "_type": "y"}',
        json.dumps({**GOOD, "more": "x" * (64 << 10)}),
    ],
)
def test_a_statement_that_is_none(lab: Lab, base: VerifiedModel, text: str) -> None:
    path = lab.adapter()
    (path / STATEMENT_FILE).write_text(text)
    forge.resign(path, lab.key("publisher"))
    assert checked(lab, path) == "adapter_statement_invalid"


def test_a_statement_that_changes_while_it_is_checked(lab: Lab, base: VerifiedModel) -> None:
    lab.take(lab.adapter(), "tiny:fr")
    stored = lab.data / "models" / "tiny:fr" / STATEMENT_FILE
    good = stored.read_bytes()

    def race(phase: str, done: int, total: int) -> None:
        if done == total:  # everything was hashed
            stored.chmod(0o600)
            stored.write_bytes(good.replace(b'"base"', b'"base" '))

    code = code_of(lambda: lab.store.seal_adapter("tiny:fr", base, lab.policy, race))
    assert code == "file_changed"


# Signing


def test_binding_refuses_what_would_be_refused(lab: Lab) -> None:
    path = lab.adapter()
    gguf = forge.lora()
    gguf.tensors[1] = Tensor("output.weight.lora_b", (2, 16), 0, 2 * 16 * 4)
    (path / "adapter.gguf").write_bytes(gguf.build())
    before = (path / STATEMENT_FILE).read_bytes()
    assert code_of(lambda: signing.bind_adapter(path, lab.artifact, quiet)) == "adapter_shape"
    (lab.artifact / "tiny.gguf").write_bytes(Gguf().build() + bytes(32))
    assert code_of(lambda: signing.bind_adapter(path, lab.artifact, quiet)) == "file_changed"
    assert (path / STATEMENT_FILE).read_bytes() == before


# Allowed by the policy, with its base


def listed(lab: Lab, adapters: list[str]) -> TrustPolicy:
    document = lab.document()
    document["models"] = [{"id": "tiny", "adapters": adapters}]
    return policy_document.parse(forge.as_json(document))


def test_a_policy_lists_the_adapters_of_a_base(lab: Lab, base: VerifiedModel) -> None:
    model_id = lab.take(lab.adapter(), "tiny:fr")
    digest = lab.store.inventory.record(model_id).digest
    assert digest is not None
    adapter = lab.store.seal_adapter(model_id, base, listed(lab, [digest]), quiet)
    lab.store.recheck(adapter, listed(lab, [digest]))
    other = listed(lab, ["a" * 64])
    for action in (
        lambda: lab.store.check(model_id, other, quiet),
        lambda: lab.store.seal_adapter(model_id, base, other, quiet),
        lambda: lab.store.recheck(adapter, other),
    ):
        assert code_of(action) == "adapter_not_in_policy"
