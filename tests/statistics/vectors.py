"""Questions about statistics, our answers, and the file of answers that the oracles gave.

`python -m tests.statistics.vectors` asks the oracles again and writes the file.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from appliance.statistics import calibration, logistic, special
from appliance.statistics.agreement import cohen_kappa
from appliance.statistics.paired import Pairs, mcnemar, tango
from appliance.statistics.power import allowed_errors
from appliance.statistics.proportions import wilson
from appliance.tasks.classifiers.linear import fit_linear
from appliance.tasks.classifiers.ngrams import fit_vocabulary
from tests.conftest import CHECKOUT
from tests.oracle import Oracle, statistics_python
from tests.statistics.simulation import clopper_pearson

GOLDEN: Final = CHECKOUT / "tests" / "assets" / "statistics.json"
SEED: Final = 18

OURS: Final[dict[str, Callable[..., Any]]] = {
    "beta_cdf": special.beta_cdf,
    "beta_quantile": special.beta_quantile,
    "binomial_cdf": special.binomial_cdf,
    "wilson": wilson,
    "clopper_pearson": clopper_pearson,
    "mcnemar": lambda pairs: mcnemar(Pairs(*pairs).first, Pairs(*pairs).second),
    "tango": lambda pairs, confidence: tango(Pairs(*pairs), confidence),
    "kappa": lambda first, second: cohen_kappa(first, second)[:2],
    # The oracle penalises the slope as it is, ours that of the standardised score.
    "logistic": lambda scores, right, penalty: [
        *(fit := logistic.fit([[s] for s in scores], right, penalty / np.var(scores))).weights,
        fit.intercept,
    ],
    "isotonic": lambda scores, right, at: calibration.fit_isotonic(scores, right).apply(at),
    "tfidf": lambda texts: dense(texts),
    "text_regression": lambda texts, labels, asked: fit_linear(texts, labels).probabilities(asked),
    "power": lambda bound, rate, delta, n: special.binomial_cdf(
        allowed_errors(bound, n, delta), n, rate
    ),
}

TOLERANCE: Final = {"logistic": 1e-5, "tango": 1e-7, "text_regression": 5e-3}
"""Where a search stops earlier, ours or the oracle's; 1e-9 everywhere else."""


def near(ask: str, ours: Any, theirs: Any) -> bool:
    """True if two answers agree within the tolerance of the question."""
    tolerance = TOLERANCE.get(ask, 1e-9)
    a, b = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    return a.shape == b.shape and bool(np.all(np.abs(a - b) <= tolerance * (1 + np.abs(b))))


def answer(question: dict[str, Any]) -> Any:
    arguments = dict(question)
    return OURS[arguments.pop("ask")](**arguments)


def dense(texts: Sequence[str]) -> Any:
    """One column for each feature, words before characters, by name."""
    vocabulary = fit_vocabulary(texts)
    return vocabulary.matrix(texts).times(np.eye(vocabulary.size))


def some_text(draw: random.Random) -> tuple[str, str]:
    """A text and a label that it half reveals."""
    label = draw.choice(["engine", "hydraulics", "électrique"])
    hints = {"engine": "Hot TURBO", "hydraulics": "hose O-RING", "électrique": "fusée ok"}
    words = [draw.choice(["LH", "a", "replace", "x2", hints[label]]) for _ in range(5)]
    return " ".join(words), label


def questions(seed: int, rounds: int) -> Iterator[dict[str, Any]]:
    draw = random.Random(seed)
    for _ in range(rounds):
        a, b = 10 ** draw.uniform(-0.3, 5), 10 ** draw.uniform(-0.3, 5)
        yield {
            "ask": "beta_cdf",
            "x": min(0.999, a / (a + b) * draw.uniform(0.7, 1.3)),
            "a": a,
            "b": b,
        }
        yield {"ask": "beta_quantile", "p": draw.uniform(0.001, 0.999), "a": a, "b": b}
        n = draw.choice([1, 2, 5, 20, 100, 596, 5000, 100_000])
        k = draw.choice([0, n, draw.randint(0, n)])
        confidence = draw.choice([0.8, 0.9, 0.95, 0.99])
        yield {"ask": "binomial_cdf", "k": k, "n": n, "p": draw.uniform(0.01, 0.99)}
        yield {"ask": "wilson", "k": k, "n": n, "confidence": confidence}
        yield {"ask": "clopper_pearson", "k": k, "n": n, "confidence": confidence}
        pairs = [
            draw.randint(1, 400),
            draw.randint(1, 40),
            draw.randint(1, 40),
            draw.randint(1, 99),
        ]
        yield {"ask": "tango", "pairs": pairs, "confidence": confidence}
        pairs = [draw.randint(0, 50), draw.randint(0, 9), draw.randint(0, 9), draw.randint(0, 50)]
        yield {"ask": "mcnemar", "pairs": pairs}
        first = [draw.randint(0, 3) for _ in range(30)]
        second = [v if draw.random() < 0.7 else draw.randint(0, 3) for v in first]
        yield {"ask": "kappa", "first": first, "second": second}
        c = [round(draw.uniform(0.003, 0.997), draw.choice([1, 4])) for _ in range(40)]
        c = [min(max(v, 0.003), 0.997) for v in c]
        y = [draw.random() < v for v in c]
        y[:2] = [True, False]
        ask_at = [draw.uniform(-0.1, 1.1) for _ in range(9)]
        yield {"ask": "isotonic", "scores": c, "right": y, "at": ask_at}
        yield {
            "ask": "logistic",
            "scores": [10 * v - 3 for v in c],
            "right": y,
            "penalty": draw.choice([0.01, 1.0]),
        }
        texts, labels = zip(*[some_text(draw) for _ in range(40)], strict=True)
        yield {"ask": "tfidf", "texts": texts[:6]}
        asked = [some_text(draw)[0] for _ in range(5)]
        yield {"ask": "text_regression", "texts": texts, "labels": labels, "asked": asked}
        bound = draw.choice([0.02, 0.05, 0.1])
        yield {
            "ask": "power",
            "bound": bound,
            "rate": bound / draw.choice([2, 5]),
            "delta": 0.05,
            "n": draw.randint(60, 700),
        }


def ask_oracle(oracle: Oracle, question: dict[str, Any]) -> Any:
    return oracle.ask(**question)["value"]


def write(path: Path = GOLDEN, rounds: int = 4) -> None:
    oracle = Oracle("statistic.py", statistics_python())
    try:
        lines = [
            json.dumps({**question, "value": ask_oracle(oracle, question)})
            for question in questions(SEED, rounds)
        ]
    finally:
        oracle.close()
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    write()
