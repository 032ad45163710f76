"""The threads that compute live as long as the context."""

from pathlib import Path

import pytest

from appliance.engine import threadpool
from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.scheduler import Chunk
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.errors import StateRefused
from appliance.trust.bytes.sealed import SealedFile
from appliance.types import Sampling

THREADS = 2


def threads() -> set[str]:
    return {task.name for task in Path("/proc/self/task").iterdir()}


def step(runner: ModelRunner, at: int) -> None:
    sequence = Sequence(0, [1, 2, 3, 4], Sampling(temperature=0), 4, TextStream(), slot=0)
    runner.forward([Chunk(sequence, at, 1)])


def kept_threads(library: Library, model: SealedFile) -> list[set[str]]:
    """The threads that are there after each of three steps and were not before the first."""
    before = threads()
    config = RunnerConfig(n_ctx=64, slots=1, threads=THREADS, n_batch=32)
    runner = ModelRunner(library, model.reopen(), config)
    seen = []
    for at in range(3):
        step(runner, at)
        seen.append(threads() - before)
    return seen


def test_the_same_threads_compute_every_step(library: Library, sealed_model: SealedFile) -> None:
    first, *later = kept_threads(library, sealed_model)
    assert len(first) == THREADS - 1  # the one that calls computes, too
    assert all(seen == first for seen in later)


def test_without_the_pool_no_thread_outlives_its_step(
    library: Library, sealed_model: SealedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threadpool, "attach", lambda *_: None)
    assert kept_threads(library, sealed_model) == [set(), set(), set()]


def test_threads_that_cannot_be_started_refuse_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Functions:
        def __init__(self, _path: str) -> None:
            self.ggml_threadpool_params_init = self.ggml_threadpool_new = Function()
            self.llama_attach_threadpool = Function()

    class Function:
        def __call__(self, *_: object) -> None:
            return None

    monkeypatch.setattr("ctypes.CDLL", Functions)
    with pytest.raises(StateRefused) as refused:
        threadpool.attach(Path("libggml-cpu-x64.so"), 1, 2)
    assert refused.value.code == "model_load_failed"
