"""The importance matrix of a quantisation: its rows and its record.

Rules: rows are of the split train only, the first by the digest of their ids; a prompt of dev is
left out; a row that would exceed the bound of tokens ends them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from appliance.engine.quantized import LONGEST
from appliance.evals.subject import EvaluationSubject, some
from appliance.tuning import examples
from appliance.tuning.rows import TokenRow, digest
from appliance.tuning.served import Served
from appliance.wire.admin.results import MatrixMade

TOKENS: Final = 8_000


@dataclass(frozen=True)
class Matrix:
    """An importance matrix.

    Attributes:
        weights: by name, 32-bit floats.
    """

    weights: dict[str, bytes]
    rows: tuple[TokenRow, ...]

    def told(self) -> MatrixMade:
        hashed = hashlib.sha256()
        for name in sorted(self.weights):
            hashed.update(name.encode() + b"\0" + self.weights[name])
        return MatrixMade(
            split="train",
            rows=len(self.rows),
            tokens=sum(map(len, texts(self.rows))),
            rows_sha256=digest(self.rows),
            weights=len(self.weights),
            sha256=hashed.hexdigest(),
        )

    def row_digests(self) -> list[str]:
        return [digest([row]) for row in self.rows]


def texts(rows: Sequence[TokenRow]) -> list[list[int]]:
    """Rows as the child takes them."""
    return [list(row.tokens[:LONGEST]) for row in rows]


async def learning(
    served: Served, subject: EvaluationSubject, stop: int, dev: Sequence[TokenRow]
) -> tuple[TokenRow, ...]:
    """Rows for a matrix; raises as `examples.rows`.

    Args:
        dev: rows that choose among files; none of them may be here.
    """
    asked = {row.prompt for row in dev}
    found: list[TokenRow] = []
    left = TOKENS
    for item in some(subject.train, len(subject.train)):
        for row in await examples.rows(served, subject.loaded, [item], stop):
            if row.prompt in asked:
                continue
            left -= min(len(row.tokens), LONGEST)
            if left < 0:
                return tuple(found)
            found.append(row)
    return tuple(found)
