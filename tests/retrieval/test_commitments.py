"""Commitments: only the nonce opens them, and the format is the one of docs/audit-format.md."""

import hmac
import json

from appliance.retrieval import commitments
from appliance.types import Citation
from tests.retrieval.test_citations import passage

NONCE = "0b" * 32
CITED = Citation(1, "ab:0-9", "a.txt", "", 0, 3, 9, "cd" * 32, "ef" * 32, "quote", 0, 9)


def mac(words: str) -> str:
    return hmac.digest(bytes.fromhex(NONCE), words.encode(), "sha256").hex()


def test_the_format_is_the_documented_one() -> None:
    said = f"appliance passage v1|ab:0-9|{'ef' * 32}"
    assert commitments.passage(NONCE, "ab:0-9", "ef" * 32) == mac(said)
    said = f"appliance citation v1|ab:0-9|{'cd' * 32}|3|9|{'ef' * 32}"
    assert commitments.citation(NONCE, CITED) == mac(said)


def test_what_opens_them_is_kept_in_one_text() -> None:
    one = passage(1, "The pump leaks.")
    kept = commitments.text(NONCE, [one])
    assert commitments.nonce_of(kept) == NONCE
    assert json.loads(kept)["passages"] == [{"id": one.id, "sha256": one.sha256}]
    assert commitments.passages(NONCE, [one]) == [
        {"commitment": commitments.passage(NONCE, one.id, one.sha256)}
    ]


def test_each_search_has_a_nonce_of_its_own() -> None:
    drawn = {commitments.fresh() for _ in range(100)}
    assert len(drawn) == 100 and {len(nonce) for nonce in drawn} == {64}
    assert len({commitments.citation(nonce, CITED) for nonce in drawn}) == 100
