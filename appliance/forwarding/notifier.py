"""Delivers messages about incidents: to a webhook, or as mail through a relay.

Rules: what cannot be delivered is kept and goes with the next message; nothing here delays a look;
a relay or a webhook with TLS shows a certificate of the pinned CA.
"""

import json
import logging
import queue
import smtplib
import threading
from collections.abc import Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from appliance.auth.secret_file import read_secret
from appliance.config import NotifyConfig
from appliance.errors import ApplianceError
from appliance.forwarding.notices import IncidentNotice, NoticePlan
from appliance.forwarding.receivers import SECONDS, post, tls_of
from appliance.incidents.kept import Look

_PATIENCE_S: Final = 5.0
UNDELIVERED: Final = (OSError, ApplianceError, smtplib.SMTPException)
_log = logging.getLogger("appliance")


class Notifier:
    """Tells people, in a thread of its own.

    Args:
        origin: name of the log, by which people know the appliance.
    """

    def __init__(self, destinations: Mapping[str, NotifyConfig], data: Path, origin: str) -> None:
        self._data = data
        self._plans = {name: NoticePlan(config, origin) for name, config in destinations.items()}
        self._looks: queue.SimpleQueue[tuple[Look, int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
        self.problems: dict[str, str] = {}

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the message under way."""
        self._looks.put(None)
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE_S)

    def tell(self, look: Look, now_us: int) -> None:
        """Take a look; returns at once."""
        if self._plans and self._thread.is_alive():
            self._looks.put((look, now_us))

    def _run(self) -> None:
        while (found := self._looks.get()) is not None:
            look, now_us = found
            for name, plan in self._plans.items():
                plan.add(look)
                notice = plan.notice(look, now_us)
                if notice is not None:
                    self._deliver(name, plan, notice)

    def _deliver(self, name: str, plan: NoticePlan, notice: IncidentNotice) -> None:
        try:
            send(plan.config, self._data, notice)
        except UNDELIVERED as error:
            if name not in self.problems:
                _log.warning("no message reaches %s: %s", name, error)
            self.problems[name] = str(error) or type(error).__name__
            return
        self.problems.pop(name, None)
        plan.delivered(notice)


def tell_at_once(
    destinations: Mapping[str, NotifyConfig], data: Path, notice: IncidentNotice
) -> dict[str, str]:
    """Deliver one message to each destination; returns why it was not taken, or "" by name."""
    found = {}
    for name, config in destinations.items():
        try:
            send(config, data, notice)
            found[name] = ""
        except UNDELIVERED as error:
            found[name] = str(error) or type(error).__name__
    return found


def send(config: NotifyConfig, data: Path, notice: IncidentNotice) -> None:
    """Deliver one message.

    Raises:
        OSError, smtplib.SMTPException: it was not taken.
        UsageError: `certificate_unusable`, `key_unreadable`.
    """
    parts = urlsplit(config.to)
    context = tls_of(config, data) if parts.scheme in ("https", "smtps") else None
    if parts.scheme in ("http", "https"):
        head = {"Content-Type": "application/json"}
        if config.token:
            head["Authorization"] = f"Bearer {read_secret(data, config.token)}"
        post(config.to, json.dumps(notice.document()).encode(), head, context)
        return
    mail = EmailMessage()
    mail["From"], mail["To"] = config.mail_from, ", ".join(config.mail_to)
    mail["Subject"] = "".join(c if c.isprintable() else " " for c in notice.subject)
    mail.set_content(notice.text)
    with smtplib.SMTP(parts.hostname or "", parts.port or 25, timeout=SECONDS) as relay:
        if context is not None:
            relay.starttls(context=context)
        relay.send_message(mail)
