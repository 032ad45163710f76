"""`/v1/files`: files of lines for batches, and those that batches wrote.

Rules: a file is read as it comes, never whole in memory; another key does not see it; keys whose
texts are not kept have none, and neither have people behind an app.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Annotated, Final, Literal, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from appliance.api.deps import CallerDep, services_of
from appliance.api.multipart import FormField, FormReader
from appliance.app import Services
from appliance.batches.files import KeptFile
from appliance.batches.incoming import IncomingFile
from appliance.errors import BadRequest, Forbidden
from appliance.types import Principal
from appliance.wire.openai.files import FileForm, FileObject, FileObjects, RemovedFile


async def for_app(request: Request) -> None:
    """Refuse a person's request: a batch has the rights of the app."""
    principal: Principal = request.scope["state"]["principal"]
    if principal.for_people or principal.known is not None:
        raise Forbidden("batch_for_person", "Files and batches are an app's own.")


APP_ALONE: Final = [Depends(for_app)]
router = APIRouter(tags=["batches"], dependencies=APP_ALONE)
UPLOAD: Final = "/v1/files"
FORM_BYTES: Final = 64 << 10
"""Most bytes of a form beside its file."""
_LONGEST_TEXT: Final = 1_024
_LONGEST_NAME: Final = 512
_FORM: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "additionalProperties": False,
                    "examples": [{"purpose": "batch", "file": "{}\n"}],
                    "properties": {
                        "purpose": {"type": "string", "enum": ["batch"]},
                        "file": {"type": "string", "format": "binary"},
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {"type": "integer"},
                    },
                }
            }
        },
    }
}
One = TypeVar("One")
Order = Annotated[Literal["asc", "desc"], Query()]


@router.post(UPLOAD, openapi_extra=_FORM)
async def upload(request: Request, caller: CallerDep) -> FileObject:
    """Keep a file of lines for a batch."""
    services = services_of(request)
    check_keeps(services, caller.principal)
    reader = FormReader(request.headers.get("content-type", ""))
    incoming = await asyncio.to_thread(services.batches.incoming, caller.principal.key_id)
    try:
        try:
            fields = await _read(request, reader, incoming)
        except ClientDisconnect as error:  # nobody reads it
            raise BadRequest("invalid_form", "The form was cut off.") from error
        form = _form(fields)
        until = None
        if form.seconds is not None:
            until = services.clock.wall_us() + form.seconds * 1_000_000
        if not incoming.begun:
            raise BadRequest("invalid_value", "file: no file came.", param="file")
        return shown(await asyncio.to_thread(incoming.finish, until))
    finally:
        await asyncio.shield(asyncio.to_thread(incoming.drop))


@router.get(UPLOAD)
async def files(
    request: Request,
    caller: CallerDep,
    purpose: Annotated[Literal["batch", "batch_output"] | None, Query()] = None,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Order = "desc",
) -> FileObjects:
    """The files of the key."""
    kept, key_id = services_of(request).batches.files, caller.principal.key_id
    newest_first = order == "desc"
    listed = partial(kept.listed, key_id, purpose, after, limit + 1, newest_first=newest_first)
    found = await asyncio.to_thread(listed)
    some = found[:limit]
    return FileObjects(
        data=[shown(one) for one in some],
        first_id=some[0].id if some else None,
        last_id=some[-1].id if some else None,
        has_more=len(found) > limit,
    )


@router.get("/v1/files/{file_id}")
async def file(request: Request, caller: CallerDep, file_id: str) -> FileObject:
    """One file."""
    kept = services_of(request).batches.files
    return shown(await asyncio.to_thread(kept.get, caller.principal.key_id, file_id))


@router.get(
    "/v1/files/{file_id}/content",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def content(request: Request, caller: CallerDep, file_id: str) -> StreamingResponse:
    """The lines of a file."""
    kept = services_of(request).batches.files
    found = await asyncio.to_thread(kept.get, caller.principal.key_id, file_id)

    async def lines() -> AsyncIterator[bytes]:
        parts = kept.parts(found.id)
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            yield part.text

    return StreamingResponse(lines(), media_type="application/octet-stream")


@router.delete("/v1/files/{file_id}")
async def remove(request: Request, caller: CallerDep, file_id: str) -> RemovedFile:
    """Remove a file; the audit log keeps its entries."""
    batches, key_id = services_of(request).batches, caller.principal.key_id
    return RemovedFile(id=(await asyncio.to_thread(batches.remove_file, key_id, file_id)).id)


def shown(found: KeptFile) -> FileObject:
    """A file as the API shows it."""
    return FileObject.model_validate(
        {
            "id": found.id,
            "bytes": found.bytes,
            "created_at": found.created_us // 1_000_000,
            "expires_at": found.until_us // 1_000_000,
            "filename": found.name,
            "purpose": found.purpose,
        }
    )


def check_keeps(services: Services, principal: Principal) -> None:
    """Refuse a key whose texts are not kept."""
    if not services.kept.keeps(principal):
        raise Forbidden("files_retention", "Texts of this key are not kept, so no file is.")


def page(
    found: Sequence[One], ids: Sequence[str], after: str | None, limit: int
) -> tuple[Sequence[One], bool]:
    """The part of a list after an id, and whether more follows."""
    if after is not None and after not in ids:
        raise BadRequest("invalid_value", "after: it is not in the list.", param="after")
    first = 0 if after is None else ids.index(after) + 1
    return found[first : first + limit], len(found) > first + limit


async def _read(request: Request, reader: FormReader, incoming: IncomingFile) -> dict[str, str]:
    texts: dict[str, bytearray] = {}
    field: FormField | None = None
    async for data in request.stream():
        for piece in reader.feed(data):
            if isinstance(piece, FormField):
                field = piece
                if piece.name in texts or (piece.name == "file" and incoming.begun):
                    raise BadRequest("invalid_form", f"{piece.name!r} came twice.", param="file")
                if piece.name == "file":
                    name = (piece.filename or "")[:_LONGEST_NAME]
                    await asyncio.to_thread(incoming.begin, name)
                else:
                    texts[piece.name] = bytearray()
            elif field is not None and field.name == "file":
                await asyncio.to_thread(incoming.take, piece)
            elif field is not None:
                texts[field.name] += piece
                if len(texts[field.name]) > _LONGEST_TEXT:
                    raise BadRequest("invalid_form", "A field is too long.", param=field.name)
    reader.close()
    return {name: text.decode("utf-8", "replace") for name, text in texts.items()}


def _form(fields: dict[str, str]) -> FileForm:
    try:
        return FileForm.model_validate(fields)
    except ValidationError as error:
        told = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
        raise RequestValidationError(told) from error
