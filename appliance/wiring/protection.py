"""The appliance's own key files: under a host key or in plain, changed while no server runs.

Rules: the log says it before it is done; a change that a crash cut short is finished by the same
command; what encrypts texts, signs the log and evidence and speaks TLS is covered, nothing else.
Texts that an older release left in plain are encrypted first.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from appliance.advisor import shelf, watch
from appliance.audit.entry import Draft
from appliance.audit.files import LogFiles
from appliance.audit.log import AuditLog
from appliance.config import Config, load_config
from appliance.db import open_database, seal
from appliance.errors import StateRefused
from appliance.evals import job as evaluations
from appliance.host import at_rest, host_key
from appliance.retrieval import library as collections
from appliance.retrieval.library import CollectionLibrary
from appliance.trust.bytes import ecdsa, evidence
from appliance.trust.bytes.encrypting import encrypt, encrypt_artifact, encrypt_job
from appliance.tuning import exporting, teaching
from appliance.wiring.directory import hold
from appliance.wiring.schema import MIGRATIONS, SEALED

_PATIENCE_S: Final = 5.0


def key_files(data: Path, config: Config) -> list[Path]:
    """The key files that are there."""
    log = LogFiles(data / "audit")
    own = [log.kek, log.signing, log.signing_next, evidence.path(data), evidence.next_path(data)]
    wanted = [*own, data / config.tls.key]
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
        _encrypt_texts(data)
        files = key_files(data, config)
        host_key.protect(data, files)
    return files


def _encrypt_texts(data: Path) -> None:
    """Encrypt what an older release left in plain, wherever texts lie."""
    database = open_database(data / "appliance.db", MIGRATIONS, erases=True)
    try:
        seal(database, at_rest.cipher_of(data, at_rest.DATABASE), SEALED)
    finally:
        database.dispose()
    library = CollectionLibrary(data / collections.DIRECTORY)
    for name in library.names():
        library.get(name)
    library.close()
    for artifact in (data / "models").iterdir():
        if artifact.is_dir():
            encrypt_artifact(artifact)
    for place in (evaluations.DIRECTORY, teaching.DIRECTORY):
        for job in (data / place).glob("[0-9]*"):
            encrypt_job(job)
            encrypt(job / teaching.DATASET)
    for job in (data / exporting.DIRECTORY).glob("[0-9]*"):
        encrypt(job / exporting.TASK)
    for place in (watch.DIRECTORY, shelf.DIRECTORY):
        encrypt(data / place)


def change(data: Path, passphrase: str) -> None:
    """Put the host key under another passphrase; raises as `protect`."""
    _need(data)
    with _recorded(data, "change"):
        host_key.change(data, passphrase)


def renew_host(data: Path, passphrase: str) -> list[Path]:
    """Put the key files under a new host key; raises as `protect`."""
    _need(data)
    with _recorded(data, "renew") as config:
        files = key_files(data, config)
        host_key.renew(data, passphrase, files)
    return files


def renew_evidence(data: Path) -> ecdsa.PublicKey:
    """Make the next evidence key, which waits for a policy that lists it; raises as `protect`."""
    with _recorded(data, "evidence"):
        return evidence.ensure(data, place=evidence.next_path(data)).public_key()


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
