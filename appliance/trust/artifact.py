"""Examining an artifact directory under a policy: the one order of checks for every caller.

Rules: who signed is decided before anything is hashed; names are compared before digests;
revocation is checked on the artifact and on the model file; the GGUF file is vetted last, on
bytes whose digest is signed. Whoever holds the result holds exactly what was checked.
"""

import hashlib
import mmap
from dataclasses import dataclass

from appliance.errors import SignatureRefused
from appliance.trust import directory, oms, sealed
from appliance.trust.approval import ApprovalSubject
from appliance.trust.directory import Artifact, Meter
from appliance.trust.gguf import MAX_METADATA, GgufFacts, vet
from appliance.trust.oms import Manifest
from appliance.trust.policy import ModelRule, PolicyKey, TrustPolicy
from appliance.trust.sealed import Progress, SealedFile


@dataclass(frozen=True)
class Signed:
    """An artifact whose signature and signer were accepted; its files not yet hashed."""

    manifest: Manifest
    subject: ApprovalSubject
    publisher: PolicyKey
    rule: ModelRule
    model_file: str


def check_signature(artifact: Artifact, model_id: str, policy: TrustPolicy) -> Signed:
    """Decide from `model.sig` and the policy alone.

    Raises:
        SignatureRefused: what the bundle, the manifest or the list of files breaks;
            `model_file_count`.
        PolicyRefused: what the policy does not allow.
    """
    data = artifact.signature()
    bundle = oms.parse_bundle(data)
    publisher = policy.publisher(bundle.hint)
    manifest = oms.verify(bundle, {publisher.hint: publisher.public})
    oms.compare_names(manifest, artifact.covered.keys())
    model_file = _model_file(manifest)
    policy.check_digests(manifest.root, *manifest.files.values())
    rule = policy.model_rule(model_id, manifest.root)
    return Signed(manifest, subject(manifest.root, data), publisher, rule, model_file)


def subject(root: str, signature: bytes) -> ApprovalSubject:
    """What an approver signs: the artifact's root digest and its very signature file."""
    return ApprovalSubject(root, hashlib.sha256(signature).hexdigest())


def _model_file(manifest: Manifest) -> str:
    found = [name for name in manifest.files if name.lower().endswith(".gguf")]
    if len(found) != 1:
        raise SignatureRefused("model_file_count", f"The artifact has {len(found)} GGUF files.")
    return found[0]


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
    oms.compare(signed.manifest, directory.hash_files(artifact, files, meter))
    head = directory.read_prefix(artifact.fd, signed.model_file, MAX_METADATA)
    facts = vet(head, files[signed.model_file])
    policy.check_template(signed.rule, facts.chat_template)
    return facts


def seal(
    artifact: Artifact, signed: Signed, policy: TrustPolicy, progress: Progress
) -> tuple[SealedFile, GgufFacts]:
    """Copy the model file into sealed memory and check the very bytes that are there.

    Raises:
        SignatureRefused: `file_changed` and what reading raises.
        GgufRejected: what is wrong with the model file.
        PolicyRefused: `template_not_in_policy`.
        StateRefused: `sealing_failed`.
    """
    files = artifact.covered
    meter = Meter(progress, "sealing", sum(files.values()))
    beside = {name: size for name, size in files.items() if name != signed.model_file}
    digests = directory.hash_files(artifact, beside, meter)
    source = sealed.open_regular(artifact.fd, signed.model_file)
    model = sealed.seal_and_close(source, signed.model_file, meter.advance)
    try:
        oms.compare(signed.manifest, {**digests, signed.model_file: model.sha256})
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
