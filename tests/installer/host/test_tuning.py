"""The tuning set of a stick: installed beside the release, or refused with nothing installed."""

import base64
import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from installer.bundle import media
from installer.host import answers, facts, tuning, units
from installer.host.problems import InstallError
from installer.host.store import Media
from installer.host.tuning import FACTS, WHEELS, Facts, check_driver, encode, parse
from tests.installer.bench import Bench

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("tuning"))
    bench.bundle("1.0", 1)
    assert bench.install().returncode == 0
    return bench


def wheel(directory: Path, name: str, body: str) -> None:
    info = f"{name}-1.0.dist-info"
    files = {f"{name}/__init__.py": body, f"{info}/METADATA": f"Name: {name}\nVersion: 1.0\n"}
    record = io.StringIO()
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record.write(f"{path},sha256={digest.decode()},{len(text)}\n")
    with zipfile.ZipFile(directory / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record.getvalue()}.items():
            archive.writestr(zipfile.ZipInfo(path), text)


def stick(
    bench: Bench,
    out: Path,
    *,
    body: str = "x = 1\n",
    python: str = HERE,
    key: Path | None = None,
    gpu: str = "",
) -> Path:
    part = out.with_name(out.name + ".part")
    (part / WHEELS).mkdir(parents=True)
    for name in ("torch", "sympy"):
        wheel(part / WHEELS, name, body)
    (part / FACTS).write_bytes(encode(Facts(python, "x86_64", "ab" * 32, gpu)))
    media.finish(part, out, key or bench.key)
    return out


def bring(bench: Bench, stick: Path) -> "subprocess.CompletedProcess[str]":
    return bench.installer("tuning", "--media", str(stick), "--json")


def test_it_lies_beside_the_release_and_a_newer_one_takes_its_place(
    host: Bench, tmp_path: Path
) -> None:
    link = host.prefix / "tuning"
    for number in (1, 2):
        done = bring(host, stick(host, tmp_path / str(number), body=f"x = {number}\n"))
        assert done.returncode == 0, done.stderr
        assert f'directory = "{link}"' in done.stderr
        assert json.loads(done.stdout)["wheels"] == 2
        assert (link / "torch" / "__init__.py").read_text() == f"x = {number}\n"
        assert list((link / "torch" / "__pycache__").glob("*.pyc"))
    assert len(list((host.prefix / "tuning-sets").iterdir())) == 1
    assert not (host.state / "tuning").exists()
    again = bring(host, tmp_path / "2")
    assert again.returncode == 0 and link.readlink().parts[0] == "tuning-sets"
    assert host.is_whole()
    program = f"import sys; sys.path.insert(0, {str(link)!r}); import torch; print(torch.x)"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True)
    assert done.stdout == "2\n"


def spoil(name: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        data = bytearray((path / name).read_bytes())
        data[len(data) // 2] ^= 1
        (path / name).write_bytes(data)

    return change


def add(path: Path) -> None:
    (path / WHEELS / "more-1.0-py3-none-any.whl").touch()


TORCH = f"{WHEELS}/torch-1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (spoil(TORCH), "file_changed"),
        (spoil(FACTS), "file_changed"),
        (spoil("MANIFEST.sha256"), "signature_invalid"),
        (spoil("MANIFEST.sig"), "signature_invalid"),
        (lambda path: (path / "MANIFEST.sig").unlink(), "signature_missing"),
        (lambda path: (path / TORCH).unlink(), "file_missing"),
        (add, "file_unlisted"),
        (shutil.rmtree, "media_missing"),
    ],
)
def test_what_is_not_what_was_signed_is_refused_with_nothing_installed(
    host: Bench, tmp_path: Path, change: Callable[[Path], object], code: str
) -> None:
    made = stick(host, tmp_path / "stick", body="x = 3\n")
    change(made)
    before = host.footprint()
    done = bring(host, made)
    assert (done.returncode, json.loads(done.stdout)["code"]) == (1, code), done.stderr
    assert host.footprint() == before and not (host.state / "tuning").exists()


def test_another_key_and_another_python_are_refused(host: Bench, tmp_path: Path) -> None:
    media.new_key(tmp_path / "other.pem")
    before = host.footprint()
    for made, code in (
        (stick(host, tmp_path / "a", key=tmp_path / "other.pem"), "key_changed"),
        (stick(host, tmp_path / "b", python="3.1"), "set_unfit"),
    ):
        done = bring(host, made)
        assert (done.returncode, json.loads(done.stdout)["code"]) == (1, code), done.stderr
    assert host.footprint() == before


@pytest.mark.skipif(facts.driver() is not None, reason="an NVIDIA driver is loaded on this host")
def test_a_set_for_gpus_is_refused_on_a_host_without_a_driver(host: Bench, tmp_path: Path) -> None:
    before = host.footprint()
    done = bring(host, stick(host, tmp_path / "stick", gpu="cuda12"))
    assert (done.returncode, json.loads(done.stdout)["code"]) == (1, "gpu_driver_missing")
    assert "no NVIDIA driver is loaded" in done.stderr and "built without `--gpu`" in done.stderr
    assert host.footprint() == before


def test_a_set_for_gpus_needs_a_driver_that_is_new_enough() -> None:
    for driver, code in ((None, "gpu_driver_missing"), (524, "gpu_driver_too_old")):
        with pytest.raises(InstallError) as refused:
            check_driver("cuda12", driver)
        assert refused.value.code == code
    check_driver("cuda12", 525)


def test_the_service_sees_it_and_a_host_without_a_release_gets_none(tmp_path: Path) -> None:
    layout = answers.layout(answers.combine({}), user=False, home=Path("/root"))
    text = units.units(layout, answers.combine({}), "1.0")[units.SERVICE]
    assert "\nBindReadOnlyPaths=-/opt/appliance/tuning\n" in text
    bare = answers.layout(answers.combine({"prefix": str(tmp_path)}), user=True, home=tmp_path)
    with pytest.raises(InstallError) as refused:
        tuning.install(Media(tmp_path), bare, ["openssl"], lambda *_: None)
    assert refused.value.code == "key_unknown"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"format": 2}', b'{"format": 1, "python": "3.13"}', b'{"format": 1}',
             b'{"format": 1, "python": "../x", "machine": "x86_64", "lock": "ab"}',
             b'{"format": 1, "python": "3.13", "machine": "x86_64", "lock": "ab", "gpu": "rocm"}']
)  # fmt: skip
def test_a_document_of_another_form_is_refused(data: bytes) -> None:
    with pytest.raises(InstallError) as refused:
        parse(data)
    assert refused.value.code == "manifest_invalid"
    for gpu in ("", "cuda12"):
        told = Facts("3.13", "x86_64", "ab" * 32, gpu)
        assert parse(encode(told)) == told
        assert (b'"gpu"' in encode(told)) is bool(gpu)  # older installers know no such name
