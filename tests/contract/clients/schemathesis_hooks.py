"""Changes of `test_schemathesis.py` in the requests that schemathesis makes up.

Rules: a name gets the name of something that exists, so that requests get beyond "no such model",
and answers are kept short; every fault that was made on purpose stays.
"""

import json
import os
from typing import Any

import httpx
import schemathesis

SHORT = 4  # tokens
INT32 = 2**31 - 1
MODEL = os.environ["CONTRACT_MODEL"]
COLLECTION = os.environ["CONTRACT_COLLECTION"]
MODELS = {
    "/v1/embeddings": os.environ["CONTRACT_EMBEDDER"],
    "/v1/rerank": os.environ["CONTRACT_RERANKER"],
    "/v1/classify": os.environ["CONTRACT_TASK"],
}
LENGTH = {
    "/v1/chat/completions": "max_completion_tokens",  # it wins over max_tokens
    "/v1/completions": "max_completion_tokens",
    "/v1/responses": "max_output_tokens",
    "/v1/messages": "max_tokens",
}
LABELS = os.environ["CONTRACT_LABELS"]
NAMES = {
    "model_id": MODEL, "request_id": os.environ["CONTRACT_REQUEST"], "queue": LABELS,
    "collection": COLLECTION,
}  # fmt: skip


def called(method: str, path: str, **sent: Any) -> dict[str, Any]:
    key = {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    url = f"{os.environ['CONTRACT_URL']}{path}"
    found: dict[str, Any] = httpx.request(method, url, headers=key, timeout=60, **sent).json()
    return found


def kept_response(**more: Any) -> str:
    body = {"model": MODEL, "input": "Hello", "max_output_tokens": 1, **more}
    return str(called("POST", "/responses", json=body)["id"]).removeprefix("resp_")


def kept_conversation() -> str:
    items = [{"role": "user", "content": "Hello"}]
    return str(called("POST", "/conversations", json={"items": items})["id"])


def kept_item() -> tuple[str, str]:
    begun = kept_conversation()
    return begun, str(called("GET", f"/conversations/{begun}/items")["data"][0]["id"])


def kept_file() -> str:
    body = {"model": MODEL, "prompt": "Hello", "max_tokens": SHORT}
    lines = [
        {"custom_id": str(n), "method": "POST", "url": "/v1/completions", "body": body}
        for n in range(40)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    form = {"data": {"purpose": "batch"}, "files": {"file": text}}
    return str(called("POST", "/files", **form)["id"])


def kept_batch() -> str:
    body = {
        "input_file_id": kept_file(), "endpoint": "/v1/completions", "completion_window": "24h",
    }  # fmt: skip
    return str(called("POST", "/batches", json=body).get("id"))


def passage() -> str:
    body = {"collection": COLLECTION, "query": "relief valve"}
    return str(called("POST", "/search", json=body)["data"][0]["id"])


MADE = {
    "name": kept_response, "file_id": kept_file, "batch_id": kept_batch, "passage_id": passage,
}  # fmt: skip


def before_call(_context: Any, case: Any, _arguments: Any) -> None:
    path = case.operation.path
    for named in (case.body, case.query):
        model = named.get("model") if isinstance(named, dict) else None
        if isinstance(model, str) and 1 <= len(model) <= 256:
            named["model"] = MODELS.get(path, MODEL)
        collection = named.get("collection") if isinstance(named, dict) else None
        if isinstance(collection, str) and 1 <= len(collection) <= 64:
            named["collection"] = COLLECTION
    if case.meta is None or case.meta.generation.mode.is_positive:
        for name in NAMES.keys() & (case.path_parameters or {}).keys():
            case.path_parameters[name] = NAMES[name]
        if "item_id" in (case.path_parameters or {}) and "/conversations/" in path:
            case.path_parameters |= dict(zip(("name", "item_id"), kept_item(), strict=True))
        elif "/conversations/" in path:
            case.path_parameters["name"] = kept_conversation()
        elif path.endswith("/cancel") and "name" in (case.path_parameters or {}):
            case.path_parameters["name"] = kept_response(background=True, max_output_tokens=200)
        else:
            for name in MADE.keys() & (case.path_parameters or {}).keys():
                case.path_parameters[name] = MADE[name]()
        if isinstance(case.body, dict) and isinstance(case.body.get("input_file_id"), str):
            case.body["input_file_id"] = kept_file()
        if path == "/mcp" and isinstance(case.body, dict):
            case.body = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {}}
            case.headers = {}
        if path == "/v1/labels/{queue}" and isinstance(case.body, dict):
            to_label = called("GET", f"/labels/{LABELS}")
            case.body["item"] = to_label["item"] or "none is left"
            if isinstance(case.body.get("label"), str):
                case.body["label"] = to_label["labels"][0]
    length = LENGTH.get(path)
    if length is not None and isinstance(case.body, dict):
        asked = case.body.get(length)
        if asked is None or (type(asked) is int and SHORT < asked <= INT32):
            case.body[length] = SHORT


schemathesis.hook(before_call)
