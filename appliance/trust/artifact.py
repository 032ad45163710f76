"""Examining an artifact directory under a policy: the one order of checks for every caller.

Rules: who signed is decided before anything is hashed; names are compared before digests;
revocation is checked on the artifact and on the model file; the GGUF file is vetted last, on
bytes whose digest is signed. Whoever holds the result holds exactly what was checked.
"""

import hashlib
import mmap
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from appliance.errors import SignatureRefused
from appliance.trust import description, directory, manifest, oms, sealed
from appliance.trust.approval import ApprovalSubject
from appliance.trust.description import Description
from appliance.trust.directory import Artifact, FileDigest, Meter
from appliance.trust.gguf import MAX_METADATA, GgufFacts, vet
from appliance.trust.manifest import Manifest
from appliance.trust.oms import Bundle
from appliance.trust.policy import ModelRule, PolicyKey, TrustPolicy
from appliance.trust.sealed import Progress, SealedFile
from appliance.trust.shards import ShardDigests, statement


@dataclass(frozen=True)
class Signed:
    """An artifact whose signature and signer were accepted; its files not yet hashed.

    Attributes:
        template: text of the file with the role template, which is used in place of the model's.
    """

    bundle: Bundle
    manifest: Manifest
    subject: ApprovalSubject
    publisher: PolicyKey
    rule: ModelRule
    model_file: str
    description: Description = field(default_factory=Description)
    template: str | None = None


def check_signature(
    artifact: Artifact, model_id: str, policy: TrustPolicy, at_us: int, approval_round: int = 0
) -> Signed:
    """Decide from `model.sig` and the policy alone.

    Args:
        at_us: now; certificates must be valid then. Microseconds since the epoch.
        approval_round: which round of approvals the model is in.

    Raises:
        SignatureRefused: what the bundle, the manifest, the certificates or the list of files
            break; `model_file_count`.
        PolicyRefused: what the policy does not allow.
    """
    data = artifact.signature()
    bundle = oms.parse_bundle(data)
    publisher = policy.signer(bundle, at_us)
    signed = oms.verify(bundle, {publisher.hint: publisher.public})
    manifest.compare_names(signed, artifact.covered.keys())
    model_file = model_file_of(signed.files.keys())
    policy.check_digests(signed.root, *signed.files.values())
    rule = policy.model_rule(model_id, signed.root)
    described = _description(artifact, signed)
    policy.check_version(rule, described.version)
    template = _template(artifact, signed, described)
    wanted = subject(signed.root, data, approval_round)
    return Signed(bundle, signed, wanted, publisher, rule, model_file, described, template)


def _description(artifact: Artifact, signed: Manifest) -> Description:
    if description.FILE not in signed.files:
        return Description()
    data = _signed_bytes(artifact, signed, description.FILE, description.MAX_BYTES)
    return description.parse(data, signed.files.keys())


def _template(artifact: Artifact, signed: Manifest, described: Description) -> str | None:
    if described.template is None:
        return None
    data = _signed_bytes(artifact, signed, described.template, description.MAX_ROLE_BYTES)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise SignatureRefused(
            "description_invalid", f"{described.template} is not a text in UTF-8."
        ) from error


def _signed_bytes(artifact: Artifact, signed: Manifest, name: str, limit: int) -> bytes:
    """A small file whose very bytes are those that the manifest lists."""
    data = artifact.prefix(name, limit + 1)
    if len(data) > limit:
        raise SignatureRefused("description_invalid", f"{name} has more than {limit} bytes.")
    digest = hashlib.sha256(data).hexdigest()
    if signed.shard_size:
        pieces = ShardDigests(signed.shard_size)
        pieces.update(memoryview(data))
        digest = statement(pieces.finish())
    if signed.files[name] != digest:
        raise SignatureRefused("file_changed", f"{name} is not the file that was signed.")
    return data


def subject(root: str, signature: bytes, approval_round: int) -> ApprovalSubject:
    """What an approver signs: the root digest, the very signature file, and the round."""
    return ApprovalSubject(root, hashlib.sha256(signature).hexdigest(), approval_round)


def model_file_of(files: Iterable[str]) -> str:
    """The one model file of an artifact.

    Raises:
        SignatureRefused: `model_file_count`.
    """
    found = [name for name in files if name.lower().endswith(".gguf")]
    if len(found) != 1:
        raise SignatureRefused("model_file_count", f"The artifact has {len(found)} GGUF files.")
    return found[0]


def vet_stored(artifact: Artifact) -> GgufFacts:
    """Vet the model file where it lies, before anybody's signature is looked at.

    Raises:
        SignatureRefused: `model_file_count` and what reading raises.
        GgufRejected: what is wrong with the model file.
    """
    name = model_file_of(artifact.covered.keys())
    return vet(artifact.prefix(name, MAX_METADATA), artifact.sizes[name])


def check_stored(
    artifact: Artifact, signed: Signed, policy: TrustPolicy, progress: Progress
) -> GgufFacts:
    """Hash and vet the files where they lie; what is loaded is checked again by `seal`.

    Raises:
        SignatureRefused: `file_changed` and what reading raises.
        GgufRejected: what is wrong with the model file.
        PolicyRefused: `template_not_in_policy`.
    """
    files = artifact.covered
    meter = Meter(progress, "hashing", sum(files.values()))
    digests = directory.hash_files(artifact, files, meter, signed.manifest.shard_size)
    manifest.compare(signed.manifest, {name: digest.signed for name, digest in digests.items()})
    policy.check_digests(*(digest.sha256 for digest in digests.values()))
    head = artifact.prefix(signed.model_file, MAX_METADATA)
    facts = _templated(vet(head, files[signed.model_file]), signed)
    policy.check_template(signed.rule, facts.chat_template)
    return facts


def _templated(facts: GgufFacts, signed: Signed) -> GgufFacts:
    """The facts with the template that is used."""
    return facts if signed.template is None else replace(facts, chat_template=signed.template)


def seal(
    artifact: Artifact,
    signed: Signed,
    policy: TrustPolicy,
    progress: Progress,
    *,
    on_disk: bool = False,
) -> tuple[SealedFile, GgufFacts]:
    """Copy the model file into sealed memory and check the very bytes that are there.

    Args:
        on_disk: hold the file in the store instead.

    Raises:
        SignatureRefused: `file_changed` and what reading raises.
        GgufRejected: what is wrong with the model file.
        PolicyRefused: `template_not_in_policy`.
        StateRefused: `sealing_failed`, `store_not_separated`.
    """
    files = artifact.covered
    meter = Meter(progress, "sealing", sum(files.values()))
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
        facts = _templated(_vet_sealed(model), signed)
        policy.check_template(signed.rule, facts.chat_template)
    except BaseException:
        model.close()
        raise
    return model, facts


def _vet_sealed(model: SealedFile) -> GgufFacts:
    if not model.size:
        return vet(b"")  # an empty file cannot be mapped; this refuses it
    with mmap.mmap(model.fd, model.size, access=mmap.ACCESS_READ) as view:
        return vet(view)
