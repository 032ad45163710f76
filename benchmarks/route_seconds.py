"""Seconds of a large model that a certified route avoids on licences, and its cost in quality.

Rules: the first stage is logistic regression, fitted to all of `train`, or with `--tuned` its blend
with the model of a run of `benchmarks.tuned licences`, weighted on `dev`; its threshold is
certified at 5 % on one item of each group of `certify`. Stages answer over HTTP, one request at a
time, with audit and keys on: the first all of these items, the larger one a random sample. Seconds
avoided are the larger stage's over accepted items, less the first stage's over all, as a share of
the larger stage's over all; the interval is a percentile bootstrap over groups. The larger stage is
the model with the standing prompt, alone and in a blend weighted on a sample of `dev`; a
calibration's rule decides the answers to other items.

usage: python -m benchmarks.route_seconds [--tuned RUN] [--items N] [--dev N] [--model qwen|smollm2]
"""

import argparse
import asyncio
import random
import shutil
import sys
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx

from appliance.datasets.items import Item
from appliance.datasets.reading import read_items
from appliance.routing import certifying, confidence
from appliance.routing.certifying import (
    CertificationPlan,
    CertificationTerms,
    Observed,
    SealedVerdict,
)
from appliance.statistics.groups import draw_one_each
from appliance.statistics.labels import blended, fitted_weight
from appliance.tasks.classifiers import document
from appliance.tasks.classifiers.linear import Linear, fit_linear
from appliance.trust.bytes.names import SIGNATURE_FILE
from appliance.types import TaskAnswer
from benchmarks import models, servers
from benchmarks.gates import CHECKOUT, Candidate, task_text
from benchmarks.loads import MODEL
from benchmarks.results import Figure
from benchmarks.servers import BenchError, Lab, Server
from benchmarks.sheets import keep
from benchmarks.statistics import Summary, quantile
from benchmarks.task_forms import client_of
from installer.bundle import examples
from installer.bundle.cache import cache_root, exclusive
from installer.bundle.steps import say

SMALL: Final = "small"
LARGE: Final = "large"
TUNED: Final = "tuned"
TARGET: Final = 0.6
TERMS: Final = CertificationTerms(0.05, 0.05 / 4, 0.05)
_DRAWS: Final = 2000
_CELLS: Final = 4096
_STANDING: Final = CHECKOUT / "models" / "examples" / "licence-id"

Shares: TypeAlias = Mapping[str, float]
"""The probability of each label."""
Answers: TypeAlias = Mapping[str, tuple[Shares, int]]
"""What a stage gave for items, by their ids: the distribution, and microseconds."""


@dataclass(frozen=True)
class Asked:
    """Both stages' results on an item; times in microseconds."""

    item: Item
    small: Shares
    small_us: int
    large: Shares
    large_us: int


def avoided(seen: Sequence[Observed], accepted: Sequence[bool]) -> Summary:
    """The share of the larger stage's seconds that is not spent, with its 95 % interval; `seen` has
    one item of each group.
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
    """Where the larger stage has this distribution."""
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
class Data:
    """The items that are used; `drawn` is one of each group of `certify`."""

    train: tuple[Item, ...]
    dev: tuple[Item, ...]
    drawn: tuple[Item, ...]


def data() -> Data:
    """The standing example."""
    path = examples.obtain(cache_root() / "examples", examples.examples()["licences"])
    items = [item for item in read_items(path) if item.labelled]
    split = {name: [i for i in items if i.split == name] for name in ("train", "dev", "certify")}
    sealed = split["certify"]
    places = draw_one_each([i.id for i in sealed], [i.group for i in sealed], "seconds")
    drawn = tuple(sealed[place] for place in places)
    return Data(tuple(split["train"]), tuple(split["dev"]), drawn)


@dataclass(frozen=True)
class Certified:
    """What the first stage may answer."""

    plan: CertificationPlan
    verdict: SealedVerdict


def certified(used: Data, first: Answers) -> Certified:
    """Certify the threshold of the first stage."""
    dev, seen = (
        [_alone(item, *first[item.id]) for item in items] for items in (used.dev, used.drawn)
    )
    plan = certifying.plan(dev, TERMS, len(seen))
    if not isinstance(plan, CertificationPlan):
        raise BenchError(plan.message)
    verdict = certifying.judge(plan, seen, [], TERMS, 0.05)
    if verdict.threshold is None:
        raise BenchError(verdict.reason)
    return Certified(plan, verdict)


def _alone(item: Item, shares: Shares, microseconds: int) -> Observed:
    found = observed(Asked(item, shares, microseconds, shares, 0), shares)
    return replace(found, larger=None)


def classified(model: Linear, items: Sequence[Item]) -> dict[str, Shares]:
    """Logistic regression's shares for items, by their ids."""
    rows = model.probabilities([item.text for item in items]).tolist()
    named = [dict(zip(model.labels, row, strict=True)) for row in rows]
    return {item.id: shares for item, shares in zip(items, named, strict=True)}


