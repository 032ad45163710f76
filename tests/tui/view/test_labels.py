"""The label screens' words."""

from appliance.wire.admin.labels import LabelDifference
from tests.tui.scripted import WALL, queue
from tui.text import line, lines
from tui.view import labels as view

DONE = queue(
    "notes", finished=True, done={"anna": 40, "ben": 40}, kappa=0.79, agreement=0.85, unsettled=6
)


def test_a_row_has_a_cell_for_each_column() -> None:
    for each in (queue("orders"), DONE):
        assert len(view.row(each, WALL)) == len(view.COLUMNS)
    assert "- " in line(*view.row(queue("orders"), WALL)).plain
    assert "0.79" in line(*view.row(DONE, WALL)).plain


def test_a_queue_says_what_comes_next() -> None:
    begun = lines(view.detail(queue("orders"), 100)).plain
    assert "anna 17, ben 3" in begun and "when both have labelled" in begun
    assert "agreement" not in begun
    compared = lines(view.detail(DONE, 100)).plain
    assert "kappa 0.79, 85 %" in compared and "6 differences" in compared
    settled = lines(view.detail(DONE.model_copy(update={"unsettled": 0}), 100)).plain
    assert "appliance label finish notes" in settled
    of_gate = lines(view.detail(DONE.model_copy(update={"unsettled": 0, "job": 7}), 100)).plain
    assert "appliance job resume 7" in of_gate and "label finish" not in of_gate


def test_an_item_of_one_field_is_its_text_and_of_several_has_names() -> None:
    one = lines(view.item({"text": "first line\nsecond line"}, 60)).plain
    assert one.splitlines() == ["first line", "second line"]
    two = lines(view.item({"text": "a\nb", "hours": 12, "none": None}, 60)).plain
    assert two.splitlines() == ["text        a", "            b", "hours       12"]


def test_controls_in_an_item_are_seen_and_not_obeyed() -> None:
    said = lines(view.item({"text": "\x1b]0;owned\x07"}, 60)).plain
    assert "owned" in said and said.isprintable()


def test_labels_have_the_keys_1_to_9() -> None:
    assert [view.choice("x", n)[0] for n in (1, 9, 10)] == ["1", "9", ""]


def test_who_labels_and_what_two_said() -> None:
    assert view.place("anna", 3, 40).plain == "anna  3 of 40 done  enter labels it"
    pair = LabelDifference(item="i", input={}, said=["a", "b"])
    assert "anna: a  ben: b" in view.said(pair, ["anna", "ben"]).plain
