"""Schemas of the names that point at versions of tasks."""

from typing import Annotated

from pydantic import Field

from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.endpoint import approvers, viewers


class Version(Reply):
    """A version of a task; `serves` says whether it may answer now."""

    task: str
    digest: str
    serves: bool = False


class ShadowTally(Reply):
    """Comparison of a shadow's answers with those that apps got.

    `differing` has the ids of the newest requests with other answers; `dropped` were not asked.
    """

    same: int = 0
    differs: int = 0
    failed: int = 0
    dropped: int = 0
    differing: list[str] = Field(default=[])


class Pointer(Reply):
    """Target of a name since `time`; the canary answers `percent` of the apps."""

    id: str
    live: Version
    canary: Version | None = None
    percent: int = 0
    shadow: Version | None = None
    compared: ShadowTally | None = None
    person: str
    reason: str
    time: str


class Name(Reply):
    """A name and its pointers, the newest first; `serves` says whether apps get answers."""

    name: str
    serves: bool
    pointers: list[Pointer]


class NameList(Reply):
    """All names."""

    names: list[Name]


class Target(Reply):
    """Statement of a pointer at a task; `now` is the name's present target."""

    name: str
    task: str
    digest: str
    previous: str
    now: Pointer | None = None


class PointerUpload(Request):
    """A pointer as it was signed."""

    envelope: Annotated[str, Field(max_length=64 << 10)]


TASK_NAMES = viewers.get("/admin/task-names", NameList)
TASK_TARGET = viewers.get("/admin/task-names/{name}/target/{task}", Target)
TASK_POINT = approvers.post("/admin/task-names", PointerUpload, Name)