@dataclass(frozen=True)
class Tuned:
    """A run of `benchmarks.tuned`: a lab with an adapter that two people approved, and the task
    that it offered.
    """

    run: Path
    task: str

    @property
    def candidate(self) -> Any:
        return tomllib.loads(self.task)["candidate"]

    def text(self, kind: str, weight: float = 0.0) -> str:
        """Over the adapter alone, or over its blend with a classifier."""
        adapter = self.candidate["model"]
        return task_text(
            self.task, Candidate(kind, adapter, weight=weight), adapter, self.candidate["digest"]
        )


def tuned(run: Path) -> Tuned:
    """Read a run."""
    try:
        return Tuned(run, (run / "offered" / "task.toml").read_text())
    except OSError as error:
        raise BenchError(f"{run} is no run of benchmarks.tuned that made an offer") from error


def prepare(root: Path, gguf: Path, first: Tuned | None) -> Lab:
    """A lab with the larger model, and with the model of a tuned first stage and its adapter.

    The lab of the run has a policy that asks for evaluations, so that both come out of its store.
    """
    lab = servers.prepare_lab(root, gguf, keys=1, slots=2)
    config = lab.data / "appliance.toml"
    config.write_text(config.read_text().replace(str(servers.CELLS), str(_CELLS)))
    if first is not None:
        adapter = first.candidate["model"]
        for name in (adapter.partition(":")[0], adapter):
            kept = (first.run / "data" / "models" / name).iterdir()
            servers.add_artifact(
                lab.data, name, [file for file in kept if file.name != SIGNATURE_FILE]
            )
    return lab


def bring_in(lab: Lab, name: str, text: str, classifier: Linear | None = None) -> None:
    """A stage as an approved task, by command; `text` is its `task.toml`."""
    keys, path = lab.data / "keys" / "lab", lab.data.parent / "tasks" / name
    path.mkdir(parents=True)
    (path / "task.toml").write_text(text)
    if classifier is not None:
        (path / "classifier.json").write_bytes(document.write(classifier))
    servers.appliance(lab.data, "task", "sign", str(path), "--key", str(keys / "publisher.pem"))
    servers.appliance(lab.data, "task", "import", str(path), "--id", name)
    for person in ("approver-1", "approver-2"):
        servers.appliance(
            lab.data,
            *("model", "approve", name, "--as", person, "--key", str(keys / f"{person}.pem")),
            *("--meaning", "measured in the lab"),
        )


async def answers(client: httpx.AsyncClient, task: str, items: Sequence[Item]) -> Answers:
    """A stage's shares, one request at a time."""
    found: dict[str, tuple[Shares, int]] = {}
    for number, item in enumerate(items):
        body = {"model": task, "messages": [{"role": "user", "content": item.text}]}
        begun = time.perf_counter()
        reply = await client.post("/v1/chat/completions", json=body)
        lasted = round((time.perf_counter() - begun) * 1e6)
        if reply.status_code != httpx.codes.OK:
            raise BenchError(f"{task}: {reply.status_code}: {reply.text[:300]}")
        found[item.id] = reply.json()["x_appliance"]["distribution"], lasted
        if not number % 50:
            say(f"  {task}: {number} of {len(items)} items")
    return found


