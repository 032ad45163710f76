"""The one table of what is wrong: a stable code, a pure function of facts, and the next step.

Rules: screens, `doctor`, `status`, metrics and log lines read this table and repeat none of it;
docs/operator-guide.md has it as a page. A code never changes its meaning.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from appliance.clock import iso
from appliance.incidents.facts import Facts
from appliance.types import Told

Level = Literal["critical", "warning"]
"""Critical: somebody must act now. Warning: soon."""

CERTIFICATE_DAYS: Final = (30, 7, 1)
"""Days before the end of the server's certificate at which it is told."""
DISK_WARN: Final = 4
"""How many times the reserve of the log counts as little free disk space."""
DISK_DAYS: Final = 7
LOG_DAYS: Final = 7
FLOOD: Final = 100
"""Refusals of one app in five minutes that are a flood."""
RECEIVER_AWAY_US: Final = 30_000_000
RECEIVER_LATE_US: Final = 300_000_000
PEER_SILENT_US: Final = 180_000_000
_DAY_US: Final = 86_400_000_000
_MIB: Final = 1 << 20


@dataclass(frozen=True)
class Alarm:
    """One thing that is wrong.

    Attributes:
        subject: such as a model's id; "" is the appliance.
        next: the next step, with the command to type.
        since_us: None while unknown.
        incident: its number in `history`; 0 before the first look.
        acked_by: the person who takes care of it.
    """

    code: str
    level: Level
    subject: str
    message: str
    next: str
    since_us: int | None = None
    incident: int = 0
    acked_by: str = ""


@dataclass(frozen=True)
class Rule:
    """One line of the table.

    Attributes:
        after: the delay of the alarm, as the guide has it.
        next: the next step; `{subject}` stands for that of the alarm.
        find: what is wrong now.
    """

    code: str
    level: Level
    means: str
    after: str
    next: str
    find: Callable[[Facts], Iterable[Told]]


def alarms(facts: Facts) -> list[Alarm]:
    """Everything that is wrong, critical things first."""
    found = [
        Alarm(
            rule.code,
            rule.level,
            told.subject,
            told.message,
            rule.next.format(subject=told.subject),
            told.since_us,
        )
        for rule in RULES
        for told in rule.find(facts)
    ]
    return sorted(found, key=lambda alarm: alarm.level != "critical")


def _disk_reserve(facts: Facts) -> Iterator[Told]:
    disk = facts.disk
    if disk is not None and disk.free < disk.reserve:
        free, reserve = disk.free // _MIB, disk.reserve // _MIB
        yield Told(
            "", f"{free} MiB of disk are free; below {reserve} MiB new requests are refused."
        )


def _disk_low(facts: Facts) -> Iterator[Told]:
    disk = facts.disk
    if disk is not None and disk.reserve <= disk.free < DISK_WARN * disk.reserve:
        free, reserve = disk.free // _MIB, disk.reserve // _MIB
        yield Told(
            "", f"{free} MiB of disk are free; below {reserve} MiB new requests will be refused."
        )


def _disk_fills(facts: Facts) -> Iterator[Told]:
    disk = facts.disk
    if disk is None or disk.full_in_s is None or disk.free < disk.reserve:
        return
    if disk.full_in_s < DISK_DAYS * 86_400:
        at = facts.now_us + int(disk.full_in_s * 1e6)
        yield Told(
            "",
            f"The disk fills: as the last hours went, only the reserve is left in"
            f" {_span(disk.full_in_s)}, at {iso(at)}; {disk.free // _MIB} MiB are free.",
        )


def _log_file(facts: Facts) -> Iterator[Told]:
    if facts.log_file.problem:
        yield Told(
            "", f"Log lines are lost: DATA/logs cannot be written: {facts.log_file.problem}."
        )


def _log_short(facts: Facts) -> Iterator[Told]:
    oldest = facts.log_file.kept_from_us
    if oldest is not None and facts.now_us - oldest < LOG_DAYS * _DAY_US:
        kept = _span((facts.now_us - oldest) / 1e6)
        yield Told("", f"DATA/logs holds the log lines of {kept} only, not of {LOG_DAYS} days.")


