"""A LoRA adapter as an artifact: one GGUF file, and the signed statement of the base it is for.

Rules: only an adapter has an id `BASE:NAME`, for the model `BASE` of the same store. The signed
`adapter.json` names the base by OMS root digest and by the digest of its GGUF file; both must fit.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from appliance.errors import PolicyRefused, SignatureRefused
from appliance.facts import AdapterFacts
from appliance.trust.bytes import strict_json
from appliance.trust.bytes.directory import Artifact
from appliance.trust.gguf.lora import Lora, vet_lora
from appliance.trust.gguf.reader import Buffer

STATEMENT_FILE: Final = "adapter.json"
STATEMENT_TYPE: Final = "https://appliance.invalid/adapter/v1"
_MAX_STATEMENT: Final = 64 << 10
_HEX: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Base:
    """The one model that an adapter is for; digests are hex."""

    oms_root: str
    gguf_sha256: str

    def statement(self) -> bytes:
        return strict_json.dump({"_type": STATEMENT_TYPE, "base": vars(self)}) + b"\n"

    def check(self, oms_root: str, gguf_sha256: str) -> None:
        """Refuse another base (`adapter_other_base`)."""
        if (self.oms_root, self.gguf_sha256) != (oms_root, gguf_sha256):
            raise PolicyRefused(
                "adapter_other_base",
                f"The adapter was signed for the base {self.oms_root}, not for {oms_root}.",
            )


@dataclass(frozen=True)
class VettedAdapter:
    """The vetted file of an adapter, and its statement."""

    lora: Lora
    base: Base

    @property
    def chat_template(self) -> None:
        """None: conversations are rendered with the base's template."""
        return None

    def kept(self) -> AdapterFacts:
        lora = self.lora
        return AdapterFacts(
            architecture=lora.architecture,
            name=lora.name,
            rank=lora.rank,
            alpha=repr(lora.alpha),
            weights=len(lora.pairs),
            file_bytes=lora.file_bytes,
            tensor_bytes=lora.tensor_bytes,
            base_digest=self.base.oms_root,
            base_gguf_sha256=self.base.gguf_sha256,
        )


def base_of(model_id: str) -> str | None:
    """The id of an adapter's base; None for the id of a model."""
    base, colon, _ = model_id.partition(":")
    return base if colon else None


def read_statement(artifact: Artifact) -> bytes:
    """The bytes of `adapter.json`, empty without one; `adapter_statement_invalid` if too large."""
    size = artifact.sizes.get(STATEMENT_FILE, 0)
    if size > _MAX_STATEMENT:
        raise _refuse(f"{size} bytes are more than {_MAX_STATEMENT}")
    return artifact.prefix(STATEMENT_FILE, _MAX_STATEMENT) if size else b""


def vet_adapter(data: Buffer, size: int | None, statement: bytes) -> VettedAdapter:
    """Check the two files of an adapter.

    Args:
        data: the GGUF file, or its first `MAX_METADATA` bytes.
        size: bytes of the whole file when `data` is its beginning only.
    """
    return VettedAdapter(vet_lora(data, size), parse_statement(statement))


def parse_statement(data: bytes) -> Base:
    """Read `adapter.json` (`adapter_unbound` when there is none, `adapter_statement_invalid`)."""
    if not data:
        raise SignatureRefused("adapter_unbound", f"The artifact has no {STATEMENT_FILE}.")
    value = strict_json.parse(data, _refuse, limit=_MAX_STATEMENT)
    if strict_json.member(value, "_type", str, _refuse) != STATEMENT_TYPE:
        raise _refuse(f"_type is not {STATEMENT_TYPE}")
    base = strict_json.member(value, "base", dict, _refuse)
    strict_json.only(base, {"oms_root", "gguf_sha256"}, "base", _refuse)
    root, gguf = (
        strict_json.member(base, name, str, _refuse) for name in ("oms_root", "gguf_sha256")
    )
    if not _HEX.fullmatch(root) or not _HEX.fullmatch(gguf):
        raise _refuse("a digest is not 64 lower-case hexadecimal digits")
    return Base(root, gguf)


def check_statement(statement: bytes, sha256: str) -> None:
    """Refuse a statement other than the hashed file (`file_changed`)."""
    if hashlib.sha256(statement).hexdigest() != sha256:
        raise SignatureRefused("file_changed", f"{STATEMENT_FILE} changed while it was checked.")


_refuse: Final = SignatureRefused.of("adapter_statement_invalid", STATEMENT_FILE)
