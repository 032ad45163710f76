"""The one table of what is wrong: a stable code, a pure function of facts, and the next step.

Rules: screens, `doctor`, `status`, metrics and log lines read this table and repeat none of it;
docs/operator-guide.md has it as a page. A code never changes its meaning.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from appliance.clock import iso
from appliance.incidents.facts import Facts
from appliance.text import many
from appliance.types import Told

Level = Literal["critical", "warning"]
"""Critical: somebody must act now. Warning: soon."""

CERTIFICATE_DAYS: Final = (30, 7, 1)
"""Days before the server's certificate expires at which it is told."""
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


def _little_disk(facts: Facts, least: int, most: int, refused: str) -> Iterator[Told]:
    disk = facts.disk
    if disk is not None and least * disk.reserve <= disk.free < most * disk.reserve:
        free, reserve = disk.free // _MIB, disk.reserve // _MIB
        said = f"{free} MiB of disk are free; below {reserve} MiB new requests {refused} refused."
        yield Told("", said)


def _disk_fills(facts: Facts) -> Iterator[Told]:
    disk = facts.disk
    if disk is None or disk.full_in_s is None or disk.free < disk.reserve:
        return
    if disk.full_in_s < DISK_DAYS * 86_400:
        at = facts.now_us + int(disk.full_in_s * 1e6)
        yield Told(
            "",
            f"At the rate of the last hours the disk is down to its reserve in"
            f" {_span(disk.full_in_s)}, at {iso(at)}; {disk.free // _MIB} MiB are free.",
        )


def _log_file(facts: Facts) -> Iterator[Told]:
    if facts.log_file.problem:
        yield Told(
            "", f"Log lines are lost, DATA/logs cannot be written: {facts.log_file.problem}."
        )


def _log_short(facts: Facts) -> Iterator[Told]:
    oldest = facts.log_file.kept_from_us
    if oldest is not None and facts.now_us - oldest < LOG_DAYS * _DAY_US:
        kept = _span((facts.now_us - oldest) / 1e6)
        yield Told("", f"DATA/logs holds only the log lines of {kept}, not of {LOG_DAYS} days.")


def _certificate_ended(facts: Facts) -> Iterator[Told]:
    found = facts.certificate
    if found is None:
        return
    if found.ends_us is None:
        yield Told("", f"The server's certificate cannot be read: {found.problem}")
    elif facts.now_us >= found.ends_us:
        yield Told(
            "",
            f"The server's certificate expired at {iso(found.ends_us)}: clients refuse it.",
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
            " Without the key of its CA every client needs the file of a new CA, once."
        )  # fmt: skip
        yield Told(
            "",
            f"The server's certificate expires in {_span(left / 1e6)}, at {iso(found.ends_us)}."
            + touched,
            found.ends_us - min(due) * _DAY_US,
        )


def _certificate_changes(facts: Facts) -> Iterator[Told]:
    found = facts.certificate
    if found is not None and found.changes_us is not None:
        yield Told(
            "",
            f"At {iso(found.changes_us)} the server changes to a certificate of a new CA; clients"
            " without the new file will refuse it.",
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
                f"The engine of model {one.model} crashed {times} in the last ten minutes; it is"
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
                f"Model {one.model} is held on the disk, not in sealed memory: a weaker guarantee.",
            )


def _no_room(facts: Facts) -> Iterator[Told]:
    if count := sum(each.no_room for each in facts.refusals):
        yield Told("", f"{many(count, 'request')} found the queue full in the last five minutes.")


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
            yield Told(name, f"Upstream {name} has no available host: {states}.")


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
                f"Upstream {host.upstream}: the host {host.url} answers otherwise than when it was"
                f" learnt: {host.problem}. A second difference while it is idle excludes it.",
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
            f"The receiver {one.name} ({one.to}) {why}; it lacks "
            f"{many(one.behind, 'entry')}. Nothing is"
            " lost: they are sent when it recovers.",
            one.since_us if one.problem else one.oldest_us,
        )


def _silent_peers(facts: Facts) -> Iterator[Told]:
    for one in facts.peers:
        if not one.differs and facts.now_us - one.met_us >= PEER_SILENT_US:
            why = one.problem or "its log has not been seen"
            message = f"The peer {one.name} has been silent since {iso(one.met_us)}: {why}."
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
        yield Told("", f"The backup is older than {many(kept.days, 'day')}: {last}.", due)


