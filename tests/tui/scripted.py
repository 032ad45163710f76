"""The operator's program under Pilot, against a script."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel
from textual.app import App
from textual.pilot import Pilot

from appliance.client import AdminClient
from appliance.errors import ApplianceError, NotFound, ServerUnreachable
from appliance.registry.states import actions
from appliance.types import Report, UsedBy, UsedPer, silent
from appliance.wire.admin.advice import ADVICE_LIST, Advice, AdviceList
from appliance.wire.admin.collections import (
    COLLECTION,
    COLLECTION_SEARCH,
    COLLECTIONS,
    INGEST_REPORT,
    CollectionList,
    Passages,
    ReportList,
    SearchWanted,
    Shown,
)
from appliance.wire.admin.drift import (
    DRIFT,
    DRIFT_REPORT,
    DRIFT_RESTART,
    Drift,
    DriftReport,
    Restart,
)
from appliance.wire.admin.endpoint import Endpoint, Named, R
from appliance.wire.admin.evaluations import (
    EVALUATION_ERRORS,
    EVALUATION_REPORT,
    EVALUATIONS_COMPARE,
    Compared,
    CompareWanted,
    Errors,
    ErrorsWanted,
)
from appliance.wire.admin.evaluations import Report as EvaluationReport
from appliance.wire.admin.gates import (
    CERTIFICATES,
    LEDGERS,
    Certificate,
    CertificateList,
    Ledger,
    LedgerList,
)
from appliance.wire.admin.incidents import (
    INCIDENT_ACK,
    INCIDENTS,
    Acknowledge,
    Incident,
    IncidentList,
)
from appliance.wire.admin.jobs import JOB, JOB_CANCEL, JOB_PAUSE, JOB_RESUME, JOBS, Job, JobList
from appliance.wire.admin.keys import (
    KEY_CREATE,
    KEY_LIMIT,
    KEY_REVOKE,
    KEY_ROTATE,
    KEYS,
    Key,
    KeyCreate,
    KeyLimits,
    KeyList,
    KeyRotate,
    NewKey,
)
from appliance.wire.admin.labels import (
    LABEL_DIFFERENCES,
    LABEL_NEXT,
    LABEL_QUEUES,
    LABEL_SET,
    LabelDifferences,
    LabelNext,
    LabelQueue,
    LabelQueueList,
    LabelSet,
)
from appliance.wire.admin.logs import LOGS, LogLine, LogPage, LogQuery
from appliance.wire.admin.metering import USAGE, UsageReport, UsageRow
from appliance.wire.admin.models import (
    AUDIT_CHECKPOINT,
    AUDIT_ENTRIES,
    AUDIT_ENTRY,
    AUDIT_PROOF,
    AUDIT_VERIFY,
    MODEL,
    MODEL_LOAD,
    MODEL_RETIRE,
    MODEL_REVOKE,
    MODEL_SUSPEND,
    MODEL_UNLOAD,
    MODELS,
    MODELS_RECHECK,
    REQUEST_CANCEL,
    REQUESTS,
    STATUS,
    Entry,
    EntryList,
    EntryQuery,
    Model,
    ModelDetail,
    ModelList,
    Reason,
    RequestCancelled,
    RequestList,
    RunningRequest,
    Status,
    Verification,
    VerifyRange,
)
from appliance.wire.admin.pointers import TASK_NAMES, Name, NameList
from appliance.wire.admin.queue import QUEUE, QUEUE_ANSWER, Queue, QueueAnswer, Waiting
from appliance.wire.admin.routes import ROUTES, Route, RouteList
from appliance.wire.admin.site import SITE, SitePeerList
from appliance.wire.admin.trust import TRUST, Trust
from appliance.wire.admin.tunings import (
    TUNING_LOSSES,
    TUNING_REPORT,
    TUNINGS_COMPARE,
    CompareTunings,
    Losses,
    LossRun,
    TuningReport,
    TuningsCompared,
)
from appliance.wire.admin.upstreams import (
    UPSTREAM_DRAIN,
    UPSTREAM_PROBE,
    UPSTREAMS,
    UPSTREAMS_RELOAD,
    Upstream,
    UpstreamDrain,
    UpstreamList,
)
from appliance.wire.admin.usage import LOAD, CurrentLoad
from tests.test_client import STATUS as PLAIN
from tests.test_text import HOSTILE
from tests.tuning import example
from tui.app import OperatorApp, Polled
from tui.command import Commands
from tui.desk import Desk
from tui.link import Link

NEVER = 3_600.0
DATA = Path("/d")
WALL = 1_795_004_800.0  # 2026-11-18T12:26:40Z
DOWN = ServerUnreachable("server_unreachable", "/d/run/admin.sock does not answer.")
NASTY = [
    *HOSTILE,
    "bad [/oops]",
    "[@click=app.quit]x[/]",
    "[bold red]x",
    "$text-error",
    "\x1b[31m",
    "a\tb\nc",
    "漢字" * 60,
    "🦙" * 50,
    "x" * 10_000,
]
WORKER = {
    "model": "pump", "digest": "ab" * 32, "pid": 4711, "state": "ready", "n_ctx": 4096, "slots": 8,
    "running": 2, "queued": 3, "kv_used": 1024, "restarts": 1, "confinement": {},
    "variant": "haswell", "memory_mib": 250,
}  # fmt: skip
_LEVELS = ("debug", "info", "warning", "error")


def status(**changes: object) -> Status:
    return Status.model_validate({**PLAIN, "role": "admin", **changes})


def model(name: str, state: str = "approved", **more: object) -> dict[str, object]:
    return {"id": name, "state": state, "digest": None, "actions": [*actions(state)], **more}


def entry(seq: int, kind: str = "admin", **body: object) -> Entry:
    return Entry(
        seq=seq, kind=kind, time="2026-11-18T12:00:00Z", leaf="ab" * 32, prev="cd" * 32,
        body={"seq": seq, "prev": "cd" * 32, **body},
    )  # fmt: skip


def request(number: int, **changes: object) -> RunningRequest:
    plain: dict[str, object] = {
        "seq": number, "request_id": f"req-{number}", "key_id": "k1", "model": "pump",
        "prompt_tokens": 100, "completion_tokens": 50, "started": "2026-11-18T12:26:30Z",
        "app": f"app-{number}",
    }  # fmt: skip
    return RunningRequest.model_validate({**plain, **changes})


def job(number: int, **changes: object) -> Job:
    plain: dict[str, object] = {
        "id": number, "kind": "import", "title": f"/media/stick/model-{number}",
        "state": "running", "actor": "uid:1000", "actions": ["pause", "cancel"],
        "created": "2026-11-18T12:24:10Z", "started": "2026-11-18T12:24:10Z",
        "progress": {
            "phase": "copying", "done": 1 << 30, "total": 4 << 30, "unit": "bytes",
            "rate": 50.0 * 2**20, "seconds_left": 61,
        },
    }  # fmt: skip
    return Job.model_validate({**plain, **changes})


def evaluation(number: int, **changes: object) -> Job:
    plain: dict[str, object] = {
        "kind": "evaluation", "title": "excavator-system on orders", "state": "done",
        "actions": [], "ended": "2026-11-18T12:25:10Z", "heavy": True, "progress": {},
        "result": {
            "task": "excavator-system", "version": 1, "metric": "exact_match", "split": "dev",
            "items": 548,
            "answer": "logistic regression is enough: every other candidate is worse. Do not use a "
            "language model for this task as it is.",
            "baseline": "logistic regression", "label_agreement": 0.807,
            "candidates": [
                candidate("majority", 0.169, 0.13, 0.217, 971_000.0),
                candidate("logistic regression", 0.691, 0.641, 0.737, 554.0),
                candidate("logistic regression, n=100", 0.523, 0.468, 0.577, 1_020.0),
                candidate("smollm2-135m", 0.122, 0.09, 0.164, 2.18, timeout=3),
            ],
            "comparisons": [
                {"candidate": "smollm2-135m", "baseline": "logistic regression",
                 "difference": -0.569, "interval": [-0.62, -0.51], "gained": 12, "lost": 324},
            ],
            "digests": {"task": "ab" * 32, "dataset": "cd" * 32},
        },
    }  # fmt: skip
    return job(number, **{**plain, **changes})


def tuning(number: int, **changes: object) -> Job:
    plain: dict[str, object] = {
        "kind": "tune", "title": "licences from notices", "state": "done", "actions": [],
        "ended": "2026-11-18T12:25:10Z", "heavy": True, "progress": {}, "params": {"plan": False},
        "result": example.result(),
    }  # fmt: skip
    return job(number, **{**plain, **changes})


def losses(name: str = "seed-0") -> LossRun:
    points = [(p["step"], p["loss"], p["dev"]) for p in example.record()["seeds"][0]["losses"]]
    return LossRun(name=name, points=points[:40])


def side_by_side(*numbers: int) -> TuningsCompared:
    ranks = [str(8 * (n + 1)) for n in range(len(numbers))]
    return TuningsCompared.model_validate(
        {
            "tunings": [
                {"id": number, "title": "licences from notices", "metric": "exact_match",
                 "value": 0.844 - n / 50, "interval": [0.793 - n / 50, 0.885 - n / 50],
                 "groups": 237, "best": "blend", "best_value": 0.86,
                 "best_interval": [0.81, 0.898], "dev_nats": 0.1243, "spread_nats": 0.0,
                 "seconds": 2280.3 - 300 * n, "peak_mib": 2458, "joules": None}
                for n, number in enumerate(numbers)
            ],
            "differing": [
                {"name": "rank", "values": ranks},
                {"name": "rate", "values": ["0.001", "0.0005", *ranks][: len(numbers)]},
            ],
            "same_dev": True,
            "paired": [
                {"tuning": number, "against": numbers[0], "reason": "", "items": 335,
                 "left_out": 12, "groups": 237, "differences": [
                     {"what": "tuned model", "value": -0.02 * n, "interval": [-0.051, 0.012],
                      "p_value": 0.21, "gained": 14, "lost": 21},
                     {"what": "best: blend", "value": 0.0, "interval": [-0.021, 0.021],
                      "p_value": 1.0, "gained": 4, "lost": 4}]}
                for n, number in enumerate(numbers)
                if n
            ],
        }
    )  # fmt: skip


def candidate(
    name: str, quality: float, low: float, high: float, speed: float, **failures: int
) -> dict[str, object]:
    return {
        "name": name, "quality": quality, "interval": [low, high], "groups": 317,
        "documents_s": speed, "p50_s": 1 / speed, "p95_s": 2 / speed, "tokens": 0,
        "failures": failures, "calibration_error": None, "outcomes": "ef" * 32,
    }  # fmt: skip


def advice(task: str, **changes: object) -> Advice:
    options = [
        {"name": "baseline", "title": "logistic regression", "state": "shown", "why": "",
         "interval": [0.71, 0.77], "cost_month": {"p10": 220.64, "p50": 340.64, "p90": 580.64},
         "seconds_p95": 0.0109},
        {"name": "larger", "title": "qwen2.5-coder-1.5b", "state": "below", "why": "",
         "interval": [0.42, 0.59], "cost_month": {"p10": 183.42, "p50": 303.42, "p90": 543.42},
         "seconds_p95": 7.79},
        {"name": "retrieval", "title": "small model with retrieval", "state": "unmeasured",
         "why": "", "interval": None, "cost_month": None, "seconds_p95": None},
    ]  # fmt: skip
    document: dict[str, object] = {
        "verdict": "baseline",
        "answer": "Don't use a language model: logistic regression is good enough. It costs 340.64 "
        "EUR a month; it is the only one that is shown to reach what is wanted.",
        "options": options,
        "flips_if": [
            {"name": "domain.quality", "now": 0.7, "then": 0.715, "verdict": "not_enough_data"}
        ],
        "notes": ["By the learning curve, twice as many examples bring +2.7 points."],
    }
    return Advice.model_validate({
        "task": task, "created": "2026-11-18T09:26:40Z", "html": "<p>a</p>",
        "document": {**document, **changes},
    })  # fmt: skip


def queue(name: str, **changes: object) -> LabelQueue:
    plain: dict[str, object] = {
        "name": name, "data": f"/srv/data/{name}", "created": "2026-11-18T09:26:40Z", "items": 40,
        "labels": ["hydraulics", "engine", "electrical"], "raters": ["anna", "ben"],
        "done": {"anna": 17, "ben": 3}, "finished": False,
    }  # fmt: skip
    return LabelQueue.model_validate({**plain, **changes})


def shelf(name: str, **changes: object) -> Shown:
    one: dict[str, object] = {
        "name": name, "embedder": "multilingual-e5-small", "ranking": "vectors", "documents": 2,
        "chunks": 1_204, "size": 9 << 20, "generation": 7, **changes,
    }  # fmt: skip
    plain: dict[str, object] = {
        "version": 1, "title": "", "media": "pdf", "language": "en", "empty_pages": 0,
        "chunks": 602, "text_bytes": 1_000, "source_sha256": "ab" * 32, "text_sha256": "cd" * 32,
        "added": "2026-11-18T11:00:00Z",
    }  # fmt: skip
    documents = [
        {**plain, "name": "pump-7.pdf", "pages": 76, "warnings": [], "access": ["group:fitters"]},
        {**plain, "name": "scan.pdf", "pages": 4, "warnings": ["empty_pages"], "access": []},
    ]
    return Shown.model_validate(
        {"collection": one, "budget": 440, "overlap": 40, "documents": documents}
    )


def key(name: str, **changes: object) -> Key:
    plain: dict[str, object] = {
        "id": f"id-{name}", "name": name, "role": "app", "models": [],
        "created": "2026-11-01T00:00:00Z", "expires": None, "revoked": False,
        "state": "revoked" if changes.get("revoked") else "valid",
    }  # fmt: skip
    return Key.model_validate({**plain, **changes})


def log_line(number: int, message: str, level: str = "info", **fields: str) -> LogLine:
    time = f"2026-11-18T12:00:{number % 60:02}.000Z"
    return LogLine(
        id=str(number), time=time, level=level, logger="appliance", message=message, fields=fields
    )


ERRORS = Errors.model_validate(
    {"evaluation": 7, "candidate": "tuned", "split": "dev", "items": 548, "wrong": 3, "kept": 3,
     "unread": "",
     "confused": [{"expected": "engine", "answered": "hydraulics", "items": 2},
                  {"expected": "cab", "answered": "(timeout)", "items": 1}],
     "shown": [
         {"item": "w04711", "group": "g1", "expected": "engine", "answered": "hydraulics",
          "score": 0, "confidence": 0.993, "input": "replace pump of the oil cooler"},
         {"item": "w04712", "group": "g2", "expected": "engine", "answered": "hydraulics",
          "score": 0, "confidence": 0.71, "input": "turbo hose leaks"},
         {"item": "w04713", "group": "g3", "expected": "cab", "answered": "(timeout)",
          "score": 0, "confidence": None, "input": "seat belt torn"},
     ]}
)  # fmt: skip
FLIPS = Compared.model_validate(
    {"first": "7: tuned", "second": "7: logistic regression", "difference": 0.02,
     "interval": [-0.01, 0.05], "groups": 317, "items": 548, "gained": 1, "lost": 0, "p_value": 1,
     "flips": [{"item": "w04720", "group": "g9", "right": "first", "expected": "track",
                "first": "track", "second": "cab", "input": "idler worn out"}]}
)  # fmt: skip


_ANSWERS: dict[Endpoint[Any, Any], str] = {}
_Answer = TypeVar("_Answer", bound=Callable[..., Any])


def answers(at: Endpoint[Any, Any]) -> Callable[[_Answer], _Answer]:
    """The decorated method has the script's answer for an endpoint."""

    def added(method: _Answer) -> _Answer:
        _ANSWERS[at] = method.__name__
        return method

    return added


