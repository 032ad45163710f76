"""The ten-second look of the server: alarms that begin or end, and its own certificate.

Rules: a begin or an end is one line of the log; a certificate whose files changed is read again,
and a pair that cannot be used changes nothing; the certificate of a new CA takes over on its day.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from appliance.api.admin.facts import RECEIVER_BEHIND, gathered
from appliance.api.admin.roles import role_table
from appliance.app import Services
from appliance.audit.entry import Draft
from appliance.auth import certificates
from appliance.auth.keys import SYSTEM
from appliance.errors import ApplianceError, UsageError
from appliance.incidents import rules

LOOK_S: Final = 10.0
_COUNT_S: Final = 1.0
_KEEP_US: Final = 300_000_000
_LEVELS: Final = {"critical": logging.ERROR, "warning": logging.WARNING}
_log = logging.getLogger("appliance")


class Onlooker:
    """Looks at one appliance.

    Args:
        contexts: of the listeners with TLS, which show one certificate.
    """

    def __init__(self, services: Services, contexts: Sequence[ssl.SSLContext]) -> None:
        self._services, self._contexts = services, contexts
        self._unknown = tuple(role_table(services.config.roles).unresolved)
        self._stamp = self._files()
        self._looks, self._kept = services.data / "run" / "disk-looks.json", 0
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            kept = msgspec.json.decode(self._looks.read_bytes(), type=list[tuple[float, int]])
            services.disk_trend.go_on(kept)

    async def run(self) -> None:
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.to_thread(self._count)
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Look once; blocks."""
        services = self._services
        self._look_at_certificate()
        self._hold_for_receivers(services.clock.wall_us())
        facts = gathered(services, self._unknown)
        if facts.disk is not None:
            services.disk_trend.note(facts.now_us / 1e6, facts.disk.free)
            self._keep_looks(facts.now_us)
        seen = services.incidents.look(rules.alarms(facts), facts.now_us)
        services.notifier.tell(seen, facts.now_us)
        for alarm in seen.began:
            _log.log(
                _LEVELS[alarm.level],
                "alarm %s: %s",
                alarm.code,
                alarm.message,
                extra={"code": alarm.code},
            )
        for alarm in seen.ended:
            _log.info("alarm %s is over: %s", alarm.code, alarm.message)

    def _count(self) -> None:
        """Count usage, so that a question after a year does not wait for the whole log."""
        with contextlib.suppress(ApplianceError, SQLAlchemyError):  # a question says why
            self._services.usage.follow(_COUNT_S)

    def _hold_for_receivers(self, now_us: int) -> None:
        """Take no new work while a required receiver is too far behind."""
        late = self._services.forwarding.overdue(now_us)
        said = f"The receiver {late} lacks entries older than its limit." if late else ""
        self._services.audit.hold_for(RECEIVER_BEHIND, said)

    def reload(self) -> None:
        """Reread the certificate for new handshakes; a bad one changes nothing."""
        if not self._contexts:
            return
        self._stamp = self._files()
        tls, data = self._services.config.tls, self._services.data
        try:
            for context in self._contexts:
                certificates.load(context, data / tls.certificate, data / tls.key)
            _log.info("the certificate was read again")
            shown = certificates.fingerprint_of(data / tls.certificate)
            taken = Draft.deed("certificate_taken", SYSTEM, sha256=shown)
            self._services.audit.append(taken)
        except UsageError as error:
            _log.error("the certificate was not changed: %s", error.message)

    def _keep_looks(self, now_us: int) -> None:
        """Keep the disk's trend for the next start, once in a while, unless the disk is full."""
        if abs(now_us - self._kept) < _KEEP_US:
            return
        self._kept = now_us
        made = self._looks.with_suffix(".new")
        with contextlib.suppress(OSError):
            made.write_bytes(msgspec.json.encode(self._services.disk_trend.looks))
            made.replace(self._looks)

    def _look_at_certificate(self) -> None:
        if not self._contexts:
            return
        certificate = self._services.data / self._services.config.tls.certificate
        certificates.change_if_due(certificate.parent, self._services.clock)
        if self._files() != self._stamp:
            self.reload()

    def _files(self) -> list[tuple[int, int] | None]:
        tls, data = self._services.config.tls, self._services.data
        return [_stamp(data / tls.certificate), _stamp(data / tls.key)]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