def _certificate_ended(facts: Facts) -> Iterator[Told]:
    found = facts.certificate
    if found is None:
        return
    if found.ends_us is None:
        yield Told("", f"The server's certificate cannot be read: {found.problem}")
    elif facts.now_us >= found.ends_us:
        yield Told(
            "",
            f"The server's certificate ended at {iso(found.ends_us)}: clients refuse it.",
            found.ends_us,
        )


def _certificate_ends(facts: Facts) -> Iterator[Told]:
    found = facts.certificate
    if found is None or found.ends_us is None or facts.now_us >= found.ends_us:
        return
    left = found.ends_us - facts.now_us
    due = [days for days in CERTIFICATE_DAYS if left <= days * _DAY_US]
    if due and found.changes_us is None:
        touched = "" if found.renewable or not found.own else (
            " The key of its CA is gone: every client needs the file of a new CA, once."
        )  # fmt: skip
        yield Told(
            "",
            f"The server's certificate ends in {_span(left / 1e6)}, at {iso(found.ends_us)}."
            + touched,
            found.ends_us - min(due) * _DAY_US,
        )


def _certificate_changes(facts: Facts) -> Iterator[Told]:
    found = facts.certificate
    if found is not None and found.changes_us is not None:
        yield Told(
            "",
            f"At {iso(found.changes_us)} the server changes to a certificate of a new CA: a client"
            " that has not been given the new file by then refuses it.",
        )


def _trust(code: str) -> Callable[[Facts], Iterator[Told]]:
    def find(facts: Facts) -> Iterator[Told]:
        for each in facts.trust.findings() if facts.trust is not None else ():
            if each.code == code:
                yield Told("", each.message, each.since_us)

    return find


def _suspended(facts: Facts) -> Iterator[Told]:
    for one in facts.artifacts:
        if one.state == "suspended":
            why = one.message or "without a reason"
            yield Told(one.id, f"{_kind(one.kind)} {one.id} is suspended: {why}")


def _doubtful(facts: Facts) -> Iterator[Told]:
    for one in facts.artifacts:
        if one.state == "serving" and one.code:
            found = f"is served, but a re-check found {one.code}: {one.message}"
            yield Told(one.id, f"{_kind(one.kind)} {one.id} {found}")


def _missing(facts: Facts) -> Iterator[Told]:
    for one in facts.artifacts:
        if one.state == "missing":
            what = f"The files of {_kind(one.kind).lower()} {one.id} are not on this host"
            yield Told(
                one.id,
                f"{what}: import the artifact with the digest {one.digest} under the same id.",
            )


def _unloadable(facts: Facts) -> Iterator[Told]:
    for one in facts.artifacts:
        if one.unloadable and one.state == "approved":
            yield Told(one.id, f"Model {one.id} could not be loaded: {one.unloadable}")


def _crashed(facts: Facts) -> Iterator[Told]:
    for one in facts.workers:
        if one.state == "suspended":
            yield Told(one.model, f"Model {one.model} is suspended: {one.reason}.")


def _died(facts: Facts) -> Iterator[Told]:
    for one in facts.workers:
        if one.state == "restarting" or (one.deaths and one.state != "suspended"):
            times = "once" if one.deaths <= 1 else f"{one.deaths} times"
            yield Told(
                one.model,
                f"The engine of model {one.model} died {times} in the last ten minutes; it is"
                f" {one.state} now.",
            )


def _on_processor(facts: Facts) -> Iterator[Told]:
    for one in facts.workers:
        if one.warning:
            yield Told(one.model, f"Model {one.model} computes on the processor: {one.warning}")


def _on_disk(facts: Facts) -> Iterator[Told]:
    for one in facts.workers:
        if one.held == "disk":
            yield Told(
                one.model,
                f"Model {one.model} is held on the disk, not in sealed memory: a weaker claim.",
            )


