"""The real llama.cpp with the real model: what a request gets does not depend on its neighbours."""

import os
from collections.abc import Callable, Iterator
from collections.abc import Sequence as ReadOnly
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.engine.cells import Cells
from appliance.engine.loop import Engine
from appliance.engine.prefixes import Drop
from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.scheduler import Chunk, Scheduler
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.errors import StateRefused
from appliance.trust.bytes.sealed import SealedFile
from appliance.types import Sampling
from tests.fuzz import model_mutants, tiny_models

PROMPTS = [
    "The capital of France is",
    "A hydraulic pump consists of a housing, a shaft and",
    "Once upon a time there was",
    "In 1969, the first",
    "Water boils at",
    "The invoice number is 4711 and the total amount of the invoice is",
    "My favourite animal is",
    "def fibonacci(n):",
]
TOKENS = 12
SLOTS = 8
BUDGET = 64
LIMIT = 0.5  # what a foreign cell changes is far more
Row = NDArray[np.float32]
Script = dict[int, list[int]]


class Forced(Engine):
    """Records every row of logits; generates given tokens where there are any."""

    def __init__(
        self, model: ModelRunner, scheduler: Scheduler, script: Script | None = None
    ) -> None:
        super().__init__(model, scheduler)
        self.runner = model
        self.rows: dict[int, list[Row]] = {}
        self.taken: dict[int, list[int]] = {}
        self._script = script or {}

    def _pick(self, sequence: Sequence, logits: Row) -> int:
        seen = self.rows.setdefault(sequence.id, [])
        token = super()._pick(sequence, logits)
        assert token is not None
        if sequence.id in self._script:
            token = self._script[sequence.id][len(seen)]
        seen.append(logits.copy())
        self.taken.setdefault(sequence.id, []).append(token)
        return token


def positions(runner: ModelRunner, slot: int) -> int:
    return int(llama.llama_memory_seq_pos_max(runner._memory, slot)) + 1


Prompts = dict[int, list[int]]
Late = dict[int, int]  # request -> step at which it arrives


def play(
    runner: ModelRunner,
    prompts: Prompts,
    *,
    script: Script | None = None,
    arrivals: Late | None = None,
    sampling: Callable[[int], Sampling] = lambda _: Sampling(temperature=0),
    capacity: int | None = None,
) -> Forced:
    """Requests arrive at their steps, in the order given."""
    config, late = runner.config, arrivals or {}
    cells = Cells(capacity or config.n_ctx, config.slots, separate=config.reproducible)
    engine = Forced(runner, Scheduler(cells, BUDGET, fixed_chunks=config.reproducible), script)
    step = 0
    while engine.busy() or step <= max(late.values(), default=0):
        for number, tokens in prompts.items():
            if late.get(number, 0) == step:
                engine.add(
                    Sequence(
                        id=number,
                        tokens=list(tokens),
                        sampling=sampling(number),
                        max_tokens=TOKENS,
                        stream=TextStream(),
                        ignore_eos=True,
                    )
                )
        engine.step()
        step += 1
    assert engine.cells.used == 0
    assert all(positions(runner, slot) == 0 for slot in range(config.slots))
    return engine


def pairs(alone: dict[int, Forced], together: Forced) -> Iterator[tuple[Row, Row]]:
    for number, run in alone.items():
        yield from zip(run.rows[number], together.rows[number], strict=True)


def worst(alone: dict[int, Forced], together: Forced) -> float:
    return max(float(np.abs(a - b).max()) for a, b in pairs(alone, together))


def make(
    library: Library, model: SealedFile, kind: type[ModelRunner], reproducible: bool
) -> ModelRunner:
    config = RunnerConfig(
        n_ctx=512 if reproducible else 1024,
        slots=4 if reproducible else SLOTS,
        threads=1,
        n_batch=BUDGET + SLOTS,
        reproducible=reproducible,
    )
    return kind(library, model.reopen(), config)


@pytest.fixture(scope="module")
def runner(library: Library, sealed_model: SealedFile) -> ModelRunner:
    return make(library, sealed_model, ModelRunner, reproducible=False)


@pytest.fixture(scope="module")
def prompts(runner: ModelRunner) -> Prompts:
    return {
        number: runner.tokenize(text, add_special=True, parse_special=True)
        for number, text in enumerate(PROMPTS)
    }


@pytest.fixture(scope="module")
def alone(runner: ModelRunner, prompts: Prompts) -> dict[int, Forced]:
    return {number: play(runner, {number: tokens}) for number, tokens in prompts.items()}


@pytest.fixture(scope="module")
def script(alone: dict[int, Forced]) -> Script:
    return {number: run.taken[number] for number, run in alone.items()}


def test_eight_at_once_have_the_logits_that_each_has_alone(
    runner: ModelRunner, prompts: Prompts, alone: dict[int, Forced], script: Script
) -> None:
    assert worst(alone, play(runner, prompts, script=script)) == 0


