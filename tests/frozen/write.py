"""Lets the code of a commit sign twenty envelopes of each kind, and keeps rows of its databases.

usage: python -m tests.frozen.write COMMIT

Lines of JSON: `KIND.jsonl.xz` has the signed envelopes, `rows.jsonl.xz` rows of each table and
results of each kind of job from that commit's tests. Nothing here runs with today's code.
"""

import importlib
import inspect
import itertools
import json
import lzma
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.system.old_data import code_of, run_old

HERE: Final = Path(__file__).resolve()
FROZEN: Final = HERE.parent
ROWS: Final = FROZEN / "rows.py"
COUNT: Final = 20
TESTS: Final = (
    "datasets/test_job.py", "datasets/test_label_queues.py", "evals/test_carry.py",
    "evals/test_gate.py", "evals/test_job.py", "governance/test_log_jobs.py",
    "pool/test_loading.py", "registry/test_import_job.py", "retrieval/test_ingest.py",
    "routing/test_calibration.py", "routing/test_carry.py", "tasks/test_shadows.py",
    "api/admin/test_upstreams.py", "tuning/test_teaching.py",
)  # fmt: skip
"""Tests that leave rows and results of jobs, some twelve minutes of them."""


def write(commit: str) -> None:
    """Replace the lines of a commit in every file."""
    with code_of(commit) as tree, tempfile.TemporaryDirectory() as place:
        told = run_old(tree, HERE, "envelopes", commit)
        told.check_returncode()
        lines = [json.loads(line) for line in told.stdout.splitlines()]
        rows = Path(place) / "rows.jsonl"
        os.environ |= {"FROZEN_ROWS": str(rows)}
        run_old(tree, "tests/system/old_data.py", "make", commit, place).check_returncode()
        run_old(tree, ROWS, f"{place}/data").check_returncode()
        plugin = ["-p", "rows", "-q", "-p", "no:cacheprovider", "--basetemp", f"{place}/tests"]
        there = [path for name in TESTS if (path := tree / "tests" / name).is_file()]
        shutil.copy(ROWS, tree)  # which is where modules are found
        run_old(tree, "-m", "pytest", *plugin, *there)
        lines += [{"file": "rows", **json.loads(line)} for line in rows.read_text().splitlines()]
    for file in {line["file"] for line in lines}:
        path = FROZEN / f"{file}.jsonl.xz"
        kept = lzma.decompress(path.read_bytes()).decode().splitlines() if path.is_file() else []
        kept = [line for line in kept if json.loads(line)["commit"] != commit]
        for line in lines:
            if line.get("file") == file:
                told_of = {name: value for name, value in line.items() if name != "file"}
                kept.append(json.dumps({"commit": commit, **told_of}, sort_keys=True))
        path.write_bytes(lzma.compress("\n".join(kept).encode(), preset=9))


# What follows runs with the code of the commit: `appliance` and `tests` are its own.


def trust(name: str) -> Any:
    """A module of `appliance.trust`, whose modules lay beside each other then."""
    return importlib.import_module(f"appliance.trust.{name}")


def tests(name: str) -> Any:
    return importlib.import_module(f"tests.{name}")


def policy() -> dict[str, Any]:
    policies, gates = tests("trust.policies"), tests("evals.gates")
    document: dict[str, Any] = policies.document()
    document["keys"] |= policies.bound(gates.EVALUATOR, "evidence of plant 1")
    document["roles"]["evaluator"] = {"keys": [policies.hint(gates.EVALUATOR)], "threshold": 1}
    return document


def people() -> Iterator[dict[str, Any]]:
    """The signers of approvals, in turn."""
    policies, ecdsa = tests("trust.policies"), trust("ecdsa")
    for n in itertools.count():
        name, key = (("Alice", policies.ALICE), ("Bob", policies.BOB))[n % 2]
        yield {
            "name": name, "meaning": f"geprüft, fit for use {n}",
            "time_us": (1_764_000_000 + n) * 1_000_000, "private_key": ecdsa.private_pem(key),
        }  # fmt: skip


def approvals() -> Iterator[bytes]:
    approval = trust("approval")
    for n, who in zip(itertools.count(), people(), strict=False):
        digest, other = f"{n:02x}" * 32, f"{n + 100:02x}" * 32
        yield approval.sign(
            approval.PruneSubject(f"plant/{n}", n * 1000 + 1, digest) if n % 4 == 3
            else approval.ApprovalSubject(digest, other, n % 3, other if n % 2 else None), **who
        )  # fmt: skip


def upstreams() -> Iterator[dict[str, Any]]:
    approval, upstream = trust("approval"), trust("upstream")
    for n, who in zip(itertools.count(), people(), strict=False):
        newer = "does" in upstream.UpstreamRecord.__dataclass_fields__ and n % 5 == 4
        given = {"does": "embed"} if newer else {}
        record = upstream.UpstreamRecord(
            f"big-{n % 3}", ("vllm", "sglang", "llama-server")[n % 3], f"https://gpu-{n}:8443",
            "there", ("ab" * 32,) * (n % 2), ("cd" * 32,) * (n % 3), bool(n % 2), f"{n:02x}" * 32,
            **given,
        )  # fmt: skip
        envelope = approval.sign(approval.UpstreamSubject.of(record), **who)
        yield {"record": record.document(), "envelope": envelope.decode()}


