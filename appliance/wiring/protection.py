"""The appliance's own key files: under a host key or in plain, changed while no server runs.

Rules: the log says it before it is done; a change that a crash cut short is finished by the same
command; what encrypts texts, signs the log and evidence and speaks TLS is covered, nothing else.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from appliance.audit.entry import Draft
from appliance.audit.files import LogFiles
from appliance.audit.log import AuditLog
from appliance.config import Config, load_config
from appliance.errors import StateRefused
from appliance.host import host_key
from appliance.trust.bytes import evidence
from appliance.wiring.directory import hold

_PATIENCE_S: Final = 5.0


def key_files(data: Path, config: Config) -> list[Path]:
    """The key files that are there."""
    log = LogFiles(data / "audit")
    wanted = [log.kek, log.signing, log.signing_next, evidence.path(data), data / config.tls.key]
    return [path for path in wanted if path.is_file() and path.parent.parent == data]


def protect(data: Path, passphrase: str) -> list[Path]:
    """Encrypt the key files under a new host key, or go on with it where there is one.

    Returns:
        The files.

    Raises:
        Refused: `passphrase_refused`.
        StateRefused: `data_locked` while a server runs; `host_key_locked`.
    """
    with _recorded(data, "on") as config:
        if not host_key.protected(data):
            host_key.make(data, passphrase)
        files = key_files(data, config)
        host_key.protect(data, files)
    return files


def change(data: Path, passphrase: str) -> None:
    """Put the host key under another passphrase; raises as `protect`."""
    _need(data)
    with _recorded(data, "change"):
        host_key.change(data, passphrase)


def unprotect(data: Path) -> list[Path]:
    """Write the key files in plain again; raises as `protect`."""
    _need(data)
    with _recorded(data, "off") as config:
        files = key_files(data, config)
        host_key.unprotect(data, files)
    return files


def _need(data: Path) -> None:
    load_config(data)
    if not host_key.protected(data):
        raise StateRefused("host_key_missing", f"The key files of {data} lie in plain.")


@contextlib.contextmanager
def _recorded(data: Path, step: str) -> Iterator[Config]:
    """Hold the directory, and record the step first."""
    with hold(data, None, None, _PATIENCE_S) as held:
        config = held.config.audit
        log = AuditLog.open(
            data / "audit", clock=held.clock, content=config.content,
            reserve_bytes=config.reserve_mib << 20, ballast_bytes=config.ballast_mib << 20,
        )  # fmt: skip
        try:
            said = {"actor": f"uid:{os.getuid()}", "action": f"protect_{step}"}
            log.append(Draft("admin", said)).result()
        finally:
            log.close()
        yield held.config
