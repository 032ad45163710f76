"""`/v1/files`: files of the key that asks.

Source: OpenAI API reference, files.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LEAST_KEPT_S = 3_600
MOST_KEPT_S = 365 * 86_400


class FileObject(BaseModel):
    """A file; times are Unix seconds."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"] = "processed"


class FileObjects(BaseModel):
    """A page of files."""

    object: Literal["list"] = "list"
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class RemovedFile(BaseModel):
    """A file that was removed."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class ExpiresAfter(BaseModel):
    """When a file goes."""

    model_config = ConfigDict(strict=True, extra="forbid")

    anchor: Literal["created_at"]
    seconds: int = Field(ge=LEAST_KEPT_S, le=MOST_KEPT_S)


class FileForm(BaseModel):
    """The fields of an upload beside the file; a form has texts alone."""

    model_config = ConfigDict(extra="forbid")

    purpose: Literal["batch"]
    anchor: Literal["created_at"] | None = Field(default=None, alias="expires_after[anchor]")
    seconds: int | None = Field(
        default=None, alias="expires_after[seconds]", ge=LEAST_KEPT_S, le=MOST_KEPT_S
    )
