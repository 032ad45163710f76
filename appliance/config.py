"""`appliance.toml` as frozen dataclasses; the only reader of the environment.

Rules: every key is declared here with its meaning, unit and range; an unknown key is refused
and the nearest known one named; a value out of range is refused. `docs/config.md` is generated
from this file.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, cast

import msgspec

from appliance.errors import UsageError
from appliance.types import PEOPLE, TOKEN_ALGORITHMS, ContentMode, ModelKind, Role
from appliance.upstream_kinds import KINDS

T = TypeVar("T")
_Table: TypeAlias = dict[str, Any]
FILE_NAME = "appliance.toml"


def _key(
    default: Any,
    doc: str,
    *,
    low: int | None = None,
    high: int | None = None,
    choices: tuple[str, ...] = (),
    each: str = "",
    secret: bool = False,
) -> Any:
    rule = {
        "doc": doc, "low": low, "high": high, "choices": choices, "each": each, "secret": secret
    }  # fmt: skip
    return field(default=default, metadata=rule)


def _secret(doc: str, default: str = "") -> Any:
    """A key that names a file with a secret, which `appliance protect on` encrypts."""
    return _key(default, f"{doc}, mode 0600.", secret=True)


_CA: Final = "CA certificates for the other side's, PEM; no other is accepted."
_CERTIFICATE: Final = "Client certificate, PEM."


@dataclass(frozen=True)
class ServerConfig:
    """`[server]`: the LAN listener."""

    host: str = _key("127.0.0.1", "Address; anything but loopback needs TLS.")
    port: int = _key(8080, "TCP port.", low=0, high=65_535)
    docs: bool = _key(True, "Serve /docs and /openapi.json.")
    mcp: bool = _key(False, "Serve the Model Context Protocol at /mcp.")
    people: bool = _key(False, "Serve /people, where people ask, label and answer queued items.")
    max_body_bytes: int = _key(4 << 20, "Largest request body.", low=1024, high=1 << 30)
    max_connections: int = _key(1024, "Most open connections.", low=1, high=100_000)
    max_connections_per_source: int = _key(256, "The same from one address.", low=1, high=100_000)
    max_head_bytes: int = _key(32 << 10, "Longest head of a request.", low=1024, high=1 << 20)
    head_seconds: int = _key(15, "Time for a request's head.", low=1, high=3600)
    body_seconds: int = _key(120, "Time for its body.", low=1, high=3600)
    stall_seconds: int = _key(
        30, "Longest that a client may leave its answer unread.", low=1, high=3600
    )
    responses_days: int = _key(
        30, "Days that /v1/responses keeps a response, encrypted; 0 keeps none.", low=0, high=365
    )
    cors_origins: tuple[str, ...] = _key(
        (),
        "Origins whose pages may read answers, such as https://intranet.example; a page still "
        "needs a key.",
        each=r"https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?",
    )
    log: str = _key("text", "Form of log lines.", choices=("text", "json"))
    log_file_mib: int = _key(
        16,
        "Size of DATA/logs/server.jsonl and of its predecessor; 0 keeps none. Less than a week in "
        "both raises an alarm.",
        low=0,
        high=1024,
    )
    drain_seconds: int = _key(30, "Time for running answers after SIGTERM.", low=0, high=3600)


@dataclass(frozen=True)
class TlsConfig:
    """`[tls]`: TLS on the LAN listener."""

    enabled: bool = _key(False, "Speak TLS 1.2 or newer; SIGHUP reads the certificate again.")
    certificate: str = _key("tls/server.pem", "The certificate chain, PEM.")
    key: str = _secret("Its private key, PEM", "tls/server.key")
    client_ca: str = _key(
        "", "CA of client certificates; one of `appliance key new --certificate` replaces the key."
    )


@dataclass(frozen=True)
class MetricsConfig:
    """`[metrics]`: a port for Prometheus, with the certificate of `[tls]`.

    A reader shows a token or a certificate.
    """

    port: int = _key(
        0,
        "TCP port, always with TLS; the installed service may use 9464. 0: none.",
        low=0,
        high=65_535,
    )
    host: str = _key("127.0.0.1", "Address.")
    token: str = _secret("A file with the bearer token that opens it")
    client_ca: str = _key("", "CA of client certificates that open it.")


@dataclass(frozen=True)
class EngineConfig:
    """`[engine]`: what all workers share."""

    memory_mib: int = _key(
        0, "Memory of all workers; 0 means 80 % of the host's.", low=0, high=1 << 24
    )
    threads: int = _key(
        0,
        "Most compute threads of a worker; 0 means one per core, less one if more than two. While "
        "the cores are busy, it uses fewer.",
        low=0,
        high=1024,
    )
    max_queued: int = _key(
        256, "Requests that may wait for a slot, per model.", low=1, high=100_000
    )
    load_wait_seconds: int = _key(
        60,
        "Longest that a request waits for memory and its model's load, which continues after the "
        "refusal.",
        low=0,
        high=3600,
    )
    max_queued_per_key: int = _key(128, "The same for one API key.", low=1, high=100_000)
    max_prepare_bytes: int = _key(1 << 20, "Largest prompt text.", low=1024, high=1 << 30)


@dataclass(frozen=True)
class BatchesConfig:
    """`[batches]`: files and batches of apps, in DATA/files.db."""

    max_file_mib: int = _key(100, "Largest file.", low=1, high=4096)
    max_mib_per_key: int = _key(
        1024, "Room for a key's files, those of batches included.",
        low=1, high=1 << 20,
    )  # fmt: skip
    max_lines: int = _key(50_000, "Most lines of a file.", low=1, high=1_000_000)
    days: int = _key(30, "Days that files are kept unless the app says.", low=1, high=365)
    after_seconds: int = _key(
        600,
        "Seconds that batches yield to other requests of their engine; then they get `percent` of "
        "its steps until alone for as large a part. No answer after twice as long raises an alarm.",
        low=1,
        high=86_400,
    )
    percent: int = _key(5, "Share of steps for batches that yielded too long.", low=1, high=50)


@dataclass(frozen=True)
class JobsConfig:
    """`[jobs]`: long work."""

    max_waiting: int = _key(100, "Heavy jobs that may be queued.", low=1, high=10_000)
    keep: int = _key(1_000, "Ended jobs that stay listed.", low=10, high=1_000_000)


@dataclass(frozen=True)
class RoutesConfig:
    """`[routes]`: the monitor of first stages' answers."""

    sample_percent: int = _key(
        2, "Share of the accepted answers that people label.", low=0, high=100
    )
    label_days: int = _key(7, "Days after which a missing label is overdue.", low=1, high=365)


