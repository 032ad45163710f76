"""Messages between a job and the child that quantises; the distance of two models. Pure."""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

LONGEST: Final = 512
"""Most tokens of a text that is compared."""


class Order(msgspec.Struct, frozen=True, tag=True):
    """A file to make.

    Attributes:
        ftype: llama.cpp's number of the file's type.
        texts: token ids of texts, of at most `LONGEST` each, that both files compute.
        start: tokens that all texts begin with; what follows them is compared.
        most_bytes: of the new file.
        again: the source may be quantised already; for tests.
        matrix: the importance matrix, by weight; empty for none.
        beside: make the file without the matrix first, and compare that, too.
    """

    ftype: int
    threads: int
    texts: list[list[int]]
    start: int
    memory_bytes: int
    most_bytes: int
    again: bool = False
    matrix: dict[str, bytes] = {}
    beside: bool = False


class Collect(msgspec.Struct, frozen=True, tag=True):
    """An importance matrix to collect from texts, and to write where the file would go."""

    threads: int
    texts: list[list[int]]
    start: int
    memory_bytes: int
    most_bytes: int


class FileComparison(msgspec.Struct, frozen=True):
    """Results of the new file next to the old one; nats are a token, over the same tokens.

    Attributes:
        kld: the mean divergence of the new distributions from the old ones, in nats.
        noise: the same of the old file from itself, in smaller batches.
        same_top: share of the tokens where both have the same best one.
    """

    source_nats: float
    nats: float
    kld: float
    noise: float
    same_top: float
    tokens: int


class Result(msgspec.Struct, frozen=True):
    """Outcome for the job.

    Attributes:
        code: stable code of a refusal; "" for none.
        seconds: for the file or the matrix, without comparing.
        plain: the file without the matrix next to its source, where that was ordered.
    """

    code: str = ""
    message: str = ""
    seconds: float = 0.0
    compared: FileComparison | None = None
    plain: FileComparison | None = None
    confinement: dict[str, bool | int | str] = {}


def divergence(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row how far `other` is from `one` (Kullback & Leibler, Ann. Math. Stat. 22, 1951)."""
    found: NDArray[np.float64] = (np.exp(one) * (one - other)).sum(axis=1)
    return found
