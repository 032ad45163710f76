"""The line of keys."""

from textual.app import App, ComposeResult
from textual.binding import Binding

from tui.widgets.keys import KeyLine


class Host(App[None]):
    BINDINGS = [Binding("s", "stop", "Stop"), Binding("g", "go", "Go")]  # noqa: RUF012
    can_go = False
    made = 0

    def compose(self) -> ComposeResult:
        yield KeyLine()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "go" or self.can_go

    def on_key_line_made(self, _: KeyLine.Made) -> None:
        self.made += 1


async def test_it_is_made_anew_only_when_other_keys_work() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await pilot.pause()
        assert app.made == 1
        for _ in range(3):
            app.screen.refresh_bindings()
            await pilot.pause()
        assert app.made == 1
        app.can_go = True  # the control
        app.screen.refresh_bindings()
        await pilot.pause()
        assert app.made == 2
        assert len(app.query("FooterKey")) == 2
