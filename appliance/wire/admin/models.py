"""Schemas of the admin socket, shared by `api.admin` and `client`.

Rules: scripts read field names from `--json`, so they only ever grow. Times are ISO 8601 in UTC,
digests lower-case hex, sizes bytes (MiB where the name says so). Text from models, keys and
requests is carried as it is: a program that shows it calls `text.visible`.
"""

from typing import Any, Final, Literal, Self

from pydantic import Field

from appliance.errors import Refused
from appliance.facts import UnreadFacts
from appliance.wire.admin.base import Reply as _Reply
from appliance.wire.admin.base import Request as _Request
from appliance.wire.admin.columns import ColumnKind, ListColumn, ListTable
from appliance.wire.admin.endpoint import admins, approvers, operators, viewers
from appliance.wire.admin.facts import Facts
from appliance.wire.admin.incidents import Incident
from appliance.wire.admin.model_texts import Grammar


class ErrorBody(_Reply):
    """One error, with its stable code and next step."""

    message: str
    type: str = ""
    param: str | None = None
    code: str
    hint: str = ""


class ErrorReply(_Reply):
    """The body of every answer that is not 2xx."""

    error: ErrorBody


# status


class WorkerDevice(_Reply):
    """Device that a worker computes on.

    `kind` is "cpu" or "cuda", `text` says it with driver and layers, `backend` is the path of the
    GPU library; `warning` is why a model is on the processor despite a loaded NVIDIA driver.
    """

    kind: str = "cpu"
    text: str = ""
    backend: str = ""
    warning: str = ""


class Worker(_Reply):
    """One engine process and its model, as the supervisor tells it now.

    Attributes:
        state: starting, ready, restarting or suspended.
        slots: requests that it runs at once.
        kv_used: cells of the cache that sequences use.
        kv_kept: cells that only kept prefixes use; running sequences may evict them.
        adapters: ids of the loaded ones.
        threads: that computed the last step.
        threads_most: that compute when no other process needs the cores.
        restarts: as the log counts them.
        deaths: of its engine within the last ten minutes.
        reason: why it is suspended.
        confinement: what the worker reports to be in force.
        variant: the engine's processor backend, and what multiplies with the weights there.
        device: asked at the last start.
        memory_mib: its part of the memory budget.
        held: "memory" for sealed memory; "disk" for a file that the service cannot write,
            hashed before and after loading: a weaker claim.
    """

    model: str
    digest: str
    pid: int | None
    state: str
    n_ctx: int
    slots: int
    running: int
    queued: int
    kv_used: int
    kv_kept: int = 0
    adapters: list[str] = Field(default=[])
    threads: int = 0
    threads_most: int = 0
    restarts: int
    deaths: int = 0
    reason: str = ""
    confinement: dict[str, Any]
    kind: str = "generate"
    variant: str
    device: WorkerDevice = Field(default_factory=lambda: WorkerDevice())
    memory_mib: int
    held: str = "memory"


class AuditHead(_Reply):
    """The head of the log; `latched` is why it cannot be written, null while it can.

    `unwitnessed` entries came after the last head that a witness cosigned, at `witnessed`. Of the
    `replayed` answers that were computed again of late, `replayed_same` were the same; the outcome
    `difference` is the newest that still is not.
    """

    entries: int
    root: str
    latched: str | None = None
    unwitnessed: int = 0
    witnessed: str | None = None
    replayed: int = 0
    replayed_same: int = 0
    difference: int | None = None


class Host(_Reply):
    """The host that the server runs on; `name` is what it calls itself."""

    cpu: str
    cores: int
    memory: int
    memory_available: int
    kernel: str
    seccomp: bool
    landlock_abi: int
    disk_free: int
    name: str = ""


class StepProgress(_Reply):
    """Progress of a long step, in bytes or entries."""

    phase: str
    done: int
    total: int


