"""A lab with a route: a small classifier that knows the common words, a larger that knows all."""

import asyncio
import hashlib
import json
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.app import Services, initialise, open_services
from appliance.datasets import directory
from appliance.datasets import ledger as ledgers
from appliance.facts import table_of
from appliance.routing.definition import RouteDefinition
from appliance.tasks.classifiers import document
from appliance.tasks.classifiers.linear import fit_linear
from appliance.trust.artifacts import signing
from appliance.trust.statements.route import RouteSpecification
from appliance.types import Caller, Delta, GenerationRequest, Limits, Principal
from tests.evals.orders import FITTED, write_task
from tests.evals.sealed import sealing_key
from tests.smol import APPROVERS, SMALL, approve, key, quiet

COMMON: dict[str, tuple[str, ...]] = {"hydraulics": ("hose", "pump"), "engine": ("piston", "turbo")}
RARE: dict[str, tuple[str, ...]] = {"hydraulics": ("xylo", "zwick"), "engine": ("quiff", "jumbo")}
SURE, DOUBTFUL = "replace hose", "replace jumbo"
ROUTE_ID, SMALL_ID, LARGE_ID, DATA_ID = "orders", "orders-small", "orders-large", "orders-data"
GROUPS = 100
ROUTE = """\
id = "orders"
version = 1
description = "Work orders; the larger classifier where the small one is in doubt."

[terms]
error = 0.1
margin = 0.1
{more}
[[stages]]
name = "small"
task = "orders-small"
digest = "{small}"

[[stages]]
name = "large"
task = "orders-large"
digest = "{large}"
"""


def item(number: int, split: str, **more: Any) -> dict[str, Any]:
    label = list(COMMON)[number % 2]
    words = RARE if number % 4 > 1 and number % 8 > 3 else COMMON
    drawn = int(hashlib.sha256(f"{split} {number}".encode()).hexdigest()[:40], 16)
    part = str(drawn % 10**40).zfill(40)  # no two datasets share looks
    text = (
        f"replace {words[label][number // 8 % 2]} number {number} {split} {part[:20]} {part[20:]}"
    )
    return {
        "id": f"{split}{number:03}", "group": f"{split}-g{number}", "input": {"text": text},
        "expected": label, **more,
    }  # fmt: skip


def coefficients(*words: dict[str, tuple[str, ...]]) -> str:
    pairs = [(f"replace {w}", label) for each in words for label in each for w in each[label]]
    return document.write(fit_linear([t for t, _ in pairs], [n for _, n in pairs])).decode()


