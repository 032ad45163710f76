"""Schemas of the trust policy and its metadata."""

import base64
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field

from appliance.errors import Refused
from appliance.wire.admin.base import Reply as _Reply
from appliance.wire.admin.base import Request as _Request
from appliance.wire.admin.endpoint import admins, viewers
from appliance.wire.admin.models import Model

MAX_FILES = 64
MAX_MESSAGE = 2_000


class TrustKey(_Reply):
    """A key, by its hint (SHA-256 of the public key), and the person who holds it."""

    person: str
    key: str
    revoked: bool


class TrustRole(_Reply):
    """Holders of a role, and the number of different people it takes."""

    threshold: int
    distinct_from: list[str]
    holders: list[TrustKey]


class TrustMetadata(_Reply):
    """A site's metadata (TUF): versions by part, and what the time says about it.

    `root` is the fingerprint of the root in force, `first_root` of the one compared at `init`.
    `floor` is the time that the clock may not be behind.
    """

    versions: dict[str, int]
    root: str
    first_root: str
    holders: dict[str, list[str]] = Field(default={})
    expires: str
    serve_until: str | None = None
    floor: str
    state: str
    alarms: list[str]


class Trust(_Reply):
    """The trust policy in force; `metadata` is a site's."""

    version: int
    profile: str
    org: str
    issued: str
    roles: dict[str, TrustRole]
    models: list[str]
    algorithms: list[str]
    revoked_keys: list[str]
    revoked_digests: list[str]
    revoked_serials: list[str] = Field(default=[])
    revoked_engines: list[str]
    metadata: TrustMetadata | None = None


class TrustRefusal(_Request):
    """An error of reading a medium."""

    code: Literal[
        "artifact_not_directory", "artifact_unreadable", "file_symlink", "file_hardlink",
        "file_special",
    ]  # fmt: skip
    message: str = Field(max_length=MAX_MESSAGE)


class TrustOffer(_Request):
    """New trust metadata: the files in base64, by name; or why there are none."""

    files: dict[str, str] = Field(default={}, max_length=MAX_FILES)
    refusal: TrustRefusal | None = None

    @classmethod
    def holding(cls, read: Mapping[str, bytes] | Refused) -> Self:
        """Wrap the files read from a medium, or the reason for none. Raises as `of`."""
        if isinstance(read, Refused):
            told = TrustRefusal.of(code=read.code, message=read.message[:MAX_MESSAGE])
            return cls.of(refusal=told)
        texts = {name: base64.b64encode(data).decode() for name, data in read.items()}
        return cls.of(files=texts)


class TrustUpdated(_Reply):
    """Result of an update: versions by part, and the models that the new policy ended."""

    changed: bool
    before: dict[str, int]
    after: dict[str, int]
    models: list[Model]


TRUST = viewers.get("/admin/trust", Trust)
TRUST_METADATA = viewers.get("/admin/trust/metadata", TrustMetadata)
TRUST_UPDATE = admins.post("/admin/trust/update", TrustOffer, TrustUpdated, slow=True)
