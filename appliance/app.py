"""The composition root: the only place where parts are made and handed to each other."""

import contextlib
import fcntl
import functools
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final, cast

from appliance.admission.places import Shares
from appliance.advisor import watch
from appliance.audit.appending import append
from appliance.audit.certificate import certify
from appliance.audit.epoch import EpochLimits
from appliance.audit.files import LogFiles, write_new
from appliance.audit.log import AuditLog, Draft
from appliance.audit.reader import LogReader
from appliance.auth import certificates, groups, key
from appliance.auth.groups import KeyGroups
from appliance.auth.key import KeyChange
from appliance.auth.keys import KeyStore
from appliance.auth.rejected import Rejected
from appliance.clock import Clock, SystemClock
from appliance.config import FILE_NAME, Config, load_config
from appliance.datasets import directory as datasets
from appliance.datasets import label_queues
from appliance.datasets import ledger as ledgers
from appliance.datasets.job import Checking
from appliance.datasets.job import Parts as CheckParts
from appliance.datasets.label_queues import LabelQueues
from appliance.datasets.ledger import Ledger
from appliance.db import open_database
from appliance.errors import PolicyRefused, Refused, StateRefused, Unavailable, UsageError
from appliance.evals.asking import ASKER
from appliance.evals.carry import Carry
from appliance.evals.gate import Gate
from appliance.evals.job import DIRECTORY as EVALUATIONS
from appliance.evals.job import Evaluation, Parts
from appliance.evals.plan import Messages
from appliance.evals.store import Texts
from appliance.evals.subject import ApprovedArtifacts, read_data
from appliance.governance import agreement, erasing
from appliance.governance.agreement import Agreement, Standing
from appliance.governance.log_jobs import Exporting, Verification
from appliance.governance.recheck import Sweep
from appliance.governance.retention import Retention
from appliance.governance.trust_updates import Renewal, TrustState
from appliance.host.hardware import available_cores
from appliance.host.usage import peak
from appliance.incidents.disk_trend import DiskTrend
from appliance.incidents.seen import Seen
from appliance.jobs import store as job_store
from appliance.jobs.jobs import Jobs
from appliance.jobs.store import JobStore
from appliance.looks.subject import LookParts
from appliance.observability.log_file import Kept
from appliance.observability.metrics import Metrics
from appliance.pool.adapters import AdapterLoader
from appliance.pool.candidates import Catalogue
from appliance.pool.job_memory import JobMemory
from appliance.pool.loader import Loader
from appliance.pool.pool import Pool
from appliance.pool.withdrawal import Withdrawal
from appliance.registry.audit_entries import SYSTEM, Edges
from appliance.registry.import_job import Importing
from appliance.registry.lifecycle import Lifecycle
from appliance.retrieval.ingest import Ingest
from appliance.retrieval.library import DIRECTORY as COLLECTIONS
from appliance.retrieval.library import Library
from appliance.retrieval.search import Found
from appliance.retrieval.service import Query, Retrieval
from appliance.retrieval.tuning import Tuning as SearchTuning
from appliance.routing import answering
from appliance.routing import catalogue as routes
from appliance.routing import definition as route_definition
from appliance.routing import monitor as route_monitor
from appliance.routing import outcomes as route_outcomes
from appliance.routing import people as deferred
from appliance.routing.answering import RoutedInference
from appliance.routing.calibration import Calibration
from appliance.routing.carry import RouteCarry
from appliance.routing.catalogue import ApprovedRoutes
from appliance.routing.deferring import Deferring
from appliance.routing.monitor import Monitors
from appliance.routing.people import People
from appliance.routing.subject import CalibrationParts
from appliance.routing.targets import Targets
from appliance.routing.upstreams.backend import estimate
from appliance.routing.upstreams.backends import UpstreamBackends
from appliance.routing.upstreams.service import Upstreams
from appliance.routing.upstreams.stage import stages_of
from appliance.routing.upstreams.tokenizing import UpstreamTokenizers
from appliance.serving.backend import Backends
from appliance.serving.generation import Generation
from appliance.serving.inference import Inference
from appliance.serving.local_worker import LocalWorkers
from appliance.serving.recording import Recording
from appliance.serving.selftest import SelfTest
from appliance.serving.tokenization import Tokenizers
from appliance.tasks import catalogue as tasks
from appliance.tasks import definition as task_definition
from appliance.tasks import shadows as shadow_answers
from appliance.tasks.backends import TaskBackends
from appliance.tasks.names import TaskNames
from appliance.tasks.shadows import Shadows
from appliance.trust.artifacts import artifact as artifacts
from appliance.trust.artifacts import store
from appliance.trust.artifacts.adapter import base_of
from appliance.trust.artifacts.store import ModelStore, load_policy
from appliance.trust.artifacts.verified import Verified, VerifiedModel
from appliance.trust.bytes import ecdsa, evidence
from appliance.trust.gguf.gguf import GgufFacts
from appliance.trust.policy import lab, metadata, trusted_file
from appliance.trust.policy.policy import PROFILES, TrustPolicy
from appliance.trust.policy.policy_file import marks_key
from appliance.trust.statements import evaluations, pointers, route_certificates
from appliance.trust.statements import upstreams as upstream_records
from appliance.trust.statements.pointers import Pointers
from appliance.trust.statements.route_certificates import RouteCertificates
from appliance.tuning import exporting, quantizing, teaching
from appliance.tuning.job import Tuning
from appliance.tuning.parts import Parts as TuningParts
from appliance.tuning.quantizing import Quantizing
from appliance.tuning.teaching import Teaching
from appliance.types import ContentMode, GenerationRequest, Json, Principal
from appliance.workers.engine_build import build_of
from appliance.workers.restarts import Restarts
from appliance.workers.supervisor import ENGINE, Supervisor

