"""Scores of labels: equal to scoring each label alone, whatever else the engine does meanwhile."""

from collections.abc import Sequence as Sequences
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from appliance.engine.cells import BRANCHES, SCORED, Cells
from appliance.engine.labels import MOST_TOKENS, Labels
from appliance.engine.logprobs import Echo, Logprobs, normaliser
from appliance.engine.loop import Engine
from appliance.engine.pace import Pace
from appliance.engine.protocol import Row
from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.scheduler import Chunk, Scheduler
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.errors import BadRequest
from appliance.statistics.labels import blended, distribution, prior, total
from appliance.trust.bytes.sealed import SealedFile
from appliance.types import Sampling, Unscored
from tests.engine.hash_model import N_VOCAB, HashModel

GREEDY = Sampling(temperature=0)
TOKENS = st.integers(0, 3)


def asking(number: int, prompt: tuple[int, ...], labels: Labels, scope: str = "") -> Sequence:
    return Sequence(
        id=number, tokens=list(prompt), sampling=GREEDY, max_tokens=0,
        stream=TextStream(()), labels=labels, scope=scope,
    )  # fmt: skip


def answer(number: int, prompt: tuple[int, ...], length: int) -> Sequence:
    return Sequence(
        id=number, tokens=list(prompt), sampling=GREEDY, max_tokens=length,
        stream=TextStream(()), ignore_eos=True,
    )  # fmt: skip


def alone(prompt: tuple[int, ...], label: tuple[int, ...]) -> float:
    """By brute force: a pass of a fresh model for each token."""
    total = 0.0
    for at, token in enumerate(label):
        rows: list[NDArray[np.float32]] = []

        class Watched(HashModel):
            def forward(self, chunks, rows=rows):  # type: ignore[no-untyped-def]
                rows.append(super().forward(chunks))
                return rows[-1]

        engine = Engine(Watched(1000, 1), Scheduler(Cells(1000, 1), 1000))
        engine.add(answer(0, (*prompt, *label[:at]), 1))
        engine.step()
        row, denominator = normaliser(rows[0][-1])
        total += float(row[token]) - denominator
    return total


@st.composite
def distinct(draw: st.DrawFn) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for label in draw(st.lists(st.lists(TOKENS, min_size=1, max_size=6).map(tuple), min_size=2)):
        size = len(label)
        if all(o[:size] != label and label[: len(o)] != o for o in found):
            found.append(label)
    return found


@dataclass
class Scene:
    capacity: int
    slots: int
    budget: int
    kept: int
    separate: bool
    asks: list[tuple[tuple[int, ...], list[tuple[int, ...]]]] = field(default_factory=list)
    beside: list[tuple[tuple[int, ...], int]] = field(default_factory=list)


PROMPT = st.lists(TOKENS, min_size=1, max_size=40).map(tuple)
SCENES = st.builds(
    Scene,
    capacity=st.integers(64, 160),
    slots=st.integers(1, 5),
    budget=st.integers(1, 24),
    kept=st.integers(0, 6),
    separate=st.booleans(),
    asks=st.lists(st.tuples(PROMPT, distinct().filter(len)), min_size=1, max_size=3),
    beside=st.lists(st.tuples(PROMPT, st.integers(1, 12)), max_size=3),
)


def play(
    scene: Scene, cancelled: int | None = None, unscored: Unscored | None = None
) -> dict[int, list[Row]]:
    kept = 0 if scene.separate else scene.kept
    model = HashModel(scene.capacity, scene.slots, kept, separate=scene.separate)
    cells = Cells(scene.capacity, scene.slots, kept, separate=scene.separate)
    engine = Engine(model, Scheduler(cells, scene.budget, fixed_chunks=scene.separate))
    for number, (prompt, labels) in enumerate(scene.asks):
        engine.add(asking(number, prompt, Labels(labels, unscored and of(labels, unscored))))
    for number, (prompt, length) in enumerate(scene.beside):
        engine.add(answer(100 + number, prompt, length))
    rows: dict[int, list[Row]] = {}
    for step in range(4000):
        if step == cancelled:
            engine.cancel(0)
        if not engine.busy():
            break
        for row in engine.step().rows:
            rows.setdefault(row.id, []).append(row)
    assert not engine.busy(), "the engine never ends"
    assert engine.cells.used == engine.cells.kept, "cells are left over"
    assert model.used() == engine.cells.used
    return rows


