"""The real bundle on a host with systemd: hardened, started, healthy, and recovered.

One boot plays the whole script; each test reads the output of one step.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.installer.conftest import Note
from tests.installer.guest import MARK, Said, boot
from tests.installer.sticks import MODEL, Sticks
from tests.installer.test_chroots import ANSWER, ASK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
CHAT = "(" + ASK.replace("appliance serve >/root/serve.log 2>&1 & server=$!\n", "").replace(
    "kill $server\nwait $server || :\n", ""
).replace("cat /root/serve.log", "journalctl -u appliance --no-pager -o cat | tail -n 30")
CHAT += ")"
GPU_UNIT = """\
import sys
sys.path.insert(0, "/opt/appliance/current/installer.pyz")
from pathlib import Path
from installer.host import answers, units
chosen = answers.decode(Path("/opt/appliance/current/answers.json").read_bytes())
layout = answers.layout(chosen, user=False, home=Path("/root"))
release = Path("/opt/appliance/current").readlink().name
text = units.units(layout, chosen, release, gpu=True)[units.SERVICE]
print(text.replace("-I -m appliance serve --data", "-I /var/lib/appliance/look.py"))
"""
LOOK = """\
import ctypes, os
for name in ("nvidiactl", "nvidia-uvm", "nvidia0", "nvidia-modeset", "loop-control"):
    try:
        os.close(os.open(f"/dev/{name}", os.O_RDWR))
        print(name, "opened", flush=True)
    except OSError as error:
        print(name, error.strerror, flush=True)
print("library", ctypes.CDLL("libcuda.so.1").zlibVersion() != 0)
"""
"""In the place of the server, where no GPU is: other devices under the names of NVIDIA's, and
another library under that of its driver's."""
HEAD = f"""
step() {{ printf '\\n{MARK}%s\\n' "$1"; }}
install() {{ sh /mnt/s/$1/install.sh --media /mnt/s/$1 $2 2>&1 | grep --line-buffered -v whl$; }}
facts() {{
  echo "active $(systemctl is-active appliance)"
  echo "enabled $(systemctl is-enabled appliance appliance-recover | sort -u)"
  appliance status || :
  appliance-installer status 2>&1 | head -n 1
  appliance-installer check || :
}}
journal() {{ journalctl -u appliance --no-pager -o cat | tail -n 30; }}
set +e
"""
BEGIN = f"""{HEAD}
step install
print_of=$(sha256sum /mnt/s/first/vendor.pub | cut -d' ' -f1)
printf 'fingerprint = "%s"\\nmodels = ["{MODEL}"]\\nport = 8090\\n' "$print_of" >/root/site.toml
install first "--answers /root/site.toml"
facts
journal
"""
STORY = f"""{BEGIN}
step answer
{CHAT}
step exposure
systemd-analyze security --no-pager appliance.service | tail -n 2
stat -c '%a %U %G' /var/lib/appliance /var/lib/appliance/run /var/lib/appliance/run/admin.sock
step tree
appliance-installer check
step gpu
for name in nvidiactl nvidia-uvm nvidia0; do mknod -m 666 /dev/$name c 10 229; done
for name in nvidia-modeset loop-control; do mknod -m 666 /dev/$name c 10 237; done
cp /usr/lib/x86_64-linux-gnu/libz.so.1 /usr/lib/x86_64-linux-gnu/libcuda.so.1
cat >/var/lib/appliance/look.py <<'END'
{LOOK}
END
chmod 644 /var/lib/appliance/look.py
/opt/appliance/current/root/usr/bin/python - >/run/systemd/system/look.service <<'END'
{GPU_UNIT}
END
sed -i s/Type=exec/Type=oneshot/ /run/systemd/system/look.service
systemctl daemon-reload
systemctl start look
journalctl -u look --no-pager -o cat
appliance-installer check
rm /run/systemd/system/look.service /var/lib/appliance/look.py
systemctl daemon-reload
step upgrade
install second
facts
{CHAT}
step sabotage
install broken
facts
{CHAT}
step crash
for try in 1 2 3 4 5 6 7 8 9 10 11 12; do
  [ "$(systemctl is-failed appliance)" != failed ] || break
  pid=$(systemctl show -p MainPID --value appliance)
  [ "$pid" = 0 ] || kill -9 "$pid"
  sleep 3
done
echo "after the crashes: $(systemctl is-failed appliance)"
appliance audit verify --json 2>/dev/null
step rollback
appliance-installer rollback
facts
{CHAT}
appliance audit verify --json 2>/dev/null
step uninstall
appliance-installer uninstall
echo "units: $(systemctl list-unit-files 'appliance*' --no-legend | wc -l)"
ls /var/lib/appliance/audit
step end
"""


