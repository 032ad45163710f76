"""The stick with the tuning set: the lock's wheels for one Python, signed, and nothing else."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from installer.bundle import media, tuning_bundle
from installer.bundle.cache import sha256_file
from installer.bundle.locks import read_lock
from installer.bundle.steps import BundleError
from installer.bundle.tuning_set import SETS
from installer.bundle.wheelhouse import TARGETS, select
from installer.host.tuning import FACTS, parse
from tests.installer.bundle.wheel_files import write_wheel

TARGET = TARGETS["cp313"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    torch = [
        write_wheel(wheels / f"torch-1.0+cpu-{tag}-{tag}-linux_x86_64.whl", name="torch",
                    version="1.0+cpu", metadata=f"Metadata-Version: 2.4\nName: torch\n"
                    f"Version: 1.0+cpu\nSummary: {tag}\n")
        for tag in ("cp311", "cp313")
    ]  # fmt: skip
    sympy = write_wheel(wheels / "sympy-2.0-py3-none-any.whl", name="sympy", version="2.0")
    with zipfile.ZipFile(sympy, "a") as archive:  # pip reads it
        archive.writestr("sympy-2.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    write_wheel(wheels / "stranger-1.0-py3-none-any.whl", name="stranger")
    hashes = " ".join(f"--hash=sha256:{sha256_file(path)}" for path in torch)
    (tmp_path / "lock.txt").write_text(
        f"setuptools==84.0 --hash=sha256:{'0' * 64}\n"
        f"sympy==2.0 --hash=sha256:{sha256_file(sympy)}\n"
        f"torch==1.0+cpu {hashes}\n"
    )
    media.new_key(tmp_path / "key.pem")
    return tmp_path


def build(place: Path, gpu: str = "") -> Path:
    out, lock = place / "stick", place / "lock.txt"
    tuning_bundle.build(out, place / "key.pem", place / "wheels", TARGET, gpu=gpu, lock=lock)
    return out


def test_it_has_the_wheels_of_the_lock_for_one_python_and_is_signed(place: Path) -> None:
    out = build(place)
    assert sorted(path.name for path in (out / "wheels").iterdir()) == [
        "sympy-2.0-py3-none-any.whl", "torch-1.0+cpu-cp313-cp313-linux_x86_64.whl",
    ]  # fmt: skip
    facts = parse((out / FACTS).read_bytes())
    assert (facts.python, facts.lock) == ("3.13", sha256_file(place / "lock.txt"))
    assert facts.gpu == "" and "driver" not in (out / "README").read_text()
    assert (out / "LICENSES" / "torch.txt").is_file()
    command = (
        "openssl dgst -sha384 -verify vendor.pub -signature MANIFEST.sig MANIFEST.sha256"
        " && sha256sum -c --strict --quiet MANIFEST.sha256"
    )
    assert subprocess.run(["sh", "-c", command], cwd=out, capture_output=True).returncode == 0


def test_a_torch_that_the_lock_does_not_name_is_not_taken(place: Path) -> None:
    path = place / "wheels" / "torch-1.0+cpu-cp313-cp313-linux_x86_64.whl"
    write_wheel(path, "torch/more.py", name="torch", version="1.0+cpu")
    with pytest.raises(
        BundleError, match=r"no wheel of torch for cp313.*make lock-torch TORCH_WHEELS"
    ):
        build(place)
    assert not (place / "stick").exists()


def test_a_set_for_gpus_says_which_driver_it_needs_and_takes_torch_as_the_index_has_it(
    place: Path,
) -> None:
    wheels = place / "wheels"
    torch = write_wheel(
        wheels / "torch-2.0-cp313-cp313-manylinux_2_28_x86_64.whl", name="torch", version="2.0"
    )
    cublas = write_wheel(
        wheels / "nvidia_cublas_cu12-12.8-py3-none-manylinux_2_27_x86_64.whl",
        name="nvidia_cublas_cu12", version="12.8",
    )  # fmt: skip
    with zipfile.ZipFile(cublas, "a") as archive:
        tag = "Wheel-Version: 1.0\nTag: py3-none-manylinux_2_27_x86_64\n"
        archive.writestr("nvidia_cublas_cu12-12.8.dist-info/WHEEL", tag)
    linux = "platform_machine == 'x86_64' and sys_platform == 'linux'"
    (place / "lock.txt").write_text(
        f"nvidia-cublas-cu12==12.8 ; {linux} --hash=sha256:{sha256_file(cublas)}\n"
        f"torch==2.0 --hash=sha256:{sha256_file(torch)}\n"
    )
    out = build(place, "cuda12")
    assert {path.name for path in (out / "wheels").iterdir()} == {torch.name, cublas.name}
    assert parse((out / FACTS).read_bytes()).gpu == "cuda12"
    assert "NVIDIA driver 525 or newer (cuda12)" in (out / "README").read_text()


def test_without_a_directory_the_set_for_the_processor_says_what_it_lacks(place: Path) -> None:
    with pytest.raises(BundleError, match="with --wheels, or build a set for GPUs with --gpu"):
        tuning_bundle.build(
            place / "stick", place / "key.pem", None, TARGET, lock=place / "lock.txt"
        )


@pytest.mark.parametrize("gpu", SETS)
def test_the_locks_of_the_repository_can_be_selected(gpu: str) -> None:
    entries = select(read_lock(SETS[gpu]), TARGET)
    assert {"torch", "sympy", "networkx"} <= {entry.name for entry in entries}
