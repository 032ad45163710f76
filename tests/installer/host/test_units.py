"""The units: hardened as measured by systemd itself, and understood by it."""

import re
import subprocess
from pathlib import Path

from installer.host import answers, units
from installer.host.preflight import OURS
from tests.conftest import need_tool

CHOSEN = answers.combine({"host": "0.0.0.0"})
LAYOUT = answers.layout(CHOSEN, user=False, home=Path("/root"))
WORST = 1.5


def score(path: Path) -> float:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", path],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


def test_the_service_is_hardened(tmp_path: Path) -> None:
    need_tool("systemd-analyze")
    path = tmp_path / units.SERVICE
    text = units.units(LAYOUT, CHOSEN, "1.0")[units.SERVICE]
    path.write_text(text)
    assert score(path) <= WORST
    # The control: without one of its lines the measure gets worse.
    path.write_text(
        text.replace("CapabilityBoundingSet=\n", "").replace("ProtectSystem=strict", "")
    )
    assert score(path) > WORST


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    need_tool("systemd-analyze")
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/python3.13").write_text("#!/bin/sh\n")
    (root / "usr/bin/python3.13").chmod(0o755)
    for name, text in units.units(LAYOUT, CHOSEN, "1.0").items():
        text = re.sub(r"(?m)^RootDirectory=.*$", "", text)
        text = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text)
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *tmp_path.glob("*.service")],
        capture_output=True,
        text=True,
    )
    assert "Unknown" not in done.stderr and "ailed to parse" not in done.stderr, done.stderr


def test_loopback_stays_loopback() -> None:
    text = units.units(LAYOUT, answers.combine(), "1.0")[units.SERVICE]
    assert "IPAddressAllow=localhost\n" in text
    assert "SocketBindAllow=tcp:8080\n" in text


def test_every_file_says_who_made_it() -> None:
    texts = units.units(LAYOUT, CHOSEN, "1.0") | units.settings(LAYOUT, CHOSEN, "1.0")
    for name, text in texts.items():
        assert OURS in text or name.endswith(".xml"), name
        assert "{" not in text or name == "logrotate.conf"


def test_settings() -> None:
    texts = units.settings(LAYOUT, CHOSEN, "1.0")
    assert "z /var/lib/appliance/run 2750 appliance appliance-operators" in texts["tmpfiles.conf"]
    assert "m appliance appliance-operators" in texts["sysusers.conf"]
    assert "tcp dport 8080" in texts["appliance.nft"]
    assert 'port="8080"' in texts["appliance.firewalld.xml"]


def test_the_users_own_manager_gets_no_root_directory() -> None:
    own = answers.layout(CHOSEN, user=True, home=Path("/home/ann"))
    (text,) = units.units(own, CHOSEN, "1.0").values()
    assert "RootDirectory" not in text and "User=" not in text
    assert "/home/ann/.local/share/appliance/releases/1.0/root/usr/bin/python" in text
