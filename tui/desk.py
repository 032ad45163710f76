"""Shared state of every screen: the server, the connection, the person's role and choices.

Rules: screens only read it; a person's rights are asked here, and the server decides again. Time is
injected.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from appliance.client import AdminClient
from appliance.types import Role
from appliance.wire.admin.models import Status
from tui.change import Change
from tui.command import Commands
from tui.link import Files, Link, LinkState, Snapshot
from tui.offline import Offline
from tui.rates import History
from tui.ring import Ring, read

_ORDER = tuple(Role)


@dataclass
class Desk:
    """One program's view of one appliance.

    Attributes:
        readonly: nothing that changes the appliance is offered.
        basic: ASCII, the terminal's own colours, a slow refresh.
        media: directories with artifacts, besides sticks.
        ring_file: keeps what charts show beyond the program; None: nothing is kept.
        clock: monotonic seconds.
        wall: seconds since the epoch.
        files: what the files say while the server is down; None until they were read.
        offline: answers from the files.
        meanings: what this person's signatures said, the newest first.
        verified: the last entry of the log that this person had verified, and it held.
        undo: makes the change that takes the last one back, if any.
    """

    client: AdminClient
    commands: Commands
    data: Path
    readonly: bool = False
    basic: bool = False
    media: tuple[Path, ...] = ()
    palette: str = "dark"
    ring_file: Path | None = None
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    link: Link = field(default_factory=Link)
    history: History = field(default_factory=History)
    files: Files | None = None
    verified: int | None = None
    undo: Callable[[], Change] | None = None
    meanings: list[str] = field(default_factory=list)
    offline: Offline = field(init=False)
    ring: Ring = field(init=False)

    def __post_init__(self) -> None:
        self.offline = Offline(self.commands)
        self.ring = read(self.ring_file)

    @property
    def reader(self) -> AdminClient:
        return self.client if self.from_files is None else self.offline

    @property
    def from_files(self) -> Snapshot | None:
        """None while a server answers."""
        down = self.state is LinkState.DOWN
        return self.files.snapshot if down and self.files is not None else None

    @property
    def stale(self) -> bool:
        live = self.state in (LinkState.LIVE, LinkState.CONNECTING)
        return not live and self.from_files is None

    @property
    def status(self) -> Status | None:
        """The newest, however old."""
        read = self.from_files
        return self.link.status if read is None else read.status

    @property
    def state(self) -> LinkState:
        return self.link.state(self.clock())

    @property
    def initialised(self) -> bool:
        """A directory that cannot be looked at may be one."""
        try:
            return (self.data / "appliance.toml").exists()
        except OSError:
            return True

    def may(self, needed: Role, *, without_server: bool = False) -> bool | None:
        """False: never here; None: not now.

        Args:
            without_server: it can be done while no server runs.
        """
        if self.readonly:
            return False
        state = self.state
        if state is not LinkState.LIVE:
            return True if without_server and state is LinkState.DOWN else None
        role = self.status.role if self.status else ""
        return role in _ORDER and _ORDER.index(Role(role)) >= _ORDER.index(needed)
