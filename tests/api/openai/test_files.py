"""Files through the routes: shapes, lists, removal, expiry, and all that an upload may not be."""

from typing import Any

import pytest
from openai.types import FileObject
from pysqlite3 import dbapi2
from sqlalchemy.exc import OperationalError

from appliance.batches.files import KeptFiles
from appliance.batches.incoming import FileLimits
from appliance.batches.store import BatchStore
from tests.api.conftest import MAX_BODY, Lan
from tests.api.openai.test_batches import CHAT, code, jsonl, line, made, sent

HEAD = '--XX\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
FORM = {"content-type": "multipart/form-data; boundary=XX"}


async def test_a_file_is_sent_listed_read_and_removed(lan: Lan) -> None:
    content = jsonl([line(n) for n in range(3)])
    file = (await sent(lan.client, content)).json()
    FileObject.model_validate(file)
    assert (file["bytes"], file["filename"], file["purpose"]) == (
        len(content), "lines.jsonl", "batch",
    )  # fmt: skip
    assert (await lan.client.get(f"/v1/files/{file['id']}")).json() == file
    assert (await lan.client.get(f"/v1/files/{file['id']}/content")).content == content
    assert (await lan.client.get("/v1/files")).json()["data"] == [file]
    assert (await lan.client.get("/v1/files?purpose=batch_output")).json()["data"] == []
    removed = (await lan.client.delete(f"/v1/files/{file['id']}")).json()
    assert removed == {"id": file["id"], "object": "file", "deleted": True}
    assert code(await lan.client.get(f"/v1/files/{file['id']}")) == (404, "file_not_found")


async def test_a_file_goes_when_its_time_is_over(lan: Lan) -> None:
    expiry = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    file = (await sent(lan.client, jsonl([line(0)]), **expiry)).json()
    assert 3599 <= file["expires_at"] - file["created_at"] <= 3601
    short = {**expiry, "expires_after[seconds]": "10"}
    refused = await sent(lan.client, jsonl([line(0)]), **short)
    assert code(refused) == (400, "invalid_value")


async def test_a_file_that_a_batch_reads_stays(lan: Lan) -> None:
    lan.inference.refusal = RuntimeError("never asked")
    batch = await made(lan, jsonl([line(0)]))
    path = f"/v1/files/{batch['input_file_id']}"
    assert code(await lan.client.delete(path)) == (409, "file_in_use")
    await lan.client.post(f"/v1/batches/{batch['id']}/cancel")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": "fine-tune"}, "purpose"),
        ({"purpose": "batch", "color": "red"}, "color"),
        ({"purpose": "batch", "expires_after[seconds]": "soon"}, "expires_after[seconds]"),
    ],
)
async def test_a_field_that_cannot_be_is_named(
    lan: Lan, fields: dict[str, str], param: str
) -> None:
    files = {"file": ("a", jsonl([line(0)]))}
    refused = await lan.client.post("/v1/files", data=fields, files=files)
    assert code(refused) == (400, "invalid_value")
    assert refused.json()["error"]["param"] == param
    assert (await lan.client.get("/v1/files")).json()["data"] == []


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ("{}", 400, "invalid_form"),
        (HEAD.format("purpose", "", "batch") + "--XX--", 400, "invalid_value"),
        (HEAD.format("purpose", "", "batch") + HEAD.format("file", "", "") + "--XX--", 400,
         "batch_empty"),
        (HEAD.format("file", "", "{}") * 2 + "--XX--", 400, "invalid_form"),
        (HEAD.format("purpose", "", "x" * 2_000) + "--XX--", 400, "invalid_form"),
        (HEAD.format("file", "", "{}") + HEAD.format("purpose", "", "batch"), 400, "invalid_form"),
    ],
)  # fmt: skip
async def test_a_form_that_is_none_leaves_nothing(
    lan: Lan, body: str, status: int, problem: str
) -> None:
    refused = await lan.client.post("/v1/files", content=body.encode(), headers=FORM)
    assert code(refused) == (status, problem)
    newest = lan.services.keys.list()[-1].id
    assert lan.services.batches.files.used(newest) == 0
    assert (await lan.client.get("/v1/files")).json()["data"] == []