@dataclass
class Script(AdminClient):
    """A server with scripted answers.

    Attributes:
        error: what every question gets instead of an answer.
        refused: what a change gets, by the name of its method.
        calls: the changes that were asked for, in order.
    """

    found: Status = field(default_factory=status)
    load_found: CurrentLoad = field(default_factory=lambda: CurrentLoad(at=1.0, server="s"))
    details: dict[str, ModelDetail] = field(default_factory=dict)
    evaluated: list[Certificate] = field(default_factory=list)
    ledgers_found: list[Ledger] = field(default_factory=list)
    named: list[Name] = field(default_factory=list)
    running: list[RunningRequest] = field(default_factory=list)
    jobs_found: list[Job] = field(default_factory=list)
    shelves: list[Shown] = field(default_factory=list)
    routes_found: list[Route] = field(default_factory=list)
    upstreams_found: list[Upstream] = field(default_factory=list)
    site_found: SitePeerList = field(default_factory=lambda: SitePeerList(peers=[]))
    incidents_found: list[Incident] = field(default_factory=list)
    errors_found: Errors = ERRORS
    flips_found: Compared = FLIPS
    losses_found: dict[int, list[LossRun]] = field(default_factory=dict)
    reported: ReportList = field(default_factory=lambda: ReportList(documents=[]))
    passages_found: Passages = field(
        default_factory=lambda: Passages(generation=1, ranking="bm25", passages=[])
    )
    waiting: list[Waiting] = field(default_factory=list)
    drifts: dict[str, Drift] = field(default_factory=dict)
    policy: Trust | None = None
    used: list[UsageRow] = field(default_factory=list)
    queues: list[LabelQueue] = field(default_factory=list)
    advised: list[Advice] = field(default_factory=list)
    to_label: list[LabelNext] = field(default_factory=list)
    differences: LabelDifferences | None = None
    keys_found: list[Key] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    log: list[LogLine] = field(default_factory=list)
    verified: Verification | None = None
    note: str = "log.example\n3\nAAAA\n\n- log.example sig\n"
    error: ApplianceError | None = None
    refused: dict[str, ApplianceError] = field(default_factory=dict)
    calls: list[tuple[object, ...]] = field(default_factory=list)
    now: float = 100.0

    def answer(
        self,
        at: Endpoint[Any, R],
        request: BaseModel | None,
        names: Mapping[str, Named],
        report: Report,
    ) -> R:
        at.filled(names)
        given = (*(() if request is None else (request,)), *((report,) if at.streams else ()))
        found: R = getattr(self, _ANSWERS[at])(*given, **names)
        return found

    def _answer(self) -> None:
        if self.error is not None:
            raise self.error

    def _change(self, name: str, *arguments: object) -> None:
        self._answer()
        self.calls.append((name, *arguments))
        if name in self.refused:
            raise self.refused[name]

    @answers(STATUS)
    def status(self) -> Status:
        self._answer()
        return self.found

    @answers(LOAD)
    def usage(self) -> CurrentLoad:
        self._answer()
        return self.load_found

    @answers(MODEL)
    def model(self, model_id: str) -> ModelDetail:
        self._answer()
        if model_id in self.details:
            return self.details[model_id]
        listed = next((m for m in self.found.models if m.id == model_id), None)
        if listed is None:
            raise NotFound("unknown_model_id", f"No {model_id}.")
        return ModelDetail(**listed.model_dump())

    @answers(CERTIFICATES)
    def certificates(self, *, doubtful: bool = False) -> CertificateList:
        self._answer()
        return CertificateList(certificates=self.evaluated)

    @answers(LEDGERS)
    def ledgers(self) -> LedgerList:
        self._answer()
        return LedgerList(ledgers=self.ledgers_found)

    @answers(TASK_NAMES)
    def task_names(self) -> NameList:
        self._answer()
        return NameList(names=self.named)

    def _changed(self, model_id: str, state: str) -> Model:
        return Model(id=model_id, state=state, digest=None, actions=[*actions(state)])

    @answers(MODEL_LOAD)
    def load(self, report: Report, model_id: str) -> Model:
        report("sealing", 1, 2)
        self._change("load", model_id)
        return self._changed(model_id, "serving")

    @answers(MODEL_UNLOAD)
    def unload(self, model_id: str) -> Model:
        self._change("unload", model_id)
        return self._changed(model_id, "approved")

    @answers(MODEL_SUSPEND)
    def suspend(self, why: Reason, model_id: str) -> Model:
        self._change("suspend", model_id, why.reason)
        return self._changed(model_id, "suspended")

    @answers(MODEL_RETIRE)
    def retire(self, why: Reason, model_id: str) -> Model:
        self._change("retire", model_id, why.reason)
        return self._changed(model_id, "retired")

    @answers(MODEL_REVOKE)
    def revoke(self, why: Reason, model_id: str) -> Model:
        self._change("revoke", model_id, why.reason)
        return self._changed(model_id, "revoked")

    @answers(MODELS_RECHECK)
    def recheck(self) -> ModelList:
        self._change("recheck")
        return ModelList(models=[])

    @answers(REQUESTS)
    def requests(self) -> RequestList:
        self._answer()
        return RequestList(requests=self.running)

    @answers(REQUEST_CANCEL)
    def cancel_request(self, request_id: str) -> RequestCancelled:
        self._change("cancel", request_id)
        return RequestCancelled(request_id=request_id, cancelled=True)

    @answers(JOBS)
    def jobs(self, count: int = 100) -> JobList:
        self._answer()
        found = self.jobs_found[:count]
        return JobList(jobs=[each.model_copy(update={"result": None}) for each in found])

    @answers(JOB)
    def job(self, job_id: int) -> Job:
        self._answer()
        return next(each for each in self.jobs_found if each.id == job_id)

    @answers(EVALUATION_REPORT)
    def evaluation_report(self, job_id: int) -> EvaluationReport:
        self._change("report", job_id)
        return EvaluationReport(html=f"<p>{job_id}</p>")

    @answers(EVALUATION_ERRORS)
    def evaluation_errors(self, wanted: ErrorsWanted) -> Errors:
        self._change("errors", wanted.side.evaluation)
        return self.errors_found

    @answers(EVALUATIONS_COMPARE)
    def compare_evaluations(self, wanted: CompareWanted) -> Compared:
        self._change("compare", wanted.first.evaluation, wanted.second.candidate)
        return self.flips_found

    @answers(TUNING_REPORT)
    def tuning_report(self, job_id: int, against: int | None = None) -> TuningReport:
        self._change("report", job_id)
        return TuningReport(html=f"<p>{job_id}</p>")

    @answers(TUNING_LOSSES)
    def tuning_losses(self, job_id: int) -> Losses:
        self._change("losses", job_id)
        return Losses(runs=self.losses_found.get(job_id, []))

    @answers(TUNINGS_COMPARE)
    def compare_tunings(self, wanted: CompareTunings) -> TuningsCompared:
        self._change("compare", *wanted.tunings)
        return side_by_side(*wanted.tunings)

    @answers(COLLECTIONS)
    def collections(self) -> CollectionList:
        self._answer()
        return CollectionList(collections=[each.collection for each in self.shelves])

    @answers(COLLECTION)
    def collection(self, name: str) -> Shown:
        self._answer()
        return next(each for each in self.shelves if each.collection.name == name)

    @answers(INGEST_REPORT)
    def ingest_report(self, name: str, job_id: int) -> ReportList:
        self._answer()
        return self.reported

    @answers(COLLECTION_SEARCH)
    def search_collection(self, wanted: SearchWanted, name: str) -> Passages:
        self._change("search", name, wanted.query)
        return self.passages_found

    @answers(ADVICE_LIST)
    def all_advice(self) -> AdviceList:
        self._answer()
        return AdviceList(advice=self.advised)

    @answers(ROUTES)
    def routes(self) -> RouteList:
        self._answer()
        return RouteList(routes=self.routes_found)

    @answers(INCIDENTS)
    def incidents(self) -> IncidentList:
        self._answer()
        return IncidentList(incidents=self.incidents_found)

    @answers(INCIDENT_ACK)
    def acknowledge(self, wanted: Acknowledge, number: int) -> Incident:
        self._change("acknowledge", number, wanted.note)
        (one,) = (i for i in self.incidents_found if i.id == number)
        return one.model_copy(update={"acked_by": "you"})

    @answers(SITE)
    def site(self) -> SitePeerList:
        self._answer()
        return self.site_found

    @answers(UPSTREAMS)
    def upstreams(self) -> UpstreamList:
        self._answer()
        return UpstreamList(upstreams=self.upstreams_found)

    @answers(UPSTREAMS_RELOAD)
    def reload_upstreams(self) -> UpstreamList:
        self._change("reload_upstreams")
        return UpstreamList(upstreams=self.upstreams_found)

    @answers(UPSTREAM_PROBE)
    def probe_upstream(self, name: str) -> Upstream:
        self._change("probe_upstream", name)
        return next(one for one in self.upstreams_found if one.name == name)

    @answers(UPSTREAM_DRAIN)
    def drain_upstream(self, wanted: UpstreamDrain, name: str) -> Upstream:
        self._change("drain_upstream", name, wanted.url, wanted.drained)
        return next(one for one in self.upstreams_found if one.name == name)

    @answers(LABEL_QUEUES)
    def label_queues(self) -> LabelQueueList:
        self._answer()
        return LabelQueueList(queues=self.queues)

    @answers(LABEL_NEXT)
    def next_label(self, name: str) -> LabelNext:
        self._answer()
        return self.to_label[0] if self.to_label else LabelNext(done=2, total=2)

    @answers(LABEL_SET)
    def set_label(self, wanted: LabelSet, name: str) -> LabelQueue:
        self._change("label", name, wanted)
        if wanted.together and self.differences is not None:
            left = [d for d in self.differences.differences if d.item != wanted.item]
            self.differences = self.differences.model_copy(update={"differences": left})
        self.to_label = [each for each in self.to_label if each.item != wanted.item]
        return queue(name)

    @answers(LABEL_DIFFERENCES)
    def label_differences(self, name: str) -> LabelDifferences:
        self._answer()
        return self.differences or LabelDifferences(raters=[], labels=[], differences=[])

    @answers(QUEUE)
    def queue_of_people(self, *, everything: bool = False, task: str | None = None) -> Queue:
        self._answer()
        return Queue(items=self.waiting)

    @answers(QUEUE_ANSWER)
    def answer_item(self, wanted: QueueAnswer, item_id: str) -> Waiting:
        self._change("answer", item_id, wanted.answer)
        (one,) = (each for each in self.waiting if each.id == item_id)
        self.waiting = [each for each in self.waiting if each.id != item_id]
        return one.model_copy(update={"state": "answered"})

    @answers(MODELS)
    def models(self) -> ModelList:
        self._answer()
        return ModelList(models=self.found.models)

    @answers(DRIFT)
    def drift(self, task: str) -> Drift:
        self._answer()
        if task not in self.drifts:
            raise NotFound("not_found", "not watched")
        return self.drifts[task]

    @answers(DRIFT_REPORT)
    def drift_report(self, task: str) -> DriftReport:
        self._change("report", task)
        return DriftReport(html=f"<p>{task}</p>")

    @answers(DRIFT_RESTART)
    def restart_drift(self, wanted: Restart, task: str) -> Drift:
        self._change("restart", task, wanted.reason)
        return self.drifts[task]

    @answers(TRUST)
    def trust(self) -> Trust:
        self._answer()
        if self.policy is None:
            raise NotFound("not_found", "no policy")
        return self.policy

    @answers(USAGE)
    def usage_report(self, *, by: UsedBy, per: UsedPer, since: str) -> UsageReport:
        self._answer()
        return UsageReport(by=by, per=per, known=since, rows=self.used)

    @answers(JOB_PAUSE)
    def pause_job(self, job_id: int) -> Job:
        return self._steer(job_id, "pause")

    @answers(JOB_RESUME)
    def resume_job(self, job_id: int) -> Job:
        return self._steer(job_id, "resume")

    @answers(JOB_CANCEL)
    def cancel_job(self, job_id: int) -> Job:
        return self._steer(job_id, "cancel")

    def _steer(self, job_id: int, action: str) -> Job:
        self._change("steer", job_id, action)
        return job(job_id, state=f"{action}d")

    @answers(KEYS)
    def keys(self) -> KeyList:
        self._answer()
        return KeyList(keys=self.keys_found)

    @answers(KEY_CREATE)
    def create_key(self, wanted: KeyCreate) -> NewKey:
        self._change("create", wanted)
        return NewKey(**key(wanted.name).model_dump(), secret="sk-once")

    @answers(KEY_LIMIT)
    def limit_key(self, wanted: KeyLimits, key_id: str) -> Key:
        self._change("limit", key_id, wanted)
        return key("limited")

    @answers(KEY_ROTATE)
    def rotate_key(self, wanted: KeyRotate, key_id: str) -> NewKey:
        self._change("rotate", key_id, wanted.overlap)
        return NewKey(**key("rotated").model_dump(), secret="sk-again")

    @answers(KEY_REVOKE)
    def revoke_key(self, key_id: str) -> Key:
        self._change("revoke", key_id)
        return key("revoked", revoked=True)

    @answers(AUDIT_ENTRIES)
    def search(self, query: EntryQuery) -> EntryList:
        self._answer()
        before = 1 << 53 if query.before is None else query.before
        fitting = [
            e for e in reversed(self.entries)
            if e.seq < before
            and query.kind in (None, e.kind)
            and query.request_id in (None, e.body.get("request_id"))
        ]  # fmt: skip
        page = fitting[: query.limit]
        more = page[-1].seq if len(fitting) > len(page) else None
        return EntryList(entries=page, next_before=more)

    @answers(AUDIT_ENTRY)
    def entry(self, seq: int, *, content: bool = False) -> Entry:
        self._answer()
        found = next((e for e in self.entries if e.seq == seq), None)
        if found is None:
            raise NotFound("not_found", f"The log has no entry {seq}.")
        if content:
            self._change("decrypt", seq)
            return found.model_copy(update={"content": {"prompt": "secret words"}})
        return found

    @answers(AUDIT_PROOF)
    def proof(self, seq: int, witness: str | None = None) -> bytes:
        self._answer()
        return f"proof of {seq}".encode()

    @answers(AUDIT_CHECKPOINT)
    def checkpoint(self) -> bytes:
        self._answer()
        return self.note.encode()

    @answers(AUDIT_VERIFY)
    def verify_log(self, wanted: VerifyRange, report: Report) -> Verification:
        self._answer()
        report("verifying", 1, 3)
        if self.verified is None:
            raise NotFound("not_found", "no")
        return self.verified

    @answers(LOGS)
    def logs(self, query: LogQuery) -> LogPage:
        self._answer()
        text, least = query.text or "", _LEVELS.index(query.level)
        found = [
            line for line in self.log
            if text in line.message
            and (line.level not in _LEVELS or _LEVELS.index(line.level) >= least)
        ]  # fmt: skip
        return LogPage(lines=found, file="/d/log")

    def close(self) -> None:
        pass


