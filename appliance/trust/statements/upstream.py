"""An upstream host as people approve it: what may be reached, and what is expected to answer there.

Rules: any change of the record needs approvals of its own. All hosts of an upstream share its
identity, which is claimed: an API says it, probes check it, and it proves no weights.
"""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.errors import UsageError
from appliance.trust.bytes import strict_json
from appliance.types import Json

CLAIMED: Final = "claimed"
"""The identity of an upstream is claimed; a node that signs would be `attested`."""


@dataclass(frozen=True)
class UpstreamRecord:
    """One host of an upstream.

    Attributes:
        kind: of its engine.
        url: scheme, host and port.
        model: its name there.
        ca: SHA-256 of each certificate that its own must descend from; none on loopback.
        client: SHA-256 of each certificate that is shown to it.
        keeps_content: whether it may keep prompts and answers.
        fingerprint: SHA-256 of what was learnt of its answers.
    """

    name: str
    kind: str
    url: str
    model: str
    ca: tuple[str, ...]
    client: tuple[str, ...]
    keeps_content: bool
    fingerprint: str
    does: str = "generate"

    @functools.cached_property
    def digest(self) -> str:
        """Hex SHA-256 of the record: what people approve."""
        return _digest({"schema": 1, **self._shared(), **self._own()})

    @functools.cached_property
    def identity(self) -> str:
        """Hex SHA-256 of what all hosts of the upstream share: what answers carry."""
        return _digest({"schema": 1, **self._shared()})

    def document(self) -> dict[str, Json]:
        return {**self._shared(), **self._own(), "digest": self.digest, "identity": self.identity}

    def _shared(self) -> dict[str, Json]:
        # A record that people approved before there was a choice has the digest that it had.
        does = {} if self.does == "generate" else {"does": self.does}
        return {
            **does,
            "name": self.name,
            "kind": self.kind,
            "model": self.model,
            "keeps_content": self.keeps_content,
            "fingerprint": self.fingerprint,
        }

    def _own(self) -> dict[str, Json]:
        return {"url": self.url, "ca": list(self.ca), "client": list(self.client)}


def certificates_of(path: Path) -> tuple[str, ...]:
    """Hex SHA-256 of each certificate in a PEM file (`certificate_unusable`)."""
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError("certificate_unusable", f"{path} has no certificate: {error}") from error
    return tuple(hashlib.sha256(one.public_bytes(Encoding.DER)).hexdigest() for one in found)


def _digest(value: dict[str, Json]) -> str:
    return hashlib.sha256(strict_json.dump(value)).hexdigest()