_DEFAULT_CONFIG = """\
# Every key, its meaning and its range: docs/config.md. Unknown keys are refused.

[server]
host = "127.0.0.1"
port = 8080
"""
_TLS: Final = """\

[tls]
enabled = true
"""
# Scripts are only ever added, at the end: a database counts how many it has seen.
_MIGRATIONS: Final = (
    store.TABLES,
    key.TABLES,
    key.SHARES,
    store.ROUNDS,
    key.CONTENT,
    job_store.TABLES,
    key.EXAMPLES,
    ledgers.TABLES,
    evaluations.TABLES,
    groups.TABLES,
    label_queues.TABLES,
    key.TASKS,
    pointers.TABLES,
    shadow_answers.TABLES,
    evaluations.REPLAYS,
    route_certificates.TABLES,
    route_monitor.TABLES,
    upstream_records.TABLES,
    deferred.TABLES,
    route_certificates.REPLAYS,
    route_monitor.MISSING,
    deferred.SAME,
    erasing.TABLES,
    ledgers.SHARES,
    upstream_records.AGREEMENTS,
    agreement.TABLE,
    route_monitor.WEIGHTS,
    label_queues.SEALED,
)
SCHEMA: Final = len(_MIGRATIONS)
"""The schema of appliance.db that this release makes and needs."""

_OTHERS: Final = {
    datasets.FILE: datasets.vet,
    task_definition.FILE: tasks.vet,
    route_definition.FILE: routes.vet,
}
"""What vets artifacts that are no models, by the file that tells what they are."""

_ORIGIN: Final = "appliance.{}/"
"""How the name of a log begins, with the profile."""


