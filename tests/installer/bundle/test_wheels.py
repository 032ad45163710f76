"""The wheels install without a network, and only the locked bytes do."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from installer.bundle import sbom
from installer.bundle.cache import cache_root, sha256_file
from installer.bundle.llama_recipe import recipe
from installer.bundle.llama_wheel import cached
from installer.bundle.locks import LOCKS, Locked
from installer.bundle.steps import BundleError
from installer.bundle.wheel_cache import Wheel
from installer.bundle.wheelhouse import BUNDLED, read_lists, running
from installer.bundle.wheels import REQUIREMENTS, SBOM, SUMS, check, platform_name, write_lists
from tests.conftest import need_tool, unavailable
from tests.installer.bundle.conftest import MakeEnvironment
from tests.installer.bundle.wheel_files import write_wheel

Small = Callable[..., tuple[Path, list[Locked]]]


def update_sums(directory: Path) -> None:
    """Write SHA256SUMS, as an attacker who replaced a file."""
    files = [path for path in directory.iterdir() if path.name != SUMS]
    lines = [f"{sha256_file(path)}  {path.name}\n" for path in files]
    (directory / SUMS).write_text("".join(lines))


@pytest.fixture
def small(tmp_path: Path) -> Small:
    def make(*members: str) -> tuple[Path, list[Locked]]:
        directory = tmp_path / "wheels"
        directory.mkdir()
        wheel = directory / "a-1.0-py3-none-any.whl"
        write_wheel(wheel, *members)
        write_lists(directory, [wheel])
        return directory, [Locked("a", "1.0", "", frozenset({sha256_file(wheel)}))]

    return make


def test_the_locked_wheel_passes(small: Small) -> None:
    check(*small("a/x.py"), llama_sha256="0" * 64)


@pytest.mark.parametrize("member", ["x.pth", "a-1.0.data/purelib/x.pth", "a-1.0.data/data/X.PTH"])
def test_a_wheel_with_a_pth_file_is_refused(small: Small, member: str) -> None:
    directory, lock = small()
    write_wheel(directory / "a-1.0-py3-none-any.whl", member)
    update_sums(directory)
    with pytest.raises(BundleError, match="runs at every start"):
        check(directory, lock, llama_sha256="0" * 64)


def test_a_wheel_that_is_not_locked_is_refused(small: Small) -> None:
    directory, _ = small()
    other = [Locked("a", "1.0", "", frozenset({"1" * 64})), Locked("a", "1.1", "", frozenset())]
    with pytest.raises(BundleError, match="not in the lock"):
        check(directory, other, llama_sha256="0" * 64)


def test_another_llama_wheel_is_refused(small: Small) -> None:
    directory, lock = small()
    wheel = directory / "llama_cpp_python-0.3.36-py3-none-linux_x86_64.whl"
    write_wheel(wheel, name="llama_cpp_python", version="0.3.36")
    write_lists(directory, sorted(directory.glob("*.whl")))
    check(directory, lock, llama_sha256=sha256_file(wheel))
    with pytest.raises(BundleError, match=r"llama_cpp_python.*not in the lock"):
        check(directory, lock, llama_sha256="0" * 64)


def test_an_sdist_is_refused(small: Small) -> None:
    directory, lock = small()
    sdist = directory / "b-1.0.tar.gz"
    sdist.write_bytes(b"")
    update_sums(directory)
    with pytest.raises(BundleError, match=r"b-1\.0\.tar\.gz is an sdist, not a wheel"):
        check(directory, lock, llama_sha256="0" * 64)


def test_a_bill_that_lists_other_wheels_is_refused(small: Small) -> None:
    directory, lock = small()
    (directory / SBOM).write_bytes(sbom.write("appliance-wheels", "1", []))
    update_sums(directory)
    with pytest.raises(BundleError, match=f"{SBOM} does not list the wheels"):
        check(directory, lock, llama_sha256="0" * 64)


@pytest.mark.parametrize("change", ["extra", "missing", "flipped", "no sums", "bad sums"])
def test_files_and_sums_must_agree(small: Small, change: str) -> None:
    directory, lock = small()
    wheel = directory / "a-1.0-py3-none-any.whl"
    match change:
        case "extra":
            (directory / "x.whl").write_bytes(b"")
        case "missing":
            wheel.unlink()
        case "flipped":
            wheel.write_bytes(b"Q" + wheel.read_bytes()[1:])
        case "no sums":
            (directory / SUMS).unlink()
        case _:
            (directory / SUMS).write_text("nonsense\n")
    with pytest.raises(BundleError, match=SUMS):
        check(directory, lock, llama_sha256="0" * 64)


def test_platform_is_the_newest_glibc_needed(tmp_path: Path) -> None:
    llama = Wheel(tmp_path, "", {"glibc": "2.17", "machine": "x86_64"})
    names = [
        "a-1-cp311-abi3-manylinux_2_34_x86_64.whl",
        "b-1-cp311-cp311-manylinux_2_5_x86_64.manylinux1_x86_64.manylinux_2_39_x86_64.whl",
        "c-1-py3-none-any.whl",
    ]
    wheels = [Path(name) for name in names]
    assert platform_name(wheels, llama, BUNDLED) == "cp313-manylinux_2_34_x86_64"


@pytest.fixture(scope="module")
def offline() -> Path:
    pattern = f"cp{sys.version_info[0]}{sys.version_info[1]}-*/{SUMS}"
    found = sorted(LOCKS.glob(pattern), key=lambda path: path.stat().st_mtime)
    if not found or cached(cache_root() / "llama-wheels", recipe()) is None:
        unavailable("no offline wheels for this Python: make wheels")
    return found[-1].parent


def install(wheels: Path, environment: Path) -> subprocess.CompletedProcess[str]:
    """Install in a network namespace without interfaces, without pip settings."""
    unshare = [need_tool("unshare"), *(["-n"] if os.geteuid() == 0 else ["-r", "-n"])]
    program = (
        "import os, subprocess, sys\n"
        "print('namespace', os.readlink('/proc/self/ns/net'))\n"
        "sys.exit(subprocess.call(sys.argv[1:], stderr=subprocess.STDOUT))"
    )
    python = str(environment / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--no-index", "--find-links", str(wheels)]
    pip += ["--require-hashes", "-r", str(wheels / REQUIREMENTS)]
    pip += ["--no-compile"]  # which takes half the time and asks for nothing that is tested here
    env = {"PATH": os.defpath, "PIP_CONFIG_FILE": os.devnull, "HOME": str(environment)}
    return subprocess.run(
        [*unshare, python, "-c", program, *pip],
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )


def test_what_make_wheels_made_passes(offline: Path) -> None:
    llama = cached(cache_root() / "llama-wheels", recipe())
    assert llama is not None
    check(offline, read_lists(running().name).lock, llama.sha256)
    assert offline.name == platform_name(list(offline.glob("*.whl")), llama, running())


def test_installs_without_a_network(
    offline: Path, tmp_path: Path, make_environment: MakeEnvironment
) -> None:
    done = install(offline, make_environment(tmp_path / "venv"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"namespace {Path('/proc/self/ns/net').readlink()}" not in done.stdout
    python = tmp_path / "venv" / "bin" / "python"
    program = "import appliance, llama_cpp, pysqlite3; print(appliance.__file__)"
    env = {"PATH": os.defpath}
    found = subprocess.run(
        [python, "-I", "-c", program], capture_output=True, text=True, check=True, cwd="/", env=env
    )
    assert Path(found.stdout.strip()).is_relative_to(tmp_path / "venv")
    subprocess.run([python, "-I", "-m", "pip", "check"], check=True, cwd="/", env=env)


def test_a_flipped_byte_does_not_install(
    offline: Path, tmp_path: Path, make_environment: MakeEnvironment
) -> None:
    wheels = tmp_path / "wheels"
    shutil.copytree(offline, wheels, copy_function=os.link)
    wheel = min(wheels.glob("*.whl"), key=lambda path: path.stat().st_size)
    data = bytearray(wheel.read_bytes())
    data[len(data) // 2] ^= 1
    wheel.unlink()
    wheel.write_bytes(data)
    done = install(wheels, make_environment(tmp_path / "venv"))
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stdout