def test_arrivals_in_mid_stream_change_no_logit(
    runner: ModelRunner, prompts: Prompts, alone: dict[int, Forced], script: Script
) -> None:
    late = {number: 2 * (len(prompts) - number) for number in prompts}
    assert worst(alone, play(runner, prompts, script=script, arrivals=late)) == 0


def test_preemption_changes_no_logit(
    runner: ModelRunner, prompts: Prompts, alone: dict[int, Forced], script: Script
) -> None:
    few = {number: prompts[number] for number in (0, 1, 5)}
    size = sum(len(t) for t in few.values()) + 6  # all begin, and not all can go on
    together = play(runner, few, script=script, capacity=size)
    assert worst({n: alone[n] for n in few}, together) == 0


class Leaky(ModelRunner):
    def forward(self, chunks: ReadOnly[Chunk]) -> Row:
        logits = super().forward(chunks).copy()
        if any(c.sequence.slot == 1 and c.start == 0 for c in chunks):
            llama.llama_memory_seq_cp(self._memory, 0, 1, 1, 2)
        return logits


def test_one_foreign_cell_is_caught(
    library: Library,
    sealed_model: SealedFile,
    prompts: Prompts,
    alone: dict[int, Forced],
    script: Script,
) -> None:
    leaking = make(library, sealed_model, Leaky, reproducible=False)
    together = play(leaking, {1: prompts[1], 3: prompts[3]}, script=script)
    assert worst({1: alone[1]}, together) == 0  # the first one sees only its own
    assert worst({3: alone[3]}, together) > LIMIT
    two = play(leaking, {0: prompts[0], 1: prompts[1]}, script=script)
    assert worst({1: alone[1]}, two) > LIMIT


def seeded(number: int) -> Sampling:
    return Sampling(temperature=0.9, top_k=40, top_p=0.95, min_p=0.02, seed=1000 + number)


@pytest.fixture(scope="module")
def separate(library: Library, sealed_model: SealedFile) -> ModelRunner:
    return make(library, sealed_model, ModelRunner, reproducible=True)


@pytest.fixture(scope="module")
def mixed(prompts: Prompts, runner: ModelRunner) -> Prompts:
    long = runner.tokenize(
        "The quick brown fox jumps over the lazy dog. " * 15, add_special=True, parse_special=True
    )
    return {0: prompts[0], 1: long[: BUDGET + 20], 2: prompts[2], 3: long[: 2 * BUDGET]}


@pytest.mark.parametrize("sampling", [lambda _: Sampling(temperature=0), seeded])
def test_reproducible_answers_are_identical_alone_and_under_any_load(
    separate: ModelRunner, mixed: Prompts, sampling: Callable[[int], Sampling]
) -> None:
    expected = {n: play(separate, {n: t}, sampling=sampling) for n, t in mixed.items()}
    loads: list[tuple[list[int], Late]] = [([3, 2, 1, 0], {}), ([2, 1, 3, 0], {1: 1, 3: 1, 0: 5})]
    for order, late in loads:
        load = play(separate, {n: mixed[n] for n in order}, arrivals=late, sampling=sampling)
        assert load.taken == {n: run.taken[n] for n, run in expected.items()}
        assert worst(expected, load) == 0.0


def test_a_seed_gives_the_same_text_again_and_another_one_another(
    runner: ModelRunner, prompts: Prompts
) -> None:
    one = play(runner, {2: prompts[2]}, sampling=seeded)
    again = play(runner, {2: prompts[2]}, sampling=seeded)
    other = play(runner, {2: prompts[2]}, sampling=lambda _: seeded(77))
    assert one.taken == again.taken != other.taken


def test_pieces_of_tokens_are_the_bytes_of_the_text(runner: ModelRunner) -> None:
    for text in ["Grüße, 世界! 😀", "  two  blanks\n\ttab", "a" * 300]:
        tokens = runner.tokenize(text, add_special=False, parse_special=False)
        assert b"".join(runner.piece(t) for t in tokens).decode() == text


def test_the_tokens_that_end_an_answer_are_all_that_the_engine_knows(runner: ModelRunner) -> None:
    every = {t for t in range(runner.n_vocab) if llama.llama_vocab_is_eog(runner._vocab, t)}
    assert runner.ends == every


def test_control_tokens_are_read_only_where_asked_and_write_nothing(runner: ModelRunner) -> None:
    parsed = runner.tokenize("<|im_end|>", add_special=False, parse_special=True)
    plain = runner.tokenize("<|im_end|>", add_special=False, parse_special=False)
    assert len(parsed) == 1 and len(plain) > 1
    assert parsed[0] in runner.ends
    assert runner.piece(parsed[0]) == b""


