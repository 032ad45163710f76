"""Schemas of API keys."""

from typing import Final, Literal

from pydantic import Field

from appliance.types import KeyState, KeyUsage, Limits
from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.columns import ColumnKind, ListColumn, ListTable
from appliance.wire.admin.endpoint import admins, viewers

MOST = 1_000_000_000
_Fingerprint = Field(default=None, pattern="^[0-9a-f]{64}$")


class Key(Reply):
    """One API key, without its secret.

    Attributes:
        rotated_until: until when the secret before the last rotation is good, or null.
        certificate: SHA-256 of the client certificate that stands for the key.
        content: what the log keeps of its texts; null is the log's own rule.
        examples: its owners agree that prompts become items of datasets.
        tasks_only: it may use no model by itself.
        person: it is answered only for a verified person.
    """

    id: str
    name: str
    role: str
    models: list[str]
    created: str
    expires: str | None
    revoked: bool
    state: KeyState
    last_used: str | None = None
    limits: Limits = Limits()
    rotated_until: str | None = None
    certificate: str | None = None
    usage: KeyUsage = KeyUsage()
    content: str | None = None
    examples: bool = False
    tasks_only: bool = False
    person: bool = False


class NewKey(Key):
    """A key just made or rotated: the only reply with a secret, "" where a client certificate
    stands for it.
    """

    secret: str


class KeyList(Reply):
    """All keys, oldest first."""

    keys: list[Key]


class KeyLimits(Request):
    """Limits of a key from now on."""

    rpm: int | None = Field(default=None, ge=1, le=MOST)
    tpm: int | None = Field(default=None, ge=1, le=MOST)
    concurrency: int | None = Field(default=None, ge=1, le=MOST)
    weight: int = Field(default=1, ge=1, le=1000)
    priority: Literal["interactive", "batch"] = "interactive"


class KeyCreate(KeyLimits):
    """A new key; `expires` is a date or time in ISO 8601, UTC unless it says otherwise.

    Attributes:
        tasks_only: null means true at a site where no model is named, false in the lab.
    """

    name: str = Field(min_length=1, max_length=100)
    role: str = "app"
    models: list[str] = Field(default=[], max_length=1_000)
    expires: str | None = Field(default=None, max_length=40)
    certificate: str | None = _Fingerprint
    content: Literal["encrypted", "commit-only", "off"] | None = None
    examples: bool = False
    tasks_only: bool | None = None
    person: bool = False


class KeyRotate(Request):
    """A new secret; the one before is good for so many seconds more."""

    overlap: int = Field(default=0, ge=0, le=366 * 86_400)


def allowed_models(key: Key) -> str:
    """As a person reads it."""
    return ", ".join(key.models) or ("all tasks" if key.tasks_only else "all")


KEYS = viewers.get("/admin/keys", KeyList)
KEY = viewers.get("/admin/keys/{key_id}", Key)
KEY_CREATE = admins.post("/admin/keys", KeyCreate, NewKey)
KEY_LIMIT = admins.post("/admin/keys/{key_id}/limits", KeyLimits, Key)
KEY_ROTATE = admins.post("/admin/keys/{key_id}/rotate", KeyRotate, NewKey)
KEY_REVOKE = admins.post("/admin/keys/{key_id}/revoke", Key)
KEY_TABLE: Final[ListTable[Key]] = ListTable(
    "No keys. Make one with `appliance key new NAME`.",
    (
        ListColumn("ID", lambda key: key.id),
        ListColumn("STATE", lambda key: key.state, ColumnKind.STATE),
        ListColumn("NAME", lambda key: key.name),
        ListColumn("ROLE", lambda key: key.role),
        ListColumn("MODELS", allowed_models),
        ListColumn("EXPIRES", lambda key: key.expires, ColumnKind.MOMENT, "never"),
        ListColumn("LAST USED", lambda key: key.last_used, ColumnKind.MOMENT, "never"),
    ),
)