@dataclass(frozen=True)
class TuningConfig:
    """`[tuning]`: training adapters."""

    directory: str = _key(
        "",
        "Place of the tuning set; by default `tuning` in the release's environment.",
    )
    threads: int = _key(
        0,
        "Threads that train; 0 means one per core. Another number may give another adapter.",
        low=0,
        high=1024,
    )


@dataclass(frozen=True)
class DriftConfig:
    """`[drift]`: changes of the requests of tasks."""

    check_hours: int = _key(
        24,
        "Time between checks of approved tasks; 0: never.",
        low=0,
        high=24 * 7,
    )
    suspend: bool = _key(
        False,
        "Suspend a task that drifted, and certificates of routes that begin with it unless their "
        "`on_drift` is `warn`. Else, and in a reference's first 13 months, only an alarm.",
    )


@dataclass(frozen=True)
class TrustConfig:
    """`[trust]`: models in the store."""

    recheck_minutes: int = _key(
        1440,
        "Time between re-checks of approved models: hashes and policy; 0: never.",
        low=0,
        high=1 << 20,
    )
    unencrypted: str = _key(
        "warn",
        "Warn of a person's private key without a passphrase, or refuse it. New sites refuse; a "
        "lab accepts its own.",
        choices=("warn", "refuse"),
    )


@dataclass(frozen=True)
class WatchConfig:
    """`[watch]`: limits after which an alarm is raised."""

    backup_days: int = _key(
        7,
        "Days after which the newest backup is too old; 0: never. A lab's alarm waits for its "
        "first backup.",
        low=0,
        high=365,
    )
    witness_days: int = _key(
        7,
        "Days without a cosignature after which a witness is silent; 0: never.",
        low=0,
        high=365,
    )


@dataclass(frozen=True)
class AuditConfig:
    """`[audit]`: the log."""

    content: ContentMode = _key(  # noqa: RUF009
        "encrypted",
        "Form of kept prompts and answers: encrypted, commit-only (no texts) or off.",
        choices=("encrypted", "commit-only", "off"),
    )
    stream: str = _key(
        "live",
        "When a stream's pieces are sent: live, as made (a crash leaves the outcome `unknown`), "
        "or buffered, after the outcome is durable.",
        choices=("live", "buffered"),
    )
    receipt: str = _key(
        "logged",
        "When an answer ends: logged, its entry durable here, or mirrored, on another appliance, "
        "too.",
        choices=("logged", "mirrored"),
    )
    mirror_ms: int = _key(2_000, "Longest that an answer waits for a mirror.", low=10, high=60_000)
    unmirrored: str = _key(
        "refuse",
        "An answer that no mirror confirms in time: refuse (503 `mirror_unavailable`), or tell: "
        "its receipt says `mirrored: no`.",
        choices=("refuse", "tell"),
    )
    reserve_mib: int = _key(
        256, "Free disk space below which new requests are refused.", low=0, high=1 << 20
    )
    ballast_mib: int = _key(
        64,
        "Disk space reserved to record the ends of running requests when other programs fill the "
        "disk.",
        low=0,
        high=1 << 20,
    )
    keep_days: int = _key(
        365,
        "Days before people may prune entries; nothing prunes by itself.",
        low=184,
        high=36_500,
    )
    replay_nightly: int = _key(
        20,
        "Answers of loaded models that are replayed daily at 3:00 UTC; 0: none.",
        low=0,
        high=10_000,
    )
    epoch_seconds: int = _key(
        600, "A signing key's life while entries are written.", low=1, high=86_400
    )
    epoch_rows: int = _key(10_000, "Entries that a signing key may cover.", low=10, high=1_000_000)
    epoch_idle_seconds: int = _key(
        3600, "A signing key's life while none are written.", low=1, high=604_800
    )
    enterprise_number: int = _key(
        32_473,
        "IANA private enterprise number, for syslog; 32473 is for examples.",
        low=1,
        high=(1 << 31) - 1,
    )


