"""A made-up appliance and the scenes that are drawn of it: two states of each screen.

Rules: nothing in it changes by itself, neither time nor numbers, so the pictures can be compared.
"""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from appliance.errors import CODES
from appliance.facts import DatasetFacts, ModelFacts, TaskFacts, table_of
from appliance.registry.states import actions
from appliance.types import KeyUsage
from appliance.wire.admin.collections import Passages, ReportList
from appliance.wire.admin.drift import Drift
from appliance.wire.admin.gates import Certificate, Ledger
from appliance.wire.admin.incidents import Incident
from appliance.wire.admin.labels import LabelDifference, LabelDifferences, LabelNext
from appliance.wire.admin.metering import UsageRow
from appliance.wire.admin.models import Approval, Entry, Model, ModelDetail, Status, Verification
from appliance.wire.admin.pointers import Name, Pointer
from appliance.wire.admin.queue import Waiting
from appliance.wire.admin.routes import Route
from appliance.wire.admin.site import SiteDocument, SitePeer, SitePeerList
from appliance.wire.admin.trust import Trust
from appliance.wire.admin.upstreams import Upstream
from appliance.wire.admin.usage import CurrentLoad, Histogram
from tests.tui.scripted import (
    DOWN,
    Script,
    Terminal,
    Told,
    advice,
    entry,
    evaluation,
    job,
    key,
    log_line,
    losses,
    queue,
    request,
    shelf,
    terminal,
    tuning,
)
from tui.rates import History

_MODEL = "smollm2-135m"
_DIGEST = "8c1f03be5d7a94e2" * 4
_MODELS: list[dict[str, Any]] = [
    {"id": _MODEL, "state": "serving", "digest": _DIGEST, "loaded": True, "kind": "generate",
     "created": "2026-11-17T08:15:00Z", "activity": "busy", "pinned": True, "needs_mib": 588},
    {"id": "manual-search-v3", "state": "serving", "digest": "77ab90c1e2d3f405" * 4,
     "loaded": True, "kind": "embed", "created": "2026-11-17T09:02:00Z", "activity": "idle",
     "on_demand": True, "needs_mib": 166},
    {"id": "pump-manual-1b", "state": "refused", "digest": "41e7a0c9d2b86f35" * 4,
     "code": "file_changed", "message": "model.gguf is not the file that was signed.",
     "hint": CODES["file_changed"].hint, "created": "2026-11-18T07:40:00Z"},
    {"id": "triage-notes-v2", "state": "verified", "digest": "f09b6672ce1d4a83" * 4,
     "kind": "generate", "created": "2026-11-18T11:55:00Z"},
]  # fmt: skip
for _each in _MODELS:
    _each["actions"] = [*actions(_each["state"])]
STATUS = Status.model_validate(
    {
        "version": "0.1.0", "profile": "lab", "state": "serving", "role": "admin",
        "data": "/srv/appliance", "url": "http://127.0.0.1:8080",
        "uptime_seconds": 93_600, "models": _MODELS,
        "budget_mib": 26_214, "taken_mib": 754,
        "workers": [
            {"model": _MODEL, "digest": _DIGEST, "pid": 20731, "state": "ready", "n_ctx": 8192,
             "slots": 8, "running": 3, "queued": 2, "kv_used": 2540, "restarts": 0,
             "confinement": {}, "variant": "haswell", "memory_mib": 582, "threads": 7,
             "threads_most": 7},
            {"model": "manual-search-v3", "digest": "77ab90c1e2d3f405" * 4, "pid": 20790,
             "state": "ready", "n_ctx": 512, "slots": 4, "running": 0, "queued": 0, "kv_used": 0,
             "restarts": 1, "confinement": {}, "variant": "haswell", "memory_mib": 161,
             "threads": 2, "threads_most": 7, "kind": "embed"},
        ],
        "audit": {"entries": 18_204, "root": "5be2c07d91fa3864" * 4, "unwitnessed": 204,
                  "witnessed": "2026-11-18T06:00:00Z"},
        "host": {"cpu": "x86-64 processor", "cores": 8, "memory": 32 << 30,
                 "memory_available": 21 << 30, "kernel": "6.12", "seccomp": True,
                 "landlock_abi": 6, "disk_free": 300 << 30, "name": "plant-7"},
        "alarms": ["Model pump-manual-1b was refused: model.gguf is not the file that was signed."],
    }
)  # fmt: skip
_JOBS = [
    job(14, title="/media/stick/triage-notes-v3", progress={
        "phase": "copying", "done": 512 << 20, "total": 1_288 << 20, "unit": "bytes",
        "rate": 31.0 * 2**20, "seconds_left": 25}),
    job(13, kind="verify", title="entries 0 to the newest", actor="uid:1001", actions=["cancel"],
        created="2026-11-18T12:26:31Z", progress={
            "phase": "verifying", "done": 15_360, "total": 18_204, "unit": "entries",
            "rate": 9_100.0, "seconds_left": 1}),
    job(12, title="/media/stick/untitled", state="paused", actions=["resume", "cancel"],
        code="job_paused", message="Job 12 was paused.", hint=CODES["job_paused"].hint, progress={
            "phase": "copying", "done": 60 << 20, "total": 410 << 20, "unit": "bytes"}),
    job(11, kind="export", title="tiles to /srv/exports/2026-11", state="done", actions=[],
        created="2026-11-18T06:00:00Z", ended="2026-11-18T06:00:41Z"),
    job(10, title="/media/stick/pump-manual-1b", state="failed", actions=["resume"],
        created="2026-11-18T07:39:58Z", ended="2026-11-18T07:40:00Z", code="insufficient_disk",
        message="The disk is full.", hint=CODES["insufficient_disk"].hint, progress={
            "phase": "copying", "done": 900 << 20, "total": 1_288 << 20, "unit": "bytes"}),
]  # fmt: skip
TASK_FACTS = TaskFacts(
    name="excavator-system", version=3, model=_MODEL,
    description="Work order of an excavator to the system that it is about.",
    model_digest=_DIGEST, form="labels", metric="exact_match",
)  # fmt: skip


