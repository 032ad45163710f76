"""The units: hardened as measured by systemd itself, and understood by it."""

import re
import subprocess
from pathlib import Path

import pytest

from appliance.host import host_key, tpm
from installer.bundle import runtime
from installer.host import answers, units
from installer.host.preflight import OURS
from tests.conftest import CHECKOUT, need_tool

CHOSEN = answers.combine({"host": "0.0.0.0"})
LAYOUT = answers.layout(CHOSEN, user=False, home=Path("/root"))
WORST = 1.5
CREDENTIAL = "LoadCredentialEncrypted=appliance.passphrase:/etc/appliance/passphrase.cred"


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


def of_the_tpm() -> list[str]:
    """The lines that the guide adds."""
    guide = (CHECKOUT / "docs" / "site-guide.md").read_text()
    return re.findall(r"`((?:DeviceAllow|BindPaths)=[^`]+)`", guide)


@pytest.mark.parametrize("gpu", [False, True])
def test_the_service_is_hardened(tmp_path: Path, gpu: bool) -> None:
    need_tool("systemd-analyze")
    path = tmp_path / units.SERVICE
    text = units.units(LAYOUT, CHOSEN, "1.0", gpu=gpu)[units.SERVICE]
    path.write_text(text)
    assert score(path) <= WORST
    # The control: without one of its lines the measure gets worse.
    path.write_text(
        text.replace("CapabilityBoundingSet=\n", "").replace("ProtectSystem=strict", "")
    )
    assert score(path) > WORST


@pytest.mark.parametrize("gpu", [False, True])
def test_systemd_understands_every_line(tmp_path: Path, gpu: bool) -> None:
    need_tool("systemd-analyze")
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/python3.13").write_text("#!/bin/sh\n")
    (root / "usr/bin/python3.13").chmod(0o755)
    for name, text in units.units(LAYOUT, CHOSEN, "1.0", gpu=gpu).items():
        text = re.sub(r"(?m)^RootDirectory=.*$", "", text)
        text = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text)
        added = "\n".join((CREDENTIAL, *of_the_tpm()))
        text = text.replace("[Service]\n", f"[Service]\n{added}\n")  # as the guides add it
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *tmp_path.glob("*.service")],
        capture_output=True,
        text=True,
    )
    wrong = ("Unknown", "ailed to parse", "is not normalized", "ignoring")
    assert not any(word in done.stderr for word in wrong), done.stderr


def test_the_passphrase_comes_as_a_credential_and_a_token_never_to_the_service() -> None:
    guide = (CHECKOUT / "docs" / "admin-guide.md").read_text()
    assert CREDENTIAL in guide and CREDENTIAL.split("=")[1].split(":")[0] == host_key.CREDENTIAL
    text = units.units(LAYOUT, CHOSEN, "1.0")[units.SERVICE]
    assert "\nMountAPIVFS=yes\n" in text  # credentials are mounted into the service's own root
    assert "PrivateMounts=no" not in text and "pcscd" not in text
    assert re.findall(r"(?m)^BindPaths=(.*)$", text) == [str(LAYOUT.data)]  # no socket of a daemon


def test_the_tpm_comes_by_the_lines_of_the_guide(tmp_path: Path) -> None:
    """As a card does: allowed, and put into the service's own /dev."""
    need_tool("systemd-analyze")
    named = of_the_tpm()
    assert named == [f"DeviceAllow={tpm.DEVICE} rw", f"BindPaths={tpm.DEVICE}"]
    text = units.units(LAYOUT, CHOSEN, "1.0")[units.SERVICE]
    assert not any(line in text for line in named)  # nobody else gets it
    (path := tmp_path / units.SERVICE).write_text(
        text.replace("\n[Install]", "\n".join(["", *named, "", "[Install]"]))
    )
    assert score(path) <= WORST


def test_without_a_plugin_there_is_no_device() -> None:
    text = units.units(LAYOUT, CHOSEN, "1.0")[units.SERVICE]
    assert "\nPrivateDevices=yes\nDevicePolicy=closed\n" in text
    assert "DeviceAllow" not in text and "nvidia" not in text


def test_with_a_plugin_nvidias_devices_are_open_and_no_other() -> None:
    """`nvidia.driver_facts` needs some of them; screens are not among them."""
    text = units.units(LAYOUT, CHOSEN, "1.0", gpu=True)[units.SERVICE]
    assert "\nPrivateDevices=yes\nDevicePolicy=closed\n" in text
    found = re.findall(r"(?m)^DeviceAllow=(\S+) rw\nBindPaths=-(\S+)$", text)
    assert len(found) == text.count("DeviceAllow")
    cards = [f"/dev/nvidia{n}" for n in range(16)]
    wanted = ["/dev/nvidiactl", "/dev/nvidia-uvm", *cards]
    assert found == [(node, node) for node in wanted]


def test_with_a_plugin_the_drivers_library_is_seen_where_the_loader_looks() -> None:
    """Not where the launcher of the commands looks, which would find empty files."""
    text = units.units(LAYOUT, CHOSEN, "1.0", gpu=True)[units.SERVICE]
    found = re.findall(r"(?m)^BindReadOnlyPaths=-(/usr/lib\S*/lib\S+):/(\S+)$", text)
    assert ("/usr/lib64/libcuda.so.1", "usr/lib/libcuda.so.1") in found
    assert ("/usr/lib/x86_64-linux-gnu/libcuda.so.1", "usr/lib/libcuda.so.1") in found
    assert {seen for _, seen in found} == set(units.MOUNTED)
    assert not any(Path(seen).parent == Path(runtime.LIBRARIES) for seen in units.MOUNTED)


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
    made = units.units(own, CHOSEN, "1.0", gpu=True)
    assert set(made) == {units.SERVICE, units.FAILED}
    text = made[units.SERVICE]
    assert "RootDirectory" not in text and "User=" not in text
    assert "/home/ann/.local/share/appliance/releases/1.0/root/usr/bin/python" in text


def test_a_failure_is_told_from_the_same_sandbox() -> None:
    made = units.units(LAYOUT, CHOSEN, "1.0", gpu=True)
    assert f"\nOnFailure={units.FAILED}\n" in made[units.SERVICE]
    told = made[units.FAILED]
    assert " -m appliance incident notice --directory /var/lib/appliance\n" in told
    plain = units.units(LAYOUT, CHOSEN, "1.0")[units.SERVICE]
    (sandbox,) = re.findall(r"(?s)\nRootDirectory=.*?\n\n", plain)
    assert sandbox.strip() in told and len(sandbox) > 900
    assert "nvidia" not in told and "OnFailure" not in told