SPANS: Final = "spans"
"""The format of a receiver that gets spans of answers in place of entries."""


@dataclass(frozen=True)
class ForwardConfig:
    """`[forward."NAME"]`: a receiver of the audit log, live. Texts never leave."""

    to: str = _key("", "tls://HOST:PORT for syslog, https://HOST:PORT/v1/logs for OTLP.")
    format: str = _key(
        "ocsf",
        "The body: ocsf (JSON), cef, or plain (structured data only); or spans: traces of "
        "answers, for https://HOST:PORT/v1/traces.",
        choices=("ocsf", "cef", "plain", SPANS),
    )
    ca: str = _key("", _CA)
    certificate: str = _key("", _CERTIFICATE)
    key: str = _secret("Its private key, PEM")
    overlap_seconds: int = _key(
        60,
        "After a lost connection, entries of this time are sent again: a crashed syslog receiver "
        "loses unwritten ones. OTLP needs none.",
        low=0,
        high=86_400,
    )
    stop_after_minutes: int = _key(
        0,
        "Answer nothing while the receiver lacks an older entry; 0 never stops.",
        low=0,
        high=525_600,
    )


@dataclass(frozen=True)
class NotifyConfig:
    """`[notify."NAME"]`: messages to people when an alarm begins or ends."""

    to: str = _key("", "https://HOST/PATH for a webhook; smtp://HOST:25 or smtps:// for a relay.")
    level: str = _key("warning", "Lowest level that is sent.", choices=("warning", "critical"))
    repeat_hours: int = _key(
        24,
        "Time after which an unacknowledged alarm is sent again; 0: never.",
        low=0,
        high=8760,
    )
    mail_from: str = _key("", "Sender of mail.")
    mail_to: tuple[str, ...] = _key((), "Recipients of mail.")
    ca: str = _key("", _CA)
    certificate: str = _key("", _CERTIFICATE)
    key: str = _secret("Its private key, PEM")
    token: str = _secret("A file with the webhook's bearer token")


@dataclass(frozen=True)
class PeerConfig:
    """`[peers."NAME"]`: another appliance of the site; each cosigns the log of the other.

    `appliance site key` there prints both keys.
    """

    url: str = _key("", "https://HOST:PORT of its API; http:// on loopback.")
    log_key: str = _key("", "The first verifier key of its log, a line.")
    witness_key: str = _key("", "The verifier key of its witness, a line.")
    ca: str = _key("", _CA)
    certificate: str = _key("", _CERTIFICATE)
    key: str = _secret("Its private key, PEM")