_UNLOCK: Final = "Set the clock, then run `appliance doctor`."
_UPDATE: Final = (
    "Get newer metadata from the security officer, then run `appliance trust update DIR`."
)
_FREE: Final = "Free or add disk space; `du -xh --max-depth=1 DATA` shows what uses it."

RULES: Final[tuple[Rule, ...]] = (
    Rule("host_unsuitable", "critical", "The host lacks what confinement needs", "10 s",
         "Give the host what the message names: docs/admin-guide.md.",
         lambda facts: (Told("", text) for text in facts.host)),
    Rule("log_unwritable", "critical", "The audit log cannot be written; no request is answered",
         "10 s", "Free disk space; answers then resume. `appliance doctor` says more.",
         lambda facts: _one(facts.log.latched, "The audit log cannot be written: {}.")),
    Rule("answers_held", "critical", "A receiver is too far behind; no request is answered",
         "10 s", "Mend the receiver, or raise its `stop_after_minutes` and restart.",
         lambda facts: _one(facts.log.held, "{}")),
    Rule("log_ends_early", "critical", "The log lacks entries that appliance.db knows: no answers",
         "70 s, and at each start",
         "Restore both from one backup, or decide: `appliance state settle --reason TEXT`.",
         lambda facts: _one(facts.ends_early, "{}")),
    Rule("state_differs", "critical", "appliance.db permits something that the audit log does not",
         "130 s, and at each start",
         "Run `appliance state show`; then restore appliance.db, or decide: `appliance state settle"
         " --reason TEXT`.",
         lambda facts: facts.state),
    Rule("log_behind", "warning", "The log's write-ahead file grows: a program holds the log open",
         "10 s", "End the program that reads DATA/audit/log.db.",
         lambda facts: _one(facts.log.alarm, "{}")),
    Rule("insufficient_disk", "critical", "Less disk space than the reserve; requests are refused",
         "10 s", _FREE, lambda facts: _little_disk(facts, 0, 1, "are")),
    Rule("disk_low", "warning", "Little disk space is left", "10 s", _FREE,
         lambda facts: _little_disk(facts, 1, DISK_WARN, "will be")),
    Rule("disk_fills", "warning", "The disk will be full within a week", "62 min (after the start)",
         _FREE, _disk_fills),
    Rule("log_file_unwritable", "warning", "DATA/logs is full or cannot be written", "10 s",
         "Make room for DATA/logs; the lost lines are in the journal of the service.",
         _log_file),
    Rule("log_file_short", "warning", "The log file covers less than a week", "10 s",
         "Raise `log_file_mib` under [server] in appliance.toml, then restart.", _log_short),
    Rule("certificate_ended", "critical", "The server's certificate has expired", "10 s",
         "Run `appliance tls renew`; if your own CA issued it, put the new files in place.",
         _certificate_ended),
    Rule("certificate_ends", "warning", "The server's certificate expires in 30, 7, 1 days", "10 s",
         "Run `appliance tls renew`; if your own CA issued it, put the new files in place.",
         _certificate_ends),
    Rule("certificate_changes", "warning", "The server will change to a certificate of a new CA",
         "10 s", "Give every client DATA/tls/clients.pem, or let it fetch /ca.pem with its key.",
         _certificate_changes),
    Rule("clock_behind", "critical", "The clock is behind a time already recorded", "10 s", _UNLOCK,
         _trust("clock_behind")),
    Rule("trust_rollback", "critical", "The trust metadata differs from what the log says", "10 s",
         "Find out who changed the data directory, then run `appliance trust update DIR`.",
         _trust("trust_rollback")),
    Rule("trust_stale", "critical", "The trust metadata expired so long ago that nothing is served",
         "10 s", _UPDATE, _trust("trust_stale")),
    Rule("trust_expired", "critical", "The trust metadata has expired", "10 s", _UPDATE,
         _trust("trust_expired")),
    Rule("trust_expires_soon", "warning", "The trust metadata expires within 30 days", "10 s",
         _UPDATE, _trust("trust_expires_soon")),
    Rule("trust_unreadable", "critical", "The trust policy cannot be read", "10 s",
         "Read why: `appliance trust show`; restore DATA/trust from a backup.",
         lambda facts: _one(facts.trust_problem, "{}")),
    Rule("role_name_unknown", "warning", "[admin.roles] names an unknown user or group", "10 s",
         "Correct [admin.roles] in appliance.toml, then restart.",
         lambda facts: (Told(name, f"[admin.roles] names {name!r}, which this host does not know.")
                        for name in facts.unknown_roles)),
    Rule("unexpected_errors", "warning", "The product failed unexpectedly",
         "10 s", "Run `appliance logs --level error`; send the lines to the maintainers.",
         lambda facts: (Told("", text) for text in facts.unexpected)),
    Rule("receiver_behind", "warning", "A receiver of the log takes nothing, or falls behind",
         "40 s", "Read why: `appliance audit receivers`; mend the receiver, its network or its"
         " certificate.", _receivers),
    Rule("peer_log_differs", "critical", "The log of a peer, or ours, was reset or changed",
         "90 s", "Keep both logs as evidence, then restore the changed one: `appliance site status`"
         " says which.", _other_logs),
    Rule("peer_silent", "warning", "A peer does not cosign, or its log has not been seen", "190 s",
         "Read why: `appliance site status`; mend the peer, its network or its certificate.",
         _silent_peers),
    Rule("site_stale", "critical", "No other appliance of the site answers this one",
         "70 s (`stale_seconds` and 10 s)",
         "Read why: `appliance site status`; mend the network, then the other appliances.",
         lambda facts: _one(facts.site_stale, "{}")),
    Rule("mirror_away", "warning", "A mirror takes no entries, or keeps pruned ones", "190 s",
         "Read why: `appliance site status`; mend the mirror. `not_approved` ends at the next prune"
         " that present approvers sign.", lambda facts: facts.mirrors),
    Rule("people_away", "critical", "A source of people does not answer; soon people are refused",
         "when a person asks", "Read why: `appliance logs --grep people`; mend the directory, the"
         " login service, or the list of revoked certificates.", lambda facts: facts.people_away),
    Rule("notice_undelivered", "warning", "A webhook or mail relay accepts no messages", "20 s",
         "Mend the destination; [notify] in appliance.toml has its address and certificate.",
         lambda facts: facts.unnotified),
    Rule("model_suspended", "critical", "A person or a check suspended an artifact",
         "10 s; a changed file at the next re-check (`recheck_minutes`) or load",
         "Read why: `appliance artifact show {subject}`; new approvals resume it.", _suspended),
    Rule("model_doubtful", "critical", "A re-check found a problem in a served artifact",
         "at the re-check", "Read it: `appliance artifact show {subject}`.", _doubtful),
    Rule("model_missing", "warning", "The files of an artifact are not on this host", "10 s",
         "Run `appliance artifact import DIR --id {subject}`.", _missing),
    Rule("model_unloadable", "critical", "A model could not be loaded, often for lack of memory",
         "at the load",
         "Free memory, or lower its n_ctx and slots; then run `appliance model load {subject}`.",
         _unloadable),
    Rule("engine_suspended", "critical", "An engine crashed too often: model suspended", "10 s",
         "Run `appliance logs --grep {subject}`, then `appliance model unload {subject}` and"
         " `appliance model load {subject}`.", _crashed),
    Rule("engine_died", "warning", "The engine of a model crashed and restarts", "10 s",
         "Read why: `appliance logs --grep {subject}`.", _died),
    Rule("model_on_processor", "warning", "A model computes without the GPU", "10 s",
         "Run `appliance doctor`: it says what the GPU lacks.", _on_processor),
    Rule("model_on_disk", "warning", "A model is held on the disk, not in sealed memory", "10 s",
         'Add memory, and remove `hold = "disk"` from [models."{subject}"].', _on_disk),
    Rule("evaluation_expires", "warning", "The certificate of a task expires", "10 s",
         "Run `appliance eval gate` with newer data: docs/gate.md.",
         lambda facts: facts.evaluations),
    Rule("route_suspended", "critical", "The certificate of a route is suspended", "10 s",
         "Read why: `appliance route show {subject}`; then calibrate on new groups.",
         lambda facts: facts.routes),
    Rule("route_unwatched", "warning", "Labels are missing: the monitor of a route sees nothing",
         "70 s", "Label the waiting items: `appliance route sample {subject}`.",
         lambda facts: facts.unwatched),
    Rule("route_missing_wrong", "warning", "Unlabelled answers of a route are wrong more often",
         "10 s", "Run `appliance route show {subject}`; find out who leaves labels out.",
         lambda facts: facts.missing_wrong),
    Rule("route_weights", "warning", "A route's groups have other weights than its certificate",
         "after three weeks", "Run `appliance route show {subject}`; calibrate on groups as they"
         " come now.", lambda facts: facts.weights),
    Rule("drift_found", "warning", "The requests of a task have drifted",
         "at the daily check (`check_hours`)", "Read how: `appliance drift show {subject}`.",
         lambda facts: facts.drifts),
    Rule("queue_full", "warning", "The queue is full; requests are refused", "10 s",
         "See who waits: `appliance request list`; lower limits of keys: `appliance key list`.",
         _no_room),
    Rule("app_floods", "warning", "One app sends more than it may", "10 s",
         "Tell its owner; to stop it, `appliance key revoke ID`: `appliance key list` has the id.",
         _floods),
    Rule("key_quarantined", "warning", "Requests of an app crashed an engine twice; it must wait",
         "10 s", "Find them: `appliance audit search --kind worker --newest`; the wait ends in ten"
         " minutes.", lambda facts: facts.quarantined),
    Rule("batch_starves", "warning", "A batch of an app gets no answers",
         "21 min (twice `after_seconds`)",
         "See who uses all of its model: `appliance request list`; `appliance job list` has it.",
         lambda facts: facts.batches),
    Rule("upstream_down", "critical", "No host of an upstream is available",
         "70 s (2 probes, `probe_seconds`)", "Read why: `appliance upstream show {subject}`.",
         _upstream_down),
    Rule("upstream_host_down", "warning", "A host of an upstream is not available",
         "70 s (2 probes, `probe_seconds`)", "Read why: `appliance upstream list`.",
         _upstream_host),
    Rule("upstream_suspect", "warning", "A host of an upstream may run another model",
         "40 s (1 probe, `probe_seconds`)",
         "Find out what changed there; `appliance upstream probe NAME` compares it again.",
         _upstream_suspect),
    Rule("upstream_broken", "warning", "The configuration of an upstream cannot be used", "10 s",
         'Correct [upstreams."{subject}"] in appliance.toml.',
         lambda facts: facts.broken_upstreams),
    Rule("upstreams_unread", "warning", "The new upstreams of appliance.toml were not taken",
         "10 s", "Correct appliance.toml, then run `appliance upstream reload`.",
         lambda facts: _one(facts.unread_upstreams, "The upstreams are as before: {}")),
    Rule("witness_silent", "warning", "No witness has seen the log for days", "10 s",
         "Let a witness cosign the log: docs/auditor-guide.md.", _witness),
    Rule("answer_differs", "critical", "A replay did not confirm a recorded answer",
         "10 s", "Keep the log as evidence; run `appliance audit replay {subject}`: the alarm ends"
         " when it computes the recorded answer, or cannot any more.",
         lambda facts: facts.replays),
    Rule("job_failed", "warning", "A job failed, and none like it has succeeded since", "10 s",
         "Read why: `appliance job show {subject}`.", _jobs),
    Rule("backup_old", "warning", "The newest backup is older than `backup_days`", "10 s",
         "Run `install.sh backup FILE`: docs/admin-guide.md.", _backup),
)  # fmt: skip
"""The table, in the order of the guide."""

SERVICE_FAILED: Final = Alarm(
    "service_failed",
    "critical",
    "",
    "The service failed. systemd starts it again, five times in five minutes at most.",
    "Run `systemctl status appliance`, then `journalctl -u appliance`.",
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
        return f"{many(int(seconds // 86_400), 'day')}"
    if seconds >= 2 * 3_600:
        return f"{many(int(seconds // 3_600), 'hour')}"
    return f"{many(max(1, int(seconds // 60)), 'minute')}"
