"""The second half of a verification within the test's process."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.verification import verify
from appliance.audit.verification.second_process import Ahead


class Here:
    def __init__(
        self, said: list[Ahead | None], directory: Path, first: int, end: int, key: str
    ) -> None:
        verifier = VerifierKey.parse(key.encode())
        self._found = verify.look_ahead(directory, first, end, verifier, lambda *_: None)
        self.first = first
        said.append(self._found)

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def done(self) -> int:
        return 0

    def result(self) -> Ahead | None:
        return self._found


@contextmanager
def divided() -> Iterator[None]:
    said: list[Ahead | None] = []
    with (
        mock.patch.object(verify, "Helper", partial(Here, said)),
        mock.patch.object(verify, "helps", lambda entries: entries > 3),
    ):
        yield