@dataclass(frozen=True)
class ModelConfig:
    """`[models."ID"]`: one model. The table `[models.default]` holds for all without their own.

    An adapter, `[models."BASE:NAME"]`, has `autoload` only.
    """

    n_ctx: int = _key(
        8192,
        "Cells of the KV cache, in tokens, shared by the running requests.",
        low=128,
        high=1 << 22,
    )
    slots: int = _key(8, "Requests that run at once.", low=1, high=256)
    reproducible: bool = _key(
        False,
        "Separate KV streams, slower: a request gives the same text under any load, even without "
        "`replayable: yes`.",
    )
    hold: str = _key(
        "memory",
        "Place of the verified bytes: memory (sealed), or disk (weaker, for models too large: a "
        "file that the service cannot write, hashed before and after loading).",
        choices=("memory", "disk"),
    )
    device: str = _key(
        "auto",
        "cuda (GPUs or a refusal), cpu, or auto (GPUs if they work, else the processor; with an "
        "NVIDIA driver `status` warns).",
        choices=("auto", "cpu", "cuda"),
    )
    n_gpu_layers: int = _key(
        0,
        "Layers on GPUs, output included; refused if they do not fit. 0: as many as fit, as "
        "`status` estimates.",
        low=0,
        high=10_000,
    )
    autoload: bool = _key(True, "Load at `serve`, if it fits in memory with those before it.")
    on_demand: bool = _key(
        True,
        "Load when a request asks for it, and unload idle models for it. False: by hand.",
    )
    pinned: bool = _key(
        False, "Never unload it for another model or when idle; load it first at `serve`."
    )
    keep_alive: int = _key(
        -1,
        "Seconds without a request before it is unloaded; 0 at once, -1 never; earlier if another "
        "model needs the memory.",
        low=-1,
        high=1 << 31,
    )
    prefill_budget: int = _key(
        512,
        "Prompt tokens that one step may process beside running answers.",
        low=16,
        high=8192,
    )
    target_gap_ms: int = _key(
        40,
        "Planned step while answers run, or one and a half times as long as their tokens take; "
        "prompts get the rest.",
        low=1,
        high=60_000,
    )
    kept_prefixes: int = _key(
        32,
        "Most runs of tokens that the KV cache keeps for an app's later requests; fewer while "
        "none is reused.",
        low=0,
        high=255,
    )
    prefixes: tuple[str, ...] = _key(
        (),
        "System prompts, or beginnings of plain prompts, computed once for all apps. By timing, "
        "an app that knows one can find out.",
    )


@dataclass(frozen=True)
class RolesConfig:
    """`[admin.roles]`: roles on the admin socket, as user or group names or uids.

    The owner of the data directory and root are admins always.
    """

    viewer: tuple[str, ...] = _key((), "May look.")
    operator: tuple[str, ...] = _key((), "May also load, unload and cancel.")
    approver: tuple[str, ...] = _key((), "May also approve models.")
    admin: tuple[str, ...] = _key((), "May do everything.")
    directory: str = _key(
        "",
        "A name of `[ldap]`: only its users have a role, and roles may name `people:NAME` of "
        "`[groups]`.",
    )


@dataclass(frozen=True)
class PeopleConfig:
    """`[people]`: the end users for whom apps ask."""

    record: str = _key(
        "pseudonym",
        "In the log: pseudonym (an admin can read the name, on record, or erase it) or name (for "
        "ever).",
        choices=("pseudonym", "name"),
    )
    required: tuple[str, ...] = _key(
        (),
        "Tasks, routes, models and collections for verified people only; `*` is all.",
    )
    rpm: int = _key(
        0,
        "A person's requests a minute, by all keys; 0: no limit.",
        low=0,
        high=10**6,
    )
    tpm: int = _key(
        0,
        "A person's tokens a minute, by all keys; 0: no limit.",
        low=0,
        high=10**9,
    )
    page_key: str = _key(
        "",
        "Name of the API key, made with `--person`, for people who sign in to /people.",
    )


@dataclass(frozen=True)
class OidcConfig:
    """`[oidc."NAME"]`: a login service whose tokens apps pass on as `X-End-User-Token`."""

    issuer: str = _key("", "The `iss` of its tokens.")
    audience: str = _key("", "Name that their `aud` must have.")
    keys: str = _key("", "Its key set (JWKS): a file, or https://HOST/PATH on the LAN.")
    ca: str = _key("", _CA)
    authorize: str = _key(
        "",
        "Where people sign in to /people, a public client named `audience`: https://HOST/PATH.",
    )
    token: str = _key("", "Where a code becomes a token, on the LAN: https://HOST/PATH.")
    algorithms: tuple[str, ...] = _key(("ES256", "RS256"), "Accepted signatures.")
    subject: str = _key("sub", "The claim that names the person; it must be stable.")
    groups: str = _key("groups", "The claim that lists the person's groups.")
    longest_minutes: int = _key(10, "Longest life of a token.", low=1, high=1440)
    refresh_seconds: int = _key(
        60, "Time after which a key that left the set is refused.", low=10, high=86_400
    )
    grace_minutes: int = _key(
        15, "Time that known keys are valid while the set cannot be read.", low=0, high=1440
    )
    directory: str = _key(
        "",
        "A name of `[ldap]`: people are looked up there and have only its groups.",
    )


@dataclass(frozen=True)
class LdapConfig:
    """`[ldap."NAME"]`: a directory in which each person is looked up once a minute."""

    kind: str = _key(
        "ad",
        "Active Directory (ad), or another such as OpenLDAP (openldap): decides how nested groups "
        "and closed accounts are found.",
        choices=("ad", "openldap"),
    )
    urls: tuple[str, ...] = _key((), "Its hosts, ldaps://HOST[:PORT]; the next if one is away.")
    ca: str = _key("", _CA)
    bind: str = _key("", "The distinguished name of the appliance's account, which may only read.")
    password: str = _secret("A file with its password")
    base: str = _key("", "The distinguished name below which people are.")
    groups: str = _key("", "The same for groups; `base` by default.")
    person: str = _key("userPrincipalName", "The attribute with a person's name.")
    member: str = _key("member", "The attribute of a group that names its members.")
    grace_minutes: int = _key(
        15, "Time that the last known rights are valid while no host answers.", low=0, high=1440
    )


