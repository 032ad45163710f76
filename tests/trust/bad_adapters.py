"""Every bad adapter by name, with the code of its refusal; `bench.AdapterBench` tries them."""

import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from appliance.trust.artifacts import signing
from appliance.trust.artifacts.adapter import STATEMENT_FILE
from tests.trust import forge
from tests.trust.forge import Gguf, Tensor, lora, quiet
from tests.trust.gguf import test_lora
from tests.trust.gguf.test_lora import A, B

Change = Callable[["BadAdapter"], object]


@dataclass
class BadAdapter:
    """An adapter about to be spoiled: bound to the base in `base` and signed."""

    path: Path
    base: Path
    key: ec.EllipticCurvePrivateKey

    @property
    def gguf(self) -> Path:
        return self.path / "adapter.gguf"

    def resign(self) -> None:
        forge.resign(self.path, self.key)

    def file(self, change: Callable[[Gguf], object]) -> None:
        """Another file, properly signed."""
        gguf = lora()
        change(gguf)
        self.gguf.write_bytes(gguf.build())
        self.resign()

    def bytes(self, change: Callable[[bytes], bytes]) -> None:
        """Other bytes, properly signed."""
        self.gguf.write_bytes(change(self.gguf.read_bytes()))
        self.resign()

    def statement(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Another statement, properly signed."""
        file = self.path / STATEMENT_FILE
        document = json.loads(file.read_bytes())
        change(document)
        file.write_text(json.dumps(document))
        self.resign()

    def without(self, name: str, *, signed: bool = True) -> None:
        (self.path / name).unlink()
        if signed:
            self.resign()

    def rebound(self, *, signed: bool) -> None:
        """Bound to another base of the same shapes."""
        other = self.path.with_name(f"{self.path.name}-other")
        shutil.copytree(self.base, other)
        gguf = Gguf()
        gguf.pairs["general.name"] = forge.string("other")
        (other / "tiny.gguf").write_bytes(gguf.build())
        forge.resign(other, self.key)
        signing.bind_adapter(self.path, other, quiet)
        shutil.rmtree(other)
        if signed:
            self.resign()


def _file(change: Callable[[Gguf], object]) -> Change:
    return lambda bad: bad.file(change)


def _rows(*rows: Tensor) -> Change:
    return lambda bad: bad.file(test_lora.tensors(*rows))


def _last_number(value: float) -> Change:
    return lambda bad: bad.bytes(lambda data: data[:-4] + struct.pack("<f", value))


def _base(field: str, value: object) -> Change:
    return lambda bad: bad.statement(lambda document: document["base"].update({field: value}))


def _wide(bad: "BadAdapter") -> None:
    bad.file(test_lora.tensors(Tensor(A, (64, 2), 0, 512), Tensor(B, (2, 8), 0, 64)))


ALL: dict[str, tuple[Change, str]] = {
    # the file by itself
    **{
        f"file: {name}": (_file(change), code)
        for name, (change, code) in test_lora.BAD.items()
    },
    "numbers: a NaN": (_last_number(float("nan")), "adapter_not_finite"),
    "numbers: an infinity": (_last_number(float("inf")), "adapter_not_finite"),
    "truncated: in the data": (lambda bad: bad.bytes(lambda d: d[:-32]), "gguf_truncated"),
    "truncated: in the table": (lambda bad: bad.bytes(lambda d: d[:200]), "gguf_truncated"),
    "truncated: to nothing": (lambda bad: bad.bytes(lambda d: b""), "gguf_magic"),
    # against its base
    "base: wider input": (_wide, "adapter_shape"),
    "base: taller output": (
        _rows(Tensor(A, (32, 2), 0, 256), Tensor(B, (2, 16), 0, 128)), "adapter_shape",
    ),
    "base: a layer that it does not have": (
        _rows(
            Tensor("blk.9.attn_q.weight.lora_a", (32, 2), 0, 256),
            Tensor("blk.9.attn_q.weight.lora_b", (2, 32), 0, 256),
        ),
        "adapter_shape",
    ),
    "base: another architecture": (
        lambda bad: bad.file(
            test_lora.pair("general.architecture", forge.string("gemma3"))
        ),
        "adapter_shape",
    ),
    # bound
    "bound: another root digest": (_base("oms_root", "0" * 64), "adapter_other_base"),
    "bound: another file's digest": (_base("gguf_sha256", "0" * 64), "adapter_other_base"),
    "bound: to another model, signed": (lambda b: b.rebound(signed=True), "adapter_other_base"),
    "bound: to another model, not signed": (lambda b: b.rebound(signed=False), "file_changed"),
    "bound: no statement": (lambda bad: bad.without(STATEMENT_FILE), "adapter_unbound"),
    "bound: none, and not signed so": (
        lambda bad: bad.without(STATEMENT_FILE, signed=False), "adapter_unbound",
    ),
    "bound: a digest in upper case": (_base("oms_root", "A" * 64), "adapter_statement_invalid"),
    "bound: a digest that is a number": (_base("oms_root", 1), "adapter_statement_invalid"),
    "bound: a field more": (_base("scale", "2"), "adapter_statement_invalid"),
    "bound: another type": (
        lambda bad: bad.statement(lambda d: d.update(_type="x")), "adapter_statement_invalid",
    ),
    "bound: a statement too large": (
        lambda bad: bad.statement(lambda d: d.update(more="x" * (64 << 10))),
        "adapter_statement_invalid",
    ),
    # signed
    "signed: not at all": (lambda bad: bad.without("model.sig", signed=False), "signature_missing"),
    "signed: and then changed": (
        lambda bad: bad.gguf.write_bytes(bad.gguf.read_bytes()[:-1] + b"\x02"), "file_changed",
    ),
}  # fmt: skip