@settings(max_examples=50, deadline=None)
@given(SCENES)
def test_labels_score_as_each_would_alone(scene: Scene) -> None:
    rows = play(scene)
    for number, (prompt, labels) in enumerate(scene.asks):
        (row,) = rows[number]
        assert (row.finish, row.tokens, row.text) == ("stop", 0, "")
        values = np.frombuffer(row.vector, "<f4")
        assert values == pytest.approx([alone(prompt, label) for label in labels], abs=1e-4)
    for number, (_, length) in enumerate(scene.beside):
        assert sum(row.tokens for row in rows[100 + number]) == length


UNSCORED = st.builds(
    Unscored,
    tolerance=st.sampled_from([0.0, 1e-6, 0.01, 0.2]),
    power=st.sampled_from([1.0, 0.5, 0.05, 0.0]),
    prior=st.lists(st.floats(-9, 0), min_size=40, max_size=40).map(tuple),
)


def of(labels: Sequences[tuple[int, ...]], unscored: Unscored) -> Unscored:
    return replace(unscored, prior=(unscored.prior * 9)[: len(labels)])


def shares(values: Sequences[float], unscored: Unscored) -> NDArray[np.float64]:
    weighed = unscored.power * np.array(values) + np.array(unscored.prior or (0.0,) * len(values))
    weights: NDArray[np.float64] = np.exp(weighed - weighed.max())
    found: NDArray[np.float64] = weights / weights.sum()
    return found


@settings(max_examples=30, deadline=None)
@given(SCENES, UNSCORED)
def test_what_stays_unscored_is_no_more_than_may(scene: Scene, unscored: Unscored) -> None:
    for meant in (unscored, Unscored(unscored.tolerance)):
        rows = play(scene, unscored=meant)
        for number, (prompt, labels) in enumerate(scene.asks):
            own = of(labels, meant)
            told = shares(np.frombuffer(rows[number][0].vector, "<f4").tolist(), own)
            exact = shares([alone(prompt, label) for label in labels], own)
            assert np.abs(told - exact).max() <= meant.tolerance + 1e-5


def test_labels_that_cannot_win_cost_nothing() -> None:
    """One path of the likeliest beginning at first; of a second one only where it may matter."""
    labels = [(5, 1, 2, 9), (5, 1, 3, 9), (6, 1, 2, 9), (7, 1, 9)]
    likely = {(): 5, (5,): 1, (5, 1): 3, (5, 1, 3): 9}

    def logits(node: tuple[int, ...]) -> NDArray[np.float32]:
        row = np.zeros(N_VOCAB, np.float32)
        row[likely.get(node, 0)] = 20
        return row

    one, all_of_it = Labels(labels, Unscored(1e-4)), Labels(labels)
    assert one.paths == all_of_it.paths == ((5, 1, 2), (5, 1, 3), (6, 1, 2), (7, 1))
    followed = []
    for scored in (one, all_of_it):
        scored.tell_prompt(logits(()))
        while scored.paths:
            path = scored.paths[0]
            followed.append(path)
            scored.tell_paths([path], np.stack([logits(path[: n + 1]) for n in range(len(path))]))
        assert scored.complete
    assert followed[:2] == [(5, 1, 2), (5, 1, 3)]  # the wrong one tells that the other is right
    assert len(followed) == 2 + 4
    assert np.argmax(one.values()) == np.argmax(all_of_it.values()) == 1
    assert one.values()[2] > all_of_it.values()[2]  # an upper bound: the whole beginning's


