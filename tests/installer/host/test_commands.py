"""A stick against a host: refusals before anything changes, from install.sh on."""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from installer.bundle import media
from installer.bundle.media import Source
from tests.conftest import CHECKOUT
from tests.installer.bench import Bench


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("commands"))
    bench.bundle("1.0", 1)
    assert bench.install().returncode == 0
    body = bench.place / "body"
    body.write_bytes(bytes(range(256)) * 200)
    bench.bundle("2.0", 2, extra=(Source("site.json", "trust", body),))
    return bench


def largest(stick: Path, kind: str) -> Path:
    parts = json.loads((stick / "manifest.json").read_text())["parts"]
    chunks = [chunk for each in parts if each["kind"] == kind for chunk in each["chunks"]]
    return stick / str(max(chunks, key=lambda chunk: int(chunk["size"]))["path"])


def spoiled(bench: Bench, tmp_path: Path) -> Path:
    """For a host without a copy in its store, which is not read from the stick again."""
    shutil.rmtree(bench.state / "store", ignore_errors=True)
    stick = tmp_path / "stick"
    tmp_path.mkdir(exist_ok=True)
    subprocess.run(["cp", "-r", bench.stick, stick], check=True)
    return stick


def refused(bench: Bench, stick: Path, *options: str) -> str:
    """The code of a refusal that changed nothing."""
    before = bench.footprint()
    done = bench.install(*options, stick=stick)
    assert done.returncode == 1, done.stderr
    assert "  -> " in done.stderr
    assert bench.footprint() == before
    assert not list(bench.state.glob("boot.*"))
    codes = [line.split(":")[0] for line in done.stderr.splitlines() if ": " in line]
    return codes[-1] if codes[-1] != "preflight_failed" else codes[-2]


CLASSES = (
    "MANIFEST.sha256", "MANIFEST.sig", "vendor.pub", "manifest.json", "install.pyz",
    "runtime.tar.gz", "blobs",
)  # fmt: skip
KINDS = ("wheel", "tree", "trust")
"""Of parts that lie in chunks; runtime and installer lie under their own names."""
READ = ("install.sh", "LICENSES/ours")
"""What people read or start by hand: the installation does not use it."""


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", [*CLASSES[:-1], *KINDS])
def test_a_flipped_bit_in_any_file(host: Bench, tmp_path: Path, name: str) -> None:
    stick = spoiled(host, tmp_path)
    flip(largest(stick, name) if name in KINDS else stick / name)
    wanted = {"MANIFEST.sha256": "signature_invalid", "MANIFEST.sig": "signature_invalid"}
    wanted["vendor.pub"] = "key_changed"
    assert refused(host, stick) == wanted.get(name, "file_changed")


def test_a_flipped_bit_in_a_model(host: Bench, tmp_path: Path) -> None:
    body = tmp_path / "model.gguf"
    body.write_bytes(bytes(range(256)) * 200)
    extra = (Source("m/model.gguf", "model", body),)
    stick = host.bundle("2.0", 2, out=tmp_path / "stick", extra=extra)
    flip(largest(stick, "model"))
    answers = tmp_path / "answers.toml"
    answers.write_text('models = ["m"]')
    assert refused(host, stick, "--answers", str(answers)) == "file_changed"


@pytest.mark.parametrize("name", READ)
def test_a_flipped_bit_in_what_people_read(host: Bench, tmp_path: Path, name: str) -> None:
    """The second of the guide's steps finds it in install.sh, `verify` everywhere."""
    stick = spoiled(host, tmp_path)
    flip(stick / name)
    if name == "install.sh":
        check = ["sha256sum", "-c", "--strict", "--ignore-missing", "MANIFEST.sha256"]
        done = subprocess.run(check, cwd=stick, capture_output=True, text=True)
        assert done.returncode == 1 and "install.sh: FAILED" in done.stdout
    good = ["sh", str(host.stick / "install.sh"), "verify", "--media", str(stick), "--user"]
    done = host._run([*good, "--json"], {})
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert found["code"] == "file_changed" and name in found["message"]


@pytest.mark.parametrize("name", CLASSES)
def test_a_missing_file(host: Bench, tmp_path: Path, name: str) -> None:
    stick = spoiled(host, tmp_path)
    (stick / name if name != "blobs" else max((stick / "blobs").iterdir())).unlink()
    assert refused(host, stick) == "file_missing"