def test_facts_of_the_model(runner: ModelRunner) -> None:
    assert runner.n_vocab == 49152
    assert runner.meta("general.architecture") == "llama"
    assert runner.meta("no.such.key") is None
    assert "im_start" in (runner.meta("tokenizer.chat_template") or "")
    assert runner.token_text("eos") == "<|im_end|>"


def test_every_token_has_a_piece(runner: ModelRunner) -> None:
    assert all(isinstance(runner.piece(t), bytes) for t in range(runner.n_vocab))


def test_a_chunk_that_does_not_sample_gives_no_row(runner: ModelRunner) -> None:
    sequence = Sequence(1, [1, 2, 3, 4], Sampling(), 1, TextStream(), slot=0)
    assert runner.forward([Chunk(sequence, 0, 3)]).shape == (0, runner.n_vocab)
    assert positions(runner, 0) == 3
    assert runner.forward([Chunk(sequence, 3, 1)]).shape == (1, runner.n_vocab)
    runner.follow([Drop(0)])
    assert positions(runner, 0) == 0


def test_a_sequence_without_a_slot_is_never_computed(runner: ModelRunner) -> None:
    sequence = Sequence(1, [1, 2], Sampling(), 1, TextStream())
    with pytest.raises(RuntimeError):
        runner.forward([Chunk(sequence, 0, 2)])


def _memfd(data: bytes) -> int:
    fd = os.memfd_create("garbage", 0)
    os.write(fd, data)
    return fd


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GGUF",
        b"not a model at all",
        b"GGUF" + b"\xff" * 4096,
        b"GGUF\x03\0\0\0" + bytes(16),
    ],
    ids=["empty", "magic only", "text", "magic and noise", "no tensors"],
)
def test_bytes_that_are_no_model_are_refused(library: Library, data: bytes) -> None:
    with pytest.raises(StateRefused) as caught:
        ModelRunner(library, _memfd(data), RunnerConfig(n_ctx=128, slots=1, threads=1, n_batch=16))
    assert caught.value.code == "model_load_failed"


def test_the_model_is_read_from_its_beginning_whatever_the_offset(
    library: Library, sealed_model: SealedFile
) -> None:
    fd = sealed_model.reopen()
    os.lseek(fd, 0, os.SEEK_END)
    small = ModelRunner(library, fd, RunnerConfig(n_ctx=128, slots=1, threads=1, n_batch=16))
    assert small.n_vocab == 49152


def test_a_model_loads_again_from_the_same_sealed_file(
    library: Library, sealed_model: SealedFile, prompts: Prompts, alone: dict[int, Forced]
) -> None:
    second = make(library, sealed_model, ModelRunner, reproducible=False)
    again = play(second, {0: prompts[0]})
    assert again.taken[0] == alone[0].taken[0]


def test_a_backend_that_does_not_load_is_refused(variant: Path) -> None:
    with pytest.raises(StateRefused) as caught:
        Library(variant.with_name("libggml-cpu-missing.so"))
    assert caught.value.code == "model_load_failed"


@pytest.mark.parametrize(("split", "layers"), [((11, 20), 31), ((), 0)])
def test_the_layers_of_each_gpu_reach_llama_cpp(
    library: Library,
    sealed_model: SealedFile,
    monkeypatch: pytest.MonkeyPatch,
    split: tuple[int, ...],
    layers: int,
) -> None:
    """Without GPUs llama.cpp takes the numbers and computes on the processor."""
    load, seen = llama.llama_model_load_from_file_ptr, []

    def watched(file: object, params: Any) -> object:
        parts = tuple(params.tensor_split[: len(split)]) if params.tensor_split else ()
        seen.append((params.n_gpu_layers, parts))
        return load(file, params)

    monkeypatch.setattr(llama, "llama_model_load_from_file_ptr", watched)
    config = RunnerConfig(n_ctx=128, slots=1, threads=1, n_batch=16, split=split)
    ModelRunner(library, sealed_model.reopen(), config)
    assert seen == [(layers, split)]


def test_tokens_spell_the_text_that_they_came_from(runner: ModelRunner) -> None:
    for text in (" naïve <|im_end|> 😀\n  x", "a" * 5000, ""):
        tokens = runner.tokenize(text, add_special=False, parse_special=True)
        assert runner.detokenize(tokens) == text


def test_a_space_may_be_three_tokens(library: Library) -> None:
    made = tiny_models.llama()  # its vocabulary loses the sign that stands for a space
    every = made.pairs["tokenizer.ggml.tokens"]
    made.pairs["tokenizer.ggml.tokens"] = every.replace("▁".encode(), b"zzz")
    fd = os.memfd_create("model")
    os.write(fd, model_mutants.build(made))
    tiny = ModelRunner(library, fd, RunnerConfig(n_ctx=64, slots=1, threads=1, n_batch=64))
    tokens = tiny.tokenize("a a a a a a a a a a", add_special=False, parse_special=False)
    assert len(tokens) > 10 + 9 * 3 - 1