RECOVERED = f"""{HEAD}
step recovered
journalctl -u appliance-recover --no-pager -o cat
facts
{CHAT}
appliance audit verify --json 2>/dev/null
step again
install second
facts
step end
"""


def with_sticks(sticks: Sticks, work: Path, *names: str) -> Path:
    (work / "stick").mkdir()
    for name in names:
        subprocess.run(["cp", "-r", sticks.place / name, work / "stick" / name], check=True)
    return work


@pytest.fixture(scope="module")
def said(sticks: Sticks, tmp_path_factory: pytest.TempPathFactory) -> Said:
    work = with_sticks(sticks, tmp_path_factory.mktemp("guest"), "first", "second", "broken")
    found = boot(work, STORY)
    assert "end" in found.steps, (found.steps, found.console[-3000:])
    return found


def test_installed_started_and_healthy(said: Said) -> None:
    text = said.steps["install"]
    assert "is in service" in text and f"token {MODEL}" in text, text
    assert "active active" in text and "enabled enabled" in text, text


def test_answers_under_systemd(said: Said) -> None:
    assert ANSWER.search(said.steps["answer"]), said.steps["answer"]


def test_the_exposure_as_systemd_measures_it(said: Said, note: Note) -> None:
    text = said.steps["exposure"]
    found = re.search(r"exposure level for \S+: ([0-9.]+)", text)
    assert found is not None, text
    note("exposure of the running unit (systemd-analyze security)", float(found[1]))
    assert float(found[1]) <= 1.5
    assert "750 appliance appliance-operators" in text
    assert "2750 appliance appliance-operators" in text


def test_running_leaves_the_installed_tree_as_it_was_signed(said: Said) -> None:
    assert "every file is what was signed" in said.steps["tree"], said.steps["tree"]


def test_the_unit_with_a_plugin_opens_nvidias_devices_alone(said: Said) -> None:
    """It also finds the library of the host's driver; the tree stays as it was signed."""
    text = said.steps["gpu"]
    for name in ("nvidiactl", "nvidia-uvm", "nvidia0"):
        assert f"{name} opened" in text, text
    for name in ("nvidia-modeset", "loop-control"):
        assert f"{name} No such file" in text, text
    assert "library True" in text, text
    assert "every file is what was signed" in text, text


def test_upgraded_under_systemd(said: Said) -> None:
    text = said.steps["upgrade"]
    assert "is in service" in text and "active active" in text, text
    assert ANSWER.search(text), text


def test_a_sabotaged_release_goes_back_under_systemd(said: Said) -> None:
    text = said.steps["sabotage"]
    assert "health_failed" in text and "active active" in text, text
    assert re.search(r"release +\S+\+2", text), text
    assert ANSWER.search(text), text


def test_a_crash_loop_ends_and_is_rolled_back(said: Said) -> None:
    text = said.steps["crash"]
    assert "after the crashes: failed" in text, text
    assert _verified(text)
    text = said.steps["rollback"]
    assert "active active" in text and re.search(r"release +\S+\+1", text), text
    assert ANSWER.search(text), text
    assert _verified(text)


def test_uninstalled_under_systemd(said: Said) -> None:
    text = said.steps["uninstall"]
    assert "units: 0" in text and "log.db" in text, text


@pytest.mark.parametrize("phase", ["Putting the release together", "Switching over", "Checking"])
def test_ended_in_an_upgrade_and_booted_again(
    sticks: Sticks, tmp_path_factory: pytest.TempPathFactory, phase: str
) -> None:
    work = with_sticks(sticks, tmp_path_factory.mktemp("ended"), "first", "second")
    assert "active active" in boot(work, f"{BEGIN}\nstep end\n").steps["install"]
    boot(work, f"{HEAD}\nstep upgrade\ninstall second\n", end_at=f"/12] {phase}")
    found = boot(work, RECOVERED)
    text = found.steps["recovered"]
    assert "+2 was undone" in text and "active active" in text, text
    assert re.search(r"release +\S+\+1", text), text
    assert ANSWER.search(text) and _verified(text), text
    text = found.steps["again"]
    assert "is in service" in text and re.search(r"release +\S+\+2", text), text


def _verified(text: str) -> bool:
    found = re.search(r"(?m)^\{.*?^\}", text, re.DOTALL)
    assert found is not None, text
    return json.loads(found[0])["ok"] is True
