"""The facts that the table of alarms judges, gathered.

Rules: `standing` reads the files of a data directory, with or without a server; `gathered` adds
what only the running process knows. Both block. An unavailable fact never stops the others.
"""

import contextlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from sqlalchemy.exc import SQLAlchemyError

from appliance.advisor import watch
from appliance.auth import certificates
from appliance.errors import NotFound, Refused, StateRefused, UsageError
from appliance.governance import backups
from appliance.host import hardware
from appliance.incidents.facts import (
    ArtifactFact,
    Backup,
    CertificateFact,
    Disk,
    Facts,
    FailedJob,
    LogFact,
    LogFile,
    PeerFact,
    Refusals,
    UpstreamHostFact,
    WorkerFact,
)
from appliance.observability import unexpected
from appliance.serving.replays import ReplayDifferences
from appliance.types import Told

if TYPE_CHECKING:
    from appliance.app import Services
    from appliance.audit.reader import LogReader
    from appliance.config import Config
    from appliance.jobs.store import JobStore, StoredJob
    from appliance.routing.monitor import Notice
    from appliance.trust.artifacts.records import ModelRecord

RECEIVER_BEHIND: Final = "receiver_behind"
"""Why the log is held while a receiver lacks too much."""
_TOO_MUCH: Final = ("queue_full", "rate_limit_exceeded")
_JOBS_DAYS: Final = 3
"""How long a job that failed is reported, where none like it has succeeded."""
_DAY_US: Final = 86_400_000_000


def standing(
    data: Path,
    config: "Config",
    host: hardware.HostFacts,
    reader: "LogReader",
    jobs: "JobStore",
    replays: ReplayDifferences,
    profile: str,
    now_us: int,
) -> Facts:
    """Facts from the files of a data directory."""
    failed: list[StoredJob] = []
    differ: tuple[Told, ...] = ()
    with contextlib.suppress(SQLAlchemyError):  # `doctor` looks at databases that are broken
        failed = jobs.failed(now_us - _JOBS_DAYS * _DAY_US)
        differ = replays.all()
    last = reader.last_witness()
    seen = 0 if last is None else cast(int, last.body["size"])
    return Facts(
        now_us=now_us,
        host=tuple(hardware.problems(host)),
        disk=Disk(host.disk_free, host.disk_total, config.audit.reserve_mib << 20),
        log=LogFact(
            unwitnessed=reader.size - seen,
            witnessed_us=None if last is None else last.time_us,
            witness_days=config.watch.witness_days,
        ),
        certificate=certificate(data, config),
        drifts=tuple(watch.alarms(data / watch.DIRECTORY)),
        replays=differ,
        jobs=tuple(
            FailedJob(j.id, j.kind, j.title, j.code, j.message, j.ended_us or 0) for j in failed
        ),
        backup=_backup(data, config, reader, profile, now_us),
    )