@dataclass(frozen=True)
class Services:
    """Everything that the APIs use."""

    data: Path
    config: Config
    clock: Clock
    profile: str
    keys: KeyStore
    groups: KeyGroups
    audit: AuditLog
    reader: LogReader
    store: ModelStore
    ledger: Ledger
    pointers: Pointers
    shadows: Shadows
    routes: ApprovedRoutes
    monitors: Monitors
    lifecycle: Lifecycle
    sweep: Sweep
    trust: TrustState
    renewal: Renewal
    retention: Retention
    agreement: Agreement
    jobs: Jobs
    labels: LabelQueues
    erasure: erasing.Erasing
    selftest: SelfTest
    pool: Pool
    inference: RoutedInference
    retrieval: Retrieval
    people: People
    upstreams: Upstreams
    upstream_backends: UpstreamBackends
    tokenizers: Tokenizers
    supervisor: Supervisor
    shares: Shares
    rejected: Rejected
    metrics: Metrics
    seen: Seen
    disk_trend: DiskTrend
    log_file: Kept
    started_us: int


def initialise(
    data: Path,
    profile: str,
    clock: Clock | None = None,
    *,
    root: bytes = b"",
    fingerprint: str = "",
    names: Sequence[str] = (),
    ca_key: certificates.CaKey | None = None,
    evaluated: bool = False,
) -> None:
    """Make a data directory: configuration, trust, audit genesis, with names also TLS.

    Args:
        root: of a site, the trust root that people compared the fingerprint of.
        names: DNS names and addresses that a local CA is limited to; TLS is then on.
        ca_key: where that CA's key is kept; by default it is gone.
        evaluated: of a lab, every task needs an evaluation; a site's policy says it.

    Raises:
        UsageError: `profile_unsupported` for a profile that is not there, `certificate_unusable`
            for a name that cannot be one; nothing is in the directory then.
        StateRefused: `data_exists` when the directory holds anything.
        PolicyRefused: what `metadata.begin` raises; nothing was made then.
    """
    if profile not in PROFILES:
        raise UsageError("profile_unsupported", f"There is no profile {profile!r}.")
    begun = metadata.begin(root, fingerprint) if profile == "site" else None
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise StateRefused("data_exists", f"{data} exists and is not empty.")
    clock = clock or SystemClock()
    data.mkdir(parents=True, exist_ok=True, mode=0o750)
    if names:
        certificates.issue(data / "tls", names, clock, ca_key)
    for name, mode in (("audit", 0o700), ("models", 0o700), ("run", 0o750)):
        (data / name).mkdir(mode=mode)
    origin = _ORIGIN.format(profile) + secrets.token_hex(8)
    AuditLog.create(data / "audit", origin=origin, profile=profile, clock=clock)
    if begun is None:
        _make_lab(data, clock, evaluated)
    else:
        (data / "trust").mkdir(mode=0o700)
        trusted_file.save(data / "trust", begun.held)
    open_database(data / "appliance.db", _MIGRATIONS, erases=True).dispose()
    # Last, so that a directory with a configuration is a complete one.
    text = _DEFAULT_CONFIG + _TLS if names else _DEFAULT_CONFIG
    (data / FILE_NAME).write_text(text, encoding="utf-8")


def _make_lab(data: Path, clock: Clock, evaluated: bool) -> None:
    """The keys and the policy of a lab, and its root's certificate of the log's key."""
    lab.create(data, clock, evaluated=evaluated)
    files = LogFiles(data / "audit")
    site = (data / "keys" / "lab" / f"{lab.ROOT}.pem").read_bytes()
    write_new(files.certificate, certify(files.verifier_key(), site), 0o644)