def write_dataset(
    services: Services,
    path: Path,
    times: bool = False,
    unfit: int = 0,
    doubled: int = 0,
    busy: int = 0,
    **counts: int,
) -> str:
    """Write, seal, sign, import and approve; returns the id.

    Args:
        unfit: items of `certify` with a label that no task has.
        doubled: of so many groups one has two items; 0: none.
        busy: the first items of `certify` that are of one group.
    """
    path.mkdir()
    manifest = {"format": 1, "version": 1, "name": path.name, "splits": {}}
    (path / "dataset.json").write_text(json.dumps(manifest))
    for split, count in ({"train": 20, "dev": GROUPS, "certify": GROUPS} | counts).items():
        rows = [item(n, f"{split}-{path.name}") for n in range(count)]
        for n, row in enumerate(rows):
            if doubled:
                row["group"] = f"{split}-{path.name}-{n - (n % (doubled + 1) == doubled)}"
        for row in rows[: busy if split == "certify" else 0]:
            row["group"] = "busy"
        for row in rows[: unfit if split == "certify" else 0]:
            row["expected"] = "cab"
        if times:
            year = {"train": 2023, "dev": 2024}.get(split, 2025)
            for n, row in enumerate(rows):
                row["time"] = f"{year}-{1 + n * 12 // count:02}-01"
        (path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    directory.seal(path, directory.read(path), sealing_key(services))
    return approved(services, path)


def approved(services: Services, path: Path, *, only_import: bool = False) -> str:
    signing.sign_directory(path, key(services.data, "publisher"), quiet)
    services.lifecycle.import_model("uid:0", path, None, quiet)
    if not only_import:
        approve(services, path.name, *APPROVERS)
    return path.name


def write_route(
    services: Services, path: Path, more: str = "", tail: str = "", head: str = ""
) -> str:
    digests = {
        name: services.store.inventory.record(task).digest or ""
        for name, task in (("small", SMALL_ID), ("large", LARGE_ID))
    }
    path.mkdir()
    text = ROUTE.format(more=more, **digests).replace('id = "orders"', f'id = "{path.name}"')
    (path / "route.toml").write_text(head + text + tail)
    return approved(services, path)


def make_lab(root: Path) -> Path:
    data = root / "data"
    initialise(data, "lab")
    with open_services(data, config=SMALL) as services:
        for name, words in ((SMALL_ID, (COMMON,)), (LARGE_ID, (COMMON, RARE))):
            path = write_task(root / name, FITTED, classifier_json=coefficients(*words))
            approved(services, path)
        write_dataset(services, root / DATA_ID)
        write_route(services, root / ROUTE_ID)
    return data


@dataclass(frozen=True)
class Certified:
    """A lab whose route is certified.

    Attributes:
        before: the route's answers without a certificate.
        result: of the calibration.
    """

    data: Path
    before: Delta
    result: dict[str, Any]

    def copy(self, root: Path) -> Path:
        return copied(self.data, root)


def copied(data: Path, root: Path) -> Path:
    """Of a data directory that is not open, below `root`."""
    return Path(shutil.copytree(data, root / "data"))


def certify(data: Path) -> Certified:
    async def run(services: Services) -> Certified:
        before = await answer(services, app(), "replace hose")
        result = await calibrate(services, terms(services))
        await services.inference.drain(30)
        return Certified(data, before, result)

    with open_services(data, config=SMALL) as services:
        return asyncio.run(run(services))


def terms(services: Services, **changes: Any) -> RouteSpecification:
    record = services.store.inventory.record
    small, larger = changes.get("small", SMALL_ID), changes.get("larger", LARGE_ID)
    given: dict[str, Any] = {
        "route": ROUTE_ID,
        "dataset": DATA_ID,
        "split": "certify",
        "small": small,
        "small_digest": record(small).digest,
        "larger": larger,
        "larger_digest": record(larger).digest if larger else "",
        "looks": 4,
        "schedule": ledgers.FALLING,
        "seed": secrets.token_hex(16),
        "name": "publisher",
        "time": "2026-09-21T00:00:00Z",
    } | changes
    facts = table_of(record(given["route"]).facts)
    given = {
        "route_digest": record(given["route"]).digest,
        "dataset_digest": record(given["dataset"]).digest,
        **{
            name: facts[name]
            for name in ("error_micros", "delta_micros", "margin_micros", "weight")
            if name in facts
        },
        **given,
    }
    return RouteSpecification(**given)


def envelope(services: Services, wanted: RouteSpecification, name: str = "publisher") -> bytes:
    return wanted.sign(key(services.data, name))


async def calibrate(services: Services, wanted: RouteSpecification) -> dict[str, Any]:
    """Run a calibration to its end; its result with the number of the job."""
    params = {"specification": envelope(services, wanted).decode()}
    live = await services.jobs.start("route", params, "uid:0")
    return {**(await live.outcome()).document, "job": live.job.id}


def app(
    *models: str, name: str = "app", limits: Limits | None = None, key_id: str = "evaluation"
) -> Caller:
    principal = Principal(key_id, name, frozenset(models), limits or Limits())
    return Caller(principal, f"req-{secrets.token_hex(16)}", "127.0.0.1", "/v1/chat/completions")


def asked(text: str, model: str = ROUTE_ID) -> GenerationRequest:
    return GenerationRequest(model=model, messages=({"role": "user", "content": text},))


async def answer(services: Services, caller: Caller, text: str, model: str = ROUTE_ID) -> Delta:
    generation = await services.inference.start(caller, asked(text, model))
    try:
        pieces = [piece async for piece in generation]
    finally:
        await generation.cancel()
    await asyncio.sleep(0)
    return pieces[-1]


def entries(services: Services, **wanted: Any) -> list[dict[str, Any]]:
    found = [dict(entry.body) for entry in services.reader.tail(3_000)]
    return [body for body in found if all(body.get(k) == v for k, v in wanted.items())]


def stage_names(found: RouteDefinition) -> list[str]:
    return [stage.name for stage in found.stages]