class Model(_Reply):
    """One artifact in the store. `code` says why it was refused.

    `kind` is "generate", "embed", "rerank" or "adapter" once the file was vetted. `activity` is
    "loading" (with `progress`), "busy", "idle", "waiting" (for memory), or "" when it is not in
    memory; `unloaded` says why not. `needs_mib` is its part of the budget, `waiting` counts
    requests for it, `last_used` is when the last one came or left. `actions` now: "load", "unload",
    "approve", "suspend", "retire", "revoke".
    """

    id: str
    state: str
    digest: str | None
    loaded: bool = False
    kind: str = ""
    code: str | None = None
    message: str = ""
    hint: str = ""
    created: str = ""
    activity: str = ""
    pinned: bool = False
    on_demand: bool = False
    needs_mib: int = 0
    waiting: int = 0
    last_used: str | None = None
    unloaded: str = ""
    progress: StepProgress | None = None
    actions: list[str] = Field(default=[])


class Status(_Reply):
    """The whole appliance at a glance.

    `state` is "serving" (a worker is ready), "loading" (one is starting), "idle" (none),
    "refusing" (the log cannot be written) or "stopped" (no server runs). `role` is the caller's.
    `url` is where apps reach the server; while it is stopped, where they will. Of `taken_mib`,
    `indexes_mib` are taken by indexes of collections, which give way to models. `alarms` has the
    messages of `incidents`. `version` is the release, `schema_version` that of its database.
    """

    version: str
    schema_version: int = 0
    profile: str
    state: Literal["serving", "loading", "idle", "refusing", "stopped"]
    role: str
    data: str
    url: str = ""
    uptime_seconds: int
    budget_mib: int = 0
    taken_mib: int = 0
    indexes_mib: int = 0
    models: list[Model]
    workers: list[Worker]
    audit: AuditHead
    host: Host
    alarms: list[str]
    incidents: list[Incident] = Field(default=[])


# models


class ModelList(_Reply):
    """Every artifact in the store."""

    models: list[Model]


class Approval(_Reply):
    """One valid approval of an artifact."""

    name: str
    meaning: str
    time: str


class ImportedFile(_Reply):
    """One file: its bytes, and how many came this time; others were there from an interrupted
    import.
    """

    name: str
    size: int
    copied: int
    sha256: str


class ModelImported(Model):
    """An imported artifact, with a line for each of its files."""

    files: list[ImportedFile] = Field(default=[])


class ModelDetail(Model):
    """One artifact with its signer, approvals, grammars and its file's own facts.

    `publisher` is the policy's name for the signer, "" while the signature is not acceptable;
    `approvals_needed` is the policy's threshold today.
    """

    memory: str = ""
    publisher: str = ""
    approvals_needed: int = 0
    approvals: list[Approval] = Field(default=[])
    grammars: list[Grammar] = Field(default=[])
    facts: Facts = Field(default=UnreadFacts())


class ModelImport(_Request):
    """Copy an artifact from a directory of the server's host into the store."""

    path: str
    id: str | None = None


class Subject(_Reply):
    """Statement that an approver signs: digests of artifact, signature file and certificate, and
    the round of approvals, which a suspension counts up.
    """

    id: str
    digest: str
    signature_sha256: str
    round: int = 0
    certificate: str | None = None


class ApprovalUpload(_Request):
    """A DSSE envelope, as the JSON text that was signed over."""

    envelope: str = Field(max_length=65_536)

    @classmethod
    def holding(cls, envelope: bytes) -> Self:
        """Wrap a signed envelope. Raises Refused (`approval_malformed`)."""
        try:
            return cls.of(envelope=envelope.decode("ascii"))
        except UnicodeDecodeError as error:
            raise Refused("approval_malformed", "The approval is not JSON in ASCII.") from error


class Reason(_Request):
    """Why somebody does something, for the record."""

    reason: str = Field(default="", max_length=1_000)


# audit


class VerifyRange(_Request):
    """Which entries to check; `last` null means the newest.

    `genesis_key` is the text of a genesis.pub kept elsewhere, believed instead of the log's own.
    """

    first: int = Field(default=0, ge=0, lt=1 << 53)
    last: int | None = Field(default=None, ge=0, lt=1 << 53)
    genesis_key: str | None = Field(default=None, max_length=1_000)


class OlderHead(_Request):
    """A checkpoint note that somebody kept."""

    note: str = Field(max_length=65_536)


