"""Takes the product off a host; the audit log stays unless its removal is asked for by name.

Rules: after any interruption the same command completes the removal. Without `purge` the whole
`audit/` directory, the database and the settings stay: they are records.
"""

from pathlib import Path

from installer.host import system
from installer.host.answers import Layout
from installer.host.files import remove
from installer.host.install import settle
from installer.host.ledger import Ledger
from installer.host.service import Service


def uninstall(ledger: Ledger, layout: Layout, service: Service, *, purge: bool) -> list[Path]:
    """Remove the product; what stays."""
    settle(ledger, layout, service, boot=True)
    service.stop()
    service.disable()
    system.uninstall(layout)
    remove(Path("/etc/fapolicyd/trust.d/appliance") if not layout.user else layout.current)
    remove(layout.current)
    remove(layout.prefix)
    for name in ("store", "models", "snapshots", "trust", "reserve", "tuning"):
        remove(layout.state / name)
    for path in layout.state.glob("boot.*"):
        remove(path)
    if not purge:
        ledger.append("uninstalled")
        remove(layout.data / "run")
        return [path for path in (layout.data, layout.etc, layout.state) if path.exists()]
    for path in (layout.data, layout.etc, layout.state):
        remove(path)
    return []
