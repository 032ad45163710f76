"""The typed client of the admin socket.

Rules: every answer is checked against `wire.admin`; every failure is an error of `errors.py`
with the code that the server gave; a change is never sent twice. The client blocks: a program
with an event loop calls it from a thread (it may be shared by threads).
"""

import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

import httpcore
import httpx
from httpcore._backends.sync import SyncStream
from pydantic import BaseModel, ValidationError

from appliance.errors import CODES, ApplianceError, Refused, ServerUnreachable, Unavailable
from appliance.wire.admin import advice as advicewire
from appliance.wire.admin import collections as collectionwire
from appliance.wire.admin import datasets as datasetwire
from appliance.wire.admin import drift as driftwire
from appliance.wire.admin import evaluations as evalwire
from appliance.wire.admin import gates as gatewire
from appliance.wire.admin import jobs as jobwire
from appliance.wire.admin import keys as keywire
from appliance.wire.admin import labels as labelwire
from appliance.wire.admin import model_texts, retention
from appliance.wire.admin import models as wire
from appliance.wire.admin import pointers as pointerwire
from appliance.wire.admin import queue as queuewire
from appliance.wire.admin import routes as routewire
from appliance.wire.admin import state as statewire
from appliance.wire.admin import trust as trustwire
from appliance.wire.admin import tunings as tuningwire
from appliance.wire.admin import upstreams as upstreamwire
from appliance.wire.admin.logs import LogPage, LogQuery
from appliance.wire.admin.plan import ImportPlan, PlanRequest
from appliance.wire.admin.selftest import SelfTest, SelfTestWanted
from appliance.wire.admin.usage import Load

T = TypeVar("T", bound=BaseModel)
Report: TypeAlias = Callable[[str, int, int], None]

_CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 30.0
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_IDENTIFIER = re.compile(f"{_NAME}(:{_NAME})?", re.ASCII)  # an adapter's is BASE:NAME


def socket_path(data: Path) -> Path:
    """Where the server of a data directory listens for people."""
    return data / "run" / "admin.sock"


