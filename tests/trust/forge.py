"""Makes artifacts, signatures, policies and GGUF files for tests, valid and invalid ones.

The code under test builds nothing here, except keys and hints.
"""

import base64
import copy
import gc
import hashlib
import json
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Engine

from appliance.clock import FixedClock
from appliance.db import open_database
from appliance.trust.artifacts import signing, store
from appliance.trust.bytes import ecdsa
from appliance.trust.gguf.reader import Kind
from appliance.trust.policy import lab
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import approval

IN_TOTO = "application/vnd.in-toto+json"
HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
    "secp256k1": hashes.SHA256,
}


def quiet(phase: str, done: int, total: int) -> None:
    pass


def open_descriptors() -> int:
    """Without those of other tests' garbage, which may go at any time."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def watch_syncs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files and directories synced from here on, in order."""
    synced: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        real(fd)
        synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)

    monkeypatch.setattr(os, "fsync", fsync)
    return synced


def new_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def pae(payload_type: str, payload: bytes) -> bytes:
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def der_signature(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    return key.sign(message, ec.ECDSA(HASHES[key.curve.name]()))


# OMS bundles


def statement(files: Mapping[str, str], order: Sequence[str] | None = None) -> dict[str, Any]:
    """An OMS statement over hex digests by name."""
    names = sorted(files) if order is None else list(order)
    root = hashlib.sha256(b"".join(bytes.fromhex(files[name]) for name in names)).hexdigest()
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "m", "digest": {"sha256": root}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "resources": [
                {"name": name, "algorithm": "sha256", "digest": files[name]} for name in names
            ],
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [".git", ".gitattributes", ".github", ".gitignore"],
            },
        },
    }


def bundle(
    payload: bytes, key: ec.EllipticCurvePrivateKey, signed: bytes | None = None
) -> dict[str, Any]:
    """A Sigstore bundle over `payload`; `signed` replaces what the signature covers."""
    message = pae(IN_TOTO, payload) if signed is None else signed
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": ecdsa.hint(key.public_key())}},
        "dsseEnvelope": {
            "payload": b64(payload),
            "payloadType": IN_TOTO,
            "signatures": [{"sig": b64(der_signature(key, message)), "keyid": ""}],
        },
    }


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def model_sig(
    files: Mapping[str, str],
    key: ec.EllipticCurvePrivateKey,
    change: Callable[[dict[str, Any]], object] = lambda statement: None,
) -> bytes:
    """`change` may have broken the statement."""
    document = statement(files)
    change(document)
    return as_json(bundle(as_json(document), key))


def digests_below(path: Path) -> dict[str, str]:
    return {
        file.relative_to(path).as_posix(): sha256(file.read_bytes())
        for file in path.rglob("*")
        if file.is_file() and file.name != "model.sig"
    }


def resign(
    path: Path,
    key: ec.EllipticCurvePrivateKey,
    change: Callable[[dict[str, Any]], object] = lambda statement: None,
) -> None:
    (path / "model.sig").write_bytes(model_sig(digests_below(path), key, change))


# GGUF files

_FORMATS = {
    Kind.UINT8: "<B",
    Kind.INT8: "<b",
    Kind.UINT16: "<H",
    Kind.INT16: "<h",
    Kind.UINT32: "<I",
    Kind.INT32: "<i",
    Kind.FLOAT32: "<f",
    Kind.BOOL: "<B",
    Kind.UINT64: "<Q",
    Kind.INT64: "<q",
    Kind.FLOAT64: "<d",
}


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def scalar(kind: Kind, value: Any) -> bytes:
    body = text(value) if kind is Kind.STRING else struct.pack(_FORMATS[kind], value)
    return struct.pack("<I", kind) + body


def array(kind: int, values: Sequence[Any], count: int | None = None) -> bytes:
    """An array value; `count` may lie."""
    number = len(values) if count is None else count
    head = struct.pack("<IIQ", Kind.ARRAY, kind, number)
    if kind == Kind.STRING:
        return head + b"".join(map(text, values))
    return head + b"".join(struct.pack(_FORMATS[Kind(kind)], value) for value in values)


def u32(value: int) -> bytes:
    return scalar(Kind.UINT32, value)


