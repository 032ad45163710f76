"""Secrets in files that the configuration names; under the host key, if there is one."""

from pathlib import Path

from appliance.errors import UsageError
from appliance.host import host_key


def read_secret(data: Path, name: str) -> str:
    """The line in a file of the data directory; "" where no file is named.

    Raises `key_unreadable`, `host_key_locked`, `host_key_damaged`.
    """
    if not name:
        return ""
    try:
        text = host_key.read(data / name).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("key_unreadable", f"{name}: {error}") from error
    if not text or not text.isprintable():
        raise UsageError("key_unreadable", f"{name} holds no key.")
    return text
