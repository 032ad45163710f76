"""An operator's deeds at a LAN listener while answers run: certificates, keys, metrics, logs."""

import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.conftest import run_command
from tests.cli.test_serve import start
from tests.smol import ID, make_data

CONFIG = """
[tls]
enabled = true
[engine]
threads = 1
[models.default]
n_ctx = 2048
slots = 4
"""
SECRET_WORD = "Cormorant"


@dataclass
class Lan:
    data: Path
    process: "subprocess.Popen[str]"
    said: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self.changed:
                self.said.append(line)
                self.changed.notify_all()

    def wait(self, words: str, after: int = 0) -> str:
        def found() -> str | None:
            return next((line for line in self.said[after:] if words in line), None)

        with self.changed:
            line = self.changed.wait_for(found, 120)
        assert line, self.said
        return line

    def run(self, *arguments: str) -> dict[str, Any]:
        done = run_command(*arguments, "--json", data=self.data)
        assert done.status == 0, done.err
        return done.document

    def key(self, name: str) -> tuple[str, str]:
        made = self.run("key", "create", name)
        return made["id"], made["secret"]

    def client(self, secret: str) -> httpx.Client:
        port = re.search(r"https://127.0.0.1:(\d+)", self.wait("listening"))
        assert port
        context = ssl.create_default_context(cafile=str(self.data / "tls" / "ca.pem"))
        key = {"authorization": f"Bearer {secret}"}
        return httpx.Client(
            base_url=f"https://127.0.0.1:{port[1]}/v1", headers=key, verify=context, timeout=120
        )

    def certificate(self) -> bytes:
        with self.client("sk-none") as client, client.stream("GET", "/models") as reply:
            shown: ssl.SSLObject = reply.extensions["network_stream"].get_extra_info("ssl_object")
            return shown.getpeercert(True) or b""

    def metrics(self) -> dict[str, float]:
        transport = httpx.HTTPTransport(uds=str(self.data / "run" / "admin.sock"))
        with httpx.Client(transport=transport, base_url="http://appliance") as client:
            lines = client.get("/metrics").text.splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory, narrow_path: Path) -> Iterator[Lan]:
    data = make_data(tmp_path_factory.mktemp("lan"), narrow_path)
    with (data / "appliance.toml").open("a") as file:
        file.write(CONFIG)
    run_command("tls", "issue", "127.0.0.1", data=data)
    with start(data) as process:
        server = Lan(data, process)
        listener = threading.Thread(target=server.listen)
        listener.start()
        try:
            server.wait(f"serving {ID}")
            yield server
        finally:
            process.terminate()
            process.wait(120)
            listener.join()


@contextlib.contextmanager
def begun(client: httpx.Client, tokens: int) -> Iterator[Iterator[str]]:
    body = {
        "model": ID, "prompt": f"A {SECRET_WORD} is", "max_tokens": tokens, "ignore_eos": True,
        "stream": True,
    }  # fmt: skip
    with client.stream("POST", "/completions", json=body) as reply:
        assert reply.status_code == 200
        lines = (line for line in reply.iter_lines() if line)
        next(lines)
        yield lines


def test_a_new_certificate_drops_no_stream(lan: Lan) -> None:
    _, secret = lan.key("steady")
    (worker,) = lan.run("status")["workers"]
    before, said = lan.certificate(), len(lan.said)
    with lan.client(secret) as client, begun(client, 40) as lines:
        os.kill(worker["pid"], signal.SIGSTOP)  # so that it cannot have ended meanwhile
        try:
            run_command("tls", "issue", "127.0.0.1", data=lan.data)
            lan.process.send_signal(signal.SIGHUP)
            lan.wait("read again", said)
            assert lan.certificate() != before
        finally:
            os.kill(worker["pid"], signal.SIGCONT)
        rest = list(lines)
        assert rest[-1] == "data: [DONE]" and '"length"' in "".join(rest)
        # Its connection goes on, too.
        assert client.get("/models").status_code == 200


def test_a_revoked_key_ends_its_streams_and_no_others(lan: Lan) -> None:
    (key_id, secret), (_, other) = lan.key("revoked"), lan.key("spared")
    with (
        lan.client(secret) as client,
        lan.client(other) as spared,
        begun(client, 1900) as lines,
        begun(spared, 30) as others,
    ):
        lan.run("key", "revoke", key_id)
        rest = list(lines)
        assert '"invalid_api_key"' in rest[-1] and "data: [DONE]" not in rest
        assert list(others)[-1] == "data: [DONE]"
        assert client.get("/models").status_code == 401
    (outcome,) = lan.run("audit", "search", "--key", key_id, "--kind", "outcome")["entries"]
    assert (outcome["body"]["status"], outcome["body"]["finish"]) == (
        "cancelled", "invalid_api_key",
    )  # fmt: skip


