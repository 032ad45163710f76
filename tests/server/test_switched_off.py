"""A site that does not switch a feature on does not load it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.app import initialise
from appliance.auth import certificates
from appliance.clock import SystemClock
from tests.conftest import CHECKOUT
from tests.ports import free_port

pytestmark = [pytest.mark.executed, pytest.mark.long]

FEATURES = {
    "server.mcp": {"appliance.api.mcp", "appliance.wire.mcp"},
    "server.people": {"appliance.api.people_page"},
    "people.page_key": {"appliance.api.openai.login", "appliance.people.code_flow"},
    "forward": {"appliance.forwarding.receivers"},  # and peers
    "spans": {"appliance.forwarding.spans"},
    "peers": {
        "appliance.api.site",
        "appliance.peers.exchange",
        "appliance.peers.kept_looks",
        "appliance.peers.look_votes",
        "appliance.peers.mirror",
        "appliance.peers.mirroring",
        "appliance.peers.signed_key",
        "appliance.peers.standing",
        "appliance.peers.travelling",
        "appliance.peers.travelling_keys",
        "appliance.peers.travelling_statements",
        "appliance.wiring.site",
    },
    "oidc": {"appliance.people.tokens", "joserfc"},
    "ldap": {"appliance.people.directories", "appliance.people.ldap_messages"},
    "certificates": {"appliance.people.person_certificates"},
    "metrics": {"appliance.api.scrape"},
    "notify": {"appliance.forwarding.delivery", "smtplib"},
    "the operator's screens": {"tui", "textual", "rich"},
    "tuning": {"torch", "safetensors"},
    "keys on tokens": {
        "appliance.tokens.cryptoki",
        "appliance.tokens.helper",
        "appliance.tokens.key",
    },  # not the syntax of their names
    "bills of materials": {"cyclonedx", "packageurl"},
    "the engine, which is a process of its own": {"llama_cpp"},
    "documents, which are read in a process of their own": {"pypdfium2", "docx", "openpyxl"},
    "codes for a camera": {"segno"},
}
"""Modules that come with a switch, a table of the configuration, or another program."""

ON = """
[notify.mail]
to = "smtp://127.0.0.1:9"
mail_from = "a@example"
mail_to = ["b@example"]
[metrics]
port = {port}
token = "scrape"
[people]
page_key = "page"
[forward.siem]
to = "tcp://127.0.0.1:9"
[forward.traces]
to = "http://127.0.0.1:9/v1/traces"
format = "spans"
"""
PROGRAM = """
import atexit, sys
out = sys.argv.pop(1)
atexit.register(lambda: open(out, "w").write(" ".join(sys.modules)))
sys.argv[0] = "appliance"
from appliance.cli.main import main
sys.exit(main())
"""


def modules(directory: Path, server: str = "", more: str = "") -> set[str]:
    file = directory / "data" / "appliance.toml"
    written = file.read_text("utf-8").replace("[server]\n", f"[server]\n{server}")
    file.write_text(written + more, "utf-8")
    out = directory / "modules"
    command = [sys.executable, "-c", PROGRAM, str(out), "serve", "--port", "0", "--data"]
    with subprocess.Popen(
        [*command, str(directory / "data")], stderr=subprocess.PIPE, text=True, cwd=CHECKOUT
    ) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "listening on" in line:
                process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, "".join(lines)
    return set(out.read_text().split())


def test_a_server_with_defaults_loads_no_feature(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    held = modules(tmp_path)
    assert {"appliance.server.serve", "fastapi"} <= held  # it is the server that was looked at
    assert {name: found & held for name, found in FEATURES.items() if found & held} == {}


def test_a_feature_that_is_switched_on_is_seen(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    certificates.issue(tmp_path / "data" / "tls", ["localhost"], SystemClock())
    (tmp_path / "data" / "scrape").write_text("s3cret\n")
    more = ON.replace("{port}", str(free_port()))
    held = modules(tmp_path, "mcp = true\npeople = true\n", more)
    on = ("server.mcp", "server.people", "people.page_key", "forward", "spans", "metrics")
    assert set().union(*(FEATURES[name] for name in on)) <= held
