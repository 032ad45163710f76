"""The real bundle on bare Debian hosts without a network (`make test-install`).

Each host is a chroot with only `openssl`, in a network namespace. The life: install from the stick
by the four steps of the guide, answer a chat request over HTTP, upgrade, go back from a sabotaged
release, back up and drill, uninstall and come again. Each is a test on the layers of those before
it (`-k 'upgrade and trixie'` repeats one). Measurements go to `docs/install-results.md`.
"""

import json
import re
import subprocess

import pytest

from installer.bundle.cache import sha256_file
from tests.conftest import CHECKOUT, need_tool
from tests.installer.conftest import Note
from tests.installer.hosts import SUITES, Host
from tests.installer.sticks import MODEL, Sticks
from tests.installer.test_faults import inet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LIFE = ("install", "answer", "upgrade", "sabotage", "back", "remove")
STICK = "/mnt/appliance"
INSTALL = f"sh {STICK}/install.sh --media {STICK}"
GUIDE = (CHECKOUT / "docs" / "install-guide.md").read_text()
ASK = """
python=$(readlink -f /opt/appliance/current)/root/usr/bin/python
secret=$(appliance key new app-$(head -c 8 /proc/sys/kernel/random/uuid) --any-model --json |
  "$python" -c 'import json, sys; print(json.load(sys.stdin)["secret"])')
appliance serve >/root/serve.log 2>&1 & server=$!
"$python" - "$secret" <<'X' || { cat /root/serve.log; exit 1; }
import http.client, json, sys, time
end = time.monotonic() + 120
while True:
    try:
        c = http.client.HTTPConnection("127.0.0.1", 8090, timeout=60)
        c.request("GET", "/readyz")
        if c.getresponse().status == 200:
            break
    except OSError:
        pass
    if time.monotonic() > end:
        sys.exit("the server is not ready")
    time.sleep(0.1)
body = {"model": "smollm2", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]}
c = http.client.HTTPConnection("127.0.0.1", 8090, timeout=60)
c.request("POST", "/v1/chat/completions", json.dumps(body),
          {"authorization": f"Bearer {sys.argv[1]}", "content-type": "application/json"})
r = c.getresponse()
said = json.load(r)
print("answer", r.status, r.headers["x-appliance-receipt"], said["usage"]["completion_tokens"])
X
kill $server
wait $server || :
"""
ANSWER = re.compile(r"^answer 200 \d+ [0-9a-f]{64} \d+ [1-8]$", re.MULTILINE)


@pytest.fixture
def host(request: pytest.FixtureRequest, sticks: Sticks) -> Host:
    suite, stage = request.param
    before = LIFE[: LIFE.index(stage)] if stage in LIFE else ()
    return Host.at(sticks, suite, stage, before)


def stage(name: str, suites: tuple[str, ...] = SUITES) -> pytest.MarkDecorator:
    pairs = [(suite, name) for suite in suites]
    return pytest.mark.parametrize("host", pairs, indirect=True, ids=suites)


def entries(host: Host, sticks: Sticks) -> int:
    """The number of entries in the audit log, which verifies."""
    found = host.must(sticks.first, "appliance audit verify --json 2>/dev/null")
    said = json.loads(found.text)
    assert said["ok"], said
    return int(said["entries"])


def guide_steps() -> list[str]:
    """The commands of the guide's four steps, with the stick mounted already."""
    section = GUIDE.split("## Four steps")[1].split("\n## ")[0]
    found = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert len(re.findall(r"(?m)^\*\*\d\. ", section)) == len(found) == 4
    first, check, install, _ = found
    return [mounted(first), check, install]


