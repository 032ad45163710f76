"""Two raters, blind: questions, disclosure, and results."""

import pytest

from appliance.datasets.labelling import (
    Given,
    Labelling,
    PutAside,
    check_labels,
    check_raters,
    report,
)
from appliance.errors import DatasetRefused
from appliance.statistics.agreement import cohen_kappa

ITEMS, LABELS, RATERS = ("i1", "i2", "i3", "i4"), ("hose", "pump"), ("anna", "ben")
ANNA = dict(zip(ITEMS, ("hose", "hose", "pump", "pump"), strict=True))
BEN = dict(zip(ITEMS, ("hose", "pump", "pump", "hose"), strict=True))


def said(rater: str, labels: dict[str, str], count: int = 4) -> tuple[Given, ...]:
    return tuple(Given(item, rater, label) for item, label in list(labels.items())[:count])


def work(*given: Given) -> Labelling:
    return Labelling(ITEMS, LABELS, RATERS, given)


BOTH = work(*said("anna", ANNA), *said("ben", BEN))


def code(call: object, *arguments: object) -> str:
    with pytest.raises(DatasetRefused) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.code


def test_each_rater_is_asked_about_every_item() -> None:
    begun = work(*said("anna", ANNA, 2))
    assert begun.next_item("anna") == "i3"
    assert begun.next_item("ben") == "i1"
    assert BOTH.next_item("anna") is None
    assert begun.done == {"anna": 2, "ben": 0}


def test_nothing_that_compares_is_told_before_both_have_finished() -> None:
    almost = work(*said("anna", ANNA), *said("ben", BEN, 3))
    assert not almost.compared
    for call in (almost.differences, almost.kappa, almost.answers, lambda: report(almost)):
        assert code(call) == "labels_unfinished"
    assert code(almost.next_item, "carl") == "labels_unfinished"
    assert code(almost.admit, Given("i1", "carl", "hose")) == "labels_unfinished"
    assert code(almost.admit, Given("i2", "anna", "hose", True)) == "labels_unfinished"
    assert BOTH.compared  # the positive control
    assert [pair.item for pair in BOTH.differences()] == ["i2", "i4"]
    assert BOTH.differences()[0].said == ("hose", "pump")


def test_a_queue_without_items_has_no_kappa() -> None:
    empty = Labelling((), LABELS, RATERS)
    assert code(empty.kappa) == code(report, empty) == "label_queue_empty"


def test_what_is_put_aside_comes_last_for_that_person_and_wants_a_label_still() -> None:
    aside = (PutAside("i1", "anna", "unreadable"), PutAside("i2", "anna", "several_fit"))
    begun = Labelling(ITEMS, LABELS, RATERS, said("anna", {"i3": "pump"}, 1), aside)
    assert (begun.next_item("anna"), begun.next_item("ben")) == ("i4", "i1")
    rest = Labelling(ITEMS, LABELS, RATERS, said("anna", {"i3": "pump", "i4": "pump"}), aside)
    assert rest.next_item("anna") == "i1" and not rest.compared
    assert (rest.put_aside("i1", "anna"), rest.put_aside("i1", "ben")) == ("unreadable", None)
    assert rest.reasons == {"unreadable": 1, "several_fit": 1}
    done = Labelling(ITEMS, LABELS, RATERS, said("anna", ANNA), aside)
    assert done.next_item("anna") is None and done.reasons == {}
    assert code(begun.admit_aside, PutAside("i3", "anna", "unreadable")) == "label_settled"
    assert code(begun.admit_aside, PutAside("i9", "anna", "unreadable")) == "item_unknown"
    assert code(begun.admit_aside, PutAside("i1", "carl", "unreadable")) == "labels_unfinished"


def test_kappa_is_of_what_the_two_said_by_themselves() -> None:
    expected = cohen_kappa([ANNA[i] for i in ITEMS], [BEN[i] for i in ITEMS])
    assert BOTH.kappa() == expected
    settled = work(*BOTH.given, Given("i2", "anna", "pump", True), Given("i4", "carl", "pump"))
    assert settled.kappa() == expected


def test_a_rater_may_change_a_label_until_both_have_finished() -> None:
    work(*said("anna", ANNA)).admit(Given("i1", "anna", "pump"))
    assert code(BOTH.admit, Given("i1", "anna", "pump")) == "label_settled"


def test_a_third_person_is_asked_about_the_differences_alone() -> None:
    assert BOTH.asked_of("carl") == ("i2", "i4")
    assert BOTH.next_item("carl") == "i2"
    decided = work(*BOTH.given, Given("i2", "carl", "pump"))
    assert decided.answers() == {"i1": "hose", "i3": "pump", "i2": "pump"}
    assert decided.next_item("carl") == "i4" and decided.asked_of("carl") == ("i2", "i4")
    assert decided.asked_of("dora") == ("i4",)
    assert code(BOTH.admit, Given("i1", "carl", "pump")) == "label_settled"
    assert code(decided.admit, Given("i2", "dora", "hose")) == "label_settled"


def test_the_two_settle_a_difference_together() -> None:
    new = Given("i4", "ben", "pump", True)
    BOTH.admit(new)
    decided = work(*BOTH.given, new)
    assert decided.answers()["i4"] == "pump"
    assert [pair.item for pair in decided.differences()] == ["i2"]
    assert code(decided.admit, Given("i4", "anna", "hose", True)) == "label_settled"
    assert code(decided.admit, Given("i1", "anna", "hose", True)) == "label_settled"
    assert code(decided.admit, Given("i2", "carl", "hose", True)) == "rater_invalid"


def test_the_report() -> None:
    decided = work(*BOTH.given, Given("i2", "carl", "pump"))
    found = report(decided)
    assert (found["items"], found["differed"], found["unsettled"]) == (4, 2, 1)
    assert (found["settled_by_a_third"], found["settled_together"]) == (1, 0)
    assert (found["agreement"], found["kappa"]) == (0.5, 0.0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Given("i9", "anna", "hose"), "item_unknown"),
        (Given("i1", "anna", "valve"), "label_unknown"),
        (Given("i1", "", "hose"), "rater_invalid"),
        (Given("i1", "a\x1b[31m", "hose"), "rater_invalid"),
    ],
)
def test_what_cannot_be_a_label_is_refused(given: Given, expected: str) -> None:
    assert code(work().admit, given) == expected


def test_labels_and_raters_of_a_queue() -> None:
    assert check_labels(["hose", "pump", "hose"]) == ("hose", "pump")
    assert check_raters(["anna", "ben"]) == RATERS
    for wrong in (
        ["hose"],
        ["hose", "hose"],
        ["hose", " "],
        ["hose", "\x1b]0;x"],
        ["x" * 201, "y"],
    ):
        assert code(check_labels, wrong) == "label_unknown"
    for names in (["anna"], ["anna", "anna"], ["anna", ""], ["a", "b", "c"]):
        assert code(check_raters, names) == "rater_invalid"
