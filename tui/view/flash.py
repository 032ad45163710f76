"""The line above the keys: the change under way or the last one, and its outcome."""

from textual.content import Content

from appliance.errors import ApplianceError
from appliance.wire.admin import marks
from tui.change import Running
from tui.text import alarm, cell, line, quiet


def flash(running: Running | None) -> Content:
    """Report a change; nothing when there was none."""
    if running is None:
        return Content("")
    if not running.done:
        step = (
            f"{running.phase} {running.percent} %" if running.percent is not None else running.phase
        )
        return line(cell(f"{marks.UNDER_WAY} {running.change.title}", "$text-warning"), quiet(step))
    error = running.error
    if isinstance(error, ApplianceError):
        return line(alarm(f"{error.code}: {error.message}"), quiet(error.hint))
    if error is not None:
        return alarm(str(error) or type(error).__name__)
    said = running.result if isinstance(running.result, str) else f"done: {running.change.title}"
    good = cell(f"{marks.GOOD} {said}", "$text-success")
    return good if running.change.undo is None else line(good, quiet("a z undoes it"))
