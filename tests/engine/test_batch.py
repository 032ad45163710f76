"""Tokens, places, sequences and outputs of one step, as llama.cpp gets them."""

import ctypes

import llama_cpp.llama_cpp as llama
import pytest

from appliance.engine.batch import Batch
from appliance.engine.scheduler import Chunk
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling


def sequence(number: int, tokens: list[int], slot: int | None) -> Sequence:
    made = Sequence(
        id=number,
        tokens=tokens,
        sampling=Sampling(),
        max_tokens=1,
        stream=TextStream(()),
        ignore_eos=False,
    )
    made.slot = slot
    return made


def seen(batch: Batch) -> list[tuple[int, int, int, int]]:
    """By token, as C code reads."""
    struct = batch.struct
    return [
        (struct.token[i], struct.pos[i], struct.seq_id[i][0], struct.logits[i])
        for i in range(struct.n_tokens)
    ]


def test_chunks_lie_one_after_the_other() -> None:
    batch = Batch(8, llama.llama_batch())
    one, other = sequence(1, [5, 6, 7], 3), sequence(2, [8, 9], 0)
    whole = Chunk(one, 1, 2)
    part = Chunk(other, 0, 1)
    assert batch.fill([whole, part]) == whole.outputs + part.outputs == 1
    assert seen(batch) == [(6, 1, 3, 0), (7, 2, 3, 1), (8, 0, 0, 0)]
    assert [batch.struct.n_seq_id[i] for i in range(3)] == [1, 1, 1]


def test_paths_of_labels_lie_behind_their_prompt_each_in_its_own_sequence() -> None:
    batch = Batch(8, llama.llama_batch())
    one, other = sequence(1, [5, 6, 7], 3), sequence(2, [8, 9], 0)
    paths = Chunk(one, 3, 3, ((1, 2), (4,)))
    assert batch.fill([Chunk(other, 0, 1), paths, Chunk(other, 1, 1)], 7) == 4
    assert seen(batch) == [
        (8, 0, 0, 0), (1, 3, 7, 1), (2, 4, 7, 1), (4, 3, 8, 1), (9, 1, 0, 1),
    ]  # fmt: skip


def test_whole_texts_have_outputs_everywhere() -> None:
    batch = Batch(8, llama.llama_batch())
    batch.fill_whole([[5, 6], [7]])
    assert seen(batch) == [(5, 0, 0, 1), (6, 1, 0, 1), (7, 0, 1, 1)]
    assert isinstance(batch.struct, ctypes.Structure)


def test_a_sequence_without_a_slot_is_a_mistake() -> None:
    with pytest.raises(RuntimeError, match="slot"):
        Batch(8, llama.llama_batch()).fill([Chunk(sequence(1, [5], None), 0, 1)])