def test_a_truncated_chunk(host: Bench, tmp_path: Path) -> None:
    stick = spoiled(host, tmp_path)
    path = max((stick / "blobs").iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    assert refused(host, stick) == "file_truncated"


def test_swapped_chunks(host: Bench, tmp_path: Path) -> None:
    stick = spoiled(host, tmp_path)
    document = json.loads((stick / "manifest.json").read_text())
    chunks = next(p["chunks"] for p in document["parts"] if p["kind"] == "trust")
    a, b = (stick / chunk["path"] for chunk in chunks[:2])
    assert chunks[0]["size"] > chunks[1]["size"]  # then the sizes tell already
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second.ljust(len(first)))
    b.write_bytes(first[: len(second)])
    assert refused(host, stick) == "file_changed"


def test_a_stale_chunk(host: Bench, tmp_path: Path) -> None:
    """A chunk of an earlier bundle stayed on the stick under the name of this one's."""
    stick = spoiled(host, tmp_path)
    document = json.loads((stick / "manifest.json").read_text())
    chunks = next(p["chunks"] for p in document["parts"] if p["kind"] == "trust")
    path = stick / chunks[0]["path"]
    path.write_bytes(b"1.0 ".ljust(path.stat().st_size))
    assert refused(host, stick) == "file_changed"
    left = spoiled(host, tmp_path / "other")
    path = max((left / "blobs").iterdir())
    path.with_name(f"{'0' * 64}.000").write_bytes(path.read_bytes())
    assert refused(host, left) == "file_unlisted"


def test_names_that_are_one_on_fat(host: Bench, tmp_path: Path) -> None:
    """The builder refuses them; here the vendor's key signs such a list."""
    stick = spoiled(host, tmp_path)
    digest = hashlib.sha256(b"another\n").hexdigest()
    with (stick / "MANIFEST.sha256").open("a") as sums:
        sums.write(f"{digest}  licenses/OURS\n")
    command = ["openssl", "dgst", "-sha384", "-sign", str(host.key)]
    target = ["-out", str(stick / "MANIFEST.sig"), str(stick / "MANIFEST.sha256")]
    subprocess.run([*command, *target], check=True)
    assert refused(host, stick) == "names_collide"


def test_a_bundle_for_another_machine(host: Bench, tmp_path: Path) -> None:
    stick = host.bundle("7.0", 7, machine="aarch64", out=tmp_path / "stick")
    assert refused(host, stick) == "machine_unsupported"


@pytest.mark.parametrize("name", ["blobs/stale.000", "autorun.inf", "blobs/.hidden"])
def test_an_extra_file(host: Bench, tmp_path: Path, name: str) -> None:
    stick = spoiled(host, tmp_path)
    (stick / name).write_bytes(b"x")
    assert refused(host, stick) == "file_unlisted"


def test_another_vendor(host: Bench, tmp_path: Path) -> None:
    other = Bench(tmp_path)
    media.new_key(other.key)
    assert refused(host, other.bundle("9.0", 9)) == "key_changed"


def test_a_new_key_of_the_vendor_takes_over_by_command(bench: Bench, tmp_path: Path) -> None:
    bench.bundle("1.0", 1)
    assert bench.install().returncode == 0
    other = Bench(tmp_path / "other")
    other.place.mkdir(exist_ok=True)
    media.new_key(other.key)
    stick = other.bundle("2.0", 2)
    shutil.copyfile(stick / "vendor.pub", bench.place / "new.pub")
    paper = other.fingerprint().upper()
    paper = " ".join(paper[at : at + 8] for at in range(0, 64, 8))
    before = bench.footprint()
    done = bench.installer("vendor-key", "new.pub", "--fingerprint", "0" * 64)
    assert done.returncode == 1 and "key_unknown" in done.stderr
    assert bench.footprint() == before and refused(bench, stick) == "key_changed"
    for _ in range(2):  # a second time changes nothing
        done = bench.installer("vendor-key", "new.pub", "--fingerprint", paper)
        assert done.returncode == 0, done.stderr
    assert bench.is_whole()  # under the former key
    media.new_key(third := tmp_path / "third.pem")
    pem = ["openssl", "pkey", "-in", str(third), "-pubout"]
    (bench.place / "third.pub").write_bytes(subprocess.run(pem, capture_output=True).stdout)
    for name in ("third.pub", "new.pub"):  # no release between: the first key's still holds
        paper = hashlib.sha256((bench.place / name).read_bytes()).hexdigest()
        done = bench.installer("vendor-key", name, "--fingerprint", paper)
        assert done.returncode == 0 and bench.is_whole(), done.stderr
    assert '"event": "vendor-key"' in (bench.state / "ledger").read_text()
    assert refused(bench, bench.bundle("3.0", 3)) == "key_changed"  # which signs no more sticks
    assert bench.install(stick=stick).returncode == 0 and bench.is_whole()
    assert bench.installer("rollback").returncode == 0 and bench.is_whole()


