"""Examining an artifact under a policy: each bad one ends with its code, in a fixed order."""

import os
from collections.abc import Callable

import pytest

from appliance.errors import GgufRejected, PolicyRefused, Refused, SignatureRefused
from appliance.trust.artifacts import artifact as artifacts
from appliance.trust.bytes.directory import open_artifact
from appliance.trust.gguf.gguf import GgufFacts
from appliance.trust.policy import policy_document
from appliance.trust.policy.policy import TrustPolicy
from tests.trust import forge
from tests.trust.forge import Gguf, Lab, as_json, quiet, sha256, string, u32

Change = Callable[[Lab], object]
Examine = Callable[[Lab], GgufFacts]


def check(lab: Lab) -> GgufFacts:
    with open_artifact(lab.artifact) as artifact:
        signed = artifacts.check_signature(artifact, "tiny", lab.policy, lab.clock.wall_us())
        return artifacts.check_stored(artifact, signed, lab.policy, quiet, artifacts.vet_model)


def seal(lab: Lab) -> GgufFacts:
    with open_artifact(lab.artifact) as artifact:
        signed = artifacts.check_signature(artifact, "tiny", lab.policy, lab.clock.wall_us())
        sealed, facts = artifacts.seal(artifact, signed, lab.policy, quiet, artifacts.vet_model)
    sealed.close()
    return facts


def code_of(examine: Examine, lab: Lab, kind: type[Refused] = Refused) -> str:
    with pytest.raises(kind) as caught:
        examine(lab)
    return caught.value.code


@pytest.fixture(params=[check, seal], ids=["stored", "sealed"])
def examine(request: pytest.FixtureRequest) -> Examine:
    chosen: Examine = request.param
    return chosen


def test_a_good_artifact(lab: Lab, examine: Examine) -> None:
    assert examine(lab).architecture == "llama"


def flip(lab: Lab, place: int) -> None:
    path = lab.artifact / "tiny.gguf"
    data = bytearray(path.read_bytes())
    data[place] ^= 0x40
    path.write_bytes(data)


def swap_tensors(lab: Lab) -> None:
    path = lab.artifact / "tiny.gguf"
    data = path.read_bytes()
    path.write_bytes(data[:-64] + data[-32:] + data[-64:-32])
    assert path.read_bytes() != data


def append(lab: Lab) -> None:
    with (lab.artifact / "tiny.gguf").open("ab") as file:
        file.write(b"x")


def signature(data: bytes) -> Change:
    return lambda lab: (lab.artifact / "model.sig").write_bytes(data)


def rewrite(name: str, digest: str = sha256(b"s")) -> Change:
    """A manifest, validly signed, that also lists `name`."""

    def change(lab: Lab) -> None:
        files = forge.digests_below(lab.artifact) | {name: digest}
        (lab.artifact / "model.sig").write_bytes(forge.model_sig(files, lab.key("publisher")))

    return change


def no_model(lab: Lab) -> None:
    (lab.artifact / "tiny.gguf").rename(lab.artifact / "tiny.bin")
    lab.resign()


def two_models(lab: Lab) -> None:
    (lab.artifact / "b.GGUF").write_bytes(b"GGUF")
    lab.resign()


CONTENT: dict[str, tuple[Change, str]] = {
    "flipped bit in a tensor": (lambda lab: flip(lab, -1), "file_changed"),
    "flipped bit in the metadata": (lambda lab: flip(lab, 60), "file_changed"),
    "truncated": (lambda lab: os.truncate(lab.artifact / "tiny.gguf", 200), "file_changed"),
    "appended": (append, "file_changed"),
    "changed beside the model": (
        lambda lab: (lab.artifact / "LICENSE").write_text("MIT"),
        "file_changed",
    ),
    "missing model": (lambda lab: (lab.artifact / "tiny.gguf").unlink(), "file_missing"),
    "missing file": (lambda lab: (lab.artifact / "LICENSE").unlink(), "file_missing"),
    "extra file": (lambda lab: (lab.artifact / "evil.bin").touch(), "file_extra"),
    "renamed": (
        lambda lab: (lab.artifact / "tiny.gguf").rename(lab.artifact / "big.gguf"),
        "file_missing",
    ),
    "no signature": (lambda lab: (lab.artifact / "model.sig").unlink(), "signature_missing"),
    "signature not JSON": (signature(b"OMS"), "signature_json_invalid"),
    "signature with a duplicate key": (
        signature(b'{"mediaType":"a","mediaType":"a"}'),
        "signature_json_invalid",
    ),
    "name outside": (rewrite("../secret"), "manifest_name_refused"),
    "unknown algorithm": (
        lambda lab: lab.resign(lambda s: s["predicate"]["resources"][0].update(algorithm="crc32")),
        "signature_method_unsupported",
    ),
    "another signer": (
        lambda lab: forge.resign(lab.artifact, forge.new_key()),
        "publisher_not_allowed",
    ),
    "an approver as signer": (
        lambda lab: forge.resign(lab.artifact, lab.key("approver-1")),
        "publisher_not_allowed",
    ),
    "no model file": (no_model, "model_file_count"),
    "two model files": (two_models, "model_file_count"),
}


