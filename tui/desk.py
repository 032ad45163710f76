"""What every screen knows: the server, the connection, the person's role, and what they chose.

Rules: screens read it and change nothing of it; what a person may do is asked here, and the server
decides again. Time is injected.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from appliance.client import AdminClient
from appliance.types import Role
from appliance.wire.admin.models import Status
from tui.command import Commands
from tui.link import Link, LinkState
from tui.rates import History

_ORDER = tuple(Role)


@dataclass
class Desk:
    """One program's view of one appliance.

    Attributes:
        readonly: nothing that changes the appliance is offered.
        basic: ASCII, the terminal's own colours, a slow refresh.
        media: directories where artifacts are looked for besides on sticks.
        clock: monotonic seconds.
        wall: seconds since the epoch.
        verified: the last entry of the log that this person had verified, and it held.
    """

    client: AdminClient
    commands: Commands
    data: Path
    readonly: bool = False
    basic: bool = False
    media: tuple[Path, ...] = ()
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    link: Link = field(default_factory=Link)
    history: History = field(default_factory=History)
    verified: int | None = None

    @property
    def status(self) -> Status | None:
        """The newest status, however old."""
        return self.link.status

    @property
    def state(self) -> LinkState:
        """The connection now."""
        return self.link.state(self.clock())

    @property
    def initialised(self) -> bool:
        """Whether the data directory is one; what cannot be looked at may be."""
        try:
            return (self.data / "appliance.toml").exists()
        except OSError:
            return True

    def may(self, needed: Role, *, without_server: bool = False) -> bool | None:
        """Whether a person may do what takes this role.

        Args:
            without_server: it can be done while no server runs.

        Returns:
            False: never in this program; None: not now.
        """
        if self.readonly:
            return False
        state = self.state
        if state is not LinkState.LIVE:
            return True if without_server and state is LinkState.DOWN else None
        role = self.status.role if self.status else ""
        return role in _ORDER and _ORDER.index(Role(role)) >= _ORDER.index(needed)
