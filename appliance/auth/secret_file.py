"""Secrets in files of their own, which the configuration names."""

from pathlib import Path

from appliance.errors import UsageError


def read_secret(data: Path, name: str) -> str:
    """The line in a file of the data directory; "" where no file is named.

    Raises:
        UsageError: `key_unreadable`.
    """
    if not name:
        return ""
    try:
        text = (data / name).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("key_unreadable", f"{name}: {error}") from error
    if not text or not text.isprintable():
        raise UsageError("key_unreadable", f"{name} holds no key.")
    return text
