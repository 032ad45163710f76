"""Examining an artifact directory under a policy: the one order of checks for every caller.

Rules: who signed is decided before anything is hashed; names are compared before digests;
revocation is checked on the artifact and on the model file; the GGUF file is vetted last, on
bytes whose digest is signed. Whoever holds the result holds exactly what was checked.
"""

import hashlib
import mmap
from collections.abc import Iterable
from dataclasses import dataclass

from appliance.errors import SignatureRefused
from appliance.trust import directory, manifest, oms, sealed
from appliance.trust.approval import ApprovalSubject
from appliance.trust.directory import Artifact, FileDigest, Meter
from appliance.trust.gguf import MAX_METADATA, GgufFacts, vet
from appliance.trust.manifest import Manifest
from appliance.trust.oms import Bundle
from appliance.trust.policy import ModelRule, PolicyKey, TrustPolicy
from appliance.trust.sealed import Progress, SealedFile
from appliance.trust.shards import ShardDigests


@dataclass(frozen=True)
class Signed:
    """An artifact whose signature and signer were accepted; its files not yet hashed."""

    bundle: Bundle
    manifest: Manifest
    subject: ApprovalSubject
    publisher: PolicyKey
    rule: ModelRule
    model_file: str


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
    wanted = subject(signed.root, data, approval_round)
    return Signed(bundle, signed, wanted, publisher, rule, model_file)


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
    facts = vet(head, files[signed.model_file])
    policy.check_template(signed.rule, facts.chat_template)
    return facts


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
        facts = _vet_sealed(model)
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
