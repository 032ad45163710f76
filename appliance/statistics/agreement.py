"""Agreement of people, or of a person and a machine, on labels.

Rules: raters judge the same items; only kappa takes off agreement by chance; labels are compared as
given, so callers normalise them first.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from math import sqrt
from typing import NamedTuple


class Kappa(NamedTuple):
    """Cohen's kappa with its standard error for large samples."""

    value: float
    error: float
    agreement: float


class Repeats(NamedTuple):
    """Agreement of labels on texts that were labelled more than once.

    Attributes:
        texts: distinct inputs with at least two labels.
        agreement: share of agreeing pairs of labels of the same text.
        ceiling: share of labels that are their text's commonest: no answerer that sees only the
            text scores more on these items.
    """

    texts: int
    agreement: float
    ceiling: float


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> Kappa:
    """Agreement beyond chance (Cohen, Educ. Psychol. Meas. 20, 1960).

    The standard error is that of Fleiss, Cohen & Everitt (Psychol. Bull. 72, 1969). Raters that use
    one and the same label throughout have kappa 0.
    """
    if len(first) != len(second) or not first:
        raise ValueError("two raters judge the same items")
    n = len(first)
    joint = Counter(zip(first, second, strict=True))
    rows, columns = Counter(first), Counter(second)
    observed = sum(count for (a, b), count in joint.items() if a == b) / n
    chance = sum(rows[label] * columns[label] for label in rows) / (n * n)
    if chance == 1:
        return Kappa(0.0, 0.0, observed)
    kappa = (observed - chance) / (1 - chance)
    matched = sum(
        count / n * (1 - (rows[a] + columns[a]) / n * (1 - kappa)) ** 2
        for (a, b), count in joint.items()
        if a == b
    )
    crossed = sum(
        count / n * ((columns[a] + rows[b]) / n) ** 2 for (a, b), count in joint.items() if a != b
    )
    inner = matched + (1 - kappa) ** 2 * crossed - (kappa - chance * (1 - kappa)) ** 2
    return Kappa(kappa, sqrt(max(0.0, inner) / n) / (1 - chance), observed)


def repeated_labels(pairs: Iterable[tuple[Hashable, Hashable]]) -> Repeats:
    """Agreement of labels of one text, from (text, label) pairs.

    Every pair of labels of one text counts once (observed agreement as in Fleiss, Psychol. Bull.
    76, 1971, pooled over texts). Without any repeated text both shares are 1.
    """
    labels: dict[Hashable, Counter[Hashable]] = defaultdict(Counter)
    for text, label in pairs:
        labels[text][label] += 1
    repeated = [counts for counts in labels.values() if counts.total() > 1]
    if not repeated:
        return Repeats(0, 1.0, 1.0)
    agreeing = sum(c * (c - 1) for counts in repeated for c in counts.values())
    compared = sum(counts.total() * (counts.total() - 1) for counts in repeated)
    commonest = sum(max(counts.values()) for counts in repeated)
    items = sum(counts.total() for counts in repeated)
    return Repeats(len(repeated), agreeing / compared, commonest / items)