def _no_room(facts: Facts) -> Iterator[Told]:
    if count := sum(each.no_room for each in facts.refusals):
        yield Told("", f"{count} requests found the queue full in the last five minutes.")


def _floods(facts: Facts) -> Iterator[Told]:
    for each in facts.refusals:
        if each.count >= FLOOD:
            yield Told(
                each.app,
                f"App {each.app} floods: {each.count} of its requests were refused in the last"
                " five minutes for its limits or a full queue.",
            )


def _upstream_down(facts: Facts) -> Iterator[Told]:
    for name in dict.fromkeys(host.upstream for host in facts.upstreams if host.approved):
        hosts = [host for host in facts.upstreams if host.upstream == name and host.approved]
        if not any(host.usable for host in hosts):
            states = ", ".join(f"{host.url} is {host.state}" for host in hosts)
            yield Told(name, f"Upstream {name} has no host that can be asked: {states}.")


def _upstream_host(facts: Facts) -> Iterator[Told]:
    for host in facts.upstreams:
        if host.approved and not host.usable and host.state not in ("drained", "suspect"):
            why = f": {host.problem}" if host.problem else "."
            yield Told(
                f"{host.upstream} {host.url}",
                f"Upstream {host.upstream}: the host {host.url} is {host.state}{why}",
            )


def _upstream_suspect(facts: Facts) -> Iterator[Told]:
    for host in facts.upstreams:
        if host.state == "suspect":
            yield Told(
                f"{host.upstream} {host.url}",
                f"Upstream {host.upstream}: the host {host.url} differs from what was learnt of it:"
                f" {host.problem}. A second difference at a quiet moment takes it out.",
            )


def _witness(facts: Facts) -> Iterator[Told]:
    log = facts.log
    if log.witness_days and log.witnessed_us is not None and log.unwitnessed:
        due = log.witnessed_us + log.witness_days * _DAY_US
        if facts.now_us >= due:
            yield Told(
                "",
                f"No witness has seen the log since {iso(log.witnessed_us)}; {log.unwitnessed}"
                " entries are not witnessed.",
                due,
            )


def _receivers(facts: Facts) -> Iterator[Told]:
    for one in facts.receivers:
        late = one.oldest_us is not None and facts.now_us - one.oldest_us >= RECEIVER_LATE_US
        if one.problem and facts.now_us - one.since_us >= RECEIVER_AWAY_US:
            why = f"takes nothing: {one.problem}"
        elif late:
            why = "is slower than the log"
        else:
            continue
        yield Told(
            one.name,
            f"The receiver {one.name} ({one.to}) {why}; it lacks {one.behind} entries. Nothing is"
            " lost: they are sent when it takes them.",
            one.since_us if one.problem else one.oldest_us,
        )


def _silent_peers(facts: Facts) -> Iterator[Told]:
    for one in facts.peers:
        if not one.differs and facts.now_us - one.met_us >= PEER_SILENT_US:
            why = one.problem or "its log has not been seen"
            message = f"The peer {one.name} is silent since {iso(one.met_us)}: {why}."
            yield Told(one.name, message, one.met_us)


def _other_logs(facts: Facts) -> Iterator[Told]:
    for one in facts.peers:
        if one.differs:
            message = f"The logs of {one.name} and of this appliance do not agree: {one.differs}."
            yield Told(one.name, message)


def _jobs(facts: Facts) -> Iterator[Told]:
    for job in facts.jobs:
        what = f"{job.message} ({job.code})" if job.code else job.message
        yield Told(
            str(job.id), f"Job {job.id} ({job.kind} {job.title}) failed: {what}", job.ended_us
        )


def _backup(facts: Facts) -> Iterator[Told]:
    kept = facts.backup
    if kept is None or not kept.days:
        return
    due = (kept.since_us if kept.made_us is None else kept.made_us) + kept.days * _DAY_US
    if facts.now_us >= due:
        last = "none is known" if kept.made_us is None else f"the last is of {iso(kept.made_us)}"
        yield Told("", f"The backup is older than {kept.days} days: {last}.", due)


