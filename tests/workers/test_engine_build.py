"""Two builds of one version are told apart."""

from pathlib import Path

from appliance.workers.engine_build import build_of


def libraries(path: Path, **contents: str) -> Path:
    path.mkdir()
    for name, content in contents.items():
        (path / f"{name}.so").write_text(content)
    return path


def test_names_and_contents_count(tmp_path: Path) -> None:
    one = build_of(libraries(tmp_path / "1", llama="a", ggml="b"))
    assert len(one) == 16 and one == build_of(libraries(tmp_path / "2", ggml="b", llama="a"))
    assert one != build_of(libraries(tmp_path / "3", llama="b", ggml="a"))
    assert one != build_of(libraries(tmp_path / "4", llama="a", other="b"))


def test_the_installed_one_has_a_build() -> None:
    assert build_of() == build_of() != build_of(Path("/nonexistent"))