class WitnessAnswer(_Request):
    """A head with the cosignature of the witness that has this verifier key."""

    note: str = Field(max_length=65_536)
    key: str = Field(max_length=1_000)


class Erasure(_Request):
    """Erase the texts of a request, or of an item of a dataset by its id."""

    request_id: str = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=1_000)


class EntryQuery(_Request):
    """Conditions on entries, all of which must hold; times are ISO 8601.

    `app` is the name of an API key. `end_user` is a person as the log names them; where these are
    pseudonyms an admin may give the person's own name, which is recorded. `code` is a stable code,
    a finish reason or a status, e.g. "worker_lost", "stop" or "unknown". `after` and `before` are
    excluded; `order` "newest" begins with the newest.
    """

    kind: str | None = Field(default=None, max_length=40)
    request_id: str | None = Field(default=None, max_length=200)
    model: str | None = Field(default=None, max_length=129)
    key_id: str | None = Field(default=None, max_length=64)
    app: str | None = Field(default=None, max_length=200)
    end_user: str | None = Field(default=None, max_length=256)
    code: str | None = Field(default=None, max_length=64)
    since: str | None = Field(default=None, max_length=40)
    until: str | None = Field(default=None, max_length=40)
    after: int | None = Field(default=None, ge=0, lt=1 << 53)
    before: int | None = Field(default=None, ge=0, lt=1 << 53)
    order: Literal["oldest", "newest"] = "oldest"
    limit: int = Field(default=100, ge=1, le=1_000)


class Entry(_Reply):
    """One audit entry; `content` holds decrypted texts where they were asked for and allowed."""

    seq: int
    kind: str
    time: str
    leaf: str
    prev: str
    body: dict[str, Any]
    content: dict[str, str] | None = None


class HoldingBackup(_Reply):
    """A backup that holds what was erased; `time` is ISO 8601, `file` the name of the archive."""

    time: str
    file: str = ""


class Erased(_Reply):
    """Result of an erasure.

    Attributes:
        entry: names the entries of the log that lost their texts.
        places: how many texts went, by place besides the log.
        backups, datasets: still hold the texts, and cannot be changed here.
    """

    entry: Entry
    places: dict[str, int] = Field(default={})
    backups: list[HoldingBackup] = Field(default=[])
    datasets: list[str] = Field(default=[])


class EntryList(_Reply):
    """One page of entries, in the wanted order.

    A page may be short, or empty, before the search is over: continue with `after` set to
    `next_after`, newest first `before` to `next_before`, until it is null.
    """

    entries: list[Entry]
    next_after: int | None = None
    next_before: int | None = None


class Problem(_Reply):
    """One thing that does not hold, at one entry (null: the log as a whole)."""

    seq: int | None
    code: str
    message: str


class Verification(_Reply):
    """Result of a verification of the log; `ok` is true only when `problems` is empty.

    `problems` holds the first of `problem_count`. `open_intents` have no outcome yet, no
    independent witness covers `unwitnessed` entries.
    """

    ok: bool
    entries: int
    first: int = Field(alias="from")
    last: int | None = Field(alias="to")
    root: str
    problems: list[Problem]
    problem_count: int
    open_intents: int
    unwitnessed: int


# requests


class RunningRequest(_Reply):
    """A request that is being answered; `seq` is its intent in the audit log."""

    seq: int
    request_id: str
    key_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    started: str
    app: str = ""
    queued: bool = False
    priority: str = "interactive"


class RequestCancelled(_Reply):
    """The answer to ending a request: its client gets an error, its outcome is recorded."""

    request_id: str
    cancelled: bool


class RequestList(_Reply):
    """Every request that is being answered."""

    requests: list[RunningRequest]


# long work


class StreamLine(_Reply):
    """A line of `application/x-ndjson`: one of `progress`, `result` and `error` is set.

    The last line has `result` or `error`. `job` is the job's number, where the work is one.
    """

    job: int | None = None
    progress: StepProgress | None = None
    result: dict[str, Any] | None = None
    error: ErrorBody | None = None


