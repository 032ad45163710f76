"""Verdicts on real data, with classifiers: licences are certified, excavators are not."""

from collections import Counter

import numpy as np
import pytest

from appliance.datasets.items import Item
from appliance.datasets.reading import read_items
from appliance.routing import certifying, confidence
from appliance.routing.certifying import CertificationPlan, CertificationTerms, Observed
from appliance.tasks.classifiers.linear import fit_linear
from appliance.types import TaskAnswer
from tests.conftest import example_set
from tests.evals.test_gate_simulation import told

pytestmark = pytest.mark.slow
LOOKS, DRAWS = 4, 40


def observed(name: str) -> dict[str, list[Observed]]:
    items = [item for item in read_items(example_set(name)) if item.labelled]
    train = [item for item in items if item.split == "train"]
    model = fit_linear([item.text for item in train], [item.label for item in train])
    found: dict[str, list[Observed]] = {}
    for split in ("dev", "certify", "test"):
        some = [item for item in items if item.split == split]
        shares = model.probabilities([item.text for item in some])
        found[split] = [
            _observed(item, model.labels, row) for item, row in zip(some, shares, strict=True)
        ]
    return found


def _observed(item: Item, labels: tuple[str, ...], shares: np.ndarray) -> Observed:
    named = tuple(zip(labels, shares.tolist(), strict=True))
    found = confidence.features(TaskAnswer("t", 1, "d", "s", distribution=named))
    right = labels[int(shares.argmax())] == item.label
    return Observed(item.id, item.group, item.time or "", found, right)


def verdicts(name: str, error: float) -> tuple[Counter[str], float, float]:
    """Verdicts of draws, and of certificates coverage and error on `test`."""
    seen = observed(name)
    terms = CertificationTerms(error, 0.05 / LOOKS, 0.05)
    plan = certifying.plan(seen["dev"], terms, len({o.group for o in seen["certify"]}))
    assert isinstance(plan, CertificationPlan), plan
    reasons: Counter[str] = Counter()
    coverage: list[float] = []
    errors: list[float] = []
    origins: tuple[certifying.Origin, ...] = ()
    for seed in range(DRAWS):
        sealed, dev = (certifying.drawn(seen[split], str(seed)) for split in ("certify", "dev"))
        verdict = certifying.judge(plan, sealed, dev, terms, 0.05)
        reasons[verdict.reason] += 1
        if verdict.threshold is not None:
            coverage.append(verdict.coverage)
            accepted = [o for o in seen["test"] if o.score(plan.function) >= verdict.threshold]
            errors.append(float(np.mean([not o.small for o in accepted])))
        origins = verdict.origins
    told(f"{name} at {error:.0%}: {dict(reasons)}, first stage {plan.error:.1%} wrong on dev")
    for origin in origins:
        told(f"  {origin}")
    return reasons, float(np.mean(coverage or [0])), float(np.mean(errors or [0]))


def test_licences_are_certified_at_five_percent() -> None:
    reasons, coverage, error = verdicts("licences", 0.05)
    told(f"  {coverage:.1%} of 660 groups accepted, {error:.1%} of them wrong on test")
    assert reasons == {"": DRAWS}
    assert coverage >= 0.6 and error <= 0.05


def test_excavators_are_unstable_over_time() -> None:
    for error in (0.05, 0.1, 0.15):
        assert verdicts("excavators", error)[0] == {"unstable over time": DRAWS}
