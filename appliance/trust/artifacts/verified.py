"""Types of verified things: the supervisor takes nothing else.

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
        digest: hex OMS root digest.
        gguf_sha256: hex, of the sealed bytes.
        signer: hint of the publisher's key.
        bundle: the signature, for checks under a later policy.
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
        self.sealed.close()

    def rehash(self) -> None:
        """Hash the held bytes again; sealed ones cannot have changed (`file_changed`)."""
        rehash(self.sealed, self.id)


@dataclass(frozen=True, kw_only=True)
class VerifiedModel(Verified):
    """A model."""

    facts: GgufFacts


@dataclass(frozen=True, kw_only=True)
class VerifiedAdapter(Verified):
    """An adapter that fits one verified model."""

    facts: VettedAdapter
