"""The kernels go into the source that they were made for, or nothing is built."""

from dataclasses import replace
from pathlib import Path

import pytest

from installer.bundle import kernel_hook
from installer.bundle.kernel_hook import CHANGES, apply, digest
from installer.bundle.steps import BundleError

OURS = "vendor/llama.cpp/ggml/src/ggml-cpu/kernels"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    texts: dict[str, str] = {}
    for change in CHANGES:
        texts[change.file] = texts.get(change.file, "// begin\n") + change.before
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def contents(source: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}


def test_every_change_is_made_and_every_file_added(source: Path) -> None:
    apply(source)
    for change in CHANGES:
        assert change.after in (source / change.file).read_text()
    added = {path.name for path in (source / OURS).iterdir()}
    assert {"weights.cpp", "attention.cpp", "barrier.h", "kernels.h"} <= added
    assert "README.md" not in added
    for line in CHANGES[2].after.splitlines()[2:]:
        assert Path(line.strip()).name in added


def test_our_buffer_type_is_asked_before_all_others(source: Path) -> None:
    """ggml takes the first that wants a matrix: AMX and repacking come after."""
    list_begins = "        std::vector<ggml_backend_buffer_type_t> bufts;\n"
    path = source / "vendor/llama.cpp/ggml/src/ggml-cpu/ggml-cpu.cpp"
    path.write_text(path.read_text() + "bufts.push_back(ggml_backend_amx_buffer_type());\n")
    apply(source)
    after = path.read_text().split(list_begins)[1]
    first = after[after.index("push_back(") :].splitlines()[0]
    assert first == "push_back(kernels_buffer_type());"


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
def test_a_text_that_changed_stops_the_build(source: Path, change: kernel_hook.Change) -> None:
    path = source / change.file
    path.write_text(path.read_text().replace(change.before, "// upstream's new idea\n"))
    before = contents(source)
    with pytest.raises(BundleError, match="0 times: see kernels/README"):
        apply(source)
    assert contents(source) == before


def test_a_text_that_is_there_twice_stops_the_build(source: Path) -> None:
    path = source / CHANGES[0].file
    path.write_text(path.read_text() * 2)
    with pytest.raises(BundleError, match="2 times"):
        apply(source)
    assert not (source / OURS).exists()


def test_it_is_not_done_twice(source: Path) -> None:
    apply(source)
    before = contents(source)
    with pytest.raises(BundleError):
        apply(source)
    assert contents(source) == before


def test_files_and_changes_decide_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digest()
    changed = (replace(CHANGES[0], after="x"), *CHANGES[1:])
    with monkeypatch.context() as patch:
        patch.setattr(kernel_hook, "CHANGES", changed)
        assert digest() != before
    for path in kernel_hook.KERNELS.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(kernel_hook, "KERNELS", tmp_path)
    assert digest() == before
    (tmp_path / "README.md").write_text("another")
    assert digest() == before
    with (tmp_path / "simd.h").open("a") as file:
        file.write("\n")
    assert digest() != before
