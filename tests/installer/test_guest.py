"""The real bundle on a machine with systemd: hardened, started, healthy, and back from a bad end.

One boot plays the whole script; each test reads what one step of it said.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.installer.conftest import Note
from tests.installer.guest import MARK, Said, boot, copy_of_the_image
from tests.installer.sticks import MODEL, Sticks
from tests.installer.test_chroots import ANSWER, ASK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
CHAT = "(" + ASK.replace("appliance serve >/root/serve.log 2>&1 & server=$!\n", "").replace(
    "kill $server\nwait $server || :\n", ""
).replace("cat /root/serve.log", "journalctl -u appliance --no-pager -o cat | tail -n 30")
CHAT += ")"
HEAD = f"""
step() {{ printf '\\n{MARK}%s\\n' "$1"; }}
install() {{ sh /mnt/s/$1/install.sh --media /mnt/s/$1 $2 2>&1 | grep -v '[.]whl$'; }}
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


@pytest.mark.parametrize(
    ("cpu", "kernel"), [("Nehalem", ""), ("host", "clearcpuid=xsave")], ids=["no AVX", "lies"]
)
def test_another_processor(
    sticks: Sticks, tmp_path_factory: pytest.TempPathFactory, cpu: str, kernel: str
) -> None:
    """One without AVX; and one whose CPUID claims AVX2, which the kernel does not let it use."""
    work = with_sticks(sticks, tmp_path_factory.mktemp("processor"), "first")
    found = boot(work, f"{BEGIN}\nappliance selftest\nstep end\n", cpu=cpu, kernel=kernel)
    text = found.steps["install"]
    assert f"token {MODEL}" in text and "active active" in text, text
    assert re.search(r"engine +libggml-cpu-(sse42|x64) computes", text), text


@pytest.mark.parametrize(("year", "kernel"), [(1970, ""), (2037, "fips=1")])
def test_a_wrong_clock_and_fips_mode(
    sticks: Sticks, tmp_path_factory: pytest.TempPathFactory, year: int, kernel: str
) -> None:
    work = with_sticks(sticks, tmp_path_factory.mktemp("clock"), "first")
    script = f"date -s '{year}-06-01'\n{BEGIN}\nstep answer\n{CHAT}\nstep end\n"
    found = boot(work, script, kernel=kernel)
    text = found.steps["install"]
    assert f"note: The clock says {year}" in text, text
    assert ("note: FIPS mode" in text) == bool(kernel), text
    assert "is in service" in text and "active active" in text, text
    assert ANSWER.search(found.steps["answer"]), found.steps["answer"]


def test_too_little_memory(sticks: Sticks, tmp_path_factory: pytest.TempPathFactory) -> None:
    work = with_sticks(sticks, tmp_path_factory.mktemp("memory"), "first")
    left = "ls -d /opt/appliance /etc/appliance /var/lib/appliance /usr/local/bin/appliance"
    text = boot(work, f"{BEGIN}\n{left}\nstep end\n", memory=900).steps["install"]
    assert "memory_low: " in text and "preflight_failed: Nothing was changed" in text, text
    assert text.count("No such file or directory") >= 4, text


@pytest.fixture(scope="module")
def powered(sticks: Sticks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the disk of a guest that has the first release in service."""
    work = with_sticks(sticks, tmp_path_factory.mktemp("power"), "first", "second")
    disk = copy_of_the_image(work / "disk.img")
    found = boot(work, f"{BEGIN}\nstep end\n", disk=disk)
    assert "active active" in found.steps["install"], found.steps
    return work


@pytest.mark.parametrize("phase", ["Putting the release together", "Switching over", "Checking"])
def test_the_power_is_cut(powered: Path, phase: str) -> None:
    """The machine is ended in a phase of an upgrade; at the next boot it is undone by itself."""
    disk = powered / "cut.img"
    subprocess.run(["cp", "--sparse=always", powered / "disk.img", disk], check=True)
    boot(powered, f"{HEAD}\nstep upgrade\ninstall second\n", disk=disk, cut=f"/12] {phase}")
    found = boot(powered, RECOVERED, disk=disk)
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