def gathered(services: "Services", unknown_roles: tuple[str, ...] = ()) -> Facts:
    """Everything that this process knows."""
    config, now_us = services.config, services.clock.wall_us()
    host = hardware.host_facts(services.data)
    jobs, replays = services.jobs.store, services.replays
    facts = standing(
        services.data, config, host, services.reader, jobs, replays, services.profile, now_us
    )
    reserve = config.audit.reserve_mib << 20
    with contextlib.suppress(Refused):  # without a policy nothing is served, and trust says so
        policy = services.policy()
        notices = services.monitors.notices()
        facts = replace(
            facts,
            evaluations=tuple(services.store.alarms(policy)),
            routes=tuple(services.routes.alarms(policy)),
            unwatched=tuple(_notice(n) for n in notices if n.code == "route_unwatched"),
            missing_wrong=tuple(_notice(n) for n in notices if n.code == "route_missing_wrong"),
            weights=tuple(_notice(n) for n in notices if n.code == "route_weights"),
        )
    try:
        facts = replace(facts, trust=services.trust.freshness())
    except Refused as error:
        facts = replace(facts, trust_problem=f"{error.message} ({error.code})")
    return replace(
        facts,
        ends_early=services.agreement.standing.ends_early,
        state=tuple(services.agreement.standing.told()),
        disk=Disk(
            host.disk_free, host.disk_total, reserve, services.disk_trend.seconds_to(reserve)
        ),
        log=replace(
            facts.log,
            latched=services.audit.unwritable or "",
            held=services.audit.held(RECEIVER_BEHIND),
            alarm=services.audit.alarm or "",
        ),
        log_file=LogFile(services.log_file.problem, services.log_file.kept_from_us),
        unknown_roles=unknown_roles,
        unexpected=tuple(unexpected.alarms(services.metrics)),
        artifacts=tuple(
            artifact(record, services.pool.unloadable(record.id))
            for record in services.lifecycle.records()
        ),
        workers=tuple(
            WorkerFact(w.model, w.state, w.reason, w.deaths, w.device.warning, w.held)
            for w in services.supervisor.status()
        ),
        refusals=_refusals(services),
        quarantined=tuple(
            Told(
                f"{model} {_app(services, key)}",
                f"App {_app(services, key)} may not use {model} now: its requests ended the engine"
                " twice.",
            )
            for model, key in services.supervisor.quarantined()
        ),
        batches=services.batches.starving(),
        upstreams=tuple(
            UpstreamHostFact(
                upstream.name,
                host.url,
                host.state,
                host.usable,
                host.approved,
                host.why,
            )
            for upstream in services.upstreams.all.values()
            for host in upstream.hosts
        ),
        broken_upstreams=tuple(
            Told(name, f"Upstream {name} cannot be used: {why}")
            for name, why in services.upstreams.broken.items()
        ),
        unread_upstreams=services.upstreams.unread,
        unnotified=tuple(
            Told(name, f"No message reaches {name}: {why}")
            for name, why in sorted(services.notifier.problems.items())
        ),
        peers=tuple(
            PeerFact(s.name, s.met_us, s.problem, s.differs) for s in services.ring.standings
        ),
        site_stale=services.site.exchange.standing.silence if services.site else "",
        mirrors=services.site.away() if services.site else (),
        people_away=tuple(Told(*one) for one in services.end_users.away()),
        receivers=tuple(services.forwarding.standings),
    )


def artifact(record: "ModelRecord", unloadable: str = "") -> ArtifactFact:
    """A record of the store in the rules' form."""
    return ArtifactFact(
        record.id,
        record.kind,
        record.state,
        record.digest or "",
        record.code or "",
        record.message,
        unloadable,
    )


def certificate(data: Path, config: "Config") -> CertificateFact | None:
    """The certificate of the listener; None without TLS."""
    if not config.tls.enabled:
        return None
    try:
        found = certificates.standing(data / config.tls.certificate)
    except UsageError as error:
        return CertificateFact(None, problem=error.message)
    changes = None if found.changes is None else _us(found.changes)
    return CertificateFact(_us(found.ends), "", found.renewable, found.own, changes)


def _backup(
    data: Path, config: "Config", reader: "LogReader", profile: str, now_us: int
) -> Backup | None:
    """The newest backup; None where none is required."""
    made = backups.known(data)
    if not made and profile == "lab":
        return None
    try:
        begun_us = reader.entry(0).time_us
    except NotFound:  # pruned
        begun_us = 0
    return Backup(made[-1].made_us if made else None, begun_us, config.watch.backup_days)


def _refusals(services: "Services") -> tuple[Refusals, ...]:
    return tuple(
        Refusals(_app(services, key_id), sum(codes.values()), codes.get("queue_full", 0))
        for key_id, codes in services.rejected.lately(_TOO_MUCH).items()
    )


def _app(services: "Services", key_id: str) -> str:
    try:
        return services.keys.get(key_id).name
    except StateRefused:
        return key_id


def _notice(notice: "Notice") -> Told:
    return Told(notice.route, f"Route {notice.route}: {notice.message}.")


def _us(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000