@pytest.mark.parametrize(("change", "code"), CONTENT.values(), ids=CONTENT)
def test_bad_content(lab: Lab, examine: Examine, change: Change, code: str) -> None:
    change(lab)
    expected = PolicyRefused if code == "publisher_not_allowed" else SignatureRefused
    assert code_of(examine, lab, expected) == code


def test_two_tensors_swapped(lab: Lab, examine: Examine) -> None:
    path = lab.artifact / "tiny.gguf"
    data = path.read_bytes()
    path.write_bytes(data[:-32] + bytes(range(32)))
    lab.resign()
    examine(lab)
    swap_tensors(lab)
    assert code_of(examine, lab) == "file_changed"


def model(data: bytes) -> Change:
    def change(lab: Lab) -> None:
        (lab.artifact / "tiny.gguf").write_bytes(data)
        lab.resign()

    return change


def broken(key: str, value: bytes) -> bytes:
    gguf = Gguf()
    gguf.pairs[key] = value
    return gguf.build()


MODELS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "gguf_magic"),
    "not GGUF": (b"PK\x03\x04 not a model", "gguf_magic"),
    "truncated before it was signed": (Gguf().build()[:-1], "gguf_truncated"),
    "bytes after it": (Gguf(tail=b"x").build(), "gguf_trailing"),
    "split": (broken("split.count", u32(2)), "gguf_split"),
    "another architecture": (broken("general.architecture", string("mamba")), "gguf_architecture"),
}


@pytest.mark.parametrize(("data", "code"), MODELS.values(), ids=MODELS)
def test_a_signature_does_not_make_a_bad_model_good(
    lab: Lab, examine: Examine, data: bytes, code: str
) -> None:
    model(data)(lab)
    assert code_of(examine, lab, GgufRejected) == code


def under(lab: Lab, change: Callable[[dict[str, object]], object]) -> TrustPolicy:
    document = lab.document()
    change(document)
    return policy_document.parse(as_json(document))


def test_revoked_key_and_digests(lab: Lab, examine: Examine) -> None:
    with open_artifact(lab.artifact) as artifact:
        signed = artifacts.check_signature(artifact, "tiny", lab.policy, lab.clock.wall_us())
    for field, value, code in (
        ("keys", lab.hint("publisher"), "key_revoked"),
        ("digests", signed.manifest.root, "digest_revoked"),
        ("digests", signed.manifest.files["tiny.gguf"], "digest_revoked"),
    ):
        original = lab.policy
        lab.policy = under(lab, lambda d, f=field, v=value: d["revoked"].update({f: [v]}))  # type: ignore[misc]
        assert code_of(examine, lab, PolicyRefused) == code
        lab.policy = original
        examine(lab)


def test_pinned_template(lab: Lab, examine: Examine) -> None:
    for template, good in (("{{ messages[0].content }}", True), ("{{ backdoor }}", False)):
        rule = {"id": "tiny", "template_sha256": sha256(template.encode())}
        lab.policy = under(lab, lambda d, r=rule: d.update(models=[r]))  # type: ignore[misc]
        if good:
            examine(lab)
        else:
            assert code_of(examine, lab, PolicyRefused) == "template_not_in_policy"


def test_a_model_that_is_not_listed(lab: Lab, examine: Examine) -> None:
    lab.policy = under(lab, lambda d: d.update(models=[{"id": "another"}]))
    assert code_of(examine, lab, PolicyRefused) == "model_not_in_policy"


def test_what_can_be_refused_without_hashing_is(lab: Lab) -> None:
    (lab.artifact / "evil.bin").touch()
    with open_artifact(lab.artifact) as artifact, pytest.raises(SignatureRefused) as caught:
        artifacts.check_signature(artifact, "tiny", lab.policy, lab.clock.wall_us())
    assert caught.value.code == "file_extra"


def test_refusing_gives_sealed_memory_back(lab: Lab) -> None:
    before = forge.open_descriptors()
    flip(lab, -1)
    code_of(seal, lab)
    model(b"not GGUF")(lab)
    code_of(seal, lab)
    assert forge.open_descriptors() == before


def test_a_model_that_changes_after_its_signature_was_read(lab: Lab) -> None:
    """A writer that races with the copy cannot slip anything in."""
    path = lab.artifact / "tiny.gguf"
    good = path.read_bytes()

    def race(phase: str, done: int, total: int) -> None:
        path.write_bytes(good + b"x")

    with open_artifact(lab.artifact) as artifact:
        signed = artifacts.check_signature(artifact, "tiny", lab.policy, lab.clock.wall_us())
        with pytest.raises(SignatureRefused) as caught:
            artifacts.seal(artifact, signed, lab.policy, race, artifacts.vet_model)
    assert caught.value.code == "file_changed"