def model_facts(**said: Any) -> ModelFacts:
    plain: dict[str, Any] = dict.fromkeys(ModelFacts.__struct_fields__, 1)
    plain |= {"architecture": "llama", "name": "", "kind": "generate", "matrices": {}}
    return ModelFacts(**(plain | {"has_template": False} | said))


_TASKS: list[dict[str, Any]] = [
    {"id": "excavator-system", "state": "approved", "digest": "d21f7a6b0c93e845" * 4,
     "kind": "task", "created": "2026-11-18T09:40:00Z"},
    {"id": "order-fields", "state": "verified", "digest": "3b9c55e0aa17d264" * 4, "kind": "task",
     "created": "2026-11-18T12:02:00Z"},
    {"id": "triage", "state": "suspended", "digest": "77ab90c1e2d3f405" * 4, "kind": "task",
     "created": "2026-11-12T10:00:00Z", "code": "task_model_changed",
     "message": "The model triage-notes-v2 is another one than was approved.",
     "hint": CODES["task_model_changed"].hint},
]  # fmt: skip
for _each in _TASKS:
    _each["actions"] = [*actions(_each["state"])]
_EVALUATIONS = [
    evaluation(22, title="order-fields on orders", state="running", ended=None, result=None,
               actions=["pause", "cancel"], created="2026-11-18T12:24:10Z", progress={
                   "phase": _MODEL, "done": 1_710, "total": 2_740, "unit": "items", "rate": 2.2,
                   "seconds_left": 468}),
    evaluation(19, created="2026-11-18T10:11:00Z"),
    evaluation(15, title="triage on notes", state="failed", actions=["resume"], result=None,
               created="2026-11-17T16:00:00Z", code="item_unfit",
               message="The item 'n0042' expects 'pumps', which is no label of the task.",
               hint=CODES["item_unfit"].hint),
]  # fmt: skip
_GATES = [
    job(18, kind="gate", title="excavator-system on orders", state="done", actions=[],
        created="2026-11-17T09:00:00Z", ended="2026-11-17T09:20:00Z", progress={}, result={
            "verdict": "pass", "answer": "It passes.", "difference": 0.49,
            "interval": [0.41, 0.57], "margin": 0.02, "groups": 222, "looks": 1, "looks_left": 3,
            "certificate": "5d1c" * 16, "task": "excavator-system"}),
    job(17, kind="gate", title="order-fields on notes", state="done", actions=[],
        created="2026-11-16T09:00:00Z", ended="2026-11-16T09:20:00Z", progress={}),
]  # fmt: skip
_QUEUES = [
    queue("orders-2012"),
    queue("notes", created="2026-11-16T09:00:00Z", done={"anna": 40, "ben": 40}, finished=True,
          agreement=0.85, kappa=0.79, unsettled=6),
]  # fmt: skip
INCIDENTS = [
    Incident(
        id=12, code="receiver_behind", level="warning", subject="siem",
        message="The receiver siem (tls://siem.example:6514) takes nothing: Connection refused;"
        " it lacks 812 entries. Nothing is lost: they are sent when it recovers.",
        since="2026-11-17T09:02:00Z", next="Read why: `appliance audit receivers`.", times=3,
    ),
    Incident(
        id=11, code="disk_low", level="warning", message="912 MiB of disk are free.",
        since="2026-11-16T07:40:00Z", next="Free or add disk space.", acked_by="A. Weber",
        acked="2026-11-16T08:00:00Z", note="disk ordered",
    ),
]  # fmt: skip
UPSTREAMS = [
    Upstream.model_validate(
        {"name": "large", "kind": "vllm", "model": "qwen3-32b", "identity": "ab" * 32, "hosts": [
            {"url": "https://gpu-1.example:8443", "state": "ready", "outstanding": 7,
             "probed_seconds": 12.0, "record": {"digest": "cd" * 32},
             "approvals": [{"name": n, "meaning": "seen on its host",
                            "time": "2026-11-16T09:00:00Z"} for n in ("anna", "ben")]},
            {"url": "https://gpu-2.example:8443", "state": "suspect", "outstanding": 2,
             "probed_seconds": 31.0, "record": {"digest": "ce" * 32},
             "suspect": "a value is 0.118 away, 0.020 is tolerated"},
        ]},
    ),
    Upstream(name="second-site", kind="appliance", model="qwen3-4b",
             broken="tls/site-ca.pem: No such file or directory"),
]  # fmt: skip
SITE_FOUND = SitePeerList(
    member="north",
    peers=[
        SitePeer(name="south", url="https://south.example:8443", cosigned=48_211, behind=3,
                 cosigned_at="2026-11-18T12:26:02Z", seen=31_004, heard_seconds=1.2,
                 seen_at="2026-11-18T12:26:11Z", problem="", differs="", mirrored=48_214),
        SitePeer(name="west", url="https://west.example:8443", cosigned=47_900, behind=314,
                 cosigned_at="2026-11-18T12:02:40Z", seen=29_870, heard_seconds=1_430.0,
                 seen_at="2026-11-18T12:02:44Z", problem="timed out", differs=""),
        SitePeer(name="yard", url="https://yard.example:8443", cosigned=48_180, behind=34,
                 cosigned_at="2026-11-18T12:25:31Z", seen=9_120, heard_seconds=0.4,
                 seen_at="2026-11-18T11:40:09Z", problem="",
                 differs="it has 8640 entries, and 9120 were seen"),
    ],
    refused=[SiteDocument(kind="api-key", code="member_not_listed",
                          message="The trust policy lists no member with this key.")],
    waiting=[SiteDocument(kind="approval", code="unknown_model_id", message="cd" * 32)],
)  # fmt: skip
ROUTES = [
    Route.model_validate(
        {"id": "licences", "version": 2, "description": "Licence notices", "state": "approved",
         "digest": "ab" * 32, "on_defer": "queue", "certified": True, "why": "", "deferred": 17,
         "stages": [
             {"name": "small", "kind": "task", "task": "licences-small", "digest": "cd" * 32,
              "answers": 4211},
             {"name": "large", "kind": "upstream", "task": "licences-large", "digest": "ef" * 32,
              "answers": 640},
             {"name": "people", "kind": "queue", "task": "", "digest": "", "answers": 0},
         ],
         "certificates": [
             {"id": "9a" * 32, "verdict": "certified", "reason": "", "threshold": 0.84,
              "coverage": 0.87, "limit": 0.046, "alpha": 0.05, "delta": 0.05, "groups": 660,
              "groups_needed": None, "doubtful": "larger", "identity": "claimed",
              "dataset": "licence-notices", "person": "paula", "issued": "2026-11-16T09:00:00Z",
              "valid_until": "2027-11-16T09:00:00Z", "suspended": "", "function": {}},
         ]},
    ),
    Route.model_validate(
        {"id": "excavators", "version": 1, "description": "Work orders", "state": "approved",
         "digest": "ac" * 32, "on_defer": "error", "certified": False,
         "why": "route_not_certified", "deferred": 50,
         "stages": [
             {"name": "small", "kind": "task", "task": "excavator-2", "digest": "ca" * 32,
              "answers": 0},
             {"name": "large", "kind": "task", "task": "excavator-1", "digest": "fe" * 32,
              "answers": 50},
         ],
         "certificates": [
             {"id": "9b" * 32, "verdict": "not_certifiable", "reason": "unstable over time",
              "threshold": None, "coverage": 0.0, "limit": 1.0, "alpha": 0.1, "delta": 0.05,
              "groups": 481, "groups_needed": 900, "doubtful": "", "identity": "local",
              "dataset": "orders", "person": "paula", "issued": "2026-11-16T09:00:00Z",
              "valid_until": "2027-11-16T09:00:00Z", "suspended": "", "function": {}},
         ]},
    ),
]  # fmt: skip
CURVE = {
    "route": "licences", "verdict": "certified",
    "curve": [[900_000 - 40_000 * n, 0.3 + 0.065 * n, 0.01 + 0.008 * n, 0.005 * n, 0.03 + 0.01 * n]
              for n in range(10)],
}  # fmt: skip
REPORTED = ReportList.model_validate(
    {"documents": [
        {"name": "old/fax.pdf", "state": "refused", "code": "document_unreadable",
         "message": "It has no text. A scan needs text recognition first."},
        {"name": "pump-7.pdf", "state": "added", "code": "", "message": ""},
    ]}
)  # fmt: skip
PASSAGES = Passages.model_validate(
    {"generation": 7, "ranking": "vectors", "passages": [
        {"id": "ab12cd34ab12cd34:100-165", "document": "pump-7.pdf", "version": 1,
         "title": "Pump 7", "page": 12, "heading": "Valves > Relief valve", "start": 100,
         "end": 165, "sha256": "ab" * 32, "text_sha256": "cd" * 32, "score": 0.87,
         "text": "The relief valve opens at 12 bar and closes at 10 bar."},
        {"id": "ab12cd34ab12cd34:900-960", "document": "pump-7.pdf", "version": 1,
         "title": "Pump 7", "page": 0, "heading": "", "start": 900, "end": 960,
         "sha256": "ab" * 32, "text_sha256": "cd" * 32, "score": 0.71,
         "text": "Have the relief valve tested every year."},
    ]}
)  # fmt: skip
TO_LABEL = LabelNext(
    rater="anna", item="w04711",
    input={"text": "HOSE AT BOOM CYL LEAKING, REPLACED SEALS AND HOSE"},
    labels=["air_conditioning", "boom_stick", "bucket_ground_tools", "cab_structure", "electrical",
            "engine", "hydraulics"],
    done=17, total=40,
)  # fmt: skip
WAITING = [
    Waiting(
        id=f"w{number}", request_id=f"req-47{number}", app="triage", task="licences",
        reason="no stage is sure", input={"text": text}, labels=["mit", "apache", "gpl", "other"],
        created=f"2026-11-18T12:{14 + number}:00Z", deadline=f"2026-11-18T16:{14 + number}:00Z",
        state="waiting",
    )
    for number, text in enumerate(
        ("Permission is hereby granted, free of charge, to any person obtaining a copy",
         "This program is free software: you can redistribute it",
         "THE SOFTWARE IS PROVIDED AS IS")
    )
]  # fmt: skip
DRIFTS = {
    task: Drift.model_validate(
        {"document": {
            "task": task, "state": "alarm" if alarmed else "watching", "weeks": 31,
            "answer": "The requests of week 47 are not those of the reference." if alarmed
            else "No week differs.", "last_week": 47,
            "findings": [
                {"week": 47, "window": 4, "statistic": "words", "size": 0.31, "difference": 0.184,
                 "rank": 0.0004, "level": 0.001, "alarm": alarmed}],
            "alarm": {"week": 47, "window": 4, "statistic": "words", "size": 0.31,
                      "difference": 0.184, "rank": 0.0004, "level": 0.001, "alarm": True}
            if alarmed else None, "statistics": ["words", "labels"]},
         "advice": ["Label 60 requests of week 47 and measure the task on them."] * alarmed,
         "promise": "a change of 20 % of the requests is found within 4 weeks, 9 times of 10.",
         "blind": ["A change of the right answers to the same requests."]})
    for task, alarmed in (("excavator-system", False), ("order-fields", True))
}  # fmt: skip
POLICY = Trust.model_validate(
    {"version": 7, "profile": "site", "org": "plant-7.example", "issued": "2026-09-01T08:00:00Z",
     "roles": {
         "publisher": {"threshold": 1, "distinct_from": [], "holders": [
             {"person": "Model Team", "key": "1f" * 32, "revoked": False}]},
         "approver": {"threshold": 2, "distinct_from": ["publisher"], "holders": [
             {"person": "A. Weber", "key": "2a" * 32, "revoked": False},
             {"person": "M. Okoye", "key": "3b" * 32, "revoked": False},
             {"person": "J. Lind", "key": "4c" * 32, "revoked": True}]}},
     "models": [], "algorithms": ["ed25519"], "revoked_keys": ["4c" * 32], "revoked_digests": [],
     "revoked_engines": [],
     "metadata": {"versions": {"root": 2, "targets": 7, "timestamp": 40}, "root": "5d" * 32,
                  "first_root": "5d" * 32, "expires": "2026-12-09T00:00:00Z",
                  "floor": "2026-11-18T00:00:00Z", "state": "ok", "alarms": []}}
)  # fmt: skip
USED = [
    UsageRow(period=f"2026-11-18T{hour:02}:00:00Z", name=name, requests=requests + 17 * hour % 90,
             answers=requests, failed=failed, prompt_tokens=88 * requests,
             completion_tokens=31 * requests, seconds=requests * 0.7)
    for hour in (9, 10, 11, 12)
    for name, requests, failed in (
        ("line-3-assistant", 1_204, 0), ("warehouse", 310, 2), ("planner", 84, 0))
]  # fmt: skip
DATASETS: list[dict[str, Any]] = [
    {"id": "orders", "state": "approved", "digest": "aa71c0de9f3b2244" * 4, "kind": "dataset",
     "created": "2026-11-12T08:00:00Z", "actions": [*actions("approved")]},
    {"id": "notes", "state": "verified", "digest": "0b12c0de9f3b9900" * 4, "kind": "dataset",
     "created": "2026-11-16T10:00:00Z", "actions": [*actions("verified")]},
]  # fmt: skip
_BOUNDS = [0.05, 0.1, 0.25, 0.5, 1.0]


