"""Work beside the screen.

Rules: a thread that cannot keep the program from ending; whatever it raises is an answer, too.
"""

import threading
from collections.abc import Callable

from appliance.errors import ApplianceError, Unavailable


def background(work: Callable[[], object], tell: Callable[[object], object]) -> None:
    """`tell` gets the result, or the error, in the thread."""

    def run() -> None:
        try:
            found = work()
        except ApplianceError as error:
            found = error
        except Exception as error:  # a screen that waits for ever would be worse
            found = Unavailable("incompatible_server", f"{type(error).__name__}: {error}.")
        tell(found)

    threading.Thread(target=run, name="background", daemon=True).start()