def test_the_check_before_an_upgrade_takes_the_pinned_key(host: Bench, tmp_path: Path) -> None:
    """As in the guide: another vendor's stick passes with its own key only."""
    other = Bench(tmp_path)
    media.new_key(other.key)
    stick = other.bundle("9.0", 9)
    guide = (CHECKOUT / "docs" / "install-guide.md").read_text()
    pinned = str(host.home / ".config" / "appliance")
    upgrade = guide.split("\n## Upgrade")[1].replace("/etc/appliance", pinned)
    (check,) = re.findall(r"openssl dgst .*MANIFEST\.sha256(?= &&)", upgrade)
    for at, good in ((host.stick, True), (stick, False)):
        assert (subprocess.run(["sh", "-c", check], cwd=at).returncode == 0) == good
        own = check.replace(f"{pinned}/trust/vendor.pub", "vendor.pub")
        assert subprocess.run(["sh", "-c", own], cwd=at).returncode == 0


def test_another_vendor_behind_our_public_key(host: Bench, tmp_path: Path) -> None:
    other = Bench(tmp_path)
    media.new_key(other.key)
    stick = other.bundle("9.0", 9)
    (stick / "vendor.pub").write_bytes((host.stick / "vendor.pub").read_bytes())
    assert refused(host, stick) == "signature_invalid"


def test_an_older_bundle(host: Bench, tmp_path: Path) -> None:
    newer = host.bundle("5.0", 5, out=tmp_path / "newer")
    older = host.bundle("4.0", 4, out=tmp_path / "older")
    assert host.install(stick=newer).returncode == 0
    assert refused(host, older) == "bundle_older"


def test_a_dry_run_changes_nothing(bench: Bench) -> None:
    bench.bundle()
    done = bench.install("--dry-run")
    assert done.returncode == 0, done.stderr
    assert "Nothing was changed." in done.stderr
    assert bench.footprint() == {}
    assert not bench.state.exists()


def test_a_first_installation_needs_the_fingerprint_on_paper(bench: Bench) -> None:
    bench.bundle()
    done = bench.install("--fingerprint", "0" * 64)
    assert done.returncode == 1 and "key_unknown" in done.stderr
    none = bench.install("--fingerprint", " ")
    assert none.returncode == 1 and "key_unknown" in none.stderr
    for said in (done.stderr, none.stderr):  # the right one would be copied, not compared
        assert bench.fingerprint() not in said
    assert bench.footprint() == {}


def test_a_refusal_before_python_is_a_document_too(bench: Bench) -> None:
    bench.bundle()
    (bench.stick / "vendor.pub").write_text('a "key"\n')
    done = bench.install("--fingerprint", "0" * 64, "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert (found["ok"], found["code"]) == (False, "key_unknown")
    assert found["message"] and found["hint"]
    (bench.stick / "MANIFEST.sig").write_bytes(b'\xff\x00"\\\n')
    done = bench.install("--json")  # what openssl says is quoted
    assert json.loads(done.stdout)["code"] == "signature_invalid"


@pytest.mark.parametrize("form", ["{}", "\ufeff{}"], ids=["plain", "from Windows"])
def test_answers_may_carry_it(bench: Bench, form: str) -> None:
    bench.bundle()
    bench.home.mkdir()
    answers = bench.place / "answers.toml"
    printed = bench.fingerprint().upper()
    printed = " ".join(printed[at : at + 8] for at in range(0, 64, 8))
    answers.write_text(form.format(f'fingerprint = "{printed}"\r\nport = 9000\r\n'), newline="")
    command = ["sh", str(bench.stick / "install.sh"), "--media", str(bench.stick), "--user"]
    done = bench._run([*command, "--answers", str(answers)], {})
    assert done.returncode == 0, done.stderr
    assert "port = 9000" in (bench.data / "appliance.toml").read_text()


def test_verifying_a_stick_reads_every_byte(host: Bench, tmp_path: Path) -> None:
    stick = spoiled(host, tmp_path)
    command = ["sh", str(stick / "install.sh"), "verify", "--media", str(stick), "--user"]
    assert host._run(command, {}).returncode == 0
    path = max((stick / "blobs").iterdir())
    path.write_bytes(b"?" * path.stat().st_size)
    done = host._run(command, {})
    assert done.returncode == 1 and "file_changed" in done.stderr


def test_a_changed_installed_file_is_found(bench: Bench) -> None:
    bench.bundle()
    assert bench.install().returncode == 0
    assert bench.is_whole()
    path = next(bench.prefix.rglob("appliance/__main__.py"))
    path.write_text("import os")
    assert bench.told("check")["code"] == "release_changed"
    assert bench.install().returncode == 0  # the same stick repairs it
    assert bench.is_whole()