def test_a_rotated_key_has_two_secrets_for_the_overlap_and_its_last_use_is_told(lan: Lan) -> None:
    key_id, first = lan.key("rotated")
    assert lan.run("key", "show", key_id)["last_used"] is None

    def works(secret: str) -> bool:
        with lan.client(secret) as client:
            status = client.get("/models").status_code
        assert status in {200, 401}
        return status == 200

    assert works(first)
    assert lan.run("key", "show", key_id)["last_used"]
    second = lan.run("key", "rotate", key_id, "--overlap", "3600")["secret"]
    assert works(first) and works(second)
    third = lan.run("key", "rotate", key_id)["secret"]
    assert works(third) and not works(first) and not works(second)


def test_an_answer_is_in_the_metrics(lan: Lan) -> None:
    _, secret = lan.key("measured")
    with lan.client(secret) as client:
        for _ in range(2):
            body = {"model": ID, "prompt": "word " * 200, "max_tokens": 4, "ignore_eos": True}
            assert client.post("/completions", json=body).status_code == 200
    with lan.client("sk-wrong") as client:
        assert client.get("/models").status_code == 401
    found, of = lan.metrics(), f'{{model="{ID}"}}'
    for name in ("queue_seconds", "ttft_seconds"):
        assert found[f"appliance_{name}_count{of}"] >= 2
    assert found[f"appliance_token_gap_seconds_count{of}"] >= 3
    assert found[f"appliance_prompt_tokens_total{of}"] >= 400
    assert found[f"appliance_cached_tokens_total{of}"] >= 150  # the second prompt was the first
    assert found[f"appliance_completion_tokens_total{of}"] >= 8
    for kind in ("intent", "outcome"):
        assert found[f'appliance_audit_seconds_count{{kind="{kind}"}}'] >= 2
    assert found['appliance_refusals_total{code="invalid_api_key"}'] >= 1
    assert {f"appliance_queued{of}", f"appliance_running{of}", "appliance_connections"} <= set(
        found
    )


def test_log_lines_name_the_request_and_none_of_its_words(lan: Lan) -> None:
    key_id, secret = lan.key("logged")
    with lan.client(secret) as client:
        good = {"model": ID, "prompt": SECRET_WORD, "max_tokens": 1}
        replies = [
            client.post("/completions", json={**good, **change})
            for change in (
                {}, {"temperature": SECRET_WORD}, {"model": SECRET_WORD}, {"x_field": SECRET_WORD},
                {"response_format": SECRET_WORD}, {"guided_regex": f"({SECRET_WORD}"},
                {"prompt": f"{SECRET_WORD} " * 3000},
            )
        ]  # fmt: skip
        replies.append(client.get(f"/{SECRET_WORD}"))
    assert [reply.status_code for reply in replies] == [200, 400, 404, 200, 400, 400, 400, 404]
    ids = [reply.headers["x-request-id"] for reply in replies]
    lan.wait(ids[-1])
    while ids[-1] not in (log := (lan.data / "logs" / "server.jsonl").read_text()):
        pass  # another thread writes it
    assert all(request_id in log for request_id in ids)
    assert SECRET_WORD not in log and not [line for line in lan.said if SECRET_WORD in line]
    lines = [json.loads(line) for line in log.splitlines()]
    mine = [line for line in lines if line.get("key_id") == key_id]
    assert [line["status"] for line in mine].count(400) == 4
    assert {line["model"] for line in mine if "model" in line} == {ID}  # of ours, by its id


def test_sigterm_takes_nothing_new_and_lets_what_runs_end(lan: Lan) -> None:
    """The last test of this server."""
    key_id, secret = lan.key("to the end")
    with lan.client(secret) as client, begun(client, 60) as lines:
        lan.process.send_signal(signal.SIGTERM)
        lan.wait("stopping")
        with pytest.raises(httpx.ConnectError):
            while True:  # the listener closes within a moment; what it had not taken is reset
                with (
                    lan.client(secret) as late,
                    contextlib.suppress(httpx.ReadError, httpx.RemoteProtocolError),
                ):
                    late.get("/models")
        rest = list(lines)
        assert rest[-1] == "data: [DONE]" and '"length"' in "".join(rest)
    assert lan.process.wait(120) == 0
    (outcome,) = lan.run("audit", "search", "--key", key_id, "--kind", "outcome")["entries"]
    assert (outcome["body"]["status"], outcome["body"]["finish"]) == ("ok", "length")
    assert lan.run("audit", "verify")["ok"]
