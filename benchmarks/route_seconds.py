"""Seconds of a large model that a certified route avoids on licences, and what it costs in quality.

Rules: the first stage is logistic regression, fitted to all of `train`; its threshold is certified
at 5 % on one item of each group of `certify`, as a calibration does it. Both stages answer a random
sample of these items over HTTP, one request at a time, with audit and keys on. Seconds avoided are
the larger stage's over accepted items, less the first stage's over all, as a share of the larger
stage's over all; the interval is a percentile bootstrap over groups. The larger stage is the model
with the standing prompt, alone and in a blend with the first stage, whose weight is fitted to a
sample of `dev`; who answers what is not accepted is told as a calibration decides it.

usage: python -m benchmarks.route_seconds [--items N] [--dev N] [--model qwen|smollm2]
"""

import argparse
import asyncio
import random
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import httpx

from appliance.datasets.items import Item
from appliance.datasets.reading import read_items
from appliance.routing import certifying, confidence
from appliance.routing.certifying import Observed, Plan, Terms, Verdict
from appliance.statistics.labels import blended, fitted_weight
from appliance.tasks.classifiers import document
from appliance.tasks.classifiers.linear import Linear, fit_linear
from appliance.types import TaskAnswer
from benchmarks import models, servers
from benchmarks.gates import CHECKOUT, Candidate, task_text
from benchmarks.loads import MODEL
from benchmarks.results import Figure
from benchmarks.servers import BenchError, Lab
from benchmarks.sheets import keep
from benchmarks.statistics import Summary, quantile
from benchmarks.task_forms import client_of
from installer.bundle import examples
from installer.bundle.cache import cache_root, exclusive
from installer.bundle.steps import say

SMALL: Final = "small"
LARGE: Final = "large"
TARGET: Final = 0.6
TERMS: Final = Terms(0.05, 0.05 / 4, 0.05)
_DRAWS: Final = 2000
_STANDING: Final = CHECKOUT / "models" / "examples" / "licence-id"

Shares = Mapping[str, float]
"""The probability of each label."""


@dataclass(frozen=True)
class Asked:
    """What both stages did with an item; times in microseconds.

    Attributes:
        small: as the first stage computes it; an answer has it rounded.
    """

    item: Item
    small: Shares
    small_us: int
    large: Shares
    large_us: int


def avoided(seen: Sequence[Observed], accepted: Sequence[bool]) -> Summary:
    """The share of the larger stage's seconds that is not spent, with its 95 % interval.

    Args:
        seen: one item of each group.
    """
    pairs = list(zip(seen, accepted, strict=True))
    rng = random.Random(1)
    drawn = [_share(rng.choices(pairs, k=len(pairs))) for _ in range(_DRAWS)]
    return Summary(_share(pairs), quantile(drawn, 0.025), quantile(drawn, 0.975))


def _share(pairs: Sequence[tuple[Observed, bool]]) -> float:
    kept = sum(o.larger_us for o, accepted in pairs if accepted)
    spent = sum(o.small_us for o, _ in pairs)
    return (kept - spent) / sum(o.larger_us for o, _ in pairs)


def observed(each: Asked, large: Shares) -> Observed:
    """What the stages did, where the larger one's distribution is this one."""
    found = TaskAnswer("t", 1, "d", "s", distribution=tuple(each.small.items()))
    item = each.item
    return Observed(
        item.id,
        item.group,
        "",
        confidence.features(found),
        _best(each.small) == item.label,
        _best(large) == item.label,
        each.small_us,
        each.large_us,
    )


def _best(shares: Shares) -> str:
    return max(shares, key=lambda label: shares[label])


def blend(each: Asked, weight: float) -> Shares:
    """The distribution of both stages together."""
    labels = list(each.small)
    both = [each.large[label] for label in labels], [each.small[label] for label in labels]
    return dict(zip(labels, blended(*both, weight), strict=True))


def weight_of(dev: Sequence[Asked]) -> float:
    """The weight of the larger stage in a blend, by log loss on open items."""
    labels = list(dev[0].small)
    return fitted_weight(
        [[each.large[label] for label in labels] for each in dev],
        [[each.small[label] for label in labels] for each in dev],
        [labels.index(each.item.label) for each in dev],
    )


