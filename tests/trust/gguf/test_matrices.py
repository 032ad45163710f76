"""Multiplied weights by type, and the width of the widest product."""

from pathlib import Path

from appliance.trust.gguf.gguf import vet
from appliance.trust.gguf.matrices import matrices, widest
from appliance.trust.gguf.tensors import Tensor


def table(*rows: tuple[str, tuple[int, ...], int]) -> dict[str, Tensor]:
    return {name: Tensor(name, shape, 100 + len(name), kind) for name, shape, kind in rows}


EMBEDDING = ("token_embd.weight", (32, 64), 8)
OUTPUT = ("output.weight", (32, 64), 14)
QUERY = ("blk.0.attn_q.weight", (32, 32), 12)
NORM = ("blk.0.attn_norm.weight", (32,), 0)
EXPERT = ("blk.1.ffn_up_exps.weight", (32, 48, 4), 39)


def test_an_embedding_is_a_table_and_where_it_is_the_output_both() -> None:
    whole = table(EMBEDDING, OUTPUT, QUERY, NORM, EXPERT)
    assert matrices(whole, writes=True) == {
        "MXFP4 experts": 100 + len(EXPERT[0]), "Q4_K": 100 + len(QUERY[0]),
        "Q6_K": 100 + len(OUTPUT[0]), "Q8_0 table": 100 + len(EMBEDDING[0]),
    }  # fmt: skip
    tied = table(EMBEDDING, QUERY)
    assert set(matrices(tied, writes=True)) == {"Q8_0 tied", "Q4_K"}
    assert set(matrices(tied, writes=False)) == {"Q8_0 table", "Q4_K"}


def test_vectors_and_odd_rows_do_not_count_and_tables_for_themselves() -> None:
    tables = [(f"{name}.weight", (32, 64), 1) for name in ("position_embd", "token_types")]
    odd = ("blk.0.attn_k.weight", (32, 33), 2)
    one_row = ("blk.0.gate.weight", (32, 1), 2)
    assert set(matrices(table(*tables, NORM, odd, one_row), writes=False)) == {"F16 table"}


def test_weights_of_one_type_add_up() -> None:
    two = table(QUERY, ("blk.1.attn_q.weight", (32, 32), 12))
    assert matrices(two, writes=False) == {"Q4_K": 2 * (100 + len(QUERY[0]))}


def test_the_widest_product_counts_the_experts_that_are_used() -> None:
    whole = table(EMBEDDING, QUERY, EXPERT)
    assert widest(whole, 1) == 48
    assert widest(whole, 2) == 96
    assert widest(table(EMBEDDING, NORM), 1) == 1


def test_the_default_model(default_model_path: Path) -> None:
    facts = vet(default_model_path.read_bytes())
    assert set(facts.matrices) == {"Q4_1", "Q8_0 tied"}
    assert facts.matrices["Q8_0 tied"] == 49_152 * 576 // 32 * 34
    norms = facts.tensor_bytes - sum(facts.matrices.values())
    assert 0 < norms < 1 << 20
    assert (facts.n_wide, facts.n_window) == (1536, 0)
