"""API keys of apps: made, checked, rotated, revoked.

Rules:
- Lookup is by key id, comparison takes constant time, and an unknown id costs a comparison too.
  The refusal never says which part was wrong.
- One process writes, so the keys live in memory: a revocation holds from the next request on.
- A key that a client certificate stands for has no secret.
- A permission is recorded before it holds; a key ends even when nothing can be recorded.
- Last use and usage are noted in memory and written by a thread at most once a minute.
"""

import hmac
import json
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import SQLAlchemyError

from appliance.auth.key import (
    KEYS,
    SAME,
    ApiKey,
    KeyChange,
    KeyRow,
    check_limits,
    check_name,
    key_of_row,
)
from appliance.auth.secret import NO_HASH, new_id, new_secret, parse
from appliance.clock import Clock
from appliance.db import decoding
from appliance.errors import StateRefused, Unauthenticated
from appliance.types import ContentMode, Held, JsonValue, KeyUsage, Limits, Principal

QUEUE: Final = "queue"
ROLES: Final = ("app", QUEUE)
SYSTEM: Final = "appliance"
"""The actor of what nobody asked for."""
_FLUSH_EVERY_US = 60_000_000
_logger = logging.getLogger("appliance.auth")


class KeyStore:
    """The keys of one appliance.

    Args:
        database: an engine whose migrations include those of `auth.key`.
        record: makes a change durable in the log.
        held: ids of keys that are refused until a person decides.
        share: this appliance's part of the limits; raises Unavailable where it may answer nobody.
    """

    def __init__(
        self,
        database: Engine,
        clock: Clock,
        record: Callable[[KeyChange], None] = lambda change: None,
        held: Held = frozenset,
        share: Callable[[Limits], Limits] = lambda limits: limits,
    ) -> None:
        self._database = database
        self._clock = clock
        self._record = record
        self._held = held
        self._share = share
        self.changes = 0
        self._lock = threading.Lock()
        self._keys: dict[str, ApiKey] = {}
        self._hashes: dict[str, bytes] = {}
        self._old: dict[str, bytes] = {}
        self._certificates: dict[bytes, str] = {}
        self._used: dict[str, int] = {}
        self._usage: dict[str, KeyUsage] = {}
        self._flushed_us = clock.wall_us()
        self._flushing: threading.Thread | None = None
        self.read()

    def read(self) -> None:
        """Read the keys again, after the rows were changed elsewhere; none is missing meanwhile."""
        with self._lock, self._database.connect() as connection:
            rows = connection.execute(sa.select(KEYS)).mappings().all()
            for row in rows:
                with decoding("the keys"):
                    key = key_of_row(row)
                if (known := self._keys.get(key.id)) is not None:
                    key = replace(key, usage=known.usage)  # what was counted since is added to it
                old = row["old_sha256"]
                self._remember(
                    key, bytes(row["secret_sha256"]), None if old is None else bytes(old)
                )
            for gone in self._keys.keys() - {row["id"] for row in rows}:
                for kept in (self._keys, self._hashes, self._old, self._used, self._usage):
                    kept.pop(gone, None)

    def create(
        self,
        name: str,
        *,
        models: Sequence[str] = (),
        expires_us: int | None = None,
        role: str = "app",
        limits: Limits | None = None,
        certificate: bytes | None = None,
        content: ContentMode | None = None,
        examples: bool = False,
        tasks_only: bool = False,
        person: bool = False,
        actor: str = SYSTEM,
    ) -> tuple[ApiKey, str]:
        """Make a key; its secret is returned only here. It is empty where a client certificate
        stands for the key.

        Args:
            name: 1 to 64 printable characters, not the name of a key that is not revoked.

        Raises:
            StateRefused: `invalid_key_name`, `key_name_taken`, `invalid_value`.
            AuditUnavailable: it cannot be recorded, as of all that changes a key.
        """
        limits = limits or Limits()
        check_name(name)
        check_limits(limits)
        now = self._clock.wall_us()
        if role not in ROLES:
            raise StateRefused("invalid_value", f"No such role for a key: {role!r}.", param="role")
        if expires_us is not None and expires_us <= now:
            raise StateRefused("invalid_value", "The expiry is in the past.", param="expires")
        with self._lock:
            self._check_free(name, certificate)
            while (key_id := new_id()) in self._keys:
                pass
            key = ApiKey(
                key_id, name, role, tuple(models), now, expires_us,
                limits=limits, certificate=certificate, content=content,
                examples=examples, tasks_only=tasks_only, person=person,
            )  # fmt: skip
            secret, digest = new_secret(key_id) if certificate is None else ("", NO_HASH)
            self._record(KeyChange("key_create", actor, key, digest, None))
            self._insert(key, digest)
        return key, secret

    def list(self) -> tuple[ApiKey, ...]:
        """All keys, revoked ones included, oldest first, with the newest known use."""
        with self._lock:
            keys = sorted(self._keys.values(), key=lambda k: (k.created_us, k.id))
            return tuple(map(self._current, keys))

    def get(self, key_id: str) -> ApiKey:
        with self._lock:
            return self._current(self._known(key_id))

    def revoke(self, key_id: str, actor: str = SYSTEM) -> ApiKey:
        """End a key for good; safe to repeat."""
        with self._lock:
            key = self._known(key_id)
            if key.revoked_us is None:
                key = replace(key, revoked_us=self._clock.wall_us())
                self._update(key, revoked_us=key.revoked_us)
            self._changed("key_revoke", actor, key)
            return key

    def rotate(self, key_id: str, overlap_us: int, actor: str = SYSTEM) -> tuple[ApiKey, str]:
        """Give a key a new secret; the old one is good for `overlap_us` more.

        Raises:
            StateRefused: `unknown_key_id`, `invalid_value` when the key is revoked or expired, or
                a client certificate stands for it.
        """
        now = self._clock.wall_us()
        with self._lock:
            key = self._known(key_id)
            if not key.live(now):
                raise StateRefused("invalid_value", "The key is revoked or expired.", param="id")
            if key.certificate is not None:
                raise StateRefused(
                    "invalid_value",
                    "The key has a client certificate in place of a secret. Revoke it and make"
                    " one with the new certificate.",
                    param="id",
                )
            secret, digest = new_secret(key_id)
            key = replace(key, old_until_us=now + overlap_us)
            old = self._hashes[key_id]
            self._record(KeyChange("key_rotate", actor, key, digest, old))
            changed = {"secret_sha256": digest, "old_sha256": old}
            self._update(key, old_until_us=key.old_until_us, **changed)
            self._hashes[key_id], self._old[key_id] = digest, old
            return key, secret

    def limit(self, key_id: str, limits: Limits, actor: str = SYSTEM) -> ApiKey:
        """Other limits hold from the next request on (`unknown_key_id`, `invalid_value`)."""
        check_limits(limits)
        with self._lock:
            key = replace(self._known(key_id), limits=limits)
            self._changed("key_limit", actor, key)
            self._update(key, **_columns(limits))
            return key

    def rows(self) -> Sequence[KeyRow]:
        """The keys with their hashes, without those that are held back."""
        with self._lock:
            held = self._held()
            return [self._row(key) for key in self._keys.values() if key.id not in held]

    def row(self, key_id: str) -> KeyRow | None:
        with self._lock:
            key = self._keys.get(key_id)
            return None if key is None else self._row(key)

    def _row(self, key: ApiKey) -> KeyRow:
        return KeyRow(key, self._hashes[key.id], self._old.get(key.id))

    def take(self, row: KeyRow, actor: str) -> None:
        """Take a key's state from another appliance of the site.

        Where it cannot be recorded, a revoked key has ended all the same.
        """
        with self._lock:
            key, known = row.key, self._keys.get(row.key.id)
            action = "key_create" if known is None else "key_limit"
            if known is not None:
                key = replace(key, last_used_us=known.last_used_us, usage=known.usage)
                action = action if self._hashes[key.id] == row.secret else "key_rotate"
            change = KeyChange(action, actor, key, row.secret, row.old)
            if key.revoked_us is None:
                self._record(change)
                self._insert(key, row.secret, row.old)
            else:
                self._insert(key, row.secret, row.old)
                self._record(replace(change, action="key_revoke"))

    def authenticate(self, secret: str) -> Principal:
        """The holder of a secret; `invalid_api_key` for every reason in the same words."""
        parsed = parse(secret)
        if parsed is None:
            raise _refusal()
        return self.proved(*parsed)

    def proved(self, key_id: str, digest: bytes) -> Principal:
        """The holder of the secret with this hash; raises as `authenticate`."""
        newest = hmac.compare_digest(digest, self._hashes.get(key_id, NO_HASH))
        older = hmac.compare_digest(digest, self._old.get(key_id, NO_HASH))
        key, now = self._keys.get(key_id), self._clock.wall_us()
        if key is None or not (newest or (older and now < (key.old_until_us or 0))):
            raise _refusal()
        if key.certificate is not None:
            raise _refusal()
        return self._admitted(key, now)

    def authenticate_certificate(self, fingerprint: bytes) -> Principal:
        """The holder of this client certificate (SHA-256, 32 bytes), verified by the TLS handshake.

        Raises as `authenticate`.
        """
        return self.holder(self._certificates.get(fingerprint, ""))

    def holder(self, key_id: str) -> Principal:
        """The holder of a key by its id, with its rights now. Raises as `authenticate`."""
        key = self._keys.get(key_id)
        if key is None:
            raise _refusal()
        return self._admitted(key, self._clock.wall_us())

    def is_live(self, key_id: str) -> bool:
        """True if a key may be used now. Callable from any thread."""
        key = self._keys.get(key_id)
        live = key is not None and key.live(self._clock.wall_us())
        return live and key_id not in self._held()

    def note_usage(self, key_id: str, prompt_tokens: int, completion_tokens: int) -> None:
        with self._lock:
            if key_id in self._keys:
                used = KeyUsage(1, prompt_tokens, completion_tokens)
                self._usage[key_id] = self._usage.get(key_id, KeyUsage()).plus(used)

    def close(self) -> None:
        """Write known last uses; the store stays usable."""
        if self._flushing is not None:
            self._flushing.join()
        self._flush()

    def _admitted(self, key: ApiKey, now: int) -> Principal:
        if not key.live(now) or key.id in self._held():
            raise _refusal()
        self._used[key.id] = now
        self._flush_when_due(now)
        models = frozenset(key.models)
        return Principal(
            key.id, key.name, models, self._share(key.limits), key.content,
            tasks_only=key.tasks_only, answers=key.role == QUEUE, for_people=key.person,
        )  # fmt: skip

    def _current(self, key: ApiKey) -> ApiKey:
        return replace(
            key,
            last_used_us=self._used.get(key.id, key.last_used_us),
            usage=key.usage.plus(self._usage.get(key.id, KeyUsage())),
        )

    def _changed(self, action: str, actor: str, key: ApiKey) -> None:
        hashes = self._hashes[key.id], self._old.get(key.id)
        self._record(KeyChange(action, actor, key, *hashes))

    def _known(self, key_id: str) -> ApiKey:
        key = self._keys.get(key_id)
        if key is None:
            raise StateRefused("unknown_key_id", f"No key has the id {key_id!r}.", param="id")
        return key

    def _check_free(self, name: str, certificate: bytes | None) -> None:
        if any(k.name == name and k.revoked_us is None for k in self._keys.values()):
            raise StateRefused("key_name_taken", f"A key named {name!r} exists.", param="name")
        if certificate is not None and certificate in self._certificates:
            raise StateRefused(
                "invalid_value", "Another key has this certificate.", param="certificate"
            )

    def _flush_when_due(self, now: int) -> None:
        if abs(now - self._flushed_us) >= _FLUSH_EVERY_US:
            self._flushed_us = now
            self._flushing = threading.Thread(target=self._flush, daemon=True)
            self._flushing.start()

    def _flush(self) -> None:
        with self._lock:
            changed = [self._current(self._keys[i]) for i in self._used.keys() | self._usage.keys()]
            if not changed:
                return
            try:
                with self._database.begin() as connection:
                    connection.execute(
                        sa.update(KEYS).where(KEYS.c.id == sa.bindparam("of")),
                        [
                            {"of": k.id, "last_used_us": k.last_used_us, **vars(k.usage)}
                            for k in changed
                        ],
                    )
            except SQLAlchemyError as error:
                _logger.warning("usage of keys was not written: %s", type(error).__name__)
                return
            self._keys.update((k.id, k) for k in changed)
            self._used, self._usage = {}, {}

    def _update(self, key: ApiKey, **values: Any) -> None:
        """Write some columns of a key, then remember it."""
        with self._database.begin() as connection:
            connection.execute(sa.update(KEYS).where(KEYS.c.id == key.id).values(values))
        self._keep(key)

    def _insert(self, key: ApiKey, digest: bytes, old: bytes | None = None) -> None:
        values = {
            **{name: getattr(key, name) for name in SAME},
            **_columns(key.limits),
            "models": json.dumps(key.models),
            "certificate_sha256": key.certificate,
            "secret_sha256": digest,
            "old_sha256": old,
        }
        new = sqlite.insert(KEYS).values(values)
        with self._database.begin() as connection:
            connection.execute(new.on_conflict_do_update(index_elements=["id"], set_=values))
        self._remember(key, digest, old)

    def _remember(self, key: ApiKey, digest: bytes, old: bytes | None) -> None:
        self._hashes[key.id] = digest
        if old is not None:
            self._old[key.id] = old
        else:
            self._old.pop(key.id, None)
        self._keep(key)

    def _keep(self, key: ApiKey) -> None:
        self._keys[key.id] = key
        self.changes += 1
        if key.certificate is None:
            return
        holder = self._certificates.get(key.certificate)
        if key.revoked_us is None:  # two appliances may have given one certificate to two keys
            self._certificates[key.certificate] = min(holder or key.id, key.id)
        elif holder == key.id:
            of = (k for k in self._keys.values() if k.certificate == key.certificate)
            live = [k.id for k in of if k.revoked_us is None]
            self._certificates.pop(key.certificate)
            self._certificates.update({key.certificate: min(live)} if live else {})


def _columns(limits: Limits) -> dict[str, JsonValue]:
    return {**vars(limits), "priority": limits.priority.value}


def _refusal() -> Unauthenticated:
    return Unauthenticated("invalid_api_key", "The API key is missing, wrong, expired or revoked.")
