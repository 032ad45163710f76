"""The real bundle on a host with systemd: hardened, started, healthy, and back from a bad end.

One boot plays the whole script; each test reads what one step of it said.
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


@pytest.mark.parametrize("phase", ["Putting the release together", "Switching over", "Checking"])
def test_ended_in_an_upgrade_and_booted_again(
    sticks: Sticks, tmp_path_factory: pytest.TempPathFactory, phase: str
) -> None:
    """At the next boot systemd undoes it before the service starts."""
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