@dataclass(frozen=True)
class Certified:
    """The first stage and what it may answer."""

    model: Linear
    plan: Plan
    verdict: Verdict
    certify: tuple[Item, ...]
    dev: tuple[Item, ...]


def certified() -> Certified:
    """Fit the first stage, and certify its threshold. Raises BenchError."""
    path = examples.obtain(cache_root() / "examples", examples.examples()["licences"])
    items = [item for item in read_items(path) if item.labelled]
    split = {name: [i for i in items if i.split == name] for name in ("train", "dev", "certify")}
    model = fit_linear([i.text for i in split["train"]], [i.label for i in split["train"]])
    seen = {name: _classified(model, split[name]) for name in ("dev", "certify")}
    plan = certifying.plan(seen["dev"], TERMS, len({o.group for o in seen["certify"]}))
    if not isinstance(plan, Plan):
        raise BenchError(plan.message)
    drawn = certifying.drawn(seen["certify"], "seconds")
    verdict = certifying.judge(plan, drawn, [], TERMS, 0.05)
    if verdict.threshold is None:
        raise BenchError(verdict.reason)
    ids = {o.item for o in drawn}
    one_each = tuple(item for item in split["certify"] if item.id in ids)
    return Certified(model, plan, verdict, one_each, tuple(split["dev"]))


def _classified(model: Linear, items: Sequence[Item]) -> list[Observed]:
    rows = model.probabilities([item.text for item in items]).tolist()
    pairs = zip(items, rows, strict=True)
    named = [(item, dict(zip(model.labels, row, strict=True))) for item, row in pairs]
    found = [observed(Asked(item, shares, 0, shares, 0), shares) for item, shares in named]
    return [replace(each, larger=None) for each in found]


def bring_in(lab: Lab, root: Path, model: Linear) -> None:
    """Both stages as approved tasks, by command."""
    digest = servers.appliance(lab.data, "model", "show", MODEL)["digest"]
    keys = lab.data / "keys" / "lab"
    source = (_STANDING / "task.toml").read_text()
    for name, candidate in ((SMALL, Candidate("classifier")), (LARGE, Candidate("model", MODEL))):
        path = root / name
        path.mkdir(parents=True)
        (path / "task.toml").write_text(task_text(source, candidate, MODEL, digest))
        if name == SMALL:
            (path / "classifier.json").write_bytes(document.write(model))
        servers.appliance(lab.data, "task", "sign", str(path), "--key", str(keys / "publisher.pem"))
        servers.appliance(lab.data, "task", "import", str(path), "--id", name)
        for person in ("approver-1", "approver-2"):
            servers.appliance(
                lab.data,
                *("model", "approve", name, "--as", person, "--key", str(keys / f"{person}.pem")),
                *("--meaning", "measured in the lab"),
            )


async def asked(client: httpx.AsyncClient, model: Linear, items: Sequence[Item]) -> list[Asked]:
    """What both stages answer, one request at a time."""

    async def ask(task: str, item: Item) -> tuple[Shares, int]:
        body = {"model": task, "messages": [{"role": "user", "content": item.text}]}
        begun = time.perf_counter()
        reply = await client.post("/v1/chat/completions", json=body)
        lasted = round((time.perf_counter() - begun) * 1e6)
        if reply.status_code != httpx.codes.OK:
            raise BenchError(f"{task}: {reply.status_code}: {reply.text[:300]}")
        shares: Shares = reply.json()["x_appliance"]["distribution"]
        return shares, lasted

    found = []
    for number, item in enumerate(items):
        _, small_us = await ask(SMALL, item)
        large, large_us = await ask(LARGE, item)
        (row,) = model.probabilities([item.text]).tolist()
        small = dict(zip(model.labels, row, strict=True))
        found.append(Asked(item, small, small_us, large, large_us))
        if not number % 25:
            say(f"  {number} of {len(items)} items")
    return found


