"""Examining an artifact directory under a policy: the one order of checks for every caller.

Rules: the signer is checked before anything is hashed, names before digests; revocation applies to
the artifact and to the model file; the GGUF file is vetted last, on bytes whose digest is signed.
Reading raises SignatureRefused (`file_changed`), vetting GgufRejected.
"""

import hashlib
import mmap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Generic, TypeAlias, TypeVar

from msgspec import structs

from appliance.errors import PolicyRefused, Refused, SignatureRefused
from appliance.facts import WholeFacts
from appliance.trust.artifacts import description, grammar
from appliance.trust.artifacts.adapter import (
    STATEMENT_FILE,
    VettedAdapter,
    base_of,
    check_statement,
    read_statement,
    vet_adapter,
)
from appliance.trust.artifacts.description import Description
from appliance.trust.artifacts.grammar import SignedGrammar
from appliance.trust.bytes import directory, manifest, names, oms, sealed
from appliance.trust.bytes.directory import Artifact, BlockMeter, FileDigest
from appliance.trust.bytes.manifest import Manifest
from appliance.trust.bytes.oms import Bundle
from appliance.trust.bytes.sealed import SealedFile
from appliance.trust.bytes.shards import ShardDigests, statement
from appliance.trust.gguf.gguf import MAX_METADATA, GgufFacts, vet
from appliance.trust.gguf.reader import Buffer
from appliance.trust.policy.policy import EVALUATION, ModelRule, PolicyKey, TrustPolicy
from appliance.trust.statements.approval import ApprovalSubject
from appliance.types import Report

W = TypeVar("W", bound=WholeFacts, covariant=True)


@dataclass(frozen=True)
class VettedWhole(Generic[W]):
    """A vetted artifact that is no model.

    Attributes:
        objection: why no new one is taken; one that is stored stays.
    """

    facts: W
    objection: Refused | None = None
    chat_template: None = None

    def kept(self) -> W:
        return self.facts


ModelFile: TypeAlias = GgufFacts | VettedAdapter
Vetted: TypeAlias = ModelFile | VettedWhole[WholeFacts]
F = TypeVar("F", bound=Vetted)
VetWhole: TypeAlias = Callable[[Artifact], VettedWhole[WholeFacts]]
"""Vets an artifact that is no model, all of its files."""
_Read: TypeAlias = Callable[[str, int], bytes]
"""Reads a small signed file by name, at most so many bytes."""
Vet: TypeAlias = Callable[[Buffer, int | None, bytes], F]
"""Vets a GGUF file, or its beginning and the size of the whole, with the adapter's statement."""


def vet_model(data: Buffer, size: int | None, _statement: bytes) -> GgufFacts:
    """Vet the file of a model."""
    return vet(data, size)


def vet_for(model_id: str) -> Vet[ModelFile]:
    """Choose the check for the file of an id."""
    return vet_model if base_of(model_id) is None else vet_adapter


@dataclass(frozen=True)
class SignedArtifact:
    """An artifact whose signature and signer were accepted; its files not yet hashed.

    Attributes:
        template: text of the file with the role template, which replaces the model's.
        grammars: the files with the role grammar.
    """

    bundle: Bundle
    manifest: Manifest
    subject: ApprovalSubject
    publisher: PolicyKey
    rule: ModelRule
    model_file: str
    description: Description = field(default_factory=Description)
    template: str | None = None
    grammars: tuple[SignedGrammar, ...] = ()


def check_signature(
    artifact: Artifact,
    model_id: str,
    policy: TrustPolicy,
    at_us: int,
    approval_round: int = 0,
    *,
    accepted: bool = False,
) -> SignedArtifact:
    """Decide from `model.sig` and the policy only.

    Args:
        at_us: now; certificates must be valid then. Microseconds since the epoch.
        accepted: enough people approved it while its certificates were valid.
    """
    data = artifact.signature()
    bundle = oms.parse_bundle(data)
    publisher = policy.signer(bundle, at_us, accepted=accepted)
    signed = oms.verify(bundle, {publisher.hint: publisher.public})
    manifest.compare_names(signed, artifact.covered.keys())
    model_file = main_file_of(signed.files.keys())
    policy.check_digests(signed.root, *signed.files.values())
    rule = _rule(policy, model_id, signed.root, model_file)
    read = partial(_signed_bytes, artifact, signed, policy)
    described = _description(signed, read)
    policy.check_version(rule, described.version)
    template = _template(described, read)
    grammars = _grammars(described, read)
    if (template is not None or grammars) and base_of(model_id) is not None:
        raise SignatureRefused(
            "adapter_unsupported", "An adapter has the template and the grammars of its base."
        )
    wanted = subject(signed.root, data, approval_round)
    return SignedArtifact(
        bundle, signed, wanted, publisher, rule, model_file, described, template, grammars
    )