@dataclass(frozen=True)
class PersonCertificatesConfig:
    """`[certificates."NAME"]`: client certificates of people, next to the app's API key.

    They need `tls.enabled`.
    """

    ca: str = _key("", "The CAs that issue them directly, PEM.")
    crls: tuple[str, ...] = _key((), "The revocation list of each CA, PEM or DER.")
    subject: str = _key(
        "upn",
        "The name of the person: the UPN among the certificate's other names, or its subject.",
        choices=("upn", "subject"),
    )
    grace_minutes: int = _key(
        15, "Time that an expired list is valid if there is no newer one.", low=0, high=1440
    )
    directory: str = _key(
        "", "A name of `[ldap]`, as for `[oidc]`; without it they have no groups."
    )


@dataclass(frozen=True)
class PeopleGroupConfig:
    """`[groups."NAME"]`: a group of verified people. Access lists name it `people:NAME`."""

    names: tuple[str, ...] = _key((), "The sources' groups that make it up: SOURCE/GROUP.")
    models: tuple[str, ...] = _key(
        (),
        "Models, tasks and routes that its people may use, if the API key may too; `*` is all."
        " Once a group names some, people without such a group may use none.",
    )
    cost_centre: str = _key(
        "", "Cost centre of their use (`usage --by cost_centre`); with several groups, the first's."
    )


_LAN: Final = (
    r"https://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"|http://(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?"
)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_DESTINATION: Final = re.compile(
    rf"smtps?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{{1,5}})?|(?:{_LAN})(?:/[!-~]*)?"
)
_DIRECTORY: Final = re.compile(r"ldaps://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_RECEIVER: Final = re.compile(
    r"(?:tls://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])|tcp://(?:127\.0\.0\.1|localhost|\[::1\])):[0-9]{1,5}"
    rf"|(?:{_LAN})(?:/[!-~]*)?"
)


@dataclass(frozen=True)
class UpstreamConfig:
    """`[upstreams."NAME"]`: an engine on other hosts, used under NAME like a model.

    Nothing is sent to a host before two people approved it: docs/scaling-guide.md.
    """

    kind: str = _key(
        "openai",
        "The API that it speaks.",
        choices=tuple(KINDS),
    )
    urls: tuple[str, ...] = _key(
        (),
        "Its hosts, such as https://gpu-1.example:8443; without TLS on loopback only.",
        each=_LAN,
    )
    model: str = _key("", "The name of the model there.")
    does: ModelKind = _key(  # noqa: RUF009
        "generate",
        "Its use: generate text, embed, or rerank.",
        choices=("generate", "embed", "rerank"),
    )
    ca: str = _key("", _CA)
    certificate: str = _key("", _CERTIFICATE)
    key: str = _secret("Its private key, PEM")
    api_key: str = _secret("A file with the API key that the hosts ask for")
    genesis: tuple[str, ...] = _key(
        (),
        "For appliances: the first key of each one's log (audit/genesis.pub), to check receipts.",
    )
    keeps_content: bool = _key(
        True, "The hosts may keep prompts or answers, so keys whose texts are not kept are refused."
    )
    n_ctx: int = _key(8192, "Tokens of prompt and answer together.", low=128, high=1 << 22)
    slots: int = _key(8, "Requests that one host runs at once.", low=1, high=1024)
    connect_ms: int = _key(500, "Time for a connection.", low=10, high=60_000)
    idle_seconds: int = _key(
        30,
        "Longest time between two pieces of an answer; vectors and scores are one piece.",
        low=1,
        high=3600,
    )
    answer_seconds: int = _key(
        300, "Longest time of an answer, retries included.", low=1, high=86_400
    )
    answer_kib: int = _key(4096, "Largest answer, vectors excepted.", low=16, high=1 << 20)
    probe_seconds: int = _key(30, "Time between two probes of a host.", low=1, high=3600)
    quiet_seconds: int = _key(
        300,
        "Time within which a host that differed under load is probed alone; new requests wait for "
        "it, up to `idle_seconds`.",
        low=1,
        high=86_400,
    )