def figures(
    name: str, stages: Certified, dev: Sequence[Observed], seen: Sequence[Observed]
) -> tuple[list[Figure], str]:
    """The figures of one larger stage, and who answers what is in doubt."""
    threshold = stages.verdict.threshold or 0
    accepted = [o.score(stages.plan.function) >= threshold for o in seen]
    doubtful = [o for o in (*dev, *seen) if o.score(stages.plan.function) < threshold]
    right = [[o.small for o in seen], [bool(o.larger) for o in seen]]
    whole = [o.small if a else bool(o.larger) for o, a in zip(seen, accepted, strict=True)]
    who = certifying._better(doubtful)
    shares = [sum(each) / len(seen) for each in (*right, whole)]
    say(f"{name}: first {shares[0]:.1%}, larger {shares[1]:.1%}, route {shares[2]:.1%} right; "
        f"{len(doubtful)} in doubt are answered by {who}")  # fmt: skip
    made = [
        Figure(f"{name}: seconds avoided", "", avoided(seen, accepted), None, None, "≥", TARGET),
        Figure(f"{name}: right, larger stage alone", "", Summary.of([shares[1]])),
        Figure(f"{name}: right, route", "", Summary.of([shares[2]])),
    ]
    return made, f"{name}: what is in doubt is answered by {who}"


def run(model: str, items: int, dev: int) -> None:
    """Measure and keep."""
    begun = time.monotonic()
    stages = certified()
    coverage = stages.verdict.coverage
    say(f"certified at {TERMS.error:.0%}: {coverage:.0%} of {stages.verdict.groups} groups")
    rng = random.Random(1)
    some = rng.sample(stages.certify, min(items, len(stages.certify)))
    some_dev = rng.sample(stages.dev, min(dev, len(stages.dev)))
    root = cache_root() / "benchmarks"
    with exclusive(root / "measuring.lock"):
        try:
            lab = servers.prepare_lab(root / "route-seconds", models.gguf(model), keys=1, slots=2)
            config = lab.data / "appliance.toml"
            config.write_text(config.read_text().replace(str(servers.CELLS), "4096"))
            bring_in(lab, root / "route-seconds" / "tasks", stages.model)
            with servers.ours(lab) as server:
                known, measured = asyncio.run(_measured(server, stages.model, some_dev, some))
        finally:
            shutil.rmtree(root / "route-seconds", ignore_errors=True)
    weight = weight_of(known)
    told: list[Figure] = []
    notes = [f"first stage certified on {stages.verdict.groups} groups, {coverage:.0%} accepted; "
             f"{len(measured)} of them and {len(known)} of dev asked of both stages; mean seconds "
             f"{_mean(o.small_us for o in measured):.4f} and "
             f"{_mean(o.large_us for o in measured):.3f}"]  # fmt: skip
    for name, share in ((model, 1.0), (f"blend, weight {weight:g}", weight)):
        found, note = figures(
            name,
            stages,
            [observed(each, blend(each, share)) for each in known],
            [observed(each, blend(each, share)) for each in measured],
        )
        told += found
        notes.append(note)
    keep(
        "route_seconds",
        model,
        f"seconds of a larger stage avoided on {len(measured)} licence notices, one a group",
        told,
        time.monotonic() - begun,
        1,
        commands={"ours": server.command},
        notes=notes,
    )
    for figure in told:
        value = figure.value
        say(f"{figure.name}: {value.median:.3f} ({value.low:.3f} to {value.high:.3f})")


async def _measured(
    server: servers.Server, model: Linear, dev: Sequence[Item], items: Sequence[Item]
) -> tuple[list[Asked], list[Asked]]:
    async with client_of(server) as client:
        await asked(client, model, dev[:2])  # the prompt is in the cache afterwards
        return await asked(client, model, dev), await asked(client, model, items)


def _mean(microseconds: Iterable[int]) -> float:
    values = list(microseconds)
    return sum(values) / len(values) / 1e6


def main() -> int:
    """Run it and keep it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.route_seconds")
    parser.add_argument("--items", type=int, default=660)
    parser.add_argument("--dev", type=int, default=200)
    parser.add_argument("--model", choices=("qwen", "smollm2"), default="qwen")
    given = parser.parse_args()
    run(given.model, given.items, given.dev)
    return 0


if __name__ == "__main__":
    sys.exit(main())
