"""One story through both guides: from the ceremony to a revocation and an old stick.

The commands are those of docs/officer-guide.md and docs/site-guide.md, run by bash as they stand;
the server is a process of its own with the real model.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from appliance.app import open_services
from appliance.audit.search import Query
from appliance.trust.policy import root as roots
from tests.conftest import CHECKOUT, need_tool
from tests.smol import ID
from tests.system.conftest import CONFIG, Server

_STEP = re.compile(r"<!-- step: (\w+) -->\n```sh\n(.*?)```", re.DOTALL)
STEPS = {
    name: script
    for guide in ("officer-guide.md", "site-guide.md")
    for name, script in _STEP.findall((CHECKOUT / "docs" / guide).read_text())
}


@dataclass
class Story:
    """Where it plays, and how a step of a guide is run there."""

    root: Path
    environment: dict[str, str]

    def step(self, name: str, *, fails: bool = False) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", STEPS.pop(name)],
            env=self.environment, cwd=self.root, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert bool(done.returncode) == fails, f"{name}: {done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    @property
    def data(self) -> Path:
        return Path(self.environment["APPLIANCE_DATA"])


@pytest.fixture
def story(tmp_path: Path, default_model_path: Path) -> Iterator[Story]:
    for tool in ("bash", "openssl", "jq"):
        need_tool(tool)
    bin_, people = tmp_path / "bin", tmp_path / "people"
    bin_.mkdir()
    people.mkdir()
    command = bin_ / "appliance"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m appliance "$@"\n')
    command.chmod(0o755)
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    shutil.copyfile(default_model_path, artifact / "model.gguf")
    (tmp_path / "words").write_text("correct horse battery\n")
    names = {"OFFICER": "officer", "STICK": "stick", "PEOPLE": "people", "WORDS": "words",
             "ARTIFACT": "artifact", "APPLIANCE_DATA": "data"}  # fmt: skip
    yield Story(
        tmp_path,
        {
            "PATH": f"{bin_}:/usr/bin:/bin",
            "PYTHONPATH": str(CHECKOUT),
            **{name: str(tmp_path / below) for name, below in names.items()},
        },
    )
    shutil.rmtree(tmp_path / "artifact")


@pytest.mark.slow
def test_the_story_of_both_guides(story: Story) -> None:
    story.step("ceremony")
    story.step("people")
    story.step("policy")
    story.step("publish")
    record = (story.root / "officer" / "record.md").read_text()
    lines = record.split("compare it at `init`):")[1].split("Versions")[0]
    root = (story.root / "stick" / "first" / "metadata" / "1.root.json").read_bytes()
    assert lines.replace(" ", "").replace("\n", "") == roots.fingerprint(root)
    story.environment["FINGERPRINT"] = " ".join(lines.split())  # as it is typed from paper
    assert "version 1, SITE" in story.step("init")
    story.step("model")

    with (story.data / "appliance.toml").open("a") as file:
        file.write(CONFIG)
    server = Server(story.data, ("", ""))
    secret = server.command("key", "create", "app", "--any-model")["secret"]
    server.start()
    try:
        story.step("refresh")
        story.step("rotate")
        assert "root       1 -> 2" in story.step("update")
        shown = server.command("trust", "show")["metadata"]
        assert shown["versions"]["root"] == 2 and "Eve" in shown["holders"]["root"]
        (model,) = server.command("model", "list")["models"]
        assert model["loaded"]
        story.environment["DIGEST"] = model["digest"]
        assert "+ revoked: digest " + model["digest"] in story.step("revoke")
        told = _stream_that_ends(server, secret, lambda: story.step("revoked"))
        assert "digest_revoked" in told
        (model,) = server.command("model", "list")["models"]
        assert (model["state"], model["loaded"]) == ("revoked", False)
        with _client(server, secret) as client:
            assert client.get("/models").json()["data"] == []
        before = (story.data / "trust" / "metadata.json").read_bytes()
        assert "trust_rollback" in story.step("rollback", fails=True)
        assert (story.data / "trust" / "metadata.json").read_bytes() == before
        assert "sets the clock to" in story.step("clock")
        assert "root       2 -> 3" in story.step("reset")
    finally:
        server.end(signal.SIGTERM)
    assert STEPS == {}, "a step of a guide that no test runs"
    assert server.command("audit", "verify")["ok"]
    with open_services(story.data) as services:

        def said(kind: str) -> list[dict[str, Any]]:
            found = services.reader.search(Query(kind=kind, limit=1000)).entries
            return [dict(entry.body) for entry in found]

        actions = [e["action"] for e in said("admin") if e["action"].startswith("trust")]
        edge, outcome = said("model")[-1], said("outcome")[-1]
    assert [a for a in actions if a != "trust_alarm"] == [
        "trust_update", "trust_update", "trust_update", "trust_update_refused", "trust_update",
    ]  # fmt: skip
    assert (edge["model"], edge["state"], edge["code"]) == (ID, "revoked", "digest_revoked")
    assert outcome["status"] != "ok"


def _client(server: Server, secret: str) -> httpx.Client:
    key = {"authorization": f"Bearer {secret}"}
    return httpx.Client(base_url=server.base_url, headers=key, timeout=120)


def _stream_that_ends(server: Server, secret: str, meanwhile: Callable[[], str]) -> str:
    body = {
        "model": ID, "messages": [{"role": "user", "content": "Count."}], "stream": True,
        "max_tokens": 460, "ignore_eos": True,
    }  # fmt: skip
    told, events = "", []
    with (
        _client(server, secret) as client,
        client.stream("POST", "/chat/completions", json=body) as answer,
    ):
        for line in answer.iter_lines():
            if not line.startswith("data: "):
                continue
            events.append(line.removeprefix("data: "))
            if len(events) == 3:
                told = meanwhile()
    assert "error" in json.loads(events[-1]), events[-3:]
    assert "[DONE]" not in events
    return told
