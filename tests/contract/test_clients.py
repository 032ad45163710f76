"""Unmodified clients that apps use, in an environment of their own, against `appliance serve`."""

import json
import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from appliance.engine.generator import Generator
from appliance.engine.protocol import Load
from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.workers.cpu_variants import best_variant, library_directory
from tests.contract.conftest import (
    CITING,
    COLLECTION,
    EMBEDDER,
    LABELS,
    RERANKER,
    TASK,
    Live,
    Record,
)
from tests.contract.seen import SeenClients
from tests.prepare import prepare

CLIENTS = Path(__file__).parent / "clients"
# LiteLLM and the data sets of lm-eval would look for news at hosts that are not there.
OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
}
LM, INSPECT = "test_lm_eval.py", "test_inspect.py"
FRAMEWORKS = {
    "test_dspy.py", "test_haystack.py", "test_llm.py", "test_mcp_1.py", "test_semantic_kernel.py",
    "test_smolagents.py",
}  # fmt: skip
FAR = 1800  # seconds


def run(python: Path, server: Live, directory: Path, name: str, record: Record) -> None:
    environment = {
        "PATH": os.defpath,
        "HOME": str(directory),
        "CONTRACT_URL": server.base_url,
        "CONTRACT_MODEL": server.model,
        "CONTRACT_EMBEDDER": EMBEDDER,
        "CONTRACT_RERANKER": RERANKER,
        "CONTRACT_TASK": TASK,
        "CONTRACT_COLLECTION": COLLECTION,
        "CONTRACT_CITING": CITING,
        "CONTRACT_LABELS": LABELS,
        "CONTRACT_OUT": str(directory / "out.json"),
        "CONTRACT_SEEN": str(directory / "seen.json"),
        "CONTRACT_OTHER_KEY": server.other_key,
        "OPENAI_API_KEY": server.api_key,
        **OFFLINE,
    }
    command: list[str | Path] = [
        python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-c", os.devnull,
        "--rootdir", CLIENTS, "--confcutdir", CLIENTS, "--timeout", "300", CLIENTS / name,
    ]  # fmt: skip
    with server.restarting() as restart:
        environment["CONTRACT_RESTART"] = restart
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=directory, env=environment, timeout=FAR,
            check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    seen = msgspec.json.decode((directory / "seen.json").read_bytes(), type=SeenClients)
    assert seen.clients and seen.passed
    record(name, seen)


@pytest.mark.slow
@pytest.mark.timeout(FAR + 1300)
@pytest.mark.parametrize(
    "name",
    sorted({path.name for path in CLIENTS.glob("test_*.py")} - {LM, INSPECT} - FRAMEWORKS),
)
def test_client(
    python: Path, three_models: Live, tmp_path: Path, name: str, record: Record
) -> None:
    run(python, three_models, tmp_path, name, record)


@pytest.mark.slow
@pytest.mark.timeout(FAR + 1300)
def test_inspect(inspect_python: Path, three_models: Live, tmp_path: Path, record: Record) -> None:
    run(inspect_python, three_models, tmp_path, INSPECT, record)


@pytest.mark.slow
@pytest.mark.timeout(FAR + 1300)
@pytest.mark.parametrize("name", sorted(FRAMEWORKS))
def test_framework(
    frameworks_python: Path, three_models: Live, tmp_path: Path, name: str, record: Record
) -> None:
    run(frameworks_python, three_models, tmp_path, name, record)


@pytest.fixture(scope="module")
def generator(generating_path: Path) -> Generator:
    """The engine in this process, as the server's worker has it."""
    load = Load(
        variant=str(best_variant(library_directory())), n_ctx=512, slots=1, threads=1,
        prefill_budget=512, reproducible=True, memory_bytes=0, max_prepare_bytes=1 << 20,
    )  # fmt: skip
    config = RunnerConfig(n_ctx=512, slots=1, threads=1, n_batch=600, reproducible=True)
    fd = os.open(generating_path, os.O_RDONLY)
    return Generator(ModelRunner(Library(Path(load.variant)), fd, config), load)


def log_likelihood(generator: Generator, number: int, context: str, continuation: str) -> float:
    runner = generator._runner
    begin, whole = (
        runner.tokenize(text, add_special=False, parse_special=True)
        for text in (context, context + continuation)
    )
    asked = prepare(number, tokens=tuple(whole), max_tokens=1, logprobs=0, echo=True)
    _, sequences = generator.prepare(asked)
    generator.engine.add(sequences[0])
    told: list[float | None] = []
    while generator.engine.busy():
        for row in generator.engine.step().rows:
            told += [entry.logprob for entry in row.logprobs]
    return sum(value or 0.0 for value in told[len(begin) : len(whole)])


@pytest.mark.slow
@pytest.mark.timeout(FAR + 1300)
def test_lm_eval_scores_what_the_engine_scores(
    python: Path, three_models: Live, generator: Generator, tmp_path: Path, record: Record
) -> None:
    run(python, three_models, tmp_path, LM, record)
    scored = json.loads((tmp_path / "out.json").read_text())
    assert len(scored) == 18
    for number, (context, continuation, told, _) in enumerate(scored):
        expected = log_likelihood(generator, number + 1, context, continuation)
        assert told == pytest.approx(expected, abs=1e-4)