def pointers() -> Iterator[bytes]:
    pointer, ecdsa = trust("pointer"), trust("ecdsa")
    alice = ecdsa.private_pem(tests("trust.policies").ALICE)
    for n in itertools.count():
        live, canary, shadow = (pointer.Version(f"orders-{n}-{r}", f"{n:02x}" * 32) for r in "lcs")
        yield pointer.sign(
            pointer.Pointer(
                f"orders.{n}", live, f"{n:02x}" * 32 if n % 2 else "", "Alice", f"gelesen ✓ {n}",
                f"2026-09-21T00:00:{n:02}Z", canary if n % 3 else None, n + 1 if n % 3 else 0,
                shadow if n % 4 == 1 else None,
            ),
            alice,
        )  # fmt: skip


def terms(n: int) -> dict[str, Any]:
    """Changes of the terms of a gate, with those that only newer code knows."""
    specification = trust("specification")
    changes: dict[str, Any] = {
        "floors": {"": 500_000, "north": 400_000} if n % 2 else {},
        "packs": {"general": 700_000} if n % 3 == 2 else {},
        "items": "one" if n % 4 == 3 else "all",
        "seed": f"seed-{n:08}",
    }
    if n % 5 == 0:
        changes |= {"incumbent": "other", "incumbent_digest": "12" * 32}
    if n % 4 == 2 and hasattr(specification.Specification, "schedule"):
        changes |= {"schedule": (400_000, 300_000, 200_000, 100_000)}
    return changes


def specifications() -> Iterator[bytes]:
    gates, newer = tests("evals.gates"), hasattr(trust("specification"), "UNLABELLED")
    for n in itertools.count():
        raters = {"split": "unlabelled", "raters": ("Ada", "Ben"), "floors": {}}
        yield gates.signed(gates.wanted(**(terms(n) | (raters if n % 7 == 6 and newer else {}))))


def evaluations() -> Iterator[bytes]:
    gates, evaluation = tests("evals.gates"), trust("evaluation")
    newer = "unflipped" in inspect.signature(evaluation.carry).parameters
    for n in itertools.count():
        outcomes = gates.pairs(60 + 40 * (n % 10), 20 * (n % 3), 80 * (n % 5 == 4))
        at = gates.circumstances(look=1 + n % 4, entry=n, replay="ab" * 32 if n % 2 else "")
        asked = gates.wanted(**terms(n))
        made = gates.certificate(outcomes, asked, at)
        yield made
        found = evaluation.verify(made, gates.policy())
        unflipped = dict.fromkeys(("", *asked.floors), 100000)
        if n % 4 == 1 and found.found.verdict == "pass":
            more = (unflipped,) if newer else ()
            yield evaluation.carry(made, found, "other 2", *more, gates.NOW_US + n, gates.EVALUATOR)


def routes() -> Iterator[bytes]:
    made, route, gates = tests("trust.test_route"), trust("route"), tests("evals.gates")
    newer = hasattr(route.Specification, "weight")
    for n in itertools.count():
        weighed = {"thresholds": (900_000, 800_000), "effective": 60 + n, "largest": n}
        unsure = {"reason": "too few", "threshold_micros": None, "groups_needed": n}
        envelope = made.certificate(
            made.wanted(seed=f"seed-{n:08}", **({"weight": "answers"} if newer and n % 2 else {})),
            made.found(
                coverage_micros=n * 10_000,
                **(weighed if newer and n % 2 else {}),
                **(unsure if n % 4 == 3 else {}),
            ),
            made.at(entry=n, replay="cd" * 32 if n % 2 else "", identity="claimed"),
        )
        yield envelope
        if n % 5 == 2:
            first = route.verify(envelope, gates.policy())
            yield route.carry(envelope, first, f"other {n}", gates.NOW_US + n, gates.EVALUATOR)


def artifacts() -> Iterator[dict[str, str]]:
    oms, ecdsa = trust("oms"), trust("ecdsa")
    chain, publisher = tests("trust.certs").chain(), tests("trust.policies").PUBLISHER
    for n in itertools.count():
        names = [*(f"docs/é{k}.md" for k in range(n % 5)), "model.gguf"]
        more: dict[str, Any] = {"chain": chain.carried} if n % 3 == 2 else {}
        if n % 3 == 1:
            names = [f"{name}:{at}:{at + 1024}" for name in names for at in (0, 1024)]
            more = {"shard_size": 1024}
        key = chain.leaf.key if n % 3 == 2 else publisher
        resources = [(name, f"{k + n:02x}" * 32) for k, name in enumerate(sorted(names))]
        envelope = oms.sign(resources, key, f"model-{n}", **more)
        yield {"envelope": envelope.decode(), "pem": ecdsa.public_pem(key.public_key()).decode()}


def envelopes(commit: str) -> None:
    makers: dict[str, Callable[[], Iterator[Any]]] = {
        "approval": approvals, "pointer": pointers, "specification": specifications,
        "evaluation": evaluations, "route": routes, "upstream": upstreams, "artifact": artifacts,
    }  # fmt: skip
    told: list[dict[str, Any]] = [{"file": "policy", "policy": policy()}]
    for file, make in makers.items():
        for made in itertools.islice(make(), COUNT):
            line = made if isinstance(made, dict) else {"envelope": made.decode()}
            told.append({"file": file, **line})
    sys.stdout.writelines(f"{json.dumps({'commit': commit, **line})}\n" for line in told)


if __name__ == "__main__":
    envelopes(sys.argv[2]) if sys.argv[1] == "envelopes" else write(sys.argv[1])
