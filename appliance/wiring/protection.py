"""The appliance's own key files: under a host key or in plain, changed while no server runs.

Rules: the log says it before it is done; the same command finishes a change that a crash cut short;
covered is what encrypts texts, signs the log and evidence, speaks TLS, and each secret of the
configuration in the data directory. Texts left in plain are encrypted first.
"""

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine

from appliance.advisor import shelf, watch
from appliance.audit import content, keyring
from appliance.audit.entry import Draft
from appliance.audit.files import LogFiles, replace
from appliance.audit.log import AuditLog
from appliance.auth import certificates
from appliance.config import FILE_NAME, Config, load_config
from appliance.db import open_database, scrub, seal
from appliance.errors import StateRefused
from appliance.evals import job as evaluations
from appliance.host import at_rest, host_key
from appliance.looks import sealed_lines
from appliance.retrieval import library as collections
from appliance.retrieval.library import CollectionLibrary
from appliance.trust.bytes import ecdsa, evidence
from appliance.trust.bytes.encrypting import encrypt, encrypt_artifact, encrypt_job
from appliance.tuning import exporting, teaching
from appliance.wiring.directory import hold
from appliance.wiring.schema import FILES, MIGRATIONS, SEALED

_PATIENCE_S: Final = 5.0
_MOST: Final = 1 << 16
"""Bytes of the largest key file: a name in the configuration may be a slip."""


def key_files(data: Path, config: Config) -> list[Path]:
    """Existing ones, the configuration's secrets among them."""
    log, whole = LogFiles(data / "audit"), data.resolve()
    own = [log.kek, log.signing, log.signing_next, evidence.path(data), evidence.next_path(data)]
    waiting = (data / config.tls.key).parent / certificates.NEXT / "server.key"
    wanted = [*own, *_named(data, config), waiting]
    real = (path.resolve() for path in dict.fromkeys(wanted) if path.is_file())
    small = (path for path in real if path.stat().st_size <= _MOST and path.name != FILE_NAME)
    return [data / path.relative_to(whole) for path in small if path.is_relative_to(whole)]


def _encrypted(data: Path, config: Config) -> list[Path]:
    """The key files, and what was one when the configuration named it."""
    others = (path for path in data.rglob("*") if path.is_file() and not path.is_symlink())
    sealed = (path for path in others if path.suffix != ".part" and not host_key.plain(path))
    return [*dict.fromkeys((*key_files(data, config), *sealed))]


def left_in_plain(data: Path, config: Config) -> list[Path]:
    """The secrets of the configuration that are no key files."""
    taken = {path.resolve() for path in key_files(data, config)}
    return [p for p in _named(data, config) if p.is_file() and p.resolve() not in taken]


def _named(data: Path, config: Config) -> list[Path]:
    return [data / name for name in dict.fromkeys(config.secrets())]


def protect(data: Path, under: host_key.Lock) -> list[Path]:
    """Encrypt the key files under a new host key, or go on with it where there is one.

    Raises:
        Refused: `passphrase_refused`.
        StateRefused: `data_locked` while a server runs; `host_key_locked`.
    """
    with _recorded(data, "on") as config:
        if not host_key.protected(data):
            host_key.make(data, under)
        _encrypt_texts(data, anew=False)
        files = key_files(data, config)
        host_key.protect(data, files)
    return files


def _encrypt_texts(data: Path, *, anew: bool) -> None:
    with _database(data / "appliance.db", MIGRATIONS) as database:
        seal(database, at_rest.cipher_of(data, at_rest.DATABASE), SEALED, anew=anew)
    library = CollectionLibrary(data / collections.DIRECTORY)
    for name in library.names():
        library.get(name).collection.seal(anew=anew)
    library.close()
    for artifact in (data / "models").iterdir():
        if artifact.is_dir():
            encrypt_artifact(artifact, anew=anew)
    for place in (evaluations.DIRECTORY, teaching.DIRECTORY):
        for job in (data / place).glob("[0-9]*"):
            encrypt_job(job, anew=anew)
            encrypt(job / teaching.DATASET, anew=anew)
    for job in (data / exporting.DIRECTORY).glob("[0-9]*"):
        encrypt(job / exporting.TASK, anew=anew)
    for place in (watch.DIRECTORY, shelf.DIRECTORY):
        encrypt(data / place, anew=anew)