def test_what_a_classifier_rules_out_is_scored_where_the_model_finds_it_likely() -> None:
    """Otherwise the model's other labels look impossible beside it, and a blend takes them as
    equal.
    """
    labels = [(1, 1), (2, 1), (3, 1), (3, 2)]
    rows = {(): {3: 40.0, 2: 10.0, 1: -6.0}, (3,): {9: 60.0}}

    def logits(node: tuple[int, ...]) -> NDArray[np.float32]:
        row = np.zeros(N_VOCAB, np.float32)
        for token, value in rows.get(node, {1: 40.0}).items():
            row[token] = value
        return row

    other, weight = [0.999, 0.001, 0.0, 0.0], 0.25
    shares = []
    for unscored in (Unscored(1e-3, weight, prior(other, weight)), None):
        scored = Labels(labels, unscored)
        scored.tell_prompt(logits(()))
        while paths := scored.first(SCORED, BRANCHES):
            scored.tell_paths(paths, np.stack([logits(path) for path in paths]))
        values = scored.values().tolist()
        shares.append(blended(distribution(values), other, weight))
        assert total(values) == pytest.approx(-30, abs=0.1)
    assert shares[0] == pytest.approx(shares[1], abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(SCENES, st.integers(0, 6))
def test_a_cancelled_request_ends_once_and_leaves_nothing(scene: Scene, step: int) -> None:
    finished = [row.finish for row in play(scene, cancelled=step).get(0, [])]
    assert finished in (["stop"], ["cancelled"])


def test_labels_of_one_token_need_the_prompt_alone() -> None:
    labels = Labels([(5,), (6,), (7,)])
    assert labels.paths == ()
    model = HashModel(100, 4)
    engine = Engine(model, Scheduler(Cells(100, 4), 50))
    engine.add(asking(1, (1, 2, 3), labels))
    (row,) = engine.step().rows
    assert row.finish == "stop"
    assert model.calls == [[(1, 0, 3)]]


@pytest.mark.parametrize(("kept", "separate"), [(6, False), (0, False), (0, True)])
def test_the_prompt_is_computed_once_for_all_labels(kept: int, separate: bool) -> None:
    """Whatever is kept: the paths go behind the cells of their own prompt, in one step."""
    prompt = tuple(n % N_VOCAB for n in range(60))
    model = HashModel(400, 2, kept=kept, separate=separate)
    cells = Cells(400, 2, kept, separate=separate)
    engine = Engine(model, Scheduler(cells, 64, fixed_chunks=separate))
    engine.add(asking(1, prompt, Labels([(n, 1, 2) for n in range(6)])))
    while engine.busy():
        engine.step()
    assert model.calls == [[(1, 0, 60)], [(1, 60, 6 * 2)]]


def test_many_documents_at_once_compute_no_prompt_twice() -> None:
    """More requests than slots and than kept prefixes."""
    labels = [(n, 1, 2) for n in range(9)]
    model = HashModel(2000, 4, kept=2)
    engine = Engine(model, Scheduler(Cells(2000, 4, 2), 64))
    for number in range(12):
        prompt = tuple((number + n) % N_VOCAB for n in range(30))
        engine.add(asking(number, prompt, Labels(labels)))
    while engine.busy():
        engine.step()
    assert sum(count for step in model.calls for _, _, count in step) == 12 * (30 + 9 * 2)


def test_paths_go_beside_the_answers_and_prompts_of_other_apps() -> None:
    """A path in each step in any case, and no more than the buffers have room for."""
    model = HashModel(4000, 6)
    engine = Engine(model, Scheduler(Cells(4000, 6), 64, Pace(64, 0.001)))
    for tokens in range(4, 64, 4):  # a host where a step has room for almost nothing
        engine.scheduler.pace.record(tokens, 0.01 * tokens)  # type: ignore[union-attr]
    engine.add(answer(1, (1, 2, 3), 200))
    engine.add(asking(2, (4, 5, 6), Labels([(n, 1, 2, 3) for n in range(20)]), scope="other"))
    steps = 0
    while 2 in {sequence.id for sequence in [*engine.scheduler.running, *engine.scheduler.waiting]}:
        engine.step()
        steps += 1
        assert steps < 40
    most = max(sum(c for i, s, c in step if i == 2 and s == 3) for step in model.calls)
    assert 3 <= most <= 3 * BRANCHES


def test_what_the_cache_has_of_a_label_is_scored_all_the_same() -> None:
    """The logits after cached tokens of a label are needed, so these are computed."""
    prompt, labels = tuple(range(20)), [(1, 2, 3), (1, 2, 4)]
    engine = Engine(HashModel(400, 8, kept=6), Scheduler(Cells(400, 8, 6), 64))
    engine.add(answer(1, (*prompt, 1, 2, 3, 4), 2))
    while engine.busy():
        engine.step()
    assert engine.cells.kept >= 24
    engine.add(asking(2, prompt, Labels(labels)))
    rows = []
    while engine.busy():
        rows += engine.step().rows
    values = np.frombuffer(rows[0].vector, "<f4")
    assert values == pytest.approx([alone(prompt, label) for label in labels], abs=1e-4)


def test_the_logits_of_a_step_stay_within_their_buffer() -> None:
    class Counted(HashModel):
        most = 0

        def forward(self, chunks: Sequences[Chunk]) -> NDArray[np.float32]:
            self.most = max(self.most, sum(chunk.outputs for chunk in chunks))
            return super().forward(chunks)

    long = [(n, *([1] * (MOST_TOKENS - 1))) for n in range(8)]
    model = Counted(2000, 8)
    engine = Engine(model, Scheduler(Cells(2000, 8), 64))
    engine.add(asking(1, (1, 2, 3), Labels(long)))
    while engine.busy():
        engine.step()
    assert MOST_TOKENS - 1 <= model.most <= SCORED + 8


@pytest.mark.parametrize(
    "labels",
    [[()], [(1,), ()], [(1, 2), (1,)], [(1,), (2,), (1,)], [tuple(range(MOST_TOKENS + 1))]],
)
def test_labels_that_cannot_be_compared_are_refused(labels: list[tuple[int, ...]]) -> None:
    with pytest.raises(BadRequest) as caught:
        Labels(labels)
    assert caught.value.code == "labels_invalid"


def test_priors_of_other_labels_are_refused() -> None:
    for priors in ((-1.0,), (-1.0, -2.0, -3.0)):
        with pytest.raises(BadRequest) as caught:
            Labels([(1,), (2,)], Unscored(0.1, 0.5, priors))
        assert caught.value.code == "labels_invalid"


LABELS = ("hydraulics", "engine", "electrical", "hydraulic pump", "air conditioning")
PROMPT_TEXT = "Work order: replace the hose of the boom cylinder. System:"


@pytest.mark.parametrize("reproducible", [True, False])
def test_a_real_model_scores_as_it_scores_each_label_alone(
    library: Library, sealed_model: SealedFile, reproducible: bool
) -> None:
    shape = RunnerConfig(
        n_ctx=1024, slots=4, threads=2, n_batch=128, reproducible=reproducible,
        kept=0 if reproducible else 8,
    )  # fmt: skip
    runner = ModelRunner(library, sealed_model.reopen(), shape)
    cells = Cells(1024, 4, shape.kept, separate=reproducible)
    engine = Engine(runner, Scheduler(cells, 64, fixed_chunks=reproducible))
    prompt = tuple(runner.tokenize(PROMPT_TEXT, add_special=True, parse_special=False))
    labels = [
        tuple(runner.tokenize(f" {la}", add_special=False, parse_special=False)) for la in LABELS
    ]
    assert max(map(len, labels)) > 1
    engine.add(asking(1, prompt, Labels(labels)))
    rows = []
    while engine.busy():
        rows += engine.step().rows
    values = np.frombuffer(rows[0].vector, "<f4")
    brute = [echoed(runner, engine, prompt, label) for label in labels]
    assert values == pytest.approx(brute, abs=1e-4)
    assert values.max() - values.min() > 1  # the measure tells labels apart


def echoed(
    runner: ModelRunner, engine: Engine, prompt: tuple[int, ...], label: tuple[int, ...]
) -> float:
    """The value of a label as clients get it today: echo with log-probabilities."""
    whole = [*prompt, *label]
    logprobs = Logprobs(0, runner.label)
    sequence = Sequence(
        id=7, tokens=whole, sampling=GREEDY, max_tokens=0, stream=TextStream(()),
        logprobs=logprobs, echo=Echo(whole, runner.label, silent=-1, logprobs=logprobs),
    )  # fmt: skip
    engine.add(sequence)
    entries = []
    while engine.busy():
        entries += [entry for row in engine.step().rows for entry in row.logprobs]
    return sum(entry.logprob or 0.0 for entry in entries[len(prompt) :])
