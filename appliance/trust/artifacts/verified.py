"""Types of verified things: the only things that the supervisor takes.

Rules: only `ModelStore` makes one, from bytes that it sealed.
"""

from dataclasses import dataclass

from appliance.trust.artifacts.adapter import VettedAdapter
from appliance.trust.artifacts.grammar import SignedGrammar
from appliance.trust.bytes.oms import Bundle
from appliance.trust.bytes.sealed import SealedFile, rehash
from appliance.trust.gguf.gguf import GgufFacts


@dataclass(frozen=True, kw_only=True)
class Verified:
    """An artifact whose sealed bytes passed every check.

    Attributes:
        digest: hex OMS root digest of the artifact.
        gguf_sha256: hex digest of the sealed bytes.
        signer: hint of the publisher's key.
        approvers: names of the people who approved.
        bundle: what was signed and by whom, to ask a later policy again.
        grammars: the forms of answers that were signed with it.
    """

    id: str
    digest: str
    gguf_sha256: str
    sealed: SealedFile
    policy_version: int
    signer: str
    approvers: tuple[str, ...]
    bundle: Bundle
    grammars: tuple[SignedGrammar, ...] = ()

    def close(self) -> None:
        """Give the sealed memory back."""
        self.sealed.close()

    def rehash(self) -> None:
        """Read the bytes again that are held; sealed ones cannot have changed.

        Raises:
            SignatureRefused: `file_changed`.
        """
        rehash(self.sealed, self.id)


@dataclass(frozen=True, kw_only=True)
class VerifiedModel(Verified):
    """A model. Only `ModelStore.seal` makes one."""

    facts: GgufFacts


@dataclass(frozen=True, kw_only=True)
class VerifiedAdapter(Verified):
    """An adapter that fits one verified model. Only `ModelStore.seal_adapter` makes one."""

    facts: VettedAdapter