@contextlib.contextmanager
def open_services(
    data: Path,
    *,
    config: Config | None = None,
    clock: Clock | None = None,
    patience: float = 0.0,
) -> Iterator[Services]:
    """Take the data directory and put the parts together.

    Args:
        data: an initialised data directory.
        config: in place of the file, for tests and benchmarks.
        clock: in place of the host's.
        patience: seconds to wait while another process has the directory.

    Raises:
        UsageError: `data_missing`, `config_invalid`.
        StateRefused: `data_locked` when another process has it.
    """
    config = config or load_config(data)
    clock = clock or SystemClock()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_lock(data, patience))
        profile = _profile(data / "trust")
        # First, since on a full disk it gives back blocks that the rest needs to open.
        audit = AuditLog.open(
            data / "audit",
            clock=clock,
            content=config.audit.content,
            reserve_bytes=config.audit.reserve_mib << 20,
            ballast_bytes=config.audit.ballast_mib << 20,
            epochs=EpochLimits(
                config.audit.epoch_seconds,
                config.audit.epoch_rows,
                config.audit.epoch_idle_seconds,
            ),
        )
        stack.callback(audit.close)
        database = open_database(data / "appliance.db", _MIGRATIONS, erases=True)
        stack.callback(database.dispose)
        reader = LogReader(data / "audit")
        stack.callback(reader.close)
        _check_profile(profile, reader.origin)
        secret_of_log = LogFiles(data / "audit").key_encryption_key()
        agrees = Agreement(database, reader, audit, clock, secret_of_log)
        agrees.begin()  # before the rows are read, and before anything is recorded
        stack.callback(agrees.close)

        def key_changed(change: KeyChange) -> None:
            audit.append(Draft("admin", change.fields())).result()

        api_keys = KeyStore(database, clock, key_changed)
        stack.callback(api_keys.close)
        key_groups = KeyGroups(database)
        models = ModelStore(database, data / "models", clock, _OTHERS)

        async def record(kind: str, fields: Mapping[str, Json]) -> None:
            await append(audit, Draft(kind, fields))

        def recheck(model: Verified) -> None:
            lifecycle.may_restart(model)

        def seal_again(model: VerifiedModel) -> VerifiedModel:
            return models.seal_again(model, read_policy())

        def changed() -> None:
            pool.look_soon()

        metrics = Metrics()

        restarts = Restarts(reader, metrics)
        supervisor = Supervisor(
            config, clock, record, recheck, seal_again, changed, restarts.again, restarts.before
        )
        library = Library(data / COLLECTIONS, supervisor.budget)
        stack.callback(library.close)

        def read_policy() -> TrustPolicy:
            policy = load_policy(data / "trust")
            _check_profile(policy.profile, reader.origin)
            return policy

        trust = TrustState(data / "trust", reader, clock)
        edges = Edges(audit)
        lifecycle = Lifecycle(
            models,
            read_policy,
            trust.freshness,
            supervisor.is_loaded,
            supervisor.engine_version,
            edges,
        )
        # A log that is full, or a policy that is missing, stops changes, not looking.
        with contextlib.suppress(Unavailable, PolicyRefused):
            lifecycle.recover()
        shares = Shares(config.engine.max_queued, config.engine.max_queued_per_key)
        adapters = AdapterLoader(models, read_policy, supervisor, lifecycle, edges)
        withdrawal = Withdrawal(models, read_policy, supervisor, lifecycle, adapters, edges)
        loader = Loader(
            models,
            read_policy,
            trust.freshness,
            supervisor,
            lifecycle,
            adapters,
            withdrawal,
            edges,
        )
        catalogue = Catalogue(config, models, supervisor)
        kept_jobs = JobStore(database, clock, config.jobs.keep)
        jobs = Jobs(
            kept_jobs,
            audit,
            (
                Importing(lifecycle),
                Verification(data / "audit"),
                Exporting(data / "audit", audit),
            ),
            JobMemory(lambda: pool),
            most_waiting=config.jobs.max_waiting,
        )
        pool = Pool(config, catalogue, lifecycle, supervisor, shares, loader, withdrawal, jobs)
        sweep = Sweep(models, read_policy, supervisor, lifecycle, pool)
        renewal = Renewal(data / "trust", clock, trust, audit, reader, supervisor, pool, sweep)
        learnt = upstream_records.UpstreamRecords(database)
        upstreams = Upstreams(
            config.upstreams,
            data,
            learnt,
            audit,
            read_policy,
            trust.freshness,
            lambda name: any(record.id == name for record in models.inventory.records()),
            clock.wall_us,
            metrics,
        )
        workers = UpstreamBackends(
            LocalWorkers(pool, supervisor),
            upstreams,
            cast(ContentMode, config.audit.content),
            clock.wall_us() // 1_000_000,
        )

        def answers(
            backends: Backends, ended: Callable[[Generation], None] = lambda generation: None
        ) -> Inference:
            recording = Recording(audit, metrics)
            buffered = config.audit.stream == "buffered"
            return Inference(
                backends, recording, clock, api_keys, shares, buffered=buffered, ended=ended
            )

        async def documents(app: Principal, query: Query) -> Found:
            return await retrieval.evidence(app, query)

        def digest_of(model_id: str) -> str:
            if (found := workers.upstream(model_id)) is not None:
                return found.identity
            return models.inventory.record(model_id).digest or ""

        approved = ApprovedArtifacts(models, read_policy)
        tokenizers = Tokenizers(pool, shares, UpstreamTokenizers(workers))

        async def tokens(model_id: str, messages: Messages) -> int:
            asked = GenerationRequest(model=model_id, messages=messages)
            if workers.upstream(model_id) is not None:
                return estimate(asked)
            return len((await tokenizers.tokens(ASKER, asked)).tokens)

        def memory(model_id: str) -> int:
            served = supervisor.find(model_id.partition(":")[0])
            return 0 if served is None or served.worker is None else peak(served.worker.pid)

        async def count(model_id: str, text: str) -> int:
            asked = GenerationRequest(model=model_id, prompt=text)
            return len((await tokenizers.tokens(ASKER, asked)).tokens)

        jobs.add(
            Checking(
                CheckParts(
                    read=lambda name: read_data(approved, name)[1],
                    context=lambda model_id: tokenizers.card(ASKER, model_id).n_ctx,
                    tokens=count,
                )
            )
        )
        evaluation_parts = Parts(
            data / EVALUATIONS,
            approved,
            workers,
            answers,
            digest_of,
            tokens,
            memory,
            clock,
            documents,
        )
        jobs.add(Evaluation(evaluation_parts))
        jobs.add(Teaching(replace(evaluation_parts, directory=data / teaching.DIRECTORY)))
        models.evaluations.now_us = lambda: trust.freshness().latest_us
        models.evaluations.engine_of = lambda: (
            f"{ENGINE} {supervisor.engine_version} build {build_of()}"
        )
        ledger = Ledger(database)

        def template_of(model_id: str) -> str:
            signed, facts = models.inspect(base_of(model_id) or model_id, read_policy())
            template = signed.template or facts.chat_template
            return sha256(template.encode()).hexdigest() if template else ""

        def evidence_key() -> ecdsa.PrivateKey:
            return evidence.ensure(data, lab.MARK if profile == "lab" else b"")

        labels = LabelQueues(database, clock)
        look_parts = LookParts(
            data / EVALUATIONS,
            models,
            ledger,
            audit,
            read_policy,
            trust.freshness,
            workers,
            answers,
            LogFiles(data / "audit").key_encryption_key,
            evidence_key,
            template_of,
            reader.origin,
            clock,
            lambda: marks_key(data / "trust"),
            labels,
            documents,
        )
        jobs.add(Gate(look_parts))

        def suspend(task: str, why: Refused) -> Awaitable[object]:
            return pool.end(SYSTEM, task, "suspended", why)

        jobs.add(Carry(look_parts, suspend))

        def agreed(key_id: str) -> bool:
            try:
                return api_keys.get(key_id).examples
            except StateRefused:
                return False

        def tensors_of(model_id: str) -> GgufFacts:
            with models.inventory.open(model_id) as artifact:
                return artifacts.vet_stored(artifact, artifacts.vet_model)

        def seal(model_id: str) -> VerifiedModel:
            return models.seal(model_id, read_policy(), lambda phase, done, total: None)

        tuning_parts = TuningParts(
            data / exporting.DIRECTORY,
            approved,
            Path(config.tuning.directory or f"{sys.prefix}/tuning"),
            tensors_of,
            seal,
            supervisor.variant.get,
            f"{ENGINE} {supervisor.engine_version}",
            config.tuning.threads or available_cores(),
            lambda: bool(inference.running()),
            clock,
        )
        jobs.add(Tuning(tuning_parts))

        def adapters_of(model_id: str) -> list[str]:
            return [r.id for r in models.inventory.records() if base_of(r.id) == model_id]

        jobs.add(Quantizing(tuning_parts, data / quantizing.DIRECTORY, adapters_of))
        named = Pointers(database)
        ready = tasks.ApprovedTasks(models, read_policy)
        names = TaskNames(ready, named, read_policy)
        shadows = Shadows(names, database)
        certified = RouteCertificates(
            database, models.evaluations.now_us, lambda: models.evaluations.engine
        )
        approved_routes = ApprovedRoutes(models, read_policy, certified, ready)
        elsewhere = stages_of(workers, ready)
        calibration_parts = CalibrationParts(
            look_parts, certified, approved_routes.forget, elsewhere
        )
        jobs.add(Calibration(calibration_parts))

        @functools.cache
        def secret(purpose: bytes) -> bytes:
            kek = LogFiles(data / "audit").key_encryption_key()
            return sha256(purpose + kek).digest()

        content = cast(ContentMode, config.audit.content)
        people = People(database, audit, clock, content, lambda: secret(b"queue of people"))
        targets = Targets(ready, elsewhere, Deferring(people, ready))

        def take_away(certificate: str, route: str, reason: str) -> None:
            if certified.suspended(certificate) is not None:
                return
            fields: dict[str, Json] = {
                "action": "route_suspended",
                "actor": SYSTEM,
                "route": route,
                "certificate": certificate,
                "reason": reason,
            }
            audit.append(Draft("admin", fields)).result()
            approved_routes.suspend(certificate, reason)

        jobs.add(RouteCarry(calibration_parts, take_away))

        monitors = Monitors(
            database,
            clock,
            lambda: secret(b"route samples"),
            config.routes.sample_percent / 100 if config.audit.content == "encrypted" else 0.0,
            config.routes.label_days,
            lambda: load_policy(data / "trust").tasks.grace_days,
            take_away,
            functools.partial(route_outcomes.basis, calibration_parts),
        )

        def withdraw(task: str, reason: str) -> None:
            for certificate, route in approved_routes.ending_with_drift(task):
                take_away(certificate, route, reason)

        jobs.add(
            watch.Watching(
                watch.Parts(
                    data / watch.DIRECTORY,
                    reader,
                    audit,
                    agreed,
                    monitors.overridden,
                    withdraw,
                    suspend if config.drift.suspend else None,
                    clock,
                )
            )
        )
        inference = RoutedInference(
            answering.Parts(approved_routes, ready, targets, monitors.note),
            TaskBackends(workers, ready, names, documents),
            Recording(audit, metrics),
            clock,
            api_keys,
            shares,
            buffered=config.audit.stream == "buffered",
            ended=shadows.note,
        )
        retrieval = Retrieval(library, key_groups, inference, audit, shares)
        jobs.add(Ingest(library, inference, clock))
        jobs.add(SearchTuning(library, inference, audit))
        erasure = erasing.Erasing(
            data,
            database,
            audit,
            reader,
            _holders(data, people, monitors, shadows, labels),
            functools.partial(_datasets_with, models),
            labels.aliases,
        )
        with contextlib.suppress(Unavailable):  # the next start or erasure goes on with it
            if erasure.catch_up():
                agrees.begin()  # rows went that the log had erased already
        jobs.recover()
        retention = Retention(
            audit, reader, clock, config.audit.keep_days, read_policy, trust.freshness
        )

        def hold(found: Standing) -> None:
            """Have each store refuse what the log does not permit."""
            audit.undecided = found.ends_early
            api_keys.held = found.held("api_keys")
            key_groups.held = found.held("key_groups")
            models.held = found.held("models") | found.owners("model_approvals")
            models.evaluations.held = found.held("certificates")
            certified.held = found.held("route_certificates", "route_suspensions")
            ledger.held = found.held("looks")
            named.held = found.held("task_pointers")
            learnt.held = found.held("upstream_fingerprints") | found.owners("upstream_approvals")
            labels.held = found.owners("labels")
            kept_jobs.held = found.held("jobs")

        def read_again() -> None:
            """Have each store that keeps rows in memory read them again."""
            api_keys.read()
            key_groups.read()
            models.forget()
            named.forget()

        agrees.told, agrees.mended = hold, read_again
        hold(agrees.standing)
        yield Services(
            data=data,
            config=config,
            clock=clock,
            profile=profile,
            keys=api_keys,
            groups=key_groups,
            audit=audit,
            reader=reader,
            store=models,
            ledger=ledger,
            pointers=named,
            shadows=shadows,
            routes=approved_routes,
            monitors=monitors,
            lifecycle=lifecycle,
            sweep=sweep,
            trust=trust,
            renewal=renewal,
            retention=retention,
            agreement=agrees,
            jobs=jobs,
            labels=labels,
            erasure=erasure,
            pool=pool,
            inference=inference,
            people=people,
            upstreams=upstreams,
            upstream_backends=workers,
            retrieval=retrieval,
            selftest=SelfTest(models, read_policy, supervisor, lifecycle, pool, inference, audit),
            tokenizers=tokenizers,
            supervisor=supervisor,
            shares=shares,
            rejected=Rejected(clock),
            metrics=metrics,
            seen=Seen(),
            disk_trend=DiskTrend(),
            log_file=Kept(),
            started_us=clock.wall_us(),
        )


