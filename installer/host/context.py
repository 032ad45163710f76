"""State that the phases of one run share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from installer.host.answers import Answers, Layout
from installer.host.facts import Host
from installer.host.ledger import Ledger
from installer.host.manifest import Manifest, Part
from installer.host.product import Product, product
from installer.host.service import Service
from installer.host.store import Media, Progress, Store


@dataclass(frozen=True)
class Context:
    """One run of the installer.

    `boot` has the verified copies of the first files; `previous` is the release that was in
    service; `data_existed`: its data were there already.
    """

    layout: Layout
    answers: Answers
    manifest: Manifest
    parts: list[Part]
    boot: Path
    media: Media
    store: Store
    host: Host
    service: Service
    ledger: Ledger
    previous: str | None
    data_existed: bool
    say: Callable[[str], None]
    progress: Progress

    @property
    def release(self) -> Path:
        """The directory of the release that is being installed."""
        return self.layout.release(self.manifest.release)

    def product(self, data: Path | None = None) -> Product:
        return product(self.layout, self.answers, self.manifest.release, data)