def use_of(model: Model) -> str:
    """The activity, and pinned or not; "-" when it is not in memory."""
    words = [model.activity] if model.activity else []
    if model.progress is not None:
        total = model.progress.total
        percent = f" {100 * model.progress.done // total} %" if total else ""
        words = [f"{model.progress.phase}{percent}"]
    if model.waiting:
        words.append(f"{model.waiting} waiting")
    if model.pinned:
        words.append("pinned")
    return ", ".join(words) or "-"


def why_not(model: Model) -> str:
    """The code of its problem, or why it is not in memory any more."""
    return model.code or (f"unloaded {model.unloaded}" if model.unloaded else "")


STATUS = viewers.get("/admin/status", Status)
MODELS = viewers.get("/admin/models", ModelList)
MODEL = viewers.get("/admin/models/{model_id}", ModelDetail)
MODEL_IMPORT = admins.post("/admin/models/import", ModelImport, ModelImported, streams=True)
MODEL_BOM = viewers.get("/admin/models/{model_id}/bom", bytes)
MODEL_SUBJECT = viewers.get("/admin/models/{model_id}/subject", Subject)
MODEL_APPROVE = approvers.post("/admin/models/{model_id}/approvals", ApprovalUpload, Model)
MODEL_LOAD = operators.post("/admin/models/{model_id}/load", Model, streams=True)
MODEL_UNLOAD = operators.post("/admin/models/{model_id}/unload", Model, slow=True)
MODEL_SUSPEND = admins.post("/admin/models/{model_id}/suspend", Reason, Model, slow=True)
MODEL_RETIRE = admins.post("/admin/models/{model_id}/retire", Reason, Model, slow=True)
MODEL_REVOKE = admins.post("/admin/models/{model_id}/revoke", Reason, Model, slow=True)
MODELS_RECHECK = operators.post("/admin/models/recheck", ModelList, slow=True)
AUDIT_VERIFY = viewers.post("/admin/audit/verify", VerifyRange, Verification, streams=True)
AUDIT_TAIL = viewers.get("/admin/audit/tail{?count}", EntryList)
AUDIT_ENTRIES = viewers.query("/admin/audit/entries", EntryQuery, EntryList)
AUDIT_ENTRY = viewers.get("/admin/audit/entries/{seq}{?content}", Entry)
AUDIT_PROOF = viewers.get("/admin/audit/entries/{seq}/proof{?witness}", bytes)
AUDIT_CHECKPOINT = viewers.get("/admin/audit/checkpoint", bytes)
AUDIT_CONSISTENCY = viewers.post("/admin/audit/consistency", OlderHead, bytes)
WITNESS_REQUEST = viewers.get("/admin/audit/witness{?witness}", bytes)
WITNESS = operators.post("/admin/audit/witness", WitnessAnswer, Entry)
ERASE = admins.post("/admin/audit/erase", Erasure, Erased, slow=True)
REQUESTS = viewers.get("/admin/requests", RequestList)
REQUEST_CANCEL = operators.post("/admin/requests/{request_id}/cancel", RequestCancelled)
METRICS = viewers.get("/metrics", bytes)
MODEL_TABLE: Final[ListTable[Model]] = ListTable(
    "No artifacts. Import one with `appliance artifact import DIR`.",
    (
        ListColumn("ID", lambda model: model.id),
        ListColumn("KIND", lambda model: model.kind or None),
        ListColumn("STATE", lambda model: model.state, ColumnKind.STATE),
        ListColumn("USE", use_of),
        ListColumn("DIGEST", lambda model: model.digest and model.digest[:16]),
        ListColumn("WHY", why_not),
    ),
)
REQUEST_TABLE: Final[ListTable[RunningRequest]] = ListTable(
    "No requests. Make a key for an app with `appliance key new NAME`.",
    (
        ListColumn("ID", lambda one: one.request_id),
        ListColumn("STATE", lambda one: "queued" if one.queued else "running", ColumnKind.STATE),
        ListColumn("APP", lambda one: one.app),
        ListColumn("MODEL", lambda one: one.model),
        ListColumn("READ", lambda one: one.prompt_tokens, ColumnKind.COUNT),
        ListColumn("WRITTEN", lambda one: one.completion_tokens, ColumnKind.COUNT),
        ListColumn("SINCE", lambda one: one.started),
    ),
)