def _holders(
    data: Path, people: People, monitors: Monitors, shadows: Shadows, labels: LabelQueues
) -> dict[str, erasing.Holder]:
    """The places beside the log where texts lie."""
    return {
        "queue": people,
        "samples": monitors,
        "shadows": shadows,
        "label queues": labels,
        "evaluations": Texts(data / EVALUATIONS, data / teaching.DIRECTORY),
    }


def _datasets_with(models: ModelStore, ids: Collection[str]) -> list[str]:
    """The stored datasets in whose open splits an item has one of these ids."""
    found = []
    for record in models.inventory.records():
        if record.kind != "dataset":
            continue
        try:
            with models.inventory.open(record.id) as artifact:
                if any(item.id in ids for item in datasets.read_artifact(artifact).items):
                    found.append(record.id)
        except Refused:
            continue  # its files are not there, or not those of the record
    return found


def _profile(trust: Path) -> str:
    """Lab or site; an untrusted policy stops everything here. A new site may have none yet."""
    if trusted_file.exists(trust):
        trusted_file.load(trust)
        return "site"
    return load_policy(trust).profile


def _check_profile(profile: str, origin: str) -> None:
    """What a data directory was made as, it stays: the name of its log says it."""
    if not origin.startswith(_ORIGIN.format(profile)):
        raise PolicyRefused(
            "trust_profile",
            f"This is not the data directory of a {profile}, but of {origin}: restore its trust/.",
        )


@contextlib.contextmanager
def _lock(data: Path, patience: float) -> Iterator[None]:
    fd = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    end = time.monotonic() + patience
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= end:
                    raise StateRefused("data_locked", f"Another process holds {data}.") from error
            time.sleep(0.05)
        yield
    finally:
        os.close(fd)