def load(second: int) -> CurrentLoad:
    """The counters of a working day, so many seconds after the start."""
    written = sum(40 + round(30 * math.sin(n / 9) + 12 * math.sin(n / 2.3)) for n in range(second))
    return CurrentLoad(
        at=1_000.0 + second, server="made-up", completion_tokens=written,
        queued=max(0, round(3 * math.sin((second + 26) / 11))), running=3,
        kv_used=2_000 + round(1_400 * math.sin((second - 6) / 17)), kv_total=8_192,
        ttft=Histogram(bounds=_BOUNDS, counts=[0, 4 * second, 3 * second, second, second // 9, 0]),
        host_busy=second * 4.2 + 1.6 * math.sin(second / 6), host_total=second * 8.0,
        own_cpu=second * 3.1 + 1.2 * math.sin(second / 6), own_memory=800 << 20,
        memory=32 << 30, memory_available=21 << 30,
    )  # fmt: skip


def _entries() -> list[Any]:
    made: list[Entry] = []
    for seq in range(18_000, 18_204, 4):
        about: dict[str, object] = {"model": _MODEL, "app": "line-3-assistant", "key_id": "k-7f3a"}
        request_id = f"req-{seq:x}"
        made += [
            entry(seq, "intent", request_id=request_id, digest=_DIGEST, replayable="yes",
                  engine="llama.cpp b9871, avx512-vnni", **about),
            entry(seq + 1, "outcome", request_id=request_id, intent=seq, status="ok", finish="stop",
                  prompt_tokens=412, completion_tokens=57, duration_us=1_240_000, queued_us=3_100,
                  ttft_us=96_400, **about),
            entry(seq + 2, "model", actor="uid:1000", model="triage-notes-v2", event="approval",
                  state="verified", approver="approver-1", meaning="tested on the bench"),
            entry(seq + 3, "admin", action="key_create", actor="uid:1000", name="warehouse"),
        ]  # fmt: skip
    start = datetime.fromisoformat("2026-11-18T11:15:00Z")
    return [
        found.model_copy(
            update={
                "leaf": sha256(b"%d" % found.seq).hexdigest(),
                "prev": sha256(b"%d" % (found.seq - 1)).hexdigest(),
                "time": f"{start + timedelta(seconds=17 * n):%Y-%m-%dT%H:%M:%SZ}",
            }
        )
        for n, found in enumerate(made)
    ]


def script() -> Script:
    usage = {"requests": 8_123, "prompt_tokens": 2_410_000, "completion_tokens": 640_100}
    return Script(
        found=STATUS,
        load_found=load(120),
        details={
            "pump-manual-1b": ModelDetail(
                **_MODELS[2], facts=model_facts(file_bytes=1_288 << 20)
            ),
            _MODEL: ModelDetail(
                **_MODELS[0],
                publisher="Model Team",
                approvals_needed=2,
                approvals=[
                    Approval(name=name, meaning=meaning, time=f"2026-11-17T08:{minute}:00Z")
                    for name, meaning, minute in (
                        ("A. Weber", "tested on the bench", 20),
                        ("M. Okoye", "fit for line 3", 31),
                    )
                ],
                facts=model_facts(
                    name="SmolLM2 135M Instruct", n_layer=30, file_bytes=98 << 20,
                    n_ctx_train=8_192, n_vocab=49_152, has_template=True,
                ),
            ),
        },
        running=[
            request(18_190, app="line-3-assistant", model=_MODEL, completion_tokens=212,
                    key_id="k-7f3a"),
            request(18_194, app="warehouse", model=_MODEL, prompt_tokens=1_840,
                    completion_tokens=31, key_id="k-2c91"),
            request(18_196, app="triage", model=_MODEL, priority="batch", completion_tokens=640,
                    key_id="k-b04e",
                    started="2026-11-18T12:25:40Z"),
            request(18_200, app="line-3-assistant", model=_MODEL, queued=True, completion_tokens=0,
                    started="2026-11-18T12:26:38Z"),
        ],
        jobs_found=_JOBS,
        queues=_QUEUES,
        shelves=[shelf("manuals"), shelf("rules", embedder="", ranking="bm25", documents=31)],
        routes_found=ROUTES,
        upstreams_found=UPSTREAMS,
        site_found=SITE_FOUND,
        incidents_found=INCIDENTS,
        waiting=list(WAITING),
        drifts=dict(DRIFTS),
        policy=POLICY,
        used=USED,
        evaluated=[Certificate(**_EVALUATED)],
        ledgers_found=_LEDGERS,
        reported=REPORTED,
        passages_found=PASSAGES,
        advised=[
            advice("excavator-system"),
            advice("notes", verdict="not_enough_data", options=[]),
        ],
        to_label=[TO_LABEL],
        differences=LabelDifferences(
            raters=["anna", "ben"], labels=TO_LABEL.labels,
            differences=[LabelDifference(item="w04711", input=TO_LABEL.input,
                                         said=["boom_stick", "hydraulics"])],
        ),
        keys_found=[
            key("line-3-assistant", models=[_MODEL], last_used="2026-11-18T12:26:30Z", usage=usage,
                limits={"rpm": 120, "tpm": 60_000, "concurrency": 4, "weight": 2}),
            key("warehouse", usage={"requests": 902, "prompt_tokens": 120_000,
                                    "completion_tokens": 31_000},
                last_used="2026-11-18T12:20:00Z"),
            key("triage", limits={"priority": "batch"}, expires="2026-12-31T00:00:00Z",
                usage={"requests": 60, "prompt_tokens": 900_000, "completion_tokens": 88_000}),
            key("old-kiosk", revoked=True, last_used="2026-09-02T10:00:00Z"),
        ],
        entries=_entries(),
        log=[
            log_line(1, "listening on http://127.0.0.1:8080 (profile lab)"),
            log_line(4, f"serving {_MODEL} (haswell, 582 MiB)"),
            log_line(9, "POST /v1/chat/completions 200", request_id="req-4718", status="200"),
            log_line(15, "the answer was cut: the client went away", "warning",
                     request_id="req-4719"),
            log_line(31, "pump-manual-1b is refused: model.gguf is not the file that was signed.",
                     "error", code="file_changed"),
        ],
        verified=Verification.model_validate(
            {"ok": True, "entries": 18_204, "from": 0, "to": 18_203, "root": "5be2c07d91fa3864" * 4,
             "problems": [], "problem_count": 0, "open_intents": 3, "unwitnessed": 204}
        ),
        note="appliance.lab/5be2c07d91fa3864\n18204\nXi4cB9kfo4ZF7jxqN2o6yqkLb0y2Wm5v8rQ3uT1aZcE=\n\n"
        "— appliance.lab/5be2c07d91fa3864 q83vEjRWeJq83vEjRWeJq83vEjRWeJq83vEjRWeJq83vEjRWeJ\n",
    )  # fmt: skip


PLAN: dict[str, Any] = {
    "path": "/media/stick/triage-notes-v3", "id": "triage-notes-v3", "ok": True, "files": 4,
    "bytes": 1_288 << 20, "digest": "a1b2c3d4e5f60718" * 4, "publisher": "Model Team",
    "approvals": 2, "approvers": ["A. Weber", "M. Okoye", "S. Lindt"], "memory_mib": 2_412,
    "budget_mib": 26_214, "fits": True, "against": "triage-notes-v2",
    "facts": table_of(model_facts(name="Triage Notes", architecture="qwen2")),
    "differences": [
        {"fact": "digest", "now": "a1b2c3d4e5f60718" * 4, "then": "f09b6672ce1d4a83" * 4},
        {"fact": "file_bytes", "now": "1350565888", "then": "1288490188"},
        {"fact": "n_ctx_train", "now": "32768", "then": "8192"},
    ],
}  # fmt: skip
PLACES: dict[str, Any] = {
    "places": [
        {"path": "/media/stick", "device": "/dev/sdb1", "filesystem": "exfat", "total": 62 << 30,
         "free": 41 << 30, "artifacts": [
             {"name": "triage-notes-v3", "path": "/media/stick/triage-notes-v3",
              "bytes": 1_288 << 20, "files": 4, "signed": True},
             {"name": "untitled", "path": "/media/stick/misc/untitled", "bytes": 410 << 20,
              "files": 1, "signed": False}]},
    ]
}  # fmt: skip


def commands() -> Told:
    shown = {
        "id": "triage-notes-v3", "state": "verified", "digest": PLAN["digest"], "created": "",
        "actions": [*actions("verified")],
        "approvals": [{"name": "A. Weber", "meaning": "tested on the bench",
                       "time": "2026-11-18T12:20:00Z"}],
        "facts": {},
    }  # fmt: skip
    return Told(
        model_places=PLACES,
        model_plan=PLAN,
        model_import={"id": "triage-notes-v3", "state": "verified", "digest": PLAN["digest"]},
        model_show=shown,
    )


Steps = Callable[[Terminal], Awaitable[object]]


@dataclass(frozen=True)
class Scene:
    """One picture.

    Attributes:
        steps: what the person does before it.
        down: the server goes away before them.
    """

    name: str
    title: str
    steps: Steps
    down: bool = False
    fresh: bool = False


def _keys(*keys: str, until: str = "") -> Steps:
    async def go(opened: Terminal) -> None:
        await opened.press(*keys)
        await opened.refresh()
        if until:
            await opened.wait(until)

    return go


def _both(first: Steps, *keys: str, until: str = "") -> Steps:
    async def go(opened: Terminal) -> None:
        await first(opened)
        await _keys(*keys, until=until)(opened)

    return go


async def _quotas(opened: Terminal) -> None:
    """With use in the last minute."""
    server = opened.desk.client
    assert isinstance(server, Script)
    await opened.press("5")
    await opened.refresh()
    busy, *others = server.keys_found
    used = KeyUsage(requests=8_210, prompt_tokens=2_441_300, completion_tokens=648_900)
    server.keys_found = [busy.model_copy(update={"usage": used}), *others]
    await opened.refresh()


async def _tasks(opened: Terminal) -> None:
    give_tasks(opened.desk.client)
    await opened.press("7")
    await opened.refresh()
    await opened.refresh()


def give_tasks(server: object) -> None:
    assert isinstance(server, Script)
    signed = [Approval(name=n, meaning=m, time=t) for n, m, t in _SIGNED]
    for number, task in enumerate(_TASKS):
        server.details[task["id"]] = ModelDetail(
            **task, publisher="Model Team", approvals_needed=2, facts=TASK_FACTS,
            approvals=signed[: 2 - number],
        )  # fmt: skip
    server.jobs_found = [*server.jobs_found, evaluation(19, created="2026-11-18T10:11:00Z")]
    server.named = [Name(name="system", serves=True, pointers=[Pointer.model_validate(_POINTED)])]
    listed = [Model(**task) for task in _TASKS]
    server.found = server.found.model_copy(update={"models": [*server.found.models, *listed]})


_LEDGERS = [
    Ledger.model_validate(
        {"dataset": "orders", "splits": [
            {"split": "test", "groups": 480, "left": 3, "looks": [
                {"job": 18, "task": "excavator-system", "taken": "2026-11-17T09:00:00Z",
                 "verdict": "pass", "person": "anna", "dataset": "orders"}]},
            {"split": "certify", "groups": 481, "left": 4, "looks": []}]}
    ),
    Ledger.model_validate(
        {"dataset": "notes", "splits": [
            {"split": "test", "groups": 120, "left": 0, "looks": [
                {"job": 17, "task": "order-fields", "taken": "2026-11-16T09:00:00Z",
                 "verdict": "underpowered", "person": "ben", "dataset": "notes"}]}]}
    ),
]  # fmt: skip
_EVALUATED: dict[str, Any] = {
    "id": "5d1c" * 16, "task": "excavator-system", "task_digest": _TASKS[0]["digest"],
    "dataset": "orders", "verdict": "pass", "metric": "exact_match", "incumbent": "majority",
    "groups": 481, "interval": "tango", "issued": "2026-11-17T09:00:00Z",
    "valid_until": "2027-11-17T09:00:00Z",
    "usable": True, "why": "",
}  # fmt: skip
_POINTED: dict[str, Any] = {
    "id": "77" * 32, "live": {"task": "excavator-system", "digest": _TASKS[0]["digest"]},
    "person": "A. Weber", "reason": "certificate read", "time": "2026-11-18T11:00:00Z",
}  # fmt: skip

_SIGNED = (
    ("A. Weber", "measured on dev, evaluation 19", "2026-11-18T10:20:00Z"),
    ("M. Okoye", "fit for the planners", "2026-11-18T10:31:00Z"),
)


async def _task_ask(opened: Terminal) -> None:
    await _tasks(opened)
    await opened.press("a", "s")


def _evaluations(*keys: str) -> Steps:
    async def go(opened: Terminal) -> None:
        server = opened.desk.client
        assert isinstance(server, Script)
        server.jobs_found = [_EVALUATIONS[0], *_GATES, *_EVALUATIONS[1:]]
        await opened.press("8")
        await opened.refresh()
        await opened.press("down")
        await opened.refresh()
        if keys:
            await opened.press(*keys)

    return go


async def _datasets(opened: Terminal) -> None:
    server = opened.desk.client
    assert isinstance(server, Script)
    for one in DATASETS:
        server.details[one["id"]] = ModelDetail(
            **one, publisher="Method Team",
            facts=DatasetFacts(
                name=one["id"], version=1, sealed=("certify", "test"),
                items={"train": 3_120, "dev": 548, "certify": 900, "test": 902},
                groups={"train": 1_400, "dev": 317, "certify": 481, "test": 480},
            ),
        )  # fmt: skip
    listed = [Model(**one) for one in DATASETS]
    server.found = server.found.model_copy(update={"models": [*server.found.models, *listed]})
    await opened.press("e")
    await opened.refresh()
    await opened.refresh()


async def _labelling(opened: Terminal) -> None:
    await opened.press("t")
    await opened.refresh()
    await opened.press("a", "l")
    await opened.wait("17 of 40")
    await opened.press("7")


async def _collections(opened: Terminal) -> None:
    server = opened.desk.client
    assert isinstance(server, Script)
    server.jobs_found = [job(21, kind="ingest", state="done", title="manuals into manuals")]
    await opened.press("c")
    await opened.wait("scan.pdf")


async def _searching(opened: Terminal) -> None:
    await _collections(opened)
    await opened.press("a", "s", *"relief valve", "enter")
    await opened.wait("12 bar")


async def _routes(opened: Terminal) -> None:
    server = opened.desk.client
    assert isinstance(server, Script)
    server.jobs_found = [job(31, kind="route", state="done", result=CURVE)]
    await opened.press("o")
    await opened.wait("licences-small")


async def _tunings(opened: Terminal) -> None:
    """One trains, two are done."""
    server = opened.desk.client
    assert isinstance(server, Script)
    server.jobs_found = [
        tuning(24, state="running", ended=None, result=None, actions=["pause", "cancel"],
               created="2026-11-18T12:10:02Z", progress={
                   "phase": "training, seed 0", "done": 40, "total": 62, "unit": "steps",
                   "rate": 0.05, "seconds_left": 440}),
        tuning(23, created="2026-11-18T09:11:00Z"),
        tuning(20, created="2026-11-17T16:00:00Z"),
    ]  # fmt: skip
    server.losses_found = {24: [losses()]}
    await opened.press("m")
    await opened.wait("o is dev")


async def _tuned(opened: Terminal) -> None:
    """Two side by side."""
    await _tunings(opened)
    await opened.press("down", "space", "space")
    await opened.wait("2 marked")
    server = opened.desk.client
    assert isinstance(server, Script)
    while ("compare", 23, 20) not in server.calls:
        await opened.refresh()
    await opened.refresh()
    await opened.press("a", "c")
    await opened.wait("SIDE BY SIDE")


async def _deferring(opened: Terminal) -> None:
    await _routes(opened)
    await opened.press("down")
    await opened.wait("unstable over time")


async def _secret(opened: Terminal) -> None:
    await opened.press("5")
    await opened.refresh()
    await opened.press("a", "n", *"kiosk", *["enter"] * 8)
    await opened.wait("Shown once")


async def _receipt(opened: Terminal) -> None:
    await opened.press("4", "down", "down", "enter", "enter")
    await opened.wait("under a signed head")


async def _plan(opened: Terminal) -> None:
    await opened.press("0")
    await opened.wait("triage-notes-v3")
    await opened.press("enter")
    await opened.wait("Model Team")


async def _approving(opened: Terminal) -> None:
    await _plan(opened)
    await opened.press("a", "i", "enter")
    await opened.wait("a a approves")


def scenes() -> list[Scene]:
    return [
        Scene("overview", "overview", _keys("1")),
        Scene("overview-down", "the server is gone", _keys("1"), down=True),
        Scene("models", "models", _keys("2", "down", "down")),
        Scene("models-ask", "a change asks first", _keys("2", "a", "s")),
        Scene("requests", "live requests", _keys("3")),
        Scene("requests-ask", "ending a request", _keys("3", "a", "c")),
        Scene("audit", "audit log", _keys("4")),
        Scene("audit-entry", "an entry", _keys("4", "down", "enter")),
        Scene("audit-receipt", "the receipt of an answer", _receipt),
        Scene("audit-verify", "verification", _keys("4", "a", "v", until="+ verified")),
        Scene("audit-checkpoint", "checkpoint", _keys("4", "a", "c", until="The code")),
        Scene("keys", "keys and quotas", _quotas),
        Scene("keys-secret", "a secret is shown once", _secret),
        Scene("jobs", "jobs", _keys("6")),
        Scene("jobs-ask", "pausing a job", _keys("6", "a", "p")),
        Scene("tasks", "tasks", _tasks),
        Scene("tasks-ask", "suspending a task", _task_ask),
        Scene("evaluations", "evaluations", _evaluations()),
        Scene("evaluations-open", "one evaluation", _evaluations("enter")),
        Scene("labels", "label queues", _keys("t", "down")),
        Scene("labels-item", "labelling, blind", _labelling),
        Scene("collections", "collections of documents", _collections),
        Scene("collections-search", "a search", _searching),
        Scene("advice", "what the advisor said", _keys("v")),
        Scene("advice-report", "writing its page", _keys("v", "w")),
        Scene("incidents", "incidents", _keys("i", "down", until="disk ordered")),
        Scene("incidents-ask", "taking care of one", _keys("i", "a", "a")),
        Scene("upstreams", "hosts of upstreams", _keys("h", "down", until="0.118")),
        Scene("upstreams-ask", "draining a host", _keys("h", "a", "d")),
        Scene("site", "the other appliances", _keys("n", "down", "down", until="were seen")),
        Scene("site-copy", "copying of an appliance", _keys("n", "down", "y")),
        Scene("routes", "routes", _routes),
        Scene("routes-deferring", "a route that defers", _deferring),
        Scene("tuning", "a model learns", _tunings),
        Scene("tuning-compared", "tunings side by side", _tuned),
        Scene("logs", "logs", _keys("9")),
        Scene("logs-warnings", "warnings", _keys("9", "left_square_bracket")),
        Scene("import", "a stick", _keys("0", until="triage-notes-v3")),
        Scene("import-plan", "what an import would do", _plan),
        Scene("import-approve", "one of two approvals", _approving),
        Scene("map", "all places", _keys("1", "g")),
        Scene("models-acts", "what may be done, and why not", _keys("2", "down", "down", "a")),
        Scene("start", "a host without an appliance", _keys("1"), fresh=True),
        Scene("usage", "usage by the hour", _keys("u", until="OVER TIME")),
        Scene("usage-acts", "summed by something else", _keys("u", "a")),
        Scene("datasets", "datasets", _datasets),
        Scene("datasets-acts", "what may be done with one", _both(_datasets, "a")),
        Scene("people", "answers that wait for a person", _keys("p", until="Permission")),
        Scene("people-ask", "answering one", _keys("p", "enter")),
        Scene("drift", "drift", _both(_tasks, "d", "down", until="Label 60")),
        Scene("drift-ask", "learning a new reference", _both(_tasks, "d", "a", "r")),
        Scene("trust", "what ends, and the policy", _keys("x", until="M. Okoye")),
        Scene("trust-copy", "copying", _keys("2", "y")),
        Scene("help", "the keys that work now", _keys("2", "question_mark")),
    ]


@asynccontextmanager
async def staged(
    scene: Scene, size: tuple[int, int], *, basic: bool = False, palette: str = "dark"
) -> AsyncIterator[Terminal]:
    made = script()
    data = Path("/srv/new") if scene.fresh else Path("/d")
    now = [100.0]
    if scene.fresh:
        made.error = DOWN
    async with terminal(
        made,
        size=size,
        commands=commands(),
        data=data,
        basic=basic,
        palette=palette,
        clock=lambda: now[0],
    ) as opened:
        opened.desk.history = History()
        for second in range(120) if not scene.fresh else ():
            opened.desk.history.add(load(second))
        opened.desk.history.add(load(120))
        if not scene.fresh:
            await opened.refresh()
        if scene.down:
            made.error = DOWN
            now[0] += 14
            await opened.refresh()
        if not scene.fresh:
            await scene.steps(opened)
        await opened.pilot.pause()
        yield opened
