"""A data directory: made once, held by one process at a time, a lab or a site for ever."""

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.audit.certificate import certify
from appliance.audit.files import LogFiles, write_new
from appliance.audit.log import AuditLog
from appliance.auth import certificates
from appliance.clock import Clock, SystemClock
from appliance.config import FILE_NAME, Config, load_config
from appliance.db import open_database
from appliance.errors import PolicyRefused, StateRefused, UsageError
from appliance.trust.artifacts.store import load_policy
from appliance.trust.policy import lab, metadata, trusted_file
from appliance.trust.policy.policy import PROFILES
from appliance.wiring.schema import MIGRATIONS

_DEFAULT_CONFIG: Final = """\
# Every key, its meaning and its range: docs/config.md. Unknown keys are refused.

[server]
host = "127.0.0.1"
port = 8080
"""
_SITE: Final = """\

[trust]
unencrypted = "refuse"
"""
_TLS: Final = """\

[tls]
enabled = true
"""
_ORIGIN: Final = "appliance.{}/"
"""How the name of a log begins, with the profile."""


@dataclass(frozen=True)
class HeldDirectory:
    """A data directory that this process holds.

    Attributes:
        profile: lab or site.
        closing: ends what was opened here, the last first.
    """

    data: Path
    config: Config
    clock: Clock
    profile: str
    closing: contextlib.ExitStack


@contextlib.contextmanager
def hold(
    data: Path, config: Config | None, clock: Clock | None, patience: float
) -> Iterator[HeldDirectory]:
    """Take a data directory; raises as `appliance.app.open_services`."""
    config = config or load_config(data)
    with contextlib.ExitStack() as closing:
        closing.enter_context(_lock(data, patience))
        profile = _profile(data / "trust")
        yield HeldDirectory(data, config, clock or SystemClock(), profile, closing)


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
        UsageError: `profile_unsupported`, `certificate_unusable` for a name; nothing was made.
        StateRefused: `data_exists`.
        PolicyRefused: as `metadata.begin`; nothing was made.
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
    open_database(data / "appliance.db", MIGRATIONS, erases=True).dispose()
    # Last, so that a directory with a configuration is a complete one.
    text = _DEFAULT_CONFIG + (_SITE if begun else "") + (_TLS if names else "")
    (data / FILE_NAME).write_text(text, encoding="utf-8")


def _make_lab(data: Path, clock: Clock, evaluated: bool) -> None:
    """With its root's certificate of the log's key."""
    lab.create(data, clock, evaluated=evaluated)
    files = LogFiles(data / "audit")
    site = (data / "keys" / "lab" / f"{lab.ROOT}.pem").read_bytes()
    write_new(files.certificate, certify(files.verifier_key(), site), 0o644)


def _profile(trust: Path) -> str:
    """Lab or site; an untrusted policy stops everything here. A new site may have none yet."""
    if trusted_file.exists(trust):
        trusted_file.load(trust)
        return "site"
    return load_policy(trust).profile


def check_profile(profile: str, origin: str) -> None:
    """Refuse a directory that was made as the other, by the name of its log."""
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