def _rule(policy: TrustPolicy, model_id: str, root: str, main_file: str) -> ModelRule:
    rule = rule_of(policy, model_id, root)
    if main_file == names.TASK_FILE:
        return replace(rule, require=rule.require | policy.tasks.require)
    if EVALUATION in rule.require:
        raise PolicyRefused(
            "evaluation_unsupported", f"The policy asks for an evaluation of {model_id}, no task."
        )
    return rule


def needs_evaluation(policy: TrustPolicy, model_id: str, root: str, files: Iterable[str]) -> bool:
    """True if the policy asks for an evaluation; False for what it does not allow at all."""
    try:
        return EVALUATION in _rule(policy, model_id, root, main_file_of(files)).require
    except PolicyRefused:
        return False


def _description(signed: Manifest, read: _Read) -> Description:
    if description.FILE not in signed.files:
        return Description()
    data = read(description.FILE, description.MAX_BYTES)
    return description.parse(data, signed.files.keys())


def _template(described: Description, read: _Read) -> str | None:
    if described.template is None:
        return None
    data = read(described.template, description.MAX_ROLE_BYTES)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise SignatureRefused(
            "description_invalid", f"{described.template} is not a text in UTF-8."
        ) from error


def _grammars(described: Description, read: _Read) -> tuple[SignedGrammar, ...]:
    return tuple(
        grammar.read(file, read(file, grammar.MAX_BYTES)) for file in described.grammars.values()
    )


def _signed_bytes(
    artifact: Artifact, signed: Manifest, policy: TrustPolicy, name: str, limit: int
) -> bytes:
    data = artifact.prefix(name, limit + 1)
    if len(data) > limit:
        raise SignatureRefused("description_invalid", f"{name} has more than {limit} bytes.")
    digest = listed = hashlib.sha256(data).hexdigest()
    if signed.shard_size:
        pieces = ShardDigests(signed.shard_size)
        pieces.update(memoryview(data))
        listed = statement(pieces.finish())
    if signed.files[name] != listed:
        raise SignatureRefused("file_changed", f"{name} is not the file that was signed.")
    policy.check_digests(digest)  # which a manifest in shards does not have
    return data


def rule_of(policy: TrustPolicy, model_id: str, digest: str) -> ModelRule:
    """The policy's rule for a model (`model_not_in_policy`), or for an adapter
    (`adapter_not_in_policy`), which comes with its base.
    """
    base = base_of(model_id)
    if base is None:
        return policy.model_rule(model_id, digest)
    return policy.adapter_rule(base, digest)


def subject(root: str, signature: bytes, approval_round: int) -> ApprovalSubject:
    """Subject that an approver signs: root digest, digest of the very `model.sig`, and round."""
    return ApprovalSubject(root, hashlib.sha256(signature).hexdigest(), approval_round)


def model_file_of(files: Iterable[str]) -> str:
    """The one model file of an artifact (`model_file_count`)."""
    found = [name for name in files if name.lower().endswith(".gguf")]
    if len(found) != 1:
        raise SignatureRefused("model_file_count", f"The artifact has {len(found)} GGUF files.")
    return found[0]


def vet_stored(artifact: Artifact, vet_file: Vet[F]) -> F:
    """Vet the model file where it is, before any signature is checked (`model_file_count`)."""
    name = model_file_of(artifact.covered.keys())
    head = artifact.prefix(name, MAX_METADATA)
    return vet_file(head, artifact.sizes[name], read_statement(artifact))


def admitted(vetted: F) -> F:
    """Return a new artifact, or raise the objection to it."""
    if isinstance(vetted, VettedWhole) and vetted.objection is not None:
        raise vetted.objection
    return vetted