def renew_kek(data: Path) -> list[Path]:
    """Encrypt every text, and the key of each, under a new key-encryption key.

    The old one stays behind it, for seals in signed datasets and pseudonyms. Repeat it after a
    crash; until then no server starts.

    Raises:
        StateRefused: `data_locked` while a server runs; `host_key_locked`.
    """
    log = LogFiles(data / "audit")
    with _recorded(data, "kek"):
        old = log.key_encryption_key()
        if not log.renewing.exists():
            replace(log.renewing, str(len(old)).encode())
        if len(old) == int(log.renewing.read_bytes()):
            fresh = os.urandom(host_key.BYTES) + old
            host_key.replace(log.kek, host_key.sealed(log.kek, fresh))
        _encrypt_texts(data, anew=True)
        _rewrap(data, log.key_encryption_key())
        log.renewing.unlink()
    return [log.kek]


_WRAPPED: Final = (
    ("audit/keys.db", keyring.MIGRATIONS, "dek", "id"),
    ("appliance.db", MIGRATIONS, "kept_answers", "place"),
    ("files.db", FILES, "file_parts", "file || '/' || number"),
    ("files.db", FILES, "batches", "id"),
)
"""Tables of texts that have keys of their own: the name for which one is wrapped."""


def _rewrap(data: Path, kek: bytes) -> None:
    opener = content.Opener(kek)
    for file, migrations, table, name in _WRAPPED:
        if (data / file).exists():
            with _database(data / file, migrations) as database:
                with database.begin() as connection:
                    raw: Any = connection.connection.dbapi_connection
                    raw.create_function("rewrapped", 2, functools.partial(opener.rewrap, kek=kek))
                    sql = f"UPDATE {table} SET wrapped = rewrapped({name}, wrapped)"  # noqa: S608
                    connection.exec_driver_sql(f"{sql} WHERE wrapped IS NOT NULL")
                    if table == "dek":
                        named = (content.kek_name(kek),)
                        connection.exec_driver_sql("UPDATE dek SET kek_id = ?", named)
                scrub(database, anew=False)
    for look in (data / evaluations.DIRECTORY).glob("[0-9]*"):
        sealed_lines.rewrap(look, kek)


@contextlib.contextmanager
def _database(path: Path, migrations: Sequence[str]) -> Iterator[Engine]:
    database = open_database(path, migrations, erases=True)
    try:
        yield database
    finally:
        database.dispose()


def change(data: Path, under: host_key.Lock, officer: str = "") -> None:
    """Put the host key under another lock; raises as `protect`.

    A renewal that was cut short is finished first. `officer` is the hint of the key that opened it,
    for the log.
    """
    _need(data)
    with _recorded(data, "change", **({"officer": officer} if officer else {})) as config:
        host_key.finish(data, _encrypted(data, config))
        host_key.change(data, under)


def renew_host(data: Path, under: host_key.Lock) -> list[Path]:
    """Put the key files under a new host key; raises as `protect`."""
    _need(data)
    with _recorded(data, "renew") as config:
        files = _encrypted(data, config)
        host_key.renew(data, under, files)
    return files


def renew_evidence(data: Path) -> ecdsa.PublicKey:
    """Make the next evidence key, which waits for a policy that lists it; raises as `protect`."""
    with _recorded(data, "evidence"):
        return evidence.ensure(data, place=evidence.next_path(data)).public_key()


def unprotect(data: Path) -> list[Path]:
    """Write the key files in plain again; raises as `protect`."""
    _need(data)
    with _recorded(data, "off") as config:
        files = _encrypted(data, config)
        host_key.unprotect(data, files)
    return files


def _need(data: Path) -> None:
    load_config(data)
    if not host_key.protected(data):
        raise StateRefused("host_key_missing", f"The key files of {data} lie in plain.")


@contextlib.contextmanager
def _recorded(data: Path, step: str, **more: str) -> Iterator[Config]:
    with hold(data, None, None, _PATIENCE_S) as held:
        config = held.config.audit
        log = AuditLog.open(
            data / "audit", clock=held.clock, content=config.content,
            reserve_bytes=config.reserve_mib << 20, ballast_bytes=config.ballast_mib << 20,
        )  # fmt: skip
        try:
            said = {"actor": f"uid:{os.getuid()}", "action": f"protect_{step}", **more}
            log.append(Draft("admin", said)).result()
        finally:
            log.close()
        host_key.tidy(data, _encrypted(data, held.config))
        yield held.config
