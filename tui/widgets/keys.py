"""The keys that work now, on the last line.

Rules: they are replaced only when other keys work, since Textual sends the line again each time.
"""

from textual.message import Message
from textual.widgets import Footer


class KeyLine(Footer):
    """The last line of each screen."""

    class Made(Message):
        """The keys of this moment are there."""

    def __init__(self) -> None:
        super().__init__(show_command_palette=False, compact=True)
        self._keys: list[tuple[str, str, bool]] | None = None

    async def recompose(self) -> None:
        if not self.is_attached:
            return  # its screen was left meanwhile
        keys = [
            (active.binding.key, active.binding.description, active.enabled)
            for active in self.screen.active_bindings.values()
            if active.binding.show
        ]
        if keys != self._keys:
            self._keys = keys
            await super().recompose()
            self.post_message(self.Made())
