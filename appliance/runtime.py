"""The composition root: the only place where parts are made and handed to each other."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.audit.certificate import certify
from appliance.audit.epoch import EpochLimits
from appliance.audit.files import LogFiles, write_new
from appliance.audit.log import AuditLog, Draft
from appliance.audit.reader import LogReader
from appliance.auth import key
from appliance.auth.keys import KeyStore
from appliance.auth.rejected import Rejected
from appliance.auth.shares import Shares
from appliance.clock import Clock, SystemClock
from appliance.config import FILE_NAME, Config, load_config
from appliance.db import open_database
from appliance.errors import StateRefused, Unavailable, UsageError
from appliance.inference import Inference
from appliance.lifecycle import Lifecycle
from appliance.metrics import Metrics
from appliance.record import append
from appliance.supervisor import Supervisor
from appliance.sweep import Sweep
from appliance.tokenizers import Tokenizers
from appliance.trust import lab, store
from appliance.trust.policy import TrustPolicy
from appliance.trust.store import ModelStore, VerifiedModel, load_policy
from appliance.types import Json

_DEFAULT_CONFIG = """\
# Every key, its meaning and its range: docs/config.md. Unknown keys are refused.

[server]
host = "127.0.0.1"
port = 8080
"""
# Scripts are only ever added, at the end: a database counts how many it has seen.
_MIGRATIONS: Final = (store.TABLES, key.TABLES, key.SHARES, store.ROUNDS)


@dataclass(frozen=True)
class Services:
    """Everything that the APIs use."""

    data: Path
    config: Config
    clock: Clock
    profile: str
    keys: KeyStore
    audit: AuditLog
    reader: LogReader
    store: ModelStore
    lifecycle: Lifecycle
    sweep: Sweep
    inference: Inference
    tokenizers: Tokenizers
    supervisor: Supervisor
    shares: Shares
    rejected: Rejected
    metrics: Metrics
    started_us: int


def initialise(data: Path, profile: str, clock: Clock | None = None) -> None:
    """Make a data directory: configuration, trust, audit genesis.

    Raises:
        UsageError: `profile_unsupported` for any profile but lab.
        StateRefused: `data_exists` when the directory holds anything.
    """
    if profile != "lab":
        raise UsageError("profile_unsupported", f"The profile {profile!r} is not there yet.")
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise StateRefused("data_exists", f"{data} exists and is not empty.")
    clock = clock or SystemClock()
    data.mkdir(parents=True, exist_ok=True, mode=0o750)
    for name, mode in (("audit", 0o700), ("models", 0o700), ("run", 0o750)):
        (data / name).mkdir(mode=mode)
    lab.create(data, clock)
    origin = f"appliance.lab/{secrets.token_hex(8)}"
    AuditLog.create(data / "audit", origin=origin, profile=profile, clock=clock)
    files = LogFiles(data / "audit")
    site = (data / "keys" / "lab" / f"{lab.ROOT}.pem").read_bytes()
    write_new(files.certificate, certify(files.verifier_key(), site), 0o644)
    open_database(data / "appliance.db", _MIGRATIONS).dispose()
    # Last, so that a directory with a configuration is a complete one.
    (data / FILE_NAME).write_text(_DEFAULT_CONFIG, encoding="utf-8")


@contextlib.contextmanager
def open_services(
    data: Path, *, config: Config | None = None, clock: Clock | None = None
) -> Iterator[Services]:
    """Take the data directory and put the parts together.

    Args:
        data: an initialised data directory.
        config: in place of the file, for tests and benchmarks.
        clock: in place of the host's.

    Raises:
        UsageError: `data_missing`, `config_invalid`.
        StateRefused: `data_locked` when another process has it.
    """
    config = config or load_config(data)
    clock = clock or SystemClock()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_lock(data))
        policy = load_policy(data / "trust")  # an untrusted policy stops everything here
        database = open_database(data / "appliance.db", _MIGRATIONS)
        stack.callback(database.dispose)
        api_keys = KeyStore(database, clock)
        stack.callback(api_keys.close)
        audit = AuditLog.open(
            data / "audit",
            clock=clock,
            content=config.audit.content,
            reserve_bytes=config.audit.reserve_mib << 20,
            epochs=EpochLimits(
                config.audit.epoch_seconds,
                config.audit.epoch_rows,
                config.audit.epoch_idle_seconds,
            ),
        )
        stack.callback(audit.close)
        models = ModelStore(database, data / "models", clock)

        async def record(kind: str, fields: Mapping[str, Json]) -> None:
            await append(audit, Draft(kind, fields))

        def recheck(model: VerifiedModel) -> None:
            lifecycle.recheck(model)

        supervisor = Supervisor(config, clock, record, recheck)

        def read_policy() -> TrustPolicy:
            return load_policy(data / "trust")

        lifecycle = Lifecycle(models, read_policy, supervisor, audit)
        with contextlib.suppress(Unavailable):  # a log that is full stops changes, not looking
            lifecycle.recover()
        metrics = Metrics()
        shares = Shares(config.engine.max_queued, config.engine.max_queued_per_key)
        reader = LogReader(data / "audit")
        stack.callback(reader.close)
        yield Services(
            data=data,
            config=config,
            clock=clock,
            profile=policy.profile,
            keys=api_keys,
            audit=audit,
            reader=reader,
            store=models,
            lifecycle=lifecycle,
            sweep=Sweep(models, read_policy, supervisor, lifecycle),
            inference=Inference(supervisor, audit, clock, api_keys, shares, metrics),
            tokenizers=Tokenizers(supervisor, shares),
            supervisor=supervisor,
            shares=shares,
            rejected=Rejected(clock),
            metrics=metrics,
            started_us=clock.wall_us(),
        )


@contextlib.contextmanager
def _lock(data: Path) -> Iterator[None]:
    fd = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StateRefused("data_locked", f"Another process holds {data}.") from error
        yield
    finally:
        os.close(fd)
