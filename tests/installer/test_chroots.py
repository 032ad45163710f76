"""The real bundle on bare Debian hosts without a network (`make test-install`).

Each host is a chroot with `openssl` and nothing else, in a network namespace of its own. The story:
install from the stick with a model, answer a chat request over HTTP, upgrade, go back from a
sabotaged release, back up and drill, uninstall. What was measured is written to
`docs/install-results.md`.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from installer.bundle.build import Wanted, build
from installer.bundle.cache import cache_root, sha256_file
from installer.bundle.default_model import default_model, obtain
from installer.bundle.media import new_key
from tests.conftest import CHECKOUT, need_tool, unavailable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
SUITES = ("bullseye", "bookworm", "trixie")
ENTER = CHECKOUT / "tests" / "installer" / "chroot.sh"
RESULTS = CHECKOUT / "docs" / "install-results.md"
SERVE = """
python=$(readlink -f /opt/appliance/current)/root/usr/bin/python
secret=$(appliance key create app --json |
  "$python" -c 'import json, sys; print(json.load(sys.stdin)["secret"])')
appliance serve >/root/serve.log 2>&1 & server=$!
"$python" - "$secret" <<'X'
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
    time.sleep(0.2)
body = {"model": "smollm2", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]}
c = http.client.HTTPConnection("127.0.0.1", 8090, timeout=60)
c.request("POST", "/v1/chat/completions", json.dumps(body),
          {"authorization": f"Bearer {sys.argv[1]}", "content-type": "application/json"})
r = c.getresponse()
print(r.status, r.headers["x-appliance-receipt"], json.load(r)["choices"][0]["message"]["content"])
X
kill $server; wait $server || :
"""


@dataclass
class Figures:
    """What the story measured."""

    bundle: float = 0.0
    models: float = 0.0
    rows: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sticks:
    """The real bundle, a later release, and one that is broken on purpose."""

    first: Path
    second: Path
    broken: Path


@pytest.fixture(scope="module")
def figures() -> Iterator[Figures]:
    found = Figures()
    yield found
    if len(found.rows) == len(SUITES):
        RESULTS.write_text(report(found))


@pytest.fixture(scope="module")
def sticks(figures: Figures) -> Sticks:
    if os.geteuid() != 0:
        unavailable("chroots take root")
    root = cache_root() / "test-install"
    root.mkdir(exist_ok=True)
    model = root / "smollm2"
    model.mkdir(exist_ok=True)
    source = obtain(cache_root() / "models", default_model())
    shutil.copyfile(source, model / source.name)
    key = root / "vendor.pem"
    if not key.exists():
        new_key(key)
    build(root / "first", Wanted(key, 1, lab_models=[model]))
    build(root / "second", Wanted(key, 2, lab_models=[model]))
    build(root / "broken", Wanted(key, 3, sabotage=True))
    files = [path for path in (root / "first").rglob("*") if path.is_file()]
    figures.models = source.stat().st_size / 1e6
    figures.bundle = sum(path.stat().st_size for path in files) / 1e6 - figures.models
    assert figures.bundle <= 150
    return Sticks(root / "first", root / "second", root / "broken")


@pytest.fixture(params=SUITES)
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare Debian host: the base system and openssl."""
    suite = str(request.param)
    base = cache_root() / "chroots" / suite
    if not (base / "complete").exists():
        need_tool("debootstrap")
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir(parents=True)
        mirror = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
        options = ["--variant=minbase", "--include=openssl", suite, str(base), mirror]
        subprocess.run(["debootstrap", *options], check=True, capture_output=True)
        (base / "complete").touch()
    root = tmp_path_factory.mktemp(suite) / "root"
    subprocess.run(["cp", "-a", base, root], check=True)
    return root


def inside(root: Path, stick: Path, script: str) -> tuple[int, str, float]:
    began = time.monotonic()
    done = subprocess.run(
        [ENTER, root, stick, "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout, time.monotonic() - began


def must(root: Path, stick: Path, script: str) -> tuple[str, float]:
    status, text, seconds = inside(root, stick, script)
    assert status == 0, text
    return text, seconds


def test_the_whole_life_on_a_bare_host(host: Path, sticks: Sticks, figures: Figures) -> None:
    first = sticks.first
    print_of = sha256_file(first / "vendor.pub")
    (host / "root" / "site.toml").write_text(
        f'fingerprint = "{print_of}"\nmodels = ["smollm2"]\nport = 8090\n'
    )
    assert must(host, first, "! command -v python3")
    install = "sh /mnt/stick/install.sh --media /mnt/stick --answers /root/site.toml"
    must(host, first, f"{install} --dry-run && test ! -e /opt/appliance")
    _, bare = must(host, first, f"sed -i s/smollm2// /root/site.toml; {install}")
    must(host, first, f'sed -i \'s/\\[""\\]/["smollm2"]/\' /root/site.toml; {install}')
    answer, _ = must(host, first, SERVE)
    assert answer.startswith("200 "), answer
    before, _ = must(host, first, "appliance audit verify --json")
    _, upgraded = must(host, sticks.second, "sh /mnt/stick/install.sh --media /mnt/stick")
    status, text, back = inside(host, sticks.broken, "sh /mnt/stick/install.sh --media /mnt/stick")
    assert status == 1 and "health_failed" in text, text
    after, _ = must(host, first, "appliance audit verify --json; appliance-installer check >&2")
    assert "0.1.0+2: every file is what was signed" in after
    assert json.loads(after[: after.rindex("}") + 1])["entries"] > json.loads(before)["entries"]
    assert must(host, first, SERVE.replace("create app", "create app2"))[0].startswith("200 ")
    status, text, _ = inside(host, first, "sh /mnt/stick/install.sh --media /mnt/stick")
    assert status == 1 and "bundle_older" in text
    must(host, first, "appliance-installer rollback && appliance selftest")
    must(host, first, "appliance-installer backup /root/b && appliance-installer drill /root/b")
    must(host, first, "appliance-installer uninstall; test ! -e /opt/appliance; "
         "test -f /var/lib/appliance/audit/log.db; ! command -v appliance")  # fmt: skip
    must(host, first, f"{install} && appliance-installer uninstall --purge; "
         "test ! -e /var/lib/appliance")  # fmt: skip
    suite = host.parent.name.rstrip("0")
    figures.rows.append(f"| {suite} | {bare:.0f} | {upgraded:.0f} | {back:.0f} |")


def test_the_bundle_is_reproducible(sticks: Sticks) -> None:
    again = sticks.first.with_name("again")
    model = sticks.first.with_name("smollm2")
    build(again, Wanted(sticks.first.with_name("vendor.pem"), 1, lab_models=[model]))
    done = subprocess.run(["diff", "-r", sticks.first, again], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def report(found: Figures) -> str:
    """The figures as a page."""
    rows = "\n".join(sorted(found.rows))
    return f"""# Installing, measured
Written by `make test-install`: the real bundle, bare Debian chroots in a network namespace without
a network, stick mounted read-only and noexec, on a shared machine with {os.cpu_count()} cores.

Bundle: {found.bundle:.1f} MB without models; the model that it brought: {found.models:.1f} MB.

| host | install, s | upgrade, s | sabotaged upgrade and back, s |
|---|---|---|---|
{rows}

Install is from `sh install.sh` to the committed release without a model: every byte copied, hashed,
read back, unpacked, compiled, compared with the signed listing; data directory made; self-test
done. Steps of the admin: 4.
"""
