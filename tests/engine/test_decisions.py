"""How sure a model was: raw values of its own choices, whatever the request or the batch."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from appliance.engine.cells import Cells
from appliance.engine.decisions import Decisions
from appliance.engine.logprobs import FLOOR
from appliance.engine.loop import Engine
from appliance.engine.scheduler import Scheduler
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Decision, Sampling
from tests.engine.hash_model import HashModel

GREEDY = Sampling(temperature=0)
Logits = NDArray[np.float32]


def row(*logits: float) -> Logits:
    return np.array(logits, np.float32)


def only(*tokens: int) -> Any:
    def restrict(logits: Logits) -> None:
        kept = logits[list(tokens)]
        logits[:] = -np.inf
        logits[list(tokens)] = kept

    return restrict


def scored(logits: Logits, token: int, *allowed: int) -> Decision | None:
    decisions = Decisions()
    decisions.watching(logits, only(*allowed) if allowed else None)(logits.copy())
    return decisions.score(token)


def test_values_are_those_of_the_raw_distribution() -> None:
    shares = np.array([0.4, 0.3, 0.2, 0.1])
    found = scored(np.log(shares).astype(np.float32), 1, 1, 2)
    assert found is not None
    part = shares[1:3] / shares[1:3].sum()
    assert found.logprob == pytest.approx(math.log(0.3), abs=1e-6)
    assert found.margin == pytest.approx(math.log(0.3 / 0.2), abs=1e-6)
    assert found.entropy == pytest.approx(-(part * np.log(part)).sum(), abs=1e-6)
    assert found.mass == pytest.approx(math.log(0.5), abs=1e-6)
    whole = scored(np.log(shares).astype(np.float32), 0)
    assert whole is not None and whole.mass == pytest.approx(0, abs=1e-6)


def test_a_token_without_an_alternative_is_no_decision() -> None:
    assert scored(row(1, 2, 3), 1, 1) is None
    assert scored(row(1, -math.inf, 3), 2, 1, 2) is None  # the other one cannot be drawn


def test_what_is_no_number_is_finite_afterwards() -> None:
    found = scored(row(math.nan, math.inf, 0, -1e30), 3, 1, 2, 3)
    assert found is not None
    assert all(map(math.isfinite, found)) and found.logprob == FLOOR


class Form:
    """A constraint: after an even number of tokens two may come, after an odd one a third alone."""

    stopped = False

    def __init__(self) -> None:
        self.count = 0

    def restrict(self, logits: Logits) -> None:
        only(*((3, 4) if self.count % 2 == 0 else (5,)))(logits)

    def within(self, token: int, left: int) -> int:
        return token

    def accept(self, token: int) -> list[int]:
        self.count += 1
        return []

    def wrote(self, text: str, complete: bool) -> bool:
        return True


def sequence(number: int, sampling: Sampling = GREEDY, *, formed: bool = True) -> Sequence:
    form: Any = Form() if formed else None
    return Sequence(
        id=number, tokens=[1, 2, 3, number % 3], sampling=sampling, max_tokens=8,
        stream=TextStream(()), ignore_eos=True, guide=form, decisions=Decisions(),
    )  # fmt: skip


def run(*sequences: Sequence, cells: int = 400) -> dict[int, list[Decision]]:
    model = HashModel(cells, 3)
    engine = Engine(model, Scheduler(Cells(cells, 3), 16))
    for one in sequences:
        engine.add(one)
    found: dict[int, list[Decision]] = {}
    while engine.busy():
        for told in engine.step().rows:
            found.setdefault(told.id, []).extend(told.decided)
    return found


def test_only_choices_are_told_with_their_places() -> None:
    (found,) = run(sequence(1)).values()
    assert [decision.offset for decision in found] == [0, 2, 4, 6]
    (free,) = run(sequence(1, formed=False)).values()
    assert [decision.offset for decision in free] == list(range(8))


def test_no_setting_of_the_request_changes_a_value() -> None:
    """The first choices are of the same prompt; later ones follow what was drawn."""
    settings_ = (
        GREEDY,
        Sampling(temperature=1.0, seed=3),
        Sampling(temperature=0.2, top_k=1),
        Sampling(temperature=0, repetition_penalty=1.5, presence_penalty=1.0),
        Sampling(temperature=0, logit_bias=((4, 3.0),)),
    )
    found = [run(sequence(1, each))[1][0] for each in settings_]
    assert len({decision[2:] for decision in found}) == 1
    raw = {decision.logprob for decision in found}
    assert 1 <= len(raw) <= 2  # of the two tokens that may come


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(2, 9), max_size=4, unique=True), st.sampled_from([24, 400]))
def test_company_and_preemption_change_nothing(others: list[int], cells: int) -> None:
    alone = run(sequence(1))[1]
    beside = run(sequence(1), *map(sequence, others), cells=cells)
    assert beside[1] == alone