def main_file_of(files: Iterable[str]) -> str:
    """The file that tells an artifact's kind (`model_file_count`)."""
    present = set(files)
    others = [name for name in names.MAIN_FILES if name in present]
    if others and not any(name.lower().endswith(".gguf") for name in present):
        return others[0]
    return model_file_of(present)


@dataclass(frozen=True)
class StoredBase:
    """A stored base whose signature was checked and whose bytes were not hashed.

    Attributes:
        root: hex OMS root digest.
        gguf_sha256: as signed; None where the file is signed in shards.
    """

    root: str
    gguf_sha256: str | None
    facts: GgufFacts


def stored_base(artifact: Artifact, signed: SignedArtifact) -> StoredBase:
    """Base that an adapter is checked against at import; `seal` checks the loaded one."""
    whole = signed.manifest.shard_size is None
    digest = signed.manifest.files[signed.model_file] if whole else None
    return StoredBase(signed.manifest.root, digest, vet_stored(artifact, vet_model))


def check_stored(
    artifact: Artifact,
    signed: SignedArtifact,
    policy: TrustPolicy,
    progress: Report,
    vet_file: Vet[F],
) -> F:
    """Hash and vet the files where they are (`template_not_in_policy`); `seal` checks the loaded
    bytes.
    """
    digests = check_files(artifact, signed, policy, progress)
    head = artifact.prefix(signed.model_file, MAX_METADATA)
    size = artifact.sizes[signed.model_file]
    facts = vet_file(head, size, _stated(artifact, digests))
    facts = _templated(facts, signed)
    policy.check_template(signed.rule, facts.chat_template)
    return facts


def check_files(
    artifact: Artifact, signed: SignedArtifact, policy: TrustPolicy, progress: Report
) -> dict[str, FileDigest]:
    """Hash every file, and compare all with signed and revoked digests (`digest_revoked`)."""
    files = artifact.covered
    meter = BlockMeter(progress, "hashing", sum(files.values()))
    digests = directory.hash_files(artifact, files, meter, signed.manifest.shard_size)
    manifest.compare(signed.manifest, {name: digest.signed for name, digest in digests.items()})
    policy.check_digests(*(digest.sha256 for digest in digests.values()))
    return digests


def _templated(facts: F, signed: SignedArtifact) -> F:
    if signed.template is None or not isinstance(facts, GgufFacts):
        return facts
    return structs.replace(facts, chat_template=signed.template, has_template=True)


def _stated(artifact: Artifact, digests: Mapping[str, FileDigest]) -> bytes:
    """The statement, as it was when it was hashed."""
    data = read_statement(artifact)
    if data:
        check_statement(data, digests[STATEMENT_FILE].sha256)
    return data


def seal(
    artifact: Artifact,
    signed: SignedArtifact,
    policy: TrustPolicy,
    progress: Report,
    vet_file: Vet[F],
    *,
    on_disk: bool = False,
) -> tuple[SealedFile, F]:
    """Hold the model file, in sealed memory unless `on_disk`, and check its bytes there."""
    files = artifact.covered
    meter = BlockMeter(progress, "sealing", sum(files.values()))
    beside = {name: size for name, size in files.items() if name != signed.model_file}
    size = signed.manifest.shard_size
    found = directory.hash_files(artifact, beside, meter, size)
    pieces = ShardDigests(size) if size else None
    source = artifact.open(signed.model_file)
    keep = sealed.hold_and_close if on_disk else sealed.seal_and_close
    model = keep(source, signed.model_file, meter.advance, pieces.update if pieces else None)
    try:
        found[signed.model_file] = FileDigest(model.sha256, pieces.finish() if pieces else None)
        manifest.compare(signed.manifest, {name: digest.signed for name, digest in found.items()})
        policy.check_digests(*(digest.sha256 for digest in found.values()))
        facts = _templated(_vet_sealed(model, vet_file, _stated(artifact, found)), signed)
        policy.check_template(signed.rule, facts.chat_template)
    except BaseException:
        model.close()
        raise
    return model, facts


def _vet_sealed(model: SealedFile, vet_file: Vet[F], statement: bytes) -> F:
    if not model.size:
        return vet_file(b"", None, statement)  # an empty file cannot be mapped; this refuses it
    with mmap.mmap(model.fd, model.size, access=mmap.ACCESS_READ) as view:
        return vet_file(view, None, statement)