async def test_limits_of_bytes_and_lines_hold_while_a_file_comes(
    lan: Lan, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = FileLimits(file_bytes=400_000, key_bytes=600_000, lines=5, line_bytes=MAX_BODY)
    policy = lan.services.batches.policy
    monkeypatch.setattr(lan.services.batches, "policy", _with(policy, limits))
    long = b"x" * (MAX_BODY + 1)
    assert code(await sent(lan.client, long)) == (400, "batch_line_too_long")
    assert code(await sent(lan.client, long + b"\n")) == (400, "batch_line_too_long")
    assert code(await sent(lan.client, b"{}\n" * 6)) == (400, "batch_too_many_lines")
    lines = b"x" * 150_000 + b"\n"
    assert code(await sent(lan.client, lines * 3)) == (413, "request_too_large")
    assert (await sent(lan.client, lines * 2)).status_code == 200
    full = await sent(lan.client, lines * 2)
    assert code(full) == (429, "files_full") and full.headers["retry-after"] == "600"
    assert (await sent(lan.client, lines)).status_code == 200


def full_disk() -> OperationalError:
    """As SQLAlchemy tells it of a database that may not grow."""
    connection = dbapi2.connect(":memory:")
    connection.execute("PRAGMA max_page_count = 2")
    connection.execute("CREATE TABLE t (x)")
    with pytest.raises(dbapi2.OperationalError) as caught:
        connection.execute("INSERT INTO t VALUES (zeroblob(20000))")
    return OperationalError("INSERT", {}, caught.value)


async def test_a_full_disk_is_told_and_nothing_of_the_file_is_there(
    lan: Lan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise full_disk()

    with monkeypatch.context() as patched:
        patched.setattr(KeptFiles, "append", refuses)
        reply = await sent(lan.client, jsonl([line(0)]))
        assert code(reply) == (503, "disk_full")
        assert (reply.headers["retry-after"], reply.headers["x-should-retry"]) == ("60", "false")
    newest = lan.services.keys.list()[-1].id
    assert lan.services.batches.files.used(newest) == 0
    file = (await sent(lan.client, jsonl([line(0)]))).json()
    asked = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    with monkeypatch.context() as patched:
        patched.setattr(BatchStore, "create", refuses)
        assert code(await lan.client.post("/v1/batches", json=asked)) == (503, "disk_full")


def _with(policy: Any, limits: FileLimits) -> Any:
    return type(policy)(limits, policy.keep_s, policy.starves_s)


async def test_an_upload_that_is_cut_off_is_not_there(lan: Lan) -> None:
    begun = HEAD.format("file", "", "{}\n" * 200_000).encode()
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": begun, "more_body": True},
        {"type": "http.disconnect"},
    ]
    headers = [(b"x-api-key", lan.secret.encode()), (b"transfer-encoding", b"chunked")]
    headers += [(name.encode(), value.encode()) for name, value in FORM.items()]
    scope = {
        "type": "http", "method": "POST", "path": "/v1/files", "raw_path": b"/v1/files",
        "query_string": b"", "headers": headers, "client": None, "server": None, "scheme": "http",
        "http_version": "1.1", "root_path": "",
    }  # fmt: skip
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    await lan.app(scope, receive, send)
    assert statuses[0] == 400
    newest = lan.services.keys.list()[-1].id
    assert lan.services.batches.files.used(newest) == 0


async def test_the_address_of_batches_is_one_of_four(lan: Lan) -> None:
    file = (await sent(lan.client, jsonl([line(0)]))).json()["id"]
    asked = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
    for change, param in (
        ({"endpoint": "/v1/rerank"}, "endpoint"),
        ({"completion_window": "1d"}, "completion_window"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"input_file_id": "file-none"}, None),
    ):
        refused = await lan.client.post("/v1/batches", json={**asked, **change})
        assert refused.json()["error"]["param"] == param
        assert refused.status_code == (400 if param else 404)
