"""The sizes of proofs in the documentation are those of real files that were checked."""

from appliance.audit.proof import check_proof
from docs.proof_sizes import BEGIN, PAGE, PER_DAY, document


def test_the_first_row_is_of_a_proof_that_holds() -> None:
    made, genesis = document(PER_DAY)
    assert check_proof(made, genesis).seq == PER_DAY
    shown = PAGE.read_text().partition(BEGIN)[2].splitlines()
    assert shown[2] == f"| a day | {PER_DAY:,} | {len(made):,} |"
