"""Delivery of one message about incidents: to a webhook, or as mail through a relay.

Rule: a relay or a webhook with TLS shows a certificate of the pinned CA.
"""

import json
import smtplib
from collections.abc import Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from appliance.auth.secret_file import read_secret
from appliance.config import NotifyConfig
from appliance.errors import ApplianceError
from appliance.forwarding.notices import IncidentNotice
from appliance.forwarding.receivers import SECONDS, post, tls_of

UNDELIVERED: Final = (OSError, ApplianceError, smtplib.SMTPException)


def tell_at_once(
    destinations: Mapping[str, NotifyConfig], data: Path, notice: IncidentNotice
) -> dict[str, str]:
    """Deliver one message to each destination; by name the reason of a failure, or ""."""
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