@dataclass(frozen=True)
class Config:
    """The whole file."""

    server: ServerConfig = field(default_factory=ServerConfig)
    tls: TlsConfig = field(default_factory=TlsConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    batches: BatchesConfig = field(default_factory=BatchesConfig)
    jobs: JobsConfig = field(default_factory=JobsConfig)
    routes: RoutesConfig = field(default_factory=RoutesConfig)
    tuning: TuningConfig = field(default_factory=TuningConfig)
    drift: DriftConfig = field(default_factory=DriftConfig)
    trust: TrustConfig = field(default_factory=TrustConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    roles: RolesConfig = field(default_factory=RolesConfig)
    models: Mapping[str, ModelConfig] = field(default_factory=dict)
    upstreams: Mapping[str, UpstreamConfig] = field(default_factory=dict)
    forward: Mapping[str, ForwardConfig] = field(default_factory=dict)
    notify: Mapping[str, NotifyConfig] = field(default_factory=dict)
    peers: Mapping[str, PeerConfig] = field(default_factory=dict)
    people: PeopleConfig = field(default_factory=PeopleConfig)
    oidc: Mapping[str, OidcConfig] = field(default_factory=dict)
    ldap: Mapping[str, LdapConfig] = field(default_factory=dict)
    certificates: Mapping[str, PersonCertificatesConfig] = field(default_factory=dict)
    groups: Mapping[str, PeopleGroupConfig] = field(default_factory=dict)

    def model(self, model_id: str) -> ModelConfig:
        """Its own table, else the default's."""
        return self.models.get(model_id) or self.models.get("default") or ModelConfig()

    def secrets(self) -> Iterator[str]:
        """The files that hold a secret, as they are named."""
        for table in (getattr(self, spec.name) for spec in fields(self)):
            for made in table.values() if isinstance(table, Mapping) else (table,):
                yield from (
                    name
                    for spec in fields(made)
                    if spec.metadata.get("secret") and (name := getattr(made, spec.name))
                )

    def url(self, host: str | None = None, port: int | None = None) -> str:
        """The LAN listener's address; host and port in place of the file's."""
        host, port = host or self.server.host, self.server.port if port is None else port
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.tls.enabled else 'http'}://{shown}:{port}"


_NAMED: Final = (
    "roles", "models", "upstreams", "forward", "notify", "peers", "oidc", "ldap", "certificates",
    "groups",
)  # fmt: skip
"""Fields of `Config` that are not one table of their name with fixed keys."""


_OF_MODULES: Final = (
    "HOME", "XDG_CONFIG_HOME", "SOFTHSM2_CONF", "P11_KIT_CONFIG", "OPENSC_CONF", "NFAST_HOME",
    "ChrystokiConfigurationPath", "CS_PKCS11_R3_CFG", "YUBIHSM_PKCS11_CONF",
    "P11NETHSM_CONFIG_FILE", "KRYOPTIC_CONF", "TPM2_PKCS11_STORE", "TPM2_PKCS11_TCTI",
    "PCSCLITE_CSOCK_NAME",
)  # fmt: skip


def credentials() -> Path | None:
    """The directory in which systemd gives a service its credentials."""
    place = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(place) if place else None


def module_environment() -> dict[str, str]:
    """Of the environment, the variables that PKCS#11 modules look for their files by."""
    return {name: os.environ[name] for name in _OF_MODULES if name in os.environ}


def data_directory(option: str | None) -> Path:
    """`--data`, else `APPLIANCE_DATA`, else refuse.

    Raises:
        UsageError: `data_missing` when neither is given.
    """
    chosen = option or os.environ.get("APPLIANCE_DATA")
    if not chosen:
        raise UsageError(
            "data_missing", "Neither --data nor APPLIANCE_DATA names a data directory."
        )
    return Path(chosen).absolute()


def load_config(data: Path) -> Config:
    """Read `DATA/appliance.toml`.

    Raises:
        UsageError: `data_missing` without the file, `config_invalid` when it is not TOML, has an
            unknown key or a value out of range.
    """
    try:
        text = (data / FILE_NAME).read_text(encoding="utf-8")
    except FileNotFoundError as missing:
        raise UsageError("data_missing", f"{data} has no {FILE_NAME}.") from missing
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("config_invalid", f"{FILE_NAME} cannot be read: {error}") from error
    return parse_config(text)


def parse_config(text: str) -> Config:
    """Check the text of the file. Raises UsageError (`config_invalid`)."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError("config_invalid", f"{FILE_NAME}: {error}") from error
    plain = {spec.name: spec.default_factory for spec in fields(Config) if spec.name not in _NAMED}
    _refuse_unknown(table, {*plain, "admin", *_NAMED} - {"roles"}, "")
    admin = _table(table, "admin", "")
    _refuse_unknown(admin, {"roles"}, "admin.")
    models = _table(table, "models", "")
    oidc, ldap = _table(table, "oidc", ""), _table(table, "ldap", "")
    for name in models:
        if ":" in name:  # an adapter: all else is its base's
            _refuse_unknown(_table(models, name, "models."), {"autoload"}, f"models.{name}.")
    return Config(
        **{
            name: _section(cast(Any, kind), _table(table, name, ""), f"{name}.")
            for name, kind in plain.items()
        },
        roles=_roles(_table(admin, "roles", "admin."), ldap, _table(table, "groups", "")),
        models={
            name: _section(ModelConfig, _table(models, name, "models."), f"models.{name}.")
            for name in models
        },
        upstreams=_named(table, "upstreams", UpstreamConfig, _check_upstream),
        forward=_named(table, "forward", ForwardConfig, _check_receiver),
        notify=_named(table, "notify", NotifyConfig, _check_destination),
        peers=_peers(table),
        oidc=_named(table, "oidc", OidcConfig, partial(_check_login, directories=ldap)),
        ldap=_named(table, "ldap", LdapConfig, partial(_check_ldap, logins=oidc)),
        certificates=_named(
            table, "certificates", PersonCertificatesConfig, partial(_check_cards, directories=ldap)
        ),
        groups=_named(
            table, "groups", PeopleGroupConfig, partial(_check_group, sources={*oidc, *ldap})
        ),
    )


def _named(
    whole: Mapping[str, Any], part: str, kind: type[T], check: Callable[[T, str], None]
) -> dict[str, T]:
    """The tables `[part."NAME"]`; `check` gets each with the begin of its keys."""
    tables, found = _table(whole, part, ""), {}
    for name in tables:
        where = f"{part}.{name}."
        found[name] = made = _section(kind, _table(tables, name, f"{part}."), where)
        if not _NAME.fullmatch(name):
            raise _invalid(where[:-1], " is no name: lower-case letters, digits, dots and dashes.")
        check(made, where)
    return found


def _invalid(key: str, problem: str) -> UsageError:
    return UsageError("config_invalid", key + problem, param=key)


def _roles(table: _Table, directories: Collection[str], groups: Collection[str]) -> RolesConfig:
    made, where = _section(RolesConfig, table, "admin.roles."), "admin.roles."
    _check_directory(made.directory, directories, where)
    for role in Role:
        for name in getattr(made, role.value):
            group = name.removeprefix(PEOPLE)
            if group != name and (not made.directory or group not in groups):
                raise _invalid(where + role, f": {name} needs `directory` and [groups.{group}].")
    return made


def _check_receiver(made: ForwardConfig, where: str) -> None:
    if not _RECEIVER.fullmatch(made.to):
        raise _invalid(
            where + "to",
            " is tls://HOST:PORT or https://HOST[:PORT]/PATH; without TLS tcp:// or http:// on"
            " loopback.",
        )
    if made.format == SPANS and not made.to.startswith("http"):
        raise _invalid(
            where + "format",
            f" {SPANS} goes to a collector: {where}to is https://HOST/v1/traces.",
        )
    _check_tls(made, made.to.startswith(("tls:", "https:")), where)


def _check_destination(made: NotifyConfig, where: str) -> None:
    if not _DESTINATION.fullmatch(made.to):
        raise _invalid(
            where + "to",
            " is https://HOST/PATH, smtp://HOST:PORT or smtps://HOST:PORT; http:// and smtp://"
            " without TLS on loopback or to the site's relay.",
        )
    if made.to.startswith("smtp"):
        _refuse_missing(made, ("mail_from", "mail_to"), where)
    _check_tls(made, made.to.startswith(("https:", "smtps:")), where)


def _peers(table: _Table) -> dict[str, PeerConfig]:
    """Other appliances. Raises UsageError where mirrors are asked for without one."""
    if not _table(table, "peers", "") and (_table(table, "audit", "").get("receipt") == "mirrored"):
        raise _invalid("audit.receipt", ': "mirrored" needs another appliance, [peers."NAME"].')
    return _named(table, "peers", PeerConfig, _check_peer)


def _check_peer(made: PeerConfig, where: str) -> None:
    _refuse_missing(made, ("url", "log_key", "witness_key"), where)
    if not re.fullmatch(_LAN, made.url):
        raise _invalid(where + "url", " is https://HOST[:PORT]; without TLS http:// on loopback.")
    _check_tls(made, made.url.startswith("https:"), where)


def _check_login(made: OidcConfig, where: str, directories: Collection[str]) -> None:
    _refuse_missing(made, ("issuer", "audience", "keys"), where)
    _refuse_missing(made, ("ca",) * made.keys.startswith("https:"), where)
    if "://" in made.keys:
        _check_lan(made.keys, "keys", where, "a file or ")
    if made.authorize or made.token:
        _check_lan(made.authorize, "authorize", where)
        _check_lan(made.token, "token", where)
        _refuse_missing(made, ("ca",) * made.token.startswith("https:"), where)
    for algorithm in made.algorithms or ("none",):
        if algorithm not in TOKEN_ALGORITHMS:
            known = ", ".join(TOKEN_ALGORITHMS)
            raise _invalid(where + "algorithms", f": {algorithm!r} is none of {known}.")
    _check_directory(made.directory, directories, where)


def _check_ldap(made: LdapConfig, where: str, logins: Collection[str]) -> None:
    needed = ("urls", "ca", "bind", "password", "base", "person", "member")
    _refuse_missing(made, needed, where)
    if not all(map(_DIRECTORY.fullmatch, made.urls)):
        raise _invalid(where + "urls", " are ldaps://HOST[:PORT]; none is without TLS.")
    if where[:-1].removeprefix("ldap.") in logins:  # groups are SOURCE/GROUP
        raise _invalid(where[:-1], " has the name of a login service.")


def _check_cards(made: PersonCertificatesConfig, where: str, directories: Collection[str]) -> None:
    _refuse_missing(made, ("ca", "crls"), where)
    _check_directory(made.directory, directories, where)


def _check_directory(name: str, directories: Collection[str], where: str) -> None:
    if name and name not in directories:
        raise _invalid(where + "directory", f": there is no [ldap.{name}].")


def _check_lan(url: str, key: str, where: str, otherwise: str = "") -> None:
    if not re.fullmatch(rf"(?:{_LAN})(?:/[!-~]*)?", url):
        raise _invalid(
            where + key, f" is {otherwise}https://HOST[:PORT]/PATH; http:// on loopback only."
        )


def _check_group(made: PeopleGroupConfig, where: str, sources: Collection[str]) -> None:
    for spelled in made.names:
        source, slash, group = spelled.partition("/")
        if source not in sources or not slash or not group:
            raise _invalid(
                where + "names", f": {spelled!r} is no SOURCE/GROUP of a source that there is."
            )


def _check_upstream(made: UpstreamConfig, where: str) -> None:
    if made.genesis and made.kind != "appliance":
        raise _invalid(where + "genesis", " is for the kind appliance: no other gives receipts.")
    _refuse_missing(made, ("urls", "model"), where)
    _check_tls(made, any(url.startswith("https:") for url in made.urls), where)
    if len(set(made.urls)) != len(made.urls):
        raise _invalid(where + "urls", " names a host twice.")


def _check_tls(
    made: UpstreamConfig | ForwardConfig | NotifyConfig | PeerConfig, needed: bool, where: str
) -> None:
    """Refuse TLS without a CA, and a client certificate without its key."""
    pair = ("certificate", "key") if made.certificate or made.key else ()
    _refuse_missing(made, ("ca",) * needed + pair, where)


def _refuse_missing(made: object, needed: Sequence[str], where: str) -> None:
    for name in needed:
        if not getattr(made, name):
            raise _invalid(where + name, " is missing.")


def _table(parent: Mapping[str, Any], name: str, where: str) -> _Table:
    value = parent.get(name, {})
    if not isinstance(value, dict):
        raise _invalid(where + name, " must be a table.")
    return cast(_Table, value)


def _refuse_unknown(table: Mapping[str, Any], known: set[str], where: str) -> None:
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            message = f"Unknown key {where}{name}; did you mean {where}{near[0]}?"
            raise UsageError("config_invalid", message, param=where + name)


def _section(kind: type[T], table: Mapping[str, Any], where: str) -> T:
    declared = {f.name: f for f in fields(cast(Any, kind))}
    _refuse_unknown(table, set(declared), where)
    values = {}
    for name, value in table.items():
        spec = declared[name]
        default = () if spec.default is MISSING else spec.default
        values[name] = _checked(value, default, spec.metadata, where + name)
    return kind(**values)


def _checked(value: Any, default: Any, rule: Mapping[str, Any], where: str) -> Any:
    kind, wanted = _kind(default, rule)
    try:
        found = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _invalid(where, f" must be {wanted}, not {value!r}.") from error
    return tuple(map(str, found)) if isinstance(found, tuple) else found


def _kind(default: Any, rule: Mapping[str, Any]) -> tuple[Any, str]:
    """The type with constraints that a key's values have, and the same in words."""
    if isinstance(default, tuple) and rule["each"]:
        origin = Annotated[str, msgspec.Meta(pattern=rf"^(?:{rule['each']})\Z")]
        return tuple[origin, ...], "a list of origins, scheme and host and perhaps a port"
    if isinstance(default, tuple):
        return tuple[str | int, ...], "a list of names or ids"
    if rule["choices"]:
        return Literal[rule["choices"]], "one of " + ", ".join(rule["choices"])
    if isinstance(default, bool):
        return bool, "true or false"
    if isinstance(default, int):
        low, high = rule["low"], rule["high"]
        span = "" if low is None else f" between {low} and {high}"
        return Annotated[int, msgspec.Meta(ge=low, le=high)], f"an integer{span}"
    return str, "text"
