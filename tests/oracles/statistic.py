"""scipy, scikit-learn and statsmodels over pipes: the numbers to compare with."""

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import optimize, special, stats  # type: ignore[import-not-found, import-untyped, unused-ignore]
from sklearn import feature_extraction, isotonic, linear_model, metrics, pipeline  # type: ignore[import-not-found, import-untyped, unused-ignore]
from statsmodels.stats import contingency_tables, inter_rater, proportion  # type: ignore[import-not-found, import-untyped, unused-ignore]


def table(pairs: list[int]) -> Any:
    a, b, c, d = pairs
    return np.array([[a, b], [c, d]])


def tango(pairs: list[int], confidence: float) -> list[float]:
    """With the nuisance parameter from a numerical maximum of likelihood."""
    a, b, c, d = pairs
    n = sum(pairs)
    z = stats.norm.ppf((1 + confidence) / 2)

    def statistic(delta: float) -> float:
        def loss(q: float) -> float:
            p = q + delta
            rest = 1 - p - q
            return -float(special.xlogy(b, p) + special.xlogy(c, q) + special.xlogy(a + d, rest))

        low, high = max(0.0, -delta), (1 - delta) / 2
        q = optimize.minimize_scalar(
            loss, bounds=(low, high), method="bounded", options={"xatol": 1e-13}
        ).x
        return float((b - c - n * delta) / np.sqrt(n * (2 * q + delta * (1 - delta))))

    middle = (b - c) / n
    low = optimize.brentq(lambda x: statistic(x) - z, -1 + 1e-9, middle, xtol=1e-12)
    high = optimize.brentq(lambda x: statistic(x) + z, middle, 1 - 1e-9, xtol=1e-12)
    return [low, high]


def logistic(scores: list[float], right: list[bool], penalty: float) -> list[float]:
    model = linear_model.LogisticRegression(C=1 / penalty, tol=1e-12, max_iter=10_000)
    model.fit(np.array(scores)[:, None], right)
    return [model.coef_[0, 0], model.intercept_[0]]


def step(scores: list[float], right: list[bool], at: list[float]) -> list[float]:
    model = isotonic.IsotonicRegression(out_of_bounds="clip").fit(scores, np.array(right, float))
    return list(model.predict(at))


def kappa(first: list[Any], second: list[Any]) -> list[float]:
    labels = sorted({*first, *second})
    counts = metrics.confusion_matrix(first, second, labels=labels)
    found = inter_rater.cohens_kappa(counts)
    return [metrics.cohen_kappa_score(first, second), float(np.sqrt(found["var_kappa"]))]


def features() -> Any:
    """N-grams of the reference's baselines."""
    return pipeline.make_union(
        feature_extraction.text.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        feature_extraction.text.TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, min_df=2
        ),
    )


def text_regression(texts: list[str], labels: list[str], asked: list[str]) -> Any:
    regression = linear_model.LogisticRegression(C=10, tol=1e-8, max_iter=2000)
    return pipeline.make_pipeline(features(), regression).fit(texts, labels).predict_proba(asked)


ANSWERS: dict[str, Callable[..., Any]] = {
    "beta_cdf": lambda x, a, b: special.betainc(a, b, x),
    "beta_quantile": lambda p, a, b: special.betaincinv(a, b, p),
    "binomial_cdf": lambda k, n, p: stats.binom.cdf(k, n, p),
    "wilson": lambda k, n, confidence: list(
        proportion.proportion_confint(k, n, 1 - confidence, "wilson")
    ),
    "clopper_pearson": lambda k, n, confidence: list(
        stats.binomtest(k, n).proportion_ci(confidence, "exact")
    ),
    "mcnemar": lambda pairs: contingency_tables.mcnemar(table(pairs), exact=True).pvalue,
    "tango": tango,
    "kappa": kappa,
    "logistic": logistic,
    "isotonic": step,
    "tfidf": lambda texts: features().fit_transform(texts).toarray(),
    "text_regression": text_regression,
    "power": lambda bound, rate, delta, n: stats.binom.cdf(
        max((k for k in range(n) if stats.beta.ppf(1 - delta, k + 1, n - k) <= bound), default=-1),
        n,
        rate,
    ),
}


def main() -> None:
    for line in sys.stdin:
        question = json.loads(line)
        value = ANSWERS[question.pop("ask")](**question)
        value = np.asarray(value, dtype=float).tolist()
        sys.stdout.write(json.dumps({"value": value}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
