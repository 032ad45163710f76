"""The model of keys: no letter has two meanings, and none of its own changes anything."""

from textual.binding import Binding

from appliance.types import Role
from tui.app import PAGES, OperatorApp
from tui.keys import PLACES, UNDO, VERBS, Act
from tui.screens.acting import Acting
from tui.screens.entry import EntryScreen
from tui.screens.evaluations import ErrorsScreen, EvaluationScreen
from tui.screens.full_view import WholeScreen
from tui.screens.labelling import LabellingScreen
from tui.screens.page import Page
from tui.screens.receipt import ReceiptScreen
from tui.screens.tuning import TuningScreen
from tui.widgets.ask import Ask
from tui.widgets.rows import Rows
from tui.widgets.secret_notice import Tell

SCREENS: tuple[type[Acting], ...] = (
    *PAGES, EntryScreen, EvaluationScreen, ReceiptScreen, TuningScreen,
)  # fmt: skip
READ = {"errors", "flips", "decrypt", "search", "replay"}
"""They take a role and change nothing but the log."""
WITHOUT_ROLE = {
    "serve", "directory", "verify", "checkpoint", "export", "ledger", "compare", "proof", "check",
    "app", "person", "task", "model",
}  # fmt: skip
"""What a command does with files alone, or what only shows something."""


def bound(*classes: type) -> list[Binding]:
    return [b for c in classes for b in Binding.make_bindings(vars(c).get("BINDINGS", ()))]


def test_no_key_has_two_meanings() -> None:
    keys = [key for verb in VERBS for key in verb.keys.split(",")]
    keys += [place.key for place in PLACES]
    assert len(set(keys)) == len(keys)


def test_no_key_is_a_terminal_s_own() -> None:
    taken = {"ctrl+s", "ctrl+q", "ctrl+b", "ctrl+z"}
    bound_keys = {b.key for b in bound(OperatorApp, Rows, Page, WholeScreen, Ask, Tell, *PAGES)}
    assert not taken & bound_keys


def test_no_capital_is_bound_anywhere() -> None:
    every = bound(
        OperatorApp, Rows, Page, WholeScreen, ErrorsScreen, LabellingScreen, Ask, Tell, *PAGES
    )
    capitals = [b.key for b in every if len(b.key) == 1 and b.key.isupper()]
    assert capitals == []
    assert not [act for page in SCREENS for act in page.ACTS if not act.key.islower()]


def test_screens_bind_nothing_of_their_own() -> None:
    own = {page.__name__: [b.key for b in bound(page)] for page in PAGES if bound(page)}
    assert own == {"FirstPage": ["enter"]}


def test_a_letter_of_the_actions_has_one_meaning_on_a_screen() -> None:
    for screen in SCREENS:
        letters = [*(act.key for act in screen.ACTS), UNDO.key]
        assert len(set(letters)) == len(letters), screen
        assert len({UNDO.name, *(act.name for act in screen.ACTS)}) == len(letters), screen


def test_every_change_takes_a_role() -> None:
    for screen in SCREENS:
        for act in screen.ACTS:
            assert act.role is not None or act.name in WITHOUT_ROLE, (screen, act)


def test_control_an_action_without_a_role_would_be_found() -> None:
    act = Act("z", "wipe", "Wipe")
    assert act.role is None and act.name not in WITHOUT_ROLE
    assert Act("z", "wipe", "Wipe", Role.ADMIN).role is Role.ADMIN
