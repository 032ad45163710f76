"""Artifact directories: what may lie in one."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import Refused
from appliance.trust.bytes import directory, oms
from appliance.trust.bytes.manifest import MAX_FILES
from tests.trust.forge import make_artifact, quiet, sha256

Change = Callable[[Path], object]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    make_artifact(tmp_path / "source")
    return tmp_path / "source"


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(Refused) as caught:
        action()
    return caught.value.code


def listed(path: Path) -> dict[str, int]:
    with directory.open_artifact(path) as artifact:
        return dict(artifact.sizes)


def test_every_file_is_listed(source: Path) -> None:
    (source / "model.sig").write_bytes(b"{}")
    with directory.open_artifact(source) as artifact:
        assert set(artifact.sizes) == {"LICENSE", "docs/card.md", "model.sig", "tiny.gguf"}
        assert set(artifact.covered) == {"LICENSE", "docs/card.md", "tiny.gguf"}
        assert artifact.sizes["LICENSE"] == len("Apache-2.0")
        assert artifact.signature() == b"{}"


def link_out(path: Path) -> None:
    (path / "docs" / "card.md").unlink()
    (path / "docs" / "card.md").symlink_to("/etc/hostname")


def link_directory(path: Path) -> None:
    (path / "more").symlink_to(path / "docs", target_is_directory=True)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path / "s"))


def write(name: str | bytes) -> Change:
    def change(path: Path) -> None:
        target = os.fsencode(path) + b"/" + os.fsencode(name)
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))

    return change


def deep(path: Path) -> None:
    (path / "/".join(["d"] * (directory.MAX_DEPTH + 1))).mkdir(parents=True)


def crowded(path: Path) -> None:
    (path / "many").mkdir()
    for number in range(MAX_FILES):
        (path / "many" / str(number)).touch()


def huge(path: Path) -> None:
    with (path / "sparse").open("wb") as file:
        file.truncate(directory.MAX_FILE_BYTES + 1)


BAD: dict[str, tuple[Change, str]] = {
    "symbolic link": (link_out, "file_symlink"),
    "dangling link": (lambda p: (p / "x").symlink_to("nowhere"), "file_symlink"),
    "linked directory": (link_directory, "file_symlink"),
    "hard link": (lambda p: os.link(p / "tiny.gguf", p.parent / "twin"), "file_hardlink"),
    "hard link inside": (lambda p: os.link(p / "LICENSE", p / "COPY"), "file_hardlink"),
    "FIFO": (lambda p: os.mkfifo(p / "fifo"), "file_special"),
    "socket": (make_socket, "file_special"),
    "file under .github": (write(".github/evil.gguf"), "file_ignored_path"),
    "file under .git": (write(".git/config"), "file_ignored_path"),
    ".gitattributes": (write(".gitattributes"), "file_ignored_path"),
    ".gitignore": (write(".gitignore"), "file_ignored_path"),
    "names that differ in case": (write("Tiny.GGUF"), "file_name_refused"),
    "directories that differ in case": (write("DOCS/card.md"), "file_name_refused"),
    "name not UTF-8": (write(b"a\xff"), "file_name_refused"),
    "name not NFC": (write("a\u0308"), "file_name_refused"),
    "name with a backslash": (write("a\\b"), "file_name_refused"),
    "name with an escape": (write("a\x1b[2J"), "file_name_refused"),
    "too deep": (deep, "file_limit"),
    "too many": (crowded, "file_limit"),
    "too large": (huge, "file_limit"),
}


@pytest.mark.parametrize(("change", "code"), BAD.values(), ids=BAD)
def test_refused(source: Path, change: Change, code: str) -> None:
    listed(source)
    change(source)
    assert code_of(lambda: listed(source)) == code


def test_what_is_no_directory(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    for path in (tmp_path / "link", source / "LICENSE", tmp_path / "none"):
        assert code_of(lambda p=path: listed(p)) == "artifact_not_directory"  # type: ignore[misc]


def test_the_signature_is_there_and_not_too_large(source: Path) -> None:
    with directory.open_artifact(source) as artifact:
        assert code_of(artifact.signature) == "signature_missing"
    with (source / "model.sig").open("wb") as file:
        file.truncate(oms.MAX_BUNDLE + 1)
    with directory.open_artifact(source) as artifact:
        assert code_of(artifact.signature) == "signature_json_invalid"


def test_hashing_reports_its_progress(source: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    with directory.open_artifact(source) as artifact:
        total = sum(artifact.sizes.values())
        meter = directory.BlockMeter(lambda *step: seen.append(step), "hashing", total)
        digests = directory.hash_files(artifact, artifact.sizes, meter)
    assert digests["LICENSE"].sha256 == sha256(b"Apache-2.0")
    assert seen[-1] == ("hashing", total, total)


def test_a_file_that_became_a_link_after_listing(source: Path) -> None:
    with directory.open_artifact(source) as artifact:
        link_out(source)
        meter = directory.BlockMeter(quiet, "hashing", 1)
        assert code_of(lambda: directory.hash_files(artifact, artifact.sizes, meter)) == (
            "file_symlink"
        )


def test_reading_a_prefix(source: Path) -> None:
    with directory.open_artifact(source) as artifact:
        assert directory.read_prefix(artifact.fd, "LICENSE", 6) == b"Apache"
        assert directory.read_prefix(artifact.fd, "LICENSE", 600) == b"Apache-2.0"


def test_removing_does_not_follow_links(source: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    make_artifact(victim)
    (source / "link").symlink_to(victim, target_is_directory=True)
    (source / "file").symlink_to(victim / "LICENSE")
    directory.remove_tree(source)
    directory.remove_tree(source)
    assert not source.exists()
    assert (victim / "LICENSE").exists()
