"""The facts that the rules judge, as plain values.

Rules: nothing here reads anything; no rule finds the default of an unknown fact wrong. Times are
microseconds of the wall clock, sizes bytes.
"""

from dataclasses import dataclass

from appliance.trust.policy.freshness import Freshness
from appliance.types import Told


@dataclass(frozen=True)
class Disk:
    """The file system of the data directory.

    Attributes:
        reserve: below it new requests are refused.
        full_in_s: seconds until only the reserve is left, as the last hours went; None where the
            disk does not fill, or too little was seen.
    """

    free: int
    total: int
    reserve: int
    full_in_s: float | None = None


@dataclass(frozen=True)
class LogFact:
    """The audit log.

    Attributes:
        latched: why it takes no new work.
        held: why it takes none although it can be written: a receiver must have it first.
        alarm: what is wrong with it while it continues.
        unwitnessed: entries after the last head that a witness cosigned.
        witnessed_us: when that was; None for no witness.
        witness_days: days after which a witness counts as silent; 0 is never.
    """

    latched: str = ""
    held: str = ""
    alarm: str = ""
    unwitnessed: int = 0
    witnessed_us: int | None = None
    witness_days: int = 0


@dataclass(frozen=True)
class LogFile:
    """The file of log lines.

    Attributes:
        problem: why the newest line could not be written.
        kept_from_us: as of `log_file.Kept`.
    """

    problem: str = ""
    kept_from_us: int | None = None


@dataclass(frozen=True)
class CertificateFact:
    """The certificate of the LAN listener.

    Attributes:
        ends_us: None where it cannot be read, for the reason of `problem`.
        renewable: the key of its CA is kept, so that clients notice no renewal.
        own: a CA of this appliance made it.
        changes_us: when a certificate of a new CA replaces it; None where none waits.
    """

    ends_us: int | None
    problem: str = ""
    renewable: bool = False
    own: bool = True
    changes_us: int | None = None


@dataclass(frozen=True)
class ArtifactFact:
    """One artifact of the store.

    Attributes:
        state: as people see it.
        code, message: what was found wrong with it.
        unloadable: why its last load failed; "" after a success.
    """

    id: str
    kind: str
    state: str
    digest: str = ""
    code: str = ""
    message: str = ""
    unloadable: str = ""


@dataclass(frozen=True)
class WorkerFact:
    """One engine process and its model.

    Attributes:
        state: starting, ready, restarting or suspended.
        reason: why it is suspended, or how it died last.
        deaths: within the last ten minutes.
        warning: why the model is on the processor.
        held: "disk" where the weaker claim holds.
    """

    model: str
    state: str
    reason: str = ""
    deaths: int = 0
    warning: str = ""
    held: str = "memory"


@dataclass(frozen=True)
class Refusals:
    """Requests of one app that were refused in the last minutes: too many, or no room."""

    app: str
    count: int
    no_room: int = 0


@dataclass(frozen=True)
class UpstreamHostFact:
    """One host of an upstream.

    Attributes:
        state: as `routing.upstreams` names it.
        usable: a request may be sent to it now.
        approved: enough people approved it; until then it is not missed.
    """

    upstream: str
    url: str
    state: str
    usable: bool
    approved: bool
    problem: str = ""


@dataclass(frozen=True)
class PeerFact:
    """Another appliance of the site.

    Attributes:
        met_us: when each last saw the log of the other, or the server began to watch.
        problem: why it does not cosign now.
        differs: how one of the two logs differs from what was seen of it.
    """

    name: str
    met_us: int
    problem: str
    differs: str


@dataclass(frozen=True)
class ReceiverFact:
    """A receiver of the log; times are microseconds of the wall clock.

    Attributes:
        behind: entries that it may not have.
        oldest_us: time of the first of them; None for none.
        problem: why nothing is sent now; "" while the connection holds.
        since_us: since when.
    """

    name: str
    to: str
    behind: int
    oldest_us: int | None
    problem: str
    since_us: int


@dataclass(frozen=True)
class FailedJob:
    """A job that failed, and none like it has succeeded since."""

    id: int
    kind: str
    title: str
    code: str
    message: str
    ended_us: int


@dataclass(frozen=True)
class Backup:
    """The newest backup.

    Attributes:
        made_us: when it was made; None where none is known.
        since_us: since when there has been something to lose.
        days: how old it may be; 0 is any age.
    """

    made_us: int | None
    since_us: int
    days: int


@dataclass(frozen=True)
class Facts:
    """Everything that the rules look at, at one moment."""

    now_us: int
    host: tuple[str, ...] = ()
    disk: Disk | None = None
    log: LogFact = LogFact()
    log_file: LogFile = LogFile()
    certificate: CertificateFact | None = None
    trust: Freshness | None = None
    trust_problem: str = ""
    unknown_roles: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    artifacts: tuple[ArtifactFact, ...] = ()
    evaluations: tuple[Told, ...] = ()
    routes: tuple[Told, ...] = ()
    unwatched: tuple[Told, ...] = ()
    missing_wrong: tuple[Told, ...] = ()
    weights: tuple[Told, ...] = ()
    drifts: tuple[Told, ...] = ()
    workers: tuple[WorkerFact, ...] = ()
    refusals: tuple[Refusals, ...] = ()
    quarantined: tuple[Told, ...] = ()
    upstreams: tuple[UpstreamHostFact, ...] = ()
    broken_upstreams: tuple[Told, ...] = ()
    unread_upstreams: str = ""
    receivers: tuple[ReceiverFact, ...] = ()
    peers: tuple[PeerFact, ...] = ()
    site_stale: str = ""
    mirrors: tuple[Told, ...] = ()
    people_away: tuple[Told, ...] = ()
    unnotified: tuple[Told, ...] = ()
    jobs: tuple[FailedJob, ...] = ()
    replays: tuple[Told, ...] = ()
    batches: tuple[Told, ...] = ()
    backup: Backup | None = None
    ends_early: str = ""
    state: tuple[Told, ...] = ()