def guide_upgrade() -> str:
    section = GUIDE.split("\n## Upgrade")[1].split("\n## ")[0]
    (commands,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return mounted(commands)


def mounted(commands: str) -> str:
    mount = "mount -o ro /dev/sdX1 /mnt && "
    assert commands.startswith(mount)
    return commands.removeprefix(mount)


@stage("install")
def test_install(host: Host, sticks: Sticks, note: Note) -> None:
    host.must(sticks.first, "! command -v python3 && ! command -v systemctl")
    answers = f'fingerprint = "{sticks.fingerprint}"\nport = 8090\n'
    host.must(sticks.first, f"printf '%s' '{answers}' >/root/site.toml")
    host.must(sticks.first, f"{INSTALL} --answers /root/site.toml --dry-run")
    host.must(sticks.first, "test ! -e /opt/appliance && test ! -e /var/lib/appliance-install")
    copy, check, install = guide_steps()
    checked = host.must(sticks.first, f"{copy}\n{check}")
    assert "Verified OK" in checked.text and "install.sh: OK" in checked.text
    assert sticks.fingerprint in checked.text
    answered = "cp /root/site.toml /root/appliance/ && cd /root/appliance"
    ran = host.must(sticks.first, f"{answered} && {install}")
    assert "is in service" in ran.text
    assert "also there, not asked for: smollm2" in ran.text
    note("install without a model, s", ran.seconds)
    assert ran.seconds <= 120
    host.must(sticks.first, "appliance-installer check")
    host.done()


@stage("answer")
def test_answer(host: Host, sticks: Sticks, note: Note) -> None:
    models = f"printf 'models = [\"{MODEL}\"]' >>/root/site.toml"
    ran = host.must(sticks.first, f"{models}; {INSTALL} --answers /root/site.toml")
    assert f"token {MODEL}" in ran.text
    note("bringing the model, s", ran.seconds)
    asked = host.must(sticks.first, ASK)
    assert ANSWER.search(asked.text), asked.text
    note("start, key and first answer, s", asked.seconds)
    host.must(sticks.first, "appliance-installer check")
    host.done()


@stage("upgrade")
def test_upgrade(host: Host, sticks: Sticks, note: Note) -> None:
    before = entries(host, sticks)
    ran = host.must(sticks.second, guide_upgrade())
    assert "Verified OK" in ran.text and "install.sh: OK" in ran.text
    note("upgrade, s", ran.seconds)
    assert entries(host, sticks) > before
    assert (
        "+2: every file is what was signed"
        in host.must(sticks.second, "appliance-installer check").text
    )
    assert ANSWER.search(host.must(sticks.second, ASK).text)
    host.done()


@stage("sabotage")
def test_sabotage(host: Host, sticks: Sticks, note: Note) -> None:
    before = entries(host, sticks)
    ran = host.run(sticks.broken, INSTALL)
    assert ran.status == 1 and "health_failed" in ran.text, ran.text
    note("sabotaged upgrade and back, s", ran.seconds)
    assert entries(host, sticks) >= before
    assert (
        "+2: every file is what was signed"
        in host.must(sticks.second, "appliance-installer check").text
    )
    assert ANSWER.search(host.must(sticks.second, ASK).text)
    host.done()


@stage("back")
def test_back(host: Host, sticks: Sticks, note: Note) -> None:
    refused = host.run(sticks.first, INSTALL)
    assert refused.status == 1 and "bundle_older" in refused.text
    ran = host.must(sticks.second, "appliance-installer rollback")
    note("rollback, s", ran.seconds)
    assert ANSWER.search(host.must(sticks.second, ASK).text)
    before = entries(host, sticks)
    host.must(sticks.second, "appliance-installer backup /root/b --with-models")
    host.must(sticks.second, "appliance-installer drill /root/b")
    host.must(
        sticks.second, "mv /var/lib/appliance /root/old && appliance-installer restore /root/b"
    )
    assert entries(host, sticks) >= before
    assert ANSWER.search(host.must(sticks.second, ASK).text)
    owner = host.must(sticks.second, "stat -c '%a %U %G' /var/lib/appliance").text
    assert owner == "750 appliance appliance-operators\n"
    host.done()


@stage("remove")
def test_remove(host: Host, sticks: Sticks, note: Note) -> None:
    host.must(sticks.second, "appliance-installer uninstall")
    host.must(
        sticks.second,
        "test ! -e /opt/appliance && test -f /var/lib/appliance/audit/log.db "
        "&& ! command -v appliance && test -f /etc/appliance/trust/vendor.pub",
    )
    need_tool("strace")
    trace = host.place / "trace"
    again = host.must(sticks.second, f"{INSTALL} --answers /root/site.toml", trace=trace)
    assert "is in service" in again.text
    # Sockets of the admin's kind are there; of the internet's kind there are none.
    sockets = inet(trace)
    note("internet sockets opened by an installation", len(sockets))
    assert "AF_UNIX" in trace.read_text() and sockets == []
    assert entries(host, sticks) > 1
    host.must(sticks.second, "appliance-installer uninstall --purge")
    host.must(sticks.second, "test ! -e /var/lib/appliance && test ! -e /etc/appliance")
    host.done()


@stage("site", ("trixie",))
def test_site(host: Host, sticks: Sticks) -> None:
    for name in ("Alice", "Bob"):
        host.write(f"root/{name}.pem", (sticks.place / "people" / f"{name}.pem").read_text())
    root = sha256_file(sticks.root)
    host.write(
        "root/site.toml",
        f'profile = "site"\nfingerprint = "{sticks.fingerprint}"\nport = 8090\n'
        f'trust_fingerprint = "{root}"\nmodels = ["{MODEL}"]\n',
    )
    ran = host.must(sticks.site, f"{INSTALL} --answers /root/site.toml")
    assert "trust metadata: taken: root 1, " in ran.text, ran.text
    assert f"{MODEL}: verified" in ran.text
    for name in ("Alice", "Bob"):
        approve = f"appliance model approve {MODEL} --as {name} --key /root/{name}.pem"
        refused = host.run(sticks.site, f"{approve} --meaning fit")
        assert refused.status == 1 and "key_unencrypted" in refused.text
        words = "--passphrase-file /root/words"
        host.must(
            sticks.site,
            "echo correct horse battery > /root/words && "
            f"appliance signer encrypt /root/{name}.pem {words} && {approve} --meaning fit {words}",
        )
    assert ANSWER.search(host.must(sticks.site, ASK).text)
    # The same stick again changes nothing; another root's fingerprint is refused on a new host.
    assert "in force already: root 1, " in host.must(sticks.site, INSTALL).text
    host.done()


@stage("user", ("bullseye",))
def test_a_user_without_root(host: Host, sticks: Sticks) -> None:
    """Everything is below the home directory."""
    home = "/home/ann"
    answers = f'fingerprint = "{sticks.fingerprint}"\nport = 8090\nmodels = ["{MODEL}"]\n'
    host.write("srv/site.toml", answers)
    ask = ASK.replace("/opt/appliance/current", f"{home}/.local/share/appliance/current")
    host.write("srv/ask.sh", ask.replace("/root/serve.log", f"{home}/serve.log"))
    host.must(sticks.first, "useradd --create-home ann && touch /srv/before && sleep 1")
    ann = "setpriv --reuid ann --regid ann --init-groups --no-new-privs env -i "
    ann += f"HOME={home} PATH={home}/.local/bin:/usr/bin:/bin "
    refused = host.run(sticks.first, f"{ann} {INSTALL} --answers /srv/site.toml")
    assert refused.status == 1 and "not_root" in refused.text and "--user" in refused.text
    ran = host.must(sticks.first, f"{ann} {INSTALL} --user --answers /srv/site.toml")
    assert f"token {MODEL}" in ran.text and "appliance serve (nothing here starts it" in ran.text
    asked = host.must(sticks.first, f"{ann} sh -eu /srv/ask.sh")
    assert ANSWER.search(asked.text), asked.text
    host.must(sticks.second, f"{ann} {INSTALL} --user")
    host.must(sticks.second, f"{ann} appliance-installer rollback")
    host.must(sticks.second, f"{ann} appliance-installer check")
    host.must(sticks.second, f"{ann} appliance-installer uninstall --purge")
    left = host.must(
        sticks.second,
        f"find {home} -mindepth 1 -not -type d -newer /srv/before; "
        f"find / -xdev -newer /srv/before -not -type d -not -path '{home}/*'",
    ).text.split()
    assert [path for path in left if not path.endswith("/serve.log")] == []
    host.done()


@stage("stranger", ("trixie",))
def test_a_site_whose_trust_root_is_another(host: Host, sticks: Sticks) -> None:
    host.write(
        "root/site.toml",
        f'profile = "site"\nfingerprint = "{sticks.fingerprint}"\n'
        f'trust_fingerprint = "{"0" * 64}"\n',
    )
    ran = host.run(sticks.site, f"{INSTALL} --answers /root/site.toml")
    assert ran.status == 1, ran.text
    host.must(sticks.site, "test ! -e /opt/appliance/current && test ! -e /var/lib/appliance")


def test_the_bundle_is_reproducible(sticks: Sticks, note: Note) -> None:
    again = sticks.place / "again"
    sticks.build_first(again)
    done = subprocess.run(["diff", "-r", sticks.first, again], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    size = sticks.megabytes(sticks.first, models=False)
    note("bundle without models, MB", size)
    note("with the default model, MB", sticks.megabytes(sticks.first, models=True))
    assert size <= 150
