"""An API key as an appliance of the site signs it for the others: hashes and limits, no secret.

Rules: any listed appliance may sign the next version of a key; a revoked key stays so. Of two
documents of one version each appliance takes the same one.

Source: in-toto Statement v1 in a DSSE envelope, predicate type of our own (docs/trust.md).
"""

import datetime
import re
from dataclasses import replace
from typing import Annotated, ClassVar, Final, Literal, Self, TypeAlias

from msgspec import Meta, Struct

from appliance.auth.key import ApiKey, KeyRow, check_limits, check_name
from appliance.clock import iso
from appliance.errors import StateRefused
from appliance.trust.policy.policy import PolicyKey, TrustPolicy
from appliance.trust.statements.statement import Sha256, Statement, Time
from appliance.types import KeyUsage, Limits, Priority

MOST_VERSIONS: Final = 10**9
_ID: Final = re.compile(r"[0-9a-f]{12}")
Micros: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 62)]


class SignedLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of a key, for all appliances together."""

    rpm: int | None
    tpm: int | None
    concurrency: int | None
    weight: int
    priority: Priority


class SignedKey(Statement, frozen=True):
    """A key at one version.

    Attributes:
        secret_sha256, old_sha256: hashes of its secret, and of the one before the last rotation.
        version: counts up with each change, on whatever appliance.
        site: `policy_file.site_id`.
        time: of the signature, ISO 8601 in UTC.
    """

    KIND: ClassVar = "https://appliance.invalid/api-key/v1"
    NOUN: ClassVar = "API key"
    LIMIT: ClassVar = 128 << 10
    MALFORMED: ClassVar = "travelling_malformed"
    UNSIGNED: ClassVar = "travelling_signature"
    SUBJECTS: ClassVar = (("id", "secret_sha256"),)

    id: str
    secret_sha256: Sha256
    old_sha256: Sha256 | None
    version: Annotated[int, Meta(ge=1, le=MOST_VERSIONS)]
    site: Sha256
    time: Time
    name: Annotated[str, Meta(max_length=64)]
    role: Literal["app", "queue"]
    models: Annotated[tuple[Annotated[str, Meta(max_length=200)], ...], Meta(max_length=1_000)]
    created_us: Micros
    expires_us: Micros | None
    revoked_us: Micros | None
    old_until_us: Micros | None
    limits: SignedLimits
    certificate: Sha256 | None
    content: Literal["encrypted", "commit-only", "off"] | None
    examples: bool
    tasks_only: bool
    person: bool

    @classmethod
    def of(cls, row: KeyRow, version: int, site: str, now_us: int) -> Self:
        key = row.key
        return cls(
            key.id, row.secret.hex(), row.old.hex() if row.old else None, version, site,
            iso(now_us), key.name, "queue" if key.role == "queue" else "app", key.models,
            key.created_us, key.expires_us, key.revoked_us, key.old_until_us,
            SignedLimits(**vars(key.limits)), key.certificate.hex() if key.certificate else None,
            key.content, key.examples, key.tasks_only, key.person,
        )  # fmt: skip

    def signer(self, hint: str, policy: TrustPolicy) -> PolicyKey:
        return policy.member(hint)

    def check(self) -> None:
        if not _ID.fullmatch(self.id):
            raise self.malformed("its id has not the form of one")
        try:
            check_name(self.name)
            check_limits(self.row.key.limits)
            datetime.datetime.fromisoformat(self.time)
        except (StateRefused, ValueError) as error:
            raise self.malformed(str(error)) from error

    @property
    def row(self) -> KeyRow:
        limits = self.limits
        key = ApiKey(
            self.id, self.name, self.role, self.models, self.created_us, self.expires_us,
            self.revoked_us, None,
            Limits(limits.rpm, limits.tpm, limits.concurrency, limits.weight, limits.priority),
            self.old_until_us, bytes.fromhex(self.certificate) if self.certificate else None,
            KeyUsage(), self.content, self.examples, self.tasks_only, self.person,
        )  # fmt: skip
        old = bytes.fromhex(self.old_sha256) if self.old_sha256 else None
        return KeyRow(key, bytes.fromhex(self.secret_sha256), old)


def told(row: KeyRow) -> KeyRow:
    """The part of a key that travels: without its use here."""
    return replace(row, key=replace(row.key, last_used_us=None, usage=KeyUsage()))