def string(value: str | bytes) -> bytes:
    return scalar(Kind.STRING, value)


@dataclass
class Tensor:
    """A row of the tensor table; the offset is computed unless it is given."""

    name: str | bytes
    shape: tuple[int, ...]
    type: int
    bytes: int
    offset: int | None = None


BYTES = tuple(f"<0x{n:02X}>" for n in range(256))
TOKENS = ("<unk>", "<s>", "</s>", *BYTES, "ä", "b", "c", "d")


@dataclass
class Gguf:
    """A small valid model; tests break it field by field."""

    magic: bytes = b"GGUF"
    version: bytes = struct.pack("<I", 3)
    n_tensors: int | None = None
    n_pairs: int | None = None
    alignment: int = 32
    pairs: dict[str | bytes, bytes] = field(
        default_factory=lambda: {
            "general.architecture": string("llama"),
            "general.name": string("tiny"),
            "llama.context_length": u32(64),
            "llama.block_count": u32(2),
            "llama.embedding_length": u32(32),
            "llama.attention.head_count": u32(4),
            "llama.attention.head_count_kv": u32(2),
            "tokenizer.ggml.model": string("llama"),
            "tokenizer.ggml.tokens": array(Kind.STRING, TOKENS),
            "tokenizer.ggml.scores": array(Kind.FLOAT32, [0.0] * len(TOKENS)),
            "tokenizer.ggml.token_type": array(Kind.INT32, [2, 3, 3, *[6] * 256, 1, 1, 1, 1]),
            "tokenizer.ggml.bos_token_id": u32(1),
            "tokenizer.ggml.eos_token_id": u32(2),
            "tokenizer.ggml.add_bos_token": scalar(Kind.BOOL, 1),
            "tokenizer.chat_template": string("{{ messages[0].content }}"),
        }
    )
    extra_pairs: list[tuple[str | bytes, bytes]] = field(default_factory=list)
    tensors: list[Tensor] = field(
        default_factory=lambda: [
            Tensor("token_embd.weight", (32, 8), 2, 8 * 18),
            Tensor("output_norm.weight", (33,), 0, 33 * 4),
            Tensor("output.weight", (32, 8), 0, 32 * 8 * 4),
        ]
    )
    tail: bytes = b""
    cut: int | None = None

    def table(self) -> bytes:
        pairs = [*self.pairs.items(), *self.extra_pairs]
        out = self.magic + self.version
        out += struct.pack("<Q", len(self.tensors) if self.n_tensors is None else self.n_tensors)
        out += struct.pack("<Q", len(pairs) if self.n_pairs is None else self.n_pairs)
        for key, value in pairs:
            out += text(key) + value
        offset = 0
        for tensor in self.tensors:
            place = offset if tensor.offset is None else tensor.offset
            out += text(tensor.name) + struct.pack("<I", len(tensor.shape))
            out += b"".join(struct.pack("<Q", extent % (1 << 64)) for extent in tensor.shape)
            out += struct.pack("<IQ", tensor.type, place % (1 << 64))
            offset = self._pad(offset + tensor.bytes)
        return out

    def build(self) -> bytes:
        head = self.table()
        head += bytes(self._pad(len(head)) - len(head))
        body = b""
        for tensor in self.tensors:
            body += bytes(self._pad(len(body)) - len(body))
            body += b"\x01" * min(tensor.bytes, 1 << 16)
        body += bytes(self._pad(len(body)) - len(body))
        return (head + body + self.tail)[: self.cut]

    def _pad(self, offset: int) -> int:
        step = self.alignment if 0 < self.alignment <= 1 << 16 else 32
        return (offset + step - 1) // step * step

    def copy(self) -> "Gguf":
        return copy.deepcopy(self)


def lora(rank: int = 2) -> Gguf:
    """An adapter of one weight of `Gguf`; tests break it field by field."""
    return Gguf(
        pairs={
            "general.type": string("adapter"),
            "general.architecture": string("llama"),
            "general.name": string("tiny adapter"),
            "adapter.type": string("lora"),
            "adapter.lora.alpha": scalar(Kind.FLOAT32, 4.0),
        },
        tensors=[
            Tensor("output.weight.lora_a", (32, rank), 0, 32 * rank * 4),
            Tensor("output.weight.lora_b", (rank, 8), 0, rank * 8 * 4),
        ],
    )