async def first_stage(
    server: Server, lab: Lab, used: Data, fitted: Linear, run: Tuned | None
) -> Answers:
    """Bring the first stage in; its shares for open items, timed with sealed ones alone."""
    shares = classified(fitted, used.dev)
    if run is None:
        source = (_STANDING / "task.toml").read_text()
        bring_in(lab, SMALL, task_text(source, Candidate("classifier"), "", ""), fitted)
    else:
        bring_in(lab, TUNED, run.text("model"))
        async with client_of(server) as client:
            alone = await answers(client, TUNED, used.dev)
        pairs = [Asked(i, shares[i.id], 0, *alone[i.id]) for i in used.dev]
        weight = weight_of(pairs)
        right = sum(_best(each.large) == each.item.label for each in pairs) / len(pairs)
        say(f"the tuned model is right in {right:.1%} of dev and has the weight {weight:g}")
        shares = {each.item.id: blend(each, weight) for each in pairs}
        bring_in(lab, SMALL, run.text("blend", weight), fitted)
    return {name: (each, 0) for name, each in shares.items()}


def figures(
    name: str, stages: Certified, dev: Sequence[Observed], seen: Sequence[Observed]
) -> tuple[list[Figure], str]:
    """The figures of one larger stage, and the answerer of doubtful items."""
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


def run(model: str, items: int, dev: int, first: Tuned | None) -> None:
    """Measure and keep."""
    begun = time.monotonic()
    used = data()
    fitted = fit_linear([i.text for i in used.train], [i.label for i in used.train])
    rng = random.Random(1)
    some = rng.sample(used.drawn, min(items, len(used.drawn)))
    some_dev = rng.sample(used.dev, min(dev, len(used.dev)))
    root = cache_root() / "benchmarks"
    with exclusive(root / "measuring.lock"):
        try:
            lab = prepare(root / "route-seconds", models.gguf(model), first)
            digest = servers.appliance(lab.data, "model", "show", MODEL)["digest"]
            source = (_STANDING / "task.toml").read_text()
            bring_in(lab, LARGE, task_text(source, Candidate("model", MODEL), MODEL, digest))
            with servers.ours(lab) as server:
                small, large = asyncio.run(
                    _measured(server, lab, used, fitted, first, [*some_dev, *some])
                )
        finally:
            shutil.rmtree(root / "route-seconds", ignore_errors=True)
    stages = certified(used, small)
    coverage, groups = stages.verdict.coverage, stages.verdict.groups
    say(f"certified at {TERMS.error:.0%}: {coverage:.0%} of {groups} groups")
    known, measured = (
        [Asked(item, *small[item.id], *large[item.id]) for item in part]
        for part in (some_dev, some)
    )
    weight = weight_of(known)
    kind = "a classifier" if first is None else "a tuned model and a classifier, blended"
    told: list[Figure] = []
    notes = [f"the first stage is {kind}, certified on {groups} groups, {coverage:.0%} accepted; "
             f"{len(measured)} of them and {len(known)} of dev asked of both stages; mean seconds "
             f"{_mean(o.small_us for o in measured):.4f} and "
             f"{_mean(o.large_us for o in measured):.3f}"]  # fmt: skip
    for name, share in ((model, 1.0), (f"{model} and first stage, weight {weight:g}", weight)):
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
        model if first is None else f"{model}, tuned first",
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
    server: Server,
    lab: Lab,
    used: Data,
    fitted: Linear,
    first: Tuned | None,
    larger: Sequence[Item],
) -> tuple[Answers, Answers]:
    open_items = await first_stage(server, lab, used, fitted, first)
    async with client_of(server) as client:
        for task in (SMALL, LARGE):  # the prompt is in the cache afterwards
            await answers(client, task, used.dev[:2])
        small = await answers(client, SMALL, used.drawn)
        return {**open_items, **small}, await answers(client, LARGE, larger)


def _mean(microseconds: Iterable[int]) -> float:
    values = list(microseconds)
    return sum(values) / len(values) / 1e6


def main() -> int:
    """Run it and keep it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.route_seconds")
    parser.add_argument("--items", type=int, default=660)
    parser.add_argument("--dev", type=int, default=200)
    parser.add_argument("--model", choices=("qwen", "smollm2"), default="qwen")
    parser.add_argument("--tuned", type=Path, help="directory of a run of benchmarks.tuned")
    given = parser.parse_args()
    first = None if given.tuned is None else tuned(given.tuned.absolute())
    run(given.model, given.items, given.dev, first)
    return 0


if __name__ == "__main__":
    sys.exit(main())