_UNLOCK: Final = "Set the clock, then `appliance doctor`."
_UPDATE: Final = "Get newer metadata from the security officer, then `appliance trust update DIR`."
_FREE: Final = "Free or add disk space; what takes it: `du -xh --max-depth=1 DATA`."

RULES: Final[tuple[Rule, ...]] = (
    Rule("host_unsuitable", "critical", "The host lacks what confinement needs", "10 s",
         "See the line; `appliance doctor` has the facts of the host.",
         lambda facts: (Told("", text) for text in facts.host)),
    Rule("log_unwritable", "critical", "The audit log takes no new work; no request is answered",
         "10 s", "Free disk space; answers go on by themselves. `appliance doctor` says more.",
         lambda facts: _one(facts.log.latched, "The audit log cannot be written: {}.")),
    Rule("answers_held", "critical", "No request is answered: a receiver lacks old entries",
         "10 s", "Mend the receiver, or raise its `stop_after_minutes`, then restart.",
         lambda facts: _one(facts.log.held, "{}")),
    Rule("log_ends_early", "critical", "The log ends before the database; nothing is answered",
         "1 min, and at each start",
         "Restore both from one backup, or `appliance state settle --reason TEXT`.",
         lambda facts: _one(facts.ends_early, "{}")),
    Rule("state_differs", "critical", "appliance.db permits what the audit log does not",
         "2 min, and at each start",
         "`appliance state show`; restore it, or `appliance state settle --reason TEXT`.",
         lambda facts: facts.state),
    Rule("log_behind", "warning", "The log's write-ahead file grows", "10 s",
         "End the program that reads DATA/audit/log.db.",
         lambda facts: _one(facts.log.alarm, "{}")),
    Rule("insufficient_disk", "critical", "Less disk space than the reserve: requests are refused",
         "10 s", _FREE, _disk_reserve),
    Rule("disk_low", "warning", "Little disk space is left", "10 s", _FREE, _disk_low),
    Rule("disk_fills", "warning", "The disk will be full within a week", "1 h after the start",
         _FREE, _disk_fills),
    Rule("log_file_unwritable", "warning", "DATA/logs is full or cannot be written", "10 s",
         "Make room for DATA/logs; lines that were lost are in the journal of the service.",
         _log_file),
    Rule("log_file_short", "warning", "The log file does not reach back a week", "10 s",
         "Raise `log_file_mib` under [server] in appliance.toml, then restart.", _log_short),
    Rule("certificate_ended", "critical", "The server's certificate has ended", "10 s",
         "`appliance tls renew`; for a certificate of your own CA put the new files in place.",
         _certificate_ended),
    Rule("certificate_ends", "warning", "The server's certificate ends in 30, 7, 1 days", "10 s",
         "`appliance tls renew`; for a certificate of your own CA put the new files in place.",
         _certificate_ends),
    Rule("certificate_changes", "warning", "A certificate of a new CA waits for its day", "10 s",
         "Give every client DATA/tls/clients.pem, or let it fetch /ca.pem with its key.",
         _certificate_changes),
    Rule("clock_behind", "critical", "The clock went back", "10 s", _UNLOCK,
         _trust("clock_behind")),
    Rule("trust_rollback", "critical", "The trust metadata is not what the log says", "10 s",
         "Find out who changed the data directory, then `appliance trust update DIR`.",
         _trust("trust_rollback")),
    Rule("trust_stale", "critical", "The trust metadata is so old that nothing is served", "10 s",
         _UPDATE, _trust("trust_stale")),
    Rule("trust_expired", "critical", "The trust metadata has expired", "10 s", _UPDATE,
         _trust("trust_expired")),
    Rule("trust_expires_soon", "warning", "The trust metadata expires within 30 days", "10 s",
         _UPDATE, _trust("trust_expires_soon")),
    Rule("trust_unreadable", "critical", "The trust policy cannot be read", "10 s",
         "`appliance trust show` says why; restore DATA/trust from a backup.",
         lambda facts: _one(facts.trust_problem, "{}")),
    Rule("role_name_unknown", "warning", "[admin.roles] names a user who is unknown", "10 s",
         "Correct [admin.roles] in appliance.toml, then restart.",
         lambda facts: (Told(name, f"[admin.roles] names {name!r}, who is unknown.")
                        for name in facts.unknown_roles)),
    Rule("unexpected_errors", "warning", "The product has failed in a way that is not foreseen",
         "10 s", "`appliance logs --level error`; send the places to those who maintain this.",
         lambda facts: (Told("", text) for text in facts.unexpected)),
    Rule("receiver_behind", "warning", "A receiver of the log takes nothing, or falls behind",
         "40 s", "`appliance audit receivers` says why; see to the receiver, its network and its"
         " certificate.", _receivers),
    Rule("peer_log_differs", "critical", "The log of a peer, or ours, was put back or changed",
         "90 s", "`appliance site status` says which; keep both logs as evidence, and restore the"
         " one that was changed.", _other_logs),
    Rule("peer_silent", "warning", "A peer does not cosign, or its log has not been seen", "3 min",
         "`appliance site status` says why; see to the peer, its network and its certificate.",
         _silent_peers),
    Rule("site_stale", "critical", "No other appliance of the site answers this one",
         "`stale_seconds`, 60 s",
         "`appliance site status` says why; see to the network, then to the other appliances.",
         lambda facts: _one(facts.site_stale, "{}")),
    Rule("people_away", "critical", "A source of people does not answer: soon they are refused",
         "when a person asks", "`appliance logs --grep people` says why; see to the directory, the"
         " login service, or the list of revoked certificates.", lambda facts: facts.people_away),
    Rule("notice_undelivered", "warning", "A webhook or mail relay takes no messages", "20 s",
         "Look at the destination; [notify] in appliance.toml has its address and certificate.",
         lambda facts: facts.unnotified),
    Rule("model_suspended", "critical", "A person or a check suspended an artifact",
         "10 s; a changed file at the next re-check (`recheck_minutes`) or load",
         "`appliance artifact show {subject}`; approvals bring it back.", _suspended),
    Rule("model_doubtful", "critical", "A re-check found something in a model that is served",
         "at the re-check", "`appliance artifact show {subject}`", _doubtful),
    Rule("model_missing", "warning", "The files of an artifact are not on this host", "10 s",
         "`appliance artifact import DIR --id {subject}`", _missing),
    Rule("model_unloadable", "critical", "A model could not be loaded, such as for its memory",
         "at the load",
         "Free memory, or lower its n_ctx and slots; then `appliance model load {subject}`.",
         _unloadable),
    Rule("engine_suspended", "critical", "The engine of a model died too often", "10 s",
         "`appliance logs --grep {subject}`, then `appliance model unload {subject}` and"
         " `appliance model load {subject}`.", _crashed),
    Rule("engine_died", "warning", "The engine of a model died and is started again", "10 s",
         "`appliance logs --grep {subject}`", _died),
    Rule("model_on_processor", "warning", "A model computes without the GPU", "10 s",
         "`appliance doctor` says what the GPU lacks.", _on_processor),
    Rule("model_on_disk", "warning", "A model is held on the disk: a weaker claim", "10 s",
         'Give it memory, and take `hold = "disk"` out of [models."{subject}"].', _on_disk),
    Rule("evaluation_expires", "warning", "The evaluation of a task expires", "10 s",
         "`appliance eval gate` with newer data: docs/gate.md", lambda facts: facts.evaluations),
    Rule("route_suspended", "critical", "The certificate of a route is suspended", "10 s",
         "`appliance route show {subject}`; a new calibration brings it back.",
         lambda facts: facts.routes),
    Rule("route_unwatched", "warning", "Labels are missing: a route is not watched", "10 s",
         "Label what waits: `appliance route sample {subject}`.", lambda facts: facts.unwatched),
    Rule("route_missing_wrong", "warning", "Missing labels of a route are wrong more often",
         "10 s", "`appliance route show {subject}`; look at who leaves labels out.",
         lambda facts: facts.missing_wrong),
    Rule("route_weights", "warning", "A route's answers weigh otherwise than its certificate",
         "after three weeks", "`appliance route show {subject}`; calibrate on groups as they"
         " come now.", lambda facts: facts.weights),
    Rule("drift_found", "warning", "The requests of a task have drifted",
         "at the daily look (`check_hours`)", "`appliance drift show {subject}`",
         lambda facts: facts.drifts),
    Rule("queue_full", "warning", "The queue is full: requests are refused", "10 s",
         "`appliance request list` says who waits; limits: `appliance key list`.", _no_room),
    Rule("app_floods", "warning", "One app sends more than it may", "10 s",
         "Tell its owner; `appliance key list` has its id, `appliance key revoke ID` stops it.",
         _floods),
    Rule("key_quarantined", "warning", "Requests of an app ended an engine twice: it must wait",
         "10 s", "`appliance audit search --kind worker --newest` names them; it ends by itself in"
         " ten minutes.", lambda facts: facts.quarantined),
    Rule("batch_starves", "warning", "A batch of an app gets no answers",
         "20 min (twice `after_seconds`)",
         "`appliance job list` has it; others take all of its model: `appliance request list`.",
         lambda facts: facts.batches),
    Rule("upstream_down", "critical", "No host of an upstream can be asked",
         "2 probes (`probe_seconds`)", "`appliance upstream show {subject}`", _upstream_down),
    Rule("upstream_host_down", "warning", "A host of an upstream cannot be asked",
         "2 probes (`probe_seconds`)", "`appliance upstream list`", _upstream_host),
    Rule("upstream_suspect", "warning", "A host of an upstream answered as another model might",
         "1 probe (`probe_seconds`)",
         "Find out what changed there; `appliance upstream probe NAME` compares it now.",
         _upstream_suspect),
    Rule("upstream_broken", "warning", "An upstream cannot be used as it is configured", "10 s",
         'Correct [upstreams."{subject}"] in appliance.toml.',
         lambda facts: facts.broken_upstreams),
    Rule("upstreams_unread", "warning", "appliance.toml was read again and its upstreams not taken",
         "10 s", "Correct it; `appliance upstream reload`.",
         lambda facts: facts.unread_upstreams),
    Rule("witness_silent", "warning", "No witness has seen the log for days", "10 s",
         "`appliance audit checkpoint --request FILE`: docs/auditor-guide.md", _witness),
    Rule("answer_differs", "critical", "An answer came out otherwise when it was computed again",
         "10 s", "Keep the log as evidence; `appliance audit replay {subject}`: the same ends it.",
         lambda facts: facts.replays),
    Rule("job_failed", "warning", "A job failed, and none like it has succeeded since", "10 s",
         "`appliance job show {subject}`", _jobs),
    Rule("backup_old", "warning", "The newest backup is older than `backup_days`", "10 s",
         "`install.sh backup FILE`: docs/admin-guide.md", _backup),
)  # fmt: skip
"""The table, in the order of the guide."""

SERVICE_FAILED: Final = Alarm(
    "service_failed",
    "critical",
    "",
    "The service failed. systemd starts it again, five times in five minutes at most.",
    "`systemctl status appliance`, then `journalctl -u appliance`.",
)
"""The one alarm that no server can tell: systemd has it told."""

BY_CODE: Final = {rule.code: rule for rule in RULES}


def _one(text: str, form: str) -> Iterator[Told]:
    if text:
        yield Told("", form.format(text.rstrip(".") if form.endswith("{}.") else text))


def _kind(kind: str) -> str:
    return {"task": "Task", "route": "Route", "dataset": "Dataset"}.get(kind, "Model")


def _span(seconds: float) -> str:
    """A time in the unit that fits: never 0."""
    if seconds >= 2 * 86_400:
        return f"{int(seconds // 86_400)} days"
    if seconds >= 2 * 3_600:
        return f"{int(seconds // 3_600)} hours"
    return f"{max(1, int(seconds // 60))} minutes"