def described(lab: Lab, value: object, template: bytes = b"{{ messages }}") -> None:
    (lab.artifact / "chat.jinja").write_bytes(template)
    (lab.artifact / "artifact.json").write_bytes(as_json(value))
    lab.resign()


def with_rule(lab: Lab, **rule: object) -> None:
    document = lab.document()
    document["models"] = [{"id": "tiny", **rule}]
    lab.policy = policy_document.parse(as_json(document))


TEMPLATED = {"version": 4, "roles": {"chat.jinja": "template"}}


def test_the_template_in_use_is_the_signed_file(lab: Lab, examine: Examine) -> None:
    described(lab, TEMPLATED)
    assert examine(lab).chat_template == "{{ messages }}"
    described(lab, {"version": 4})
    assert examine(lab).chat_template == "{{ messages[0].content }}"


def test_the_template_in_use_is_the_pinned_one(lab: Lab, examine: Examine) -> None:
    described(lab, TEMPLATED)
    with_rule(lab, template_sha256=sha256(b"{{ messages }}"))
    examine(lab)
    with_rule(lab, template_sha256=sha256(b"{{ messages[0].content }}"))  # that of the model's file
    assert code_of(examine, lab) == "template_not_in_policy"
    described(lab, TEMPLATED, b"{{ messages }} and a back door")
    with_rule(lab, template_sha256=sha256(b"{{ messages }}"))
    assert code_of(examine, lab) == "template_not_in_policy"


def test_an_older_version_than_the_policy_asks_for(lab: Lab, examine: Examine) -> None:
    described(lab, TEMPLATED)
    with_rule(lab, min_version=4)
    examine(lab)
    with_rule(lab, min_version=5)
    assert code_of(examine, lab) == "model_version_refused"
    (lab.artifact / "artifact.json").unlink()
    lab.resign()
    assert code_of(examine, lab) == "model_version_refused"


def test_a_description_that_was_changed_after_signing(lab: Lab, examine: Examine) -> None:
    described(lab, TEMPLATED)
    (lab.artifact / "artifact.json").write_bytes(as_json({"version": 9}))
    assert code_of(examine, lab) == "file_changed"
    described(lab, TEMPLATED)
    (lab.artifact / "chat.jinja").write_bytes(b"another")
    assert code_of(examine, lab) == "file_changed"


@pytest.mark.parametrize(
    "template", [b"\xff", b"x" * (256 * 1024 + 1)], ids=["no text", "too long"]
)
def test_templates_that_are_none(lab: Lab, examine: Examine, template: bytes) -> None:
    described(lab, TEMPLATED, template)
    assert code_of(examine, lab) == "description_invalid"


def test_a_description_in_shards(lab: Lab) -> None:
    from appliance.trust.artifacts import signing

    described(lab, TEMPLATED)
    signing.sign_directory(lab.artifact, lab.pem("publisher"), quiet, shard_size=10)
    assert check(lab).chat_template == "{{ messages }}"
    (lab.artifact / "chat.jinja").write_bytes(b"{{ massages }}")
    assert code_of(check, lab) == "file_changed"


GRAMMAR = b'start: "yes" | "no"'


def with_grammar(lab: Lab, data: bytes = GRAMMAR) -> None:
    (lab.artifact / "verdict.lark").write_bytes(data)
    (lab.artifact / "artifact.json").write_bytes(
        as_json({"version": 1, "roles": {"verdict.lark": "grammar"}})
    )
    lab.resign()


def grammars_of(lab: Lab, model_id: str = "tiny") -> list[tuple[str, str]]:
    with open_artifact(lab.artifact) as artifact:
        signed = artifacts.check_signature(artifact, model_id, lab.policy, lab.clock.wall_us())
    return [(grammar.name, grammar.text) for grammar in signed.grammars]


def test_a_grammar_is_a_file_that_was_signed_and_has_the_role(lab: Lab) -> None:
    with_grammar(lab)
    assert grammars_of(lab) == [("verdict", GRAMMAR.decode())]
    (lab.artifact / "artifact.json").write_bytes(as_json({"version": 1}))
    lab.resign()
    assert grammars_of(lab) == []  # a file without the role is none


def test_a_grammar_that_was_changed_added_or_is_no_text(lab: Lab, examine: Examine) -> None:
    with_grammar(lab)
    (lab.artifact / "verdict.lark").write_bytes(b'start: "yes"')
    assert code_of(examine, lab) == "file_changed"
    with_grammar(lab, b"\xff")
    assert code_of(examine, lab) == "grammar_invalid"
    with_grammar(lab, b"x" * (64 * 1024 + 1))
    assert code_of(examine, lab) == "description_invalid"
    with_grammar(lab)
    (lab.artifact / "more.lark").write_bytes(GRAMMAR)
    assert code_of(examine, lab) == "file_extra"


def test_an_adapter_has_no_grammars_of_its_own(lab: Lab) -> None:
    with_grammar(lab)
    with pytest.raises(SignatureRefused) as caught:
        grammars_of(lab, "tiny:adapter")
    assert caught.value.code == "adapter_unsupported"