# A laboratory: keys, policy and store


@dataclass
class Lab:
    """A data directory of the lab profile with a signed artifact beside it."""

    data: Path
    artifact: Path
    database: Engine
    store: store.ModelStore
    policy: TrustPolicy
    clock: FixedClock

    def pem(self, name: str) -> bytes:
        return (self.data / "keys" / "lab" / f"{name}.pem").read_bytes()

    def key(self, name: str) -> ec.EllipticCurvePrivateKey:
        return ecdsa.load_private(self.pem(name))

    def hint(self, name: str) -> str:
        return ecdsa.hint(self.key(name).public_key())

    def resign(self, change: Callable[[dict[str, Any]], object] = lambda statement: None) -> None:
        resign(self.artifact, self.key("publisher"), change)

    def document(self) -> dict[str, Any]:
        envelope = json.loads((self.data / "trust" / "policy.json").read_bytes())
        document: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
        return document

    def verified(self) -> str:
        """Import and check the artifact; its id."""
        record = self.store.intake.quarantine(self.artifact, None, quiet)
        checked = self.store.check(record.id, self.policy, quiet)
        self.store.inventory.set_state(
            record.id, "verified", digest=checked.digest, facts=checked.facts
        )
        return record.id

    def approval(self, model_id: str, name: str, key: str | None = None) -> bytes:
        return approval.sign(
            self.store.subject(model_id),
            name=name,
            meaning="fit for use",
            time_us=self.clock.wall_us(),
            private_key=self.pem(key or name),
        )

    def approved(self) -> str:
        """Import, check and approve by two people; the id."""
        model_id = self.verified()
        for name in lab.APPROVERS:
            self.store.add_approval(model_id, self.approval(model_id, name), self.policy)
        return model_id

    def adapter(self, name: str = "fr", change: Callable[[Gguf], object] | None = None) -> Path:
        """A signed adapter for the artifact, its file changed before the signature."""
        path = self.artifact.parent / name
        path.mkdir()
        (path / "adapter.gguf").write_bytes(lora().build())
        signing.bind_adapter(path, self.artifact, quiet)
        if change is not None:
            gguf = lora()
            change(gguf)
            (path / "adapter.gguf").write_bytes(gguf.build())
        resign(path, self.key("publisher"))
        return path

    def take(self, path: Path, model_id: str) -> str:
        """Import an artifact and approve it by two people; its id."""
        self.store.intake.quarantine(path, model_id, quiet)
        checked = self.store.check(model_id, self.policy, quiet)
        self.store.inventory.set_state(
            model_id, "verified", digest=checked.digest, facts=checked.facts
        )
        for name in lab.APPROVERS:
            self.store.add_approval(model_id, self.approval(model_id, name), self.policy)
        return model_id

    def snapshot(self) -> object:
        models = self.data / "models"
        files = {
            path.relative_to(models).as_posix(): path.read_bytes() if path.is_file() else None
            for path in sorted(models.rglob("*"))
        }
        with self.database.begin() as connection:
            tables = [
                connection.exec_driver_sql(f"SELECT * FROM {table}").fetchall()
                for table in ("models", "model_approvals")
            ]
        return files, [list(map(tuple, rows)) for rows in tables]


def make_artifact(path: Path) -> None:
    """An unsigned artifact: a tiny model, a licence and a file in a directory."""
    (path / "docs").mkdir(parents=True)
    (path / "tiny.gguf").write_bytes(Gguf().build())
    (path / "LICENSE").write_text("Apache-2.0")
    (path / "docs" / "card.md").write_text("# tiny")


def make_lab(root: Path) -> Lab:
    data, artifact = root / "data", root / "tiny"
    data.mkdir(parents=True)
    clock = FixedClock()
    lab.create(data, clock)
    make_artifact(artifact)
    database = open_database(data / "appliance.db", [store.TABLES, store.ROUNDS])
    made = Lab(
        data,
        artifact,
        database,
        store.ModelStore(database, data / "models", clock),
        store.load_policy(data / "trust"),
        clock,
    )
    made.resign()
    return made
