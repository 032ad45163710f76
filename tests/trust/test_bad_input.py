"""Each bad artifact is refused with its code, changes nothing, is recorded once, crashes nothing.

Requests (92 to 96): tests/system/test_bad_input.py; approvals and policies (52 to 63):
test_policy.py, test_approval.py and test_store.py; a file changed after verification (12, 13):
tests/system/test_sealed_output.py.
"""

from collections.abc import Iterator

import pytest

from appliance.errors import CODES
from tests.trust import bad_inputs, certs
from tests.trust.bench import OF_THE_POLICY, Bench, Outcome, open_bench

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with open_bench(tmp_path_factory.mktemp("bad")) as made:
        yield made


@pytest.mark.parametrize(("change", "code"), bad_inputs.ALL.values(), ids=bad_inputs.ALL)
def test_refused(bench: Bench, change: bad_inputs.Change, code: str) -> None:
    assert code in CODES
    assert bench.attempt(change) == Outcome(code, "", True, [code])


GOOD: dict[str, bad_inputs.Change] = {
    "signed by key": lambda bad: None,
    "signed by certificate": lambda bad: bad.certified(certs.LEAF),
    "signed by certificate, root carried along": lambda bad: bad.by(
        certs.make(certs.LEAF, OF_THE_POLICY.issuer), OF_THE_POLICY.issuer, OF_THE_POLICY.root
    ),
}


@pytest.mark.parametrize("change", GOOD.values(), ids=GOOD)
def test_the_same_artifact_without_a_fault_is_taken(
    bench: Bench, change: bad_inputs.Change
) -> None:
    outcome = bench.attempt(change)
    assert (outcome.code, outcome.crashed, outcome.entries) == ("", "", [])
    assert not outcome.unchanged  # the control: the digest sees a change


def test_there_are_as_many_cases_as_the_list_asks_for() -> None:
    assert len(bad_inputs.ALL) > 180
