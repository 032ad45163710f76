"""Models on the stick, and copies of the chosen ones only."""

from installer.bundle.media import Source
from installer.host.manifest import model_names
from tests.installer.bench import Bench
from tests.installer.host.test_manifest import part


def test_names() -> None:
    assert model_names([part("m/a", "model"), part("m/b", "model"), part("w", "wheel")]) == ["m"]


def test_a_model_that_nobody_asked_for_stays_on_the_stick(bench: Bench) -> None:
    bench.place.joinpath("weights").write_bytes(b"w" * 70_000)
    bench.bundle(extra=(Source("m/weights.gguf", "model", bench.place / "weights"),))
    (chunk, *_) = [p for p in bench.stick.rglob("*.000") if p.stat().st_size == 30_000]
    chunk.unlink()
    assert bench.install().returncode == 0
    answers = bench.place / "answers.toml"
    answers.write_text('models = ["m"]\n')
    done = bench.install("--answers", str(answers))
    assert done.returncode == 1 and "file_missing" in done.stderr