def probe(path: Path) -> None:
    """Connect to a Unix socket and hang up.

    Raises:
        OSError: no server listens there, or this user may not connect.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_CONNECT_SECONDS)
        connection.connect(str(path))


class _UnixSockets(httpcore.SyncBackend):
    """Closes the socket of a connection that fails: httpcore leaves it to the collector."""

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            connection.connect(path)
        except OSError as error:
            connection.close()
            raise httpcore.ConnectError(str(error)) from error
        return SyncStream(connection)


class AdminClient:
    """One connection to a running appliance, or to one command's own copy of the app.

    Args:
        path: the Unix socket.
        answer_seconds: how long any answer but those of long work may take; None is without end.

    Every method raises:
        ServerUnreachable: `server_unreachable` when nothing answers.
        Refused, Unavailable: the server said no or cannot; the code is the server's.
    """

    def __init__(self, path: Path, *, answer_seconds: float | None = ANSWER_SECONDS) -> None:
        self._path = path
        transport = httpx.HTTPTransport()
        transport._pool = httpcore.ConnectionPool(uds=str(path), network_backend=_UnixSockets())
        timeout = httpx.Timeout(answer_seconds, connect=_CONNECT_SECONDS)
        self._http = httpx.Client(transport=transport, base_url="http://appliance", timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    # the appliance

    def status(self) -> wire.Status:
        """The whole appliance at a glance."""
        return self._get(wire.Status, "/admin/status")

    def usage(self) -> Load:
        """What was done since the start, and what is used now."""
        return self._get(Load, "/admin/load")

    def logs(self, query: LogQuery) -> LogPage:
        """The newest lines of the server's own log."""
        return self._get(LogPage, "/admin/logs", query.model_dump(exclude_none=True))

    def trust(self) -> trustwire.Trust:
        """The trust policy in force."""
        return self._get(trustwire.Trust, "/admin/trust")

    def trust_metadata(self) -> trustwire.TrustMetadata:
        """A site's metadata, also before it has a policy."""
        return self._get(trustwire.TrustMetadata, "/admin/trust/metadata")

    def update_trust(self, read: Mapping[str, bytes] | Refused) -> trustwire.TrustUpdated:
        """Offer newer trust metadata, or have recorded why a medium could not be read."""
        body = trustwire.TrustOffer.holding(read)
        return self._post(trustwire.TrustUpdated, "/admin/trust/update", body, slow=True)

    def requests(self) -> wire.RequestList:
        """The requests that are being answered now."""
        return self._get(wire.RequestList, "/admin/requests")

    def cancel_request(self, request_id: str) -> wire.RequestCancelled:
        """End a request that is being answered; its client gets an error."""
        path = f"/admin/requests/{_identifier(request_id, 'not_found')}/cancel"
        return self._post(wire.RequestCancelled, path)

    # models

    def models(self) -> wire.ModelList:
        """Every artifact in the store."""
        return self._get(wire.ModelList, "/admin/models")

    def model(self, model_id: str) -> wire.ModelDetail:
        """One artifact."""
        return self._get(wire.ModelDetail, _model(model_id))

    def import_model(self, path: Path, model_id: str | None, report: Report) -> wire.ModelImported:
        """Bring an artifact in; a refused one comes back with state and code, not as an error."""
        body = wire.ModelImport.of(path=str(path), id=model_id)
        return self._long(wire.ModelImported, "/admin/models/import", body, report)

    def plan(self, wanted: PlanRequest, report: Report) -> ImportPlan:
        """What importing an artifact would do; nothing is stored."""
        return self._long(ImportPlan, "/admin/models/plan", wanted, report)

    def bom(self, model_id: str) -> bytes:
        """The bill of materials of one artifact, CycloneDX 1.7 as JSON."""
        return self._sent("GET", _model(model_id) + "/bom").content

    def template(self, model_id: str) -> model_texts.Template:
        """The chat template of one artifact."""
        return self._get(model_texts.Template, _model(model_id) + "/template")

    def grammars(self, model_id: str) -> model_texts.Grammars:
        """The grammars of one artifact."""
        return self._get(model_texts.Grammars, _model(model_id) + "/grammars")

    def subject(self, model_id: str) -> wire.Subject:
        """What an approver of this artifact signs."""
        return self._get(wire.Subject, _model(model_id) + "/subject")

    def approve(self, model_id: str, envelope: bytes) -> wire.Model:
        """Add a signed approval."""
        try:
            text = envelope.decode("ascii")
        except UnicodeDecodeError as error:
            raise Refused("approval_malformed", "The approval is not JSON in ASCII.") from error
        body = wire.ApprovalUpload.of(envelope=text)
        return self._post(wire.Model, _model(model_id) + "/approvals", body)

    def load(self, model_id: str, report: Report = lambda phase, done, total: None) -> wire.Model:
        """Verify the artifact once more and start its engine; returns when it is ready."""
        return self._long(wire.Model, _model(model_id) + "/load", None, report)

    def unload(self, model_id: str) -> wire.Model:
        """End the model's engine."""
        return self._post(wire.Model, _model(model_id) + "/unload", slow=True)

    def suspend(self, model_id: str, reason: str) -> wire.Model:
        """Unload the model and refuse to load it."""
        body = wire.Reason.of(reason=reason)
        return self._post(wire.Model, _model(model_id) + "/suspend", body, slow=True)

    def retire(self, model_id: str, reason: str = "") -> wire.Model:
        """Take the model out of use for good."""
        body = wire.Reason.of(reason=reason)
        return self._post(wire.Model, _model(model_id) + "/retire", body, slow=True)

    def revoke(self, model_id: str, reason: str) -> wire.Model:
        """End the model for good because it must not be trusted."""
        body = wire.Reason.of(reason=reason)
        return self._post(wire.Model, _model(model_id) + "/revoke", body, slow=True)

    def recheck(self) -> wire.ModelList:
        """Check every approved model again; those with which something was wrong."""
        return self._post(wire.ModelList, "/admin/models/recheck", slow=True)

    def selftest(self, wanted: SelfTestWanted) -> SelfTest:
        """Have the appliance test itself and record the verdict."""
        return self._post(SelfTest, "/admin/selftest", wanted, slow=True)

    # jobs

    def jobs(self, count: int = 100) -> jobwire.JobList:
        """The newest jobs, the newest first."""
        return self._get(jobwire.JobList, "/admin/jobs", {"count": count})

    def job(self, job_id: int) -> jobwire.Job:
        """One job with its result."""
        return self._get(jobwire.Job, f"/admin/jobs/{job_id:d}")

    def start_job(self, kind: str, params: dict[str, Any]) -> jobwire.Job:
        """Start a job that goes on when this client leaves."""
        body = jobwire.JobStart.of(kind=kind, params=params)
        return self._post(jobwire.Job, "/admin/jobs", body)

    def steer_job(self, job_id: int, action: str) -> jobwire.Job:
        """Pause, resume or cancel a job: what its `actions` allow."""
        path = f"/admin/jobs/{job_id:d}/{_identifier(action, 'job_wrong_state')}"
        return self._post(jobwire.Job, path)

    def evaluation_report(self, job_id: int) -> evalwire.Report:
        """The page of an evaluation."""
        return self._get(evalwire.Report, f"/admin/evaluations/{job_id:d}/report")

    def evaluation_neighbours(self, job_id: int) -> evalwire.Neighbours:
        """The nearest neighbours that an evaluation learned."""
        return self._get(evalwire.Neighbours, f"/admin/evaluations/{job_id:d}/neighbours")

    def compare_evaluations(self, wanted: evalwire.CompareWanted) -> evalwire.Compared:
        """Two candidates on the same items."""
        return self._post(evalwire.Compared, "/admin/evaluations/compare", wanted)

    def evaluation_errors(self, wanted: evalwire.ErrorsWanted) -> evalwire.Errors:
        """The wrong items of a candidate."""
        return self._post(evalwire.Errors, "/admin/evaluations/errors", wanted)

    # tunings

    def tuning_report(self, job_id: int, against: int | None = None) -> tuningwire.TuningReport:
        """The page of a tuning; with another tuning, also held against that."""
        query = None if against is None else {"against": str(against)}
        return self._get(tuningwire.TuningReport, f"/admin/tunings/{job_id:d}/report", query)

    def tuning_losses(self, job_id: int) -> tuningwire.Losses:
        """The losses of each run of a tuning so far."""
        return self._get(tuningwire.Losses, f"/admin/tunings/{job_id:d}/losses")

    def compare_tunings(self, job_ids: Sequence[int]) -> tuningwire.TuningsCompared:
        """Tunings side by side."""
        body = tuningwire.CompareTunings.of(tunings=list(job_ids))
        return self._post(tuningwire.TuningsCompared, "/admin/tunings/compare", body)

    # routes

    def routes(self) -> routewire.RouteList:
        """All routes."""
        return self._get(routewire.RouteList, "/admin/routes")

    def route(self, route: str) -> routewire.Route:
        """One route."""
        name = _identifier(route, "unknown_model_id")
        return self._get(routewire.Route, f"/admin/routes/{name}")

    def route_plan(self, wanted: routewire.PlanWanted) -> routewire.Plan:
        """The terms of a calibration."""
        return self._post(routewire.Plan, "/admin/routes/plan", wanted)

    def suspend_route(self, route: str, reason: str) -> routewire.Route:
        """Take the newest certificate of a route out of use."""
        name = _identifier(route, "unknown_model_id")
        body = routewire.Suspend.of(reason=reason)
        return self._post(routewire.Route, f"/admin/routes/{name}/suspend", body)

    def route_sample(self, route: str) -> routewire.SampleToLabel:
        """An accepted answer of a route that waits for a label."""
        name = _identifier(route, "unknown_model_id")
        return self._get(routewire.SampleToLabel, f"/admin/routes/{name}/sample")

    def label_sample(self, route: str, given: routewire.LabelGiven) -> routewire.Route:
        """Label an accepted answer."""
        name = _identifier(route, "unknown_model_id")
        return self._post(routewire.Route, f"/admin/routes/{name}/sample", given)

    # the gate

    def sealing_key(self) -> gatewire.SealingKey:
        """A fresh key for one seal."""
        return self._post(gatewire.SealingKey, "/admin/gates/sealing-key")

    def gate_plan(self, wanted: gatewire.PlanWanted) -> gatewire.Plan:
        """The terms of a specification."""
        return self._post(gatewire.Plan, "/admin/gates/plan", wanted)

    def ledger(self, dataset: str) -> gatewire.Ledger:
        """The looks at a dataset's sealed splits."""
        name = _identifier(dataset, "unknown_model_id")
        return self._get(gatewire.Ledger, f"/admin/gates/ledger/{name}")

    def ledgers(self) -> gatewire.LedgerList:
        """The looks at the sealed splits of all datasets."""
        return self._get(gatewire.LedgerList, "/admin/gates/ledger")

    def evidence_key(self) -> gatewire.EvidenceKey:
        """The key that signs evaluations."""
        return self._get(gatewire.EvidenceKey, "/admin/gates/evidence-key")

    def certificates(self, *, doubtful: bool = False) -> gatewire.CertificateList:
        """The certificates that are kept, or those alone whose interval was too short."""
        query = {"doubtful": "true"} if doubtful else {}
        return self._get(gatewire.CertificateList, "/admin/gates/certificates", query)

    def certificate(self, certificate_id: str) -> gatewire.Certificate:
        """One certificate with its envelope."""
        name = _identifier(certificate_id, "evaluation_missing")
        return self._get(gatewire.Certificate, f"/admin/gates/certificates/{name}")

    def keep_certificate(self, envelope: bytes) -> gatewire.Certificate:
        """Bring in a certificate."""
        body = gatewire.CertificateUpload.of(envelope=envelope.decode(errors="replace"))
        return self._post(gatewire.Certificate, "/admin/gates/certificates", body)

    def known(self, marks: gatewire.Marks) -> gatewire.Known:
        """What the ledger knows of a split that is to be sealed."""
        return self._post(gatewire.Known, "/admin/gates/known", marks, slow=True)

    def outcomes(
        self, job_id: int, item: str | None = None, *, end_looks: bool = False
    ) -> gatewire.Outcomes:
        """The outcomes of a gate, or one of them with its proof; the reading is recorded."""
        query = {"end_looks": "true"} if end_looks else {}
        query |= {} if item is None else {"item": item}
        path = f"/admin/gates/{job_id:d}/outcomes"
        response = self._sent("POST", path, params=query, timeout=self._patient())
        return _parsed(gatewire.Outcomes, response.content)

    # collections of documents

    def collections(self) -> collectionwire.CollectionList:
        """Every collection."""
        return self._get(collectionwire.CollectionList, "/admin/collections")

    def new_collection(self, wanted: collectionwire.CollectionNew) -> collectionwire.Collection:
        """Make a collection."""
        return self._post(collectionwire.Collection, "/admin/collections", wanted)

    def collection(self, name: str) -> collectionwire.Shown:
        """A collection with its documents."""
        return self._get(collectionwire.Shown, _collection(name))

    def change_access(self, name: str, document: str, access: Sequence[str]) -> None:
        """Give a document another access list."""
        body = collectionwire.AccessWanted.of(document=document, access=list(access))
        self._post(collectionwire.Shown, _collection(name) + "/access", body)

    def remove_documents(
        self, name: str, documents: Sequence[str], *, everything: bool = False
    ) -> collectionwire.Removed:
        """Remove documents, or a collection with everything in it."""
        body = collectionwire.RemoveWanted.of(documents=list(documents), everything=everything)
        return self._post(collectionwire.Removed, _collection(name) + "/remove", body, slow=True)

    def search_collection(
        self, name: str, wanted: collectionwire.SearchWanted
    ) -> collectionwire.Passages:
        """Search everything, or what one key may read."""
        return self._post(collectionwire.Passages, _collection(name) + "/search", wanted, slow=True)

    def verify_collection(self, name: str) -> collectionwire.Verified:
        """Check every digest, span and index of a collection."""
        return self._post(collectionwire.Verified, _collection(name) + "/verify", slow=True)

    def ingest_report(self, name: str, job_id: int) -> collectionwire.ReportList:
        """What a job made of each document."""
        path = f"{_collection(name)}/reports/{job_id:d}"
        return self._get(collectionwire.ReportList, path)

    def groups(self) -> collectionwire.GroupList:
        """Every group of keys."""
        return self._get(collectionwire.GroupList, "/admin/groups")

    def change_group(self, wanted: collectionwire.GroupChange) -> collectionwire.Group:
        """Put keys into a group and take others out."""
        return self._post(collectionwire.Group, "/admin/groups", wanted)

    # versions of tasks under names

    def task_names(self) -> pointerwire.NameList:
        """The names that point at versions of tasks."""
        return self._get(pointerwire.NameList, "/admin/task-names")

    def task_target(self, name: str, task: str) -> pointerwire.Target:
        """What a pointer of a name at a task says."""
        parts = [_identifier(each, "unknown_model_id") for each in (name, task)]
        path = f"/admin/task-names/{parts[0]}/target/{parts[1]}"
        return self._get(pointerwire.Target, path)

    def point(self, envelope: bytes) -> pointerwire.Name:
        """Have a name point elsewhere."""
        body = pointerwire.PointerUpload.of(envelope=envelope.decode())
        return self._post(pointerwire.Name, "/admin/task-names", body)

    # keys

    def keys(self) -> keywire.KeyList:
        """Every API key, without secrets."""
        return self._get(keywire.KeyList, "/admin/keys")

    def key(self, key_id: str) -> keywire.Key:
        """One API key with its limits and its usage."""
        return self._get(keywire.Key, _key(key_id))

    def create_key(self, wanted: keywire.KeyCreate) -> keywire.NewKey:
        """Make a key; its secret is in this answer and nowhere else."""
        return self._post(keywire.NewKey, "/admin/keys", wanted)

    def limit_key(self, key_id: str, wanted: keywire.KeyLimits) -> keywire.Key:
        """Give a key other limits."""
        return self._post(keywire.Key, _key(key_id) + "/limits", wanted)

    def rotate_key(self, key_id: str, overlap: int) -> keywire.NewKey:
        """Give a key a new secret; the one before is good for `overlap` seconds more."""
        body = keywire.KeyRotate.of(overlap=overlap)
        return self._post(keywire.NewKey, _key(key_id) + "/rotate", body)

    def revoke_key(self, key_id: str) -> keywire.Key:
        """Make a key useless from now on; its running answers end within a second."""
        return self._post(keywire.Key, _key(key_id) + "/revoke")

    # audit

    def verify_log(self, wanted: wire.VerifyRange, report: Report) -> wire.Verification:
        """Check every entry, link, proof and signature of a range."""
        return self._long(wire.Verification, "/admin/audit/verify", wanted, report)

    def tail(self, count: int) -> wire.EntryList:
        """The newest entries, oldest of them first."""
        return self._get(wire.EntryList, "/admin/audit/tail", {"count": count})

    def search(self, query: wire.EntryQuery) -> wire.EntryList:
        """Entries that match every given condition."""
        return self._get(
            wire.EntryList, "/admin/audit/entries", query.model_dump(exclude_none=True)
        )

    def entry(self, seq: int, *, content: bool = False) -> wire.Entry:
        """One entry; with `content` its decrypted texts too, which is itself recorded."""
        return self._get(wire.Entry, f"/admin/audit/entries/{seq:d}", {"content": content})

    def proof(self, seq: int, witness: str | None = None) -> bytes:
        """A self-contained proof of one entry, as the file's bytes."""
        path = f"/admin/audit/entries/{seq:d}/proof"
        return self._sent("GET", path, params={"witness": witness} if witness else None).content

    def checkpoint(self) -> bytes:
        """The newest signed head of the log."""
        return self._sent("GET", "/admin/audit/checkpoint").content

    def consistency(self, note: str) -> bytes:
        """The proof that the log begins with what this older checkpoint has seen."""
        body = wire.OlderHead.of(note=note).model_dump(mode="json")
        return self._sent("POST", "/admin/audit/consistency", json=body).content

    def witness_request(self, witness: str) -> bytes:
        """What the witness with this verifier key is asked to cosign, as the file's bytes."""
        return self._sent("GET", "/admin/audit/witness", params={"witness": witness}).content

    def witness(self, note: str, key: str) -> wire.Entry:
        """Record the answer of a witness."""
        return self._post(
            wire.Entry, "/admin/audit/witness", wire.WitnessAnswer.of(note=note, key=key)
        )

    def erase(self, request_id: str, reason: str) -> wire.Erased:
        """Erase the texts of a request wherever they lie."""
        body = wire.Erasure.of(request_id=request_id, reason=reason)
        return self._post(wire.Erased, "/admin/audit/erase", body, slow=True)

    def capture(self, wanted: datasetwire.Capture) -> datasetwire.Captured:
        """One page of the items that a key's requests make."""
        return self._post(datasetwire.Captured, "/admin/datasets/capture", wanted)

    def seen(self, wanted: datasetwire.SeenWanted) -> datasetwire.SeenList:
        """What saw items of a dataset."""
        return self._post(datasetwire.SeenList, "/admin/datasets/seen", wanted)

    # labels

    def label_queues(self) -> labelwire.LabelQueueList:
        """The queues of items that people label."""
        return self._get(labelwire.LabelQueueList, "/admin/labels")

    def label_queue(self, name: str) -> labelwire.LabelQueue:
        """One queue."""
        return self._get(labelwire.LabelQueue, _queue(name))

    def new_label_queue(self, wanted: labelwire.LabelsNew) -> labelwire.LabelQueue:
        """Make a queue of a dataset's unlabelled items."""
        return self._post(labelwire.LabelQueue, "/admin/labels", wanted, slow=True)

    def next_label(self, name: str) -> labelwire.LabelNext:
        """The item that this person labels next."""
        return self._get(labelwire.LabelNext, _queue(name) + "/next")

    def set_label(self, name: str, wanted: labelwire.LabelSet) -> labelwire.LabelQueue:
        """Keep a label."""
        return self._post(labelwire.LabelQueue, _queue(name) + "/items", wanted)

    def label_differences(self, name: str) -> labelwire.LabelDifferences:
        """What two raters labelled differently, when both have finished."""
        return self._get(labelwire.LabelDifferences, _queue(name) + "/differences")

    def take_labels(self, name: str) -> labelwire.LabelAnswers:
        """The settled labels of a queue, which is recorded."""
        return self._post(labelwire.LabelAnswers, _queue(name) + "/answers")

    def remove_label_queue(self, name: str) -> labelwire.LabelQueueList:
        """Forget a queue with its texts and labels; those that are left."""
        return self._post(labelwire.LabelQueueList, _queue(name) + "/remove")

    # the advisor

    def advise(self, wanted: advicewire.AdviceWanted) -> advicewire.Advice:
        """Advise on a task with what was measured here."""
        return self._post(advicewire.Advice, "/admin/advice", wanted, slow=True)

    def advice(self, task: str) -> advicewire.Advice:
        """The last advice for a task."""
        return self._get(advicewire.Advice, f"/admin/advice/{_identifier(task, 'advice_missing')}")

    def all_advice(self) -> advicewire.AdviceList:
        """The last advice for each task."""
        return self._get(advicewire.AdviceList, "/admin/advice")

    # drift

    def drift(self, task: str) -> driftwire.Drift:
        """What is known of a task's weeks."""
        return self._get(driftwire.Drift, _drift(task))

    def drift_report(self, task: str) -> driftwire.DriftReport:
        """The page of a task's weeks."""
        return self._get(driftwire.DriftReport, _drift(task) + "/report")

    def restart_drift(self, task: str, wanted: driftwire.Restart) -> driftwire.Drift:
        """Learn a new reference."""
        return self._post(driftwire.Drift, _drift(task) + "/restart", wanted)

    # the log's files

    def segments(self) -> retention.SegmentList:
        """The files of the log."""
        return self._get(retention.SegmentList, "/admin/audit/segments")

    def prune_subject(self, before: int) -> retention.PruneSubject:
        """What approvers of a prune sign."""
        return self._get(retention.PruneSubject, f"/admin/audit/prune/{before:d}")

    def approve_prune(self, before: int, envelope: bytes) -> wire.Approval:
        """Hand in one approval of a prune."""
        body = wire.ApprovalUpload.of(envelope=envelope.decode())
        return self._post(wire.Approval, f"/admin/audit/prune/{before:d}/approvals", body)

    def upstreams(self) -> upstreamwire.UpstreamList:
        """The engines on other hosts."""
        return self._get(upstreamwire.UpstreamList, "/admin/upstreams")

    def reload_upstreams(self) -> upstreamwire.UpstreamList:
        """Have them read from the configuration again."""
        return self._post(upstreamwire.UpstreamList, "/admin/upstreams/reload", slow=True)

    def upstream(self, name: str) -> upstreamwire.Upstream:
        """One of them."""
        return self._get(upstreamwire.Upstream, _upstream(name))

    def learn_upstream(self, name: str) -> upstreamwire.Upstream:
        """Learn how it answers."""
        return self._post(upstreamwire.Upstream, f"{_upstream(name)}/learn", slow=True)

    def approve_upstream(self, name: str, url: str, envelope: bytes) -> upstreamwire.Upstream:
        """Hand in one approval of one of its hosts."""
        body = upstreamwire.UpstreamApproval.of(url=url, envelope=envelope.decode())
        return self._post(upstreamwire.Upstream, f"{_upstream(name)}/approvals", body)

    def probe_upstream(self, name: str) -> upstreamwire.Upstream:
        """Probe its hosts now."""
        return self._post(upstreamwire.Upstream, f"{_upstream(name)}/probe", slow=True)

    def drain_upstream(self, name: str, url: str, *, drained: bool) -> upstreamwire.Upstream:
        """Keep new requests from a host, or let them come again."""
        body = upstreamwire.UpstreamDrain.of(url=url, drained=drained)
        return self._post(upstreamwire.Upstream, f"{_upstream(name)}/drain", body)

    def waiting(self, *, everything: bool = False, task: str | None = None) -> queuewire.Queue:
        """What waits for a person, or all of it with how it ended."""
        asked: dict[str, Any] = {"everything": everything}
        if task is not None:
            asked["task"] = task
        return self._get(queuewire.Queue, "/admin/queue", asked)

    def state(self) -> statewire.State:
        """Whether the database and the audit log agree."""
        return self._get(statewire.State, "/admin/state")

    def settle_state(self, wanted: statewire.Settle) -> statewire.State:
        """Make the database as strict as the log, and go on from there."""
        return self._post(statewire.State, "/admin/state/settle", wanted)

    def waiting_item(self, item: str) -> queuewire.Waiting:
        """One item."""
        return self._get(
            queuewire.Waiting, f"/admin/queue/{_identifier(item, 'queue_item_unknown')}"
        )

    def answer_waiting(self, item: str, answer: Any) -> queuewire.Waiting:
        """Answer one."""
        path = f"/admin/queue/{_identifier(item, 'queue_item_unknown')}"
        return self._post(queuewire.Waiting, path, queuewire.QueueAnswer.of(answer=answer))

    def waiting_labels(self, task: str) -> queuewire.QueueLabels:
        """The answers for a task as labelled items."""
        body = queuewire.QueueTask.of(task=task)
        return self._post(queuewire.QueueLabels, "/admin/queue/labels", body)

    def prune(self, before: int, reason: str, first: int, root: str) -> wire.Entry:
        """Take off all entries before one; a copy from `first` on has this root."""
        asked = {"before": before, "reason": reason, "exported_first": first, "exported_root": root}
        body = retention.Prune.of(**asked)
        return self._post(wire.Entry, "/admin/audit/prune", body)

    # transport

    def _get(self, kind: type[T], path: str, query: dict[str, Any] | None = None) -> T:
        return _parsed(kind, self._sent("GET", path, params=query).content)

    def _post(
        self, kind: type[T], path: str, body: BaseModel | None = None, *, slow: bool = False
    ) -> T:
        options: dict[str, Any] = {"json": body.model_dump(mode="json")} if body else {}
        if slow:
            options["timeout"] = self._patient()
        return _parsed(kind, self._sent("POST", path, **options).content)

    def _sent(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self._reachable():
            response = self._http.request(method, path, **options)
        if not response.is_success:
            raise _refusal(response)
        return response

    def _long(self, kind: type[T], path: str, body: BaseModel | None, report: Report) -> T:
        """Send a request whose answer is a stream of progress with the result at its end."""
        with (
            self._reachable(),
            self._http.stream(
                "POST",
                path,
                json=None if body is None else body.model_dump(mode="json"),
                timeout=self._patient(),
            ) as response,
        ):
            if not response.is_success:
                response.read()
                raise _refusal(response)
            for text in response.iter_lines():
                line = _parsed(wire.StreamLine, text.encode())
                if line.error:
                    raise _error(line.error, httpx.codes.CONFLICT)
                if line.result is not None:
                    return _validated(kind, line.result)
                if line.progress is None:
                    raise _incompatible("a line without a meaning")
                report(line.progress.phase, line.progress.done, line.progress.total)
        raise ServerUnreachable("server_unreachable", "The server went away before it was done.")

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ServerUnreachable:
        why = str(error) or type(error).__name__
        return ServerUnreachable("server_unreachable", f"{self._path} does not answer: {why}.")

    def _patient(self) -> httpx.Timeout:
        return httpx.Timeout(None, connect=_CONNECT_SECONDS)


def _model(model_id: str) -> str:
    return f"/admin/models/{_identifier(model_id, 'unknown_model_id')}"


def _drift(task: str) -> str:
    return f"/admin/drift/{_identifier(task, 'drift_missing')}"


def _collection(name: str) -> str:
    return f"/admin/collections/{_identifier(name, 'collection_not_found')}"


def _key(key_id: str) -> str:
    return f"/admin/keys/{_identifier(key_id, 'unknown_key_id')}"


def _queue(name: str) -> str:
    return f"/admin/labels/{_identifier(name, 'label_queue_unknown')}"


def _upstream(name: str) -> str:
    return f"/admin/upstreams/{_identifier(name, 'upstream_unknown')}"


def _identifier(value: str, code: str) -> str:
    """An id that is safe as a part of a path; no other can name anything."""
    if not _IDENTIFIER.fullmatch(value):
        raise Refused(code, f"{value!r} is not an id.")
    return value


def _refusal(response: httpx.Response) -> ApplianceError:
    return _error(_parsed(wire.ErrorReply, response.content).error, response.status_code)


def _error(body: wire.ErrorBody, status: int) -> ApplianceError:
    if body.code not in CODES:
        return _incompatible(f"unknown code {body.code}: {body.message}")
    kind: type[ApplianceError] = Refused if status < 500 else Unavailable
    return kind(body.code, body.message, param=body.param)


def _parsed(kind: type[T], content: bytes) -> T:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise _incompatible(f"not a {kind.__name__}") from error


def _validated(kind: type[T], value: dict[str, Any]) -> T:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise _incompatible(f"not a {kind.__name__}") from error


def _incompatible(why: str) -> ApplianceError:
    return Unavailable("incompatible_server", f"The server's answer cannot be read ({why}).")