class Told(Commands):
    """Commands with scripted answers.

    Attributes:
        answers: by the first two words, the document or the error.
        ran: every command line.
    """

    def __init__(self, **answers: Any) -> None:
        super().__init__(DATA)
        self.answers: dict[str, Any] = answers
        self.ran: list[tuple[str, ...]] = []

    def run(
        self,
        *arguments: str,
        report: Report = silent,
        data: bool = True,
        refused_is_data: bool = False,
    ) -> Any:
        self.ran.append(arguments)
        found = next(
            (
                self.answers[name]
                for name in ("_".join(arguments[:2]), arguments[0])
                if name in self.answers
            ),
            None,
        )
        if callable(found):
            found = found(*arguments)
        if isinstance(found, Exception):
            raise found
        return {} if found is None else found


def text_of(app: App[None]) -> str:
    """Every character on the screen. Textual has no public way to get at it."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in strips)


class Watched(OperatorApp):
    polled: "asyncio.Queue[Link]"

    def on_polled(self, message: Polled) -> None:
        """Textual calls the base class's handler too."""
        self.polled.put_nowait(message.link)


@dataclass
class Terminal:
    app: Watched
    pilot: "Pilot[None]"
    desk: Desk

    @property
    def text(self) -> str:
        return text_of(self.app)

    async def polled(self) -> str:
        await asyncio.wait_for(self.app.polled.get(), 30)
        await self.pilot.pause()
        return self.text

    async def refresh(self) -> str:
        while not self.app.polled.empty():
            self.app.polled.get_nowait()
        self.app.action_refresh()
        return await self.polled()

    async def press(self, *keys: str) -> str:
        await self.pilot.press(*keys)
        await self.pilot.pause()
        return self.text

    async def type(self, text: str) -> str:
        return await self.press(*(_KEYS.get(character, character) for character in text))

    async def wait(self, words: str, seconds: float = 30) -> str:
        shown = ""
        async with asyncio.timeout(seconds):
            while words not in (shown := self.text):
                try:
                    await self.pilot.pause(0.02)
                except TimeoutError:
                    break
        assert words in shown, f"{words!r} never came:\n{shown}"
        return shown


