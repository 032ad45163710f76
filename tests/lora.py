"""LoRA adapters for tests: real GGUF files, with random low-rank matrices for a base's weights.

`strength` is the size of the change that the two matrices make to an average input, in units of the
weight's own output.
"""

import functools
import math
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.app import Services
from appliance.trust.artifacts import signing
from appliance.trust.gguf.reader import MAX_METADATA, Kind, Reader, read_header
from appliance.trust.gguf.tensors import Tensor, read_tensors
from tests.smol import APPROVERS, ID, approve
from tests.trust.forge import Gguf, quiet, scalar, string
from tests.trust.forge import Tensor as Row

WEIGHTS = ("attn_q", "attn_v", "ffn_down")


def write_lora(
    base: Path, target: Path, seed: int, *, rank: int = 4, strength: float = 0.5
) -> None:
    """Write an adapter for every layer's `WEIGHTS` of the model in `base`."""
    architecture, tensors = _header(base, base.stat().st_size)
    noise = np.random.default_rng(seed)
    rows: list[Row] = []
    data: list[bytes] = []
    for name, weight in tensors.items():
        if name.split(".")[-2] not in WEIGHTS or weight.type == 0:
            continue
        for half, matrix in zip("ab", _matrices(weight, rank, strength, noise), strict=True):
            body = matrix.astype("<f4").tobytes()
            rows.append(Row(f"{name}.lora_{half}", matrix.shape[::-1], 0, len(body)))
            data.append(body)
    gguf = Gguf(
        pairs={
            "general.type": string("adapter"),
            "general.architecture": string(architecture),
            "general.name": string(f"random {seed}"),
            "adapter.type": string("lora"),
            "adapter.lora.alpha": scalar(Kind.FLOAT32, float(rank)),
        },
        tensors=rows,
    )
    head = gguf.table()
    head += bytes(-len(head) % 32)
    target.write_bytes(head + b"".join(body + bytes(-len(body) % 32) for body in data))


@functools.cache
def _header(base: Path, size: int) -> tuple[str, dict[str, Tensor]]:
    with base.open("rb") as file:
        reader = Reader(file.read(MAX_METADATA), size)
    header = read_header(reader)
    architecture = header.metadata["general.architecture"].value  # type: ignore[union-attr] # text
    return str(architecture), read_tensors(reader, header)


def _matrices(
    weight: Tensor, rank: int, strength: float, noise: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    inputs, outputs = weight.shape
    down = noise.standard_normal((rank, inputs)) / math.sqrt(inputs)
    up = noise.standard_normal((outputs, rank)) * strength / math.sqrt(rank)
    return down, up


def signed_adapter(data: Path, base: Path, path: Path, seed: int, **settings: float) -> Path:
    path.mkdir()
    (model,) = base.glob("*.gguf")
    write_lora(model, path / "adapter.gguf", seed, **settings)  # type: ignore[arg-type] # floats
    signing.bind_adapter(path, base, quiet)
    key = (data / "keys" / "lab" / "publisher.pem").read_bytes()
    signing.sign_directory(path, key, quiet)
    return path


def add_adapter(services: Services, name: str, seed: int, base: str = ID, **settings: float) -> str:
    path = services.data.parent / f"{base}-{name}"
    signed_adapter(services.data, services.data / "models" / base, path, seed, **settings)
    model_id = f"{base}:{name}"
    record = services.lifecycle.import_model("uid:0", path, model_id, quiet)
    assert record.state == "verified", record.message
    approve(services, model_id, *APPROVERS)
    shutil.rmtree(path)
    return model_id
