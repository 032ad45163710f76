"""Reading a large log: pages of a search, verification against a scan, the size of a proof."""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2

from appliance.audit.proof import parse_proof
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.audit.verification.verify import verify_log
from benchmarks.audit.large import APPS, BASE_US, CODES, MODELS, STEP_US


def queries(rows: int) -> Iterator[tuple[str, Query]]:
    """An operator's, and the worst that we could think of."""
    dice = random.Random(1)
    for newest in (False, True):
        for _ in range(8):
            app, model = f"app-{dice.randrange(APPS):02d}", f"model-{dice.randrange(MODELS)}"
            since = BASE_US + dice.randrange(rows) * STEP_US
            some: dict[str, Any] = {"newest_first": newest, "limit": 100}
            at: dict[str, Any] = {"before" if newest else "after": dice.randrange(rows)}
            hour: dict[str, Any] = {"since_us": since, "until_us": since + 3_600_000_000}
            yield "no condition", Query(**some, **at)
            yield "request id", Query(request_id=f"req-{dice.randrange(rows // 2):012d}", **some)
            yield "app", Query(app=app, **some, **at)
            yield "model", Query(model=model, **some, **at)
            yield "code", Query(code=dice.choice(CODES), **some, **at)
            yield "an hour", Query(**hour, **some)
            yield "since", Query(since_us=since, **some)
            yield (
                "app and an hour",
                Query(app=app, **hour, **some),
            )
            yield "app, model, code", Query(app=app, model=model, code=CODES[0], **some)
            yield "kind and model", Query(kind="outcome", model=model, **some, **at)
            yield "nothing to find", Query(app=app, model="model-9", **some)
            yield "two that never meet", Query(kind="intent", code="stop", **some)


def pages(directory: Path, rows: int) -> dict[str, list[float]]:
    """Milliseconds of each page, by what was asked for."""
    reader = LogReader(directory)
    found: dict[str, list[float]] = {}
    for name, query in queries(rows):
        begun = time.perf_counter()
        reader.search(query)
        found.setdefault(name, []).append((time.perf_counter() - begun) * 1e3)
    reader.close()
    return found


def verification(directory: Path, last: int) -> dict[str, float]:
    """Entries a second of `verify`, and of a scan that looks at nothing."""
    begun = time.perf_counter()
    report = verify_log(directory, last=last)
    verified = report.entries / (time.perf_counter() - begun)
    if not report.ok:
        raise ValueError(report.problems)
    database = pysqlite3.dbapi2.connect(f"file:{directory}/log.db?mode=ro", uri=True)
    begun = time.perf_counter()
    scan = "SELECT seq, prev, hash, body FROM leaf WHERE seq <= ?"
    for _ in database.execute(scan, (last,)):
        pass
    scanned = (last + 1) / (time.perf_counter() - begun)
    database.close()
    return {"verify": verified, "scan": scanned}


def proof_path_bytes(directory: Path, rows: int) -> int:
    """Bytes of the inclusion proof of an entry of the open epoch: its hashes alone."""
    reader = LogReader(directory)
    proof = parse_proof(reader.proof(reader.size - 2))
    reader.close()
    return 32 * len(proof.path)