_KEYS = {
    "/": "slash", " ": "space", ".": "full_stop", "-": "minus", "=": "equals_sign",
    "_": "underscore", ",": "comma", ":": "colon",
}  # fmt: skip


@asynccontextmanager
async def terminal(
    client: AdminClient | None = None,
    *,
    size: tuple[int, int] = (80, 24),
    clock: Callable[[], float] = lambda: 100.0,
    data: Path = DATA,
    readonly: bool = False,
    basic: bool = False,
    period: float = NEVER,
    commands: Commands | None = None,
    media: tuple[Path, ...] = (),
    palette: str = "dark",
) -> AsyncIterator[Terminal]:
    """The program after its first poll; further ones only when asked, unless a period is given."""
    desk = _Initialised(
        client or Script(), commands or Told(), data, readonly=readonly, basic=basic, media=media,
        clock=clock, wall=lambda: WALL, palette=palette,
    )  # fmt: skip
    app = Watched(desk, period=period)
    app.polled = asyncio.Queue()
    async with app.run_test(size=size) as pilot:
        opened = Terminal(app, pilot, desk)
        await opened.polled()
        yield opened


class _Initialised(Desk):
    """A made-up data directory counts as one."""

    @property
    def initialised(self) -> bool:
        return self.data == DATA or (self.data / "appliance.toml").exists()
