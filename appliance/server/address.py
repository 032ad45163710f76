"""Keeping the address of the LAN listener in `appliance.toml`.

Rules: one line of the file is changed or added and nothing else, since its comments are a person's;
the result must read back as meant; the file is replaced in one step.
"""

import re
from pathlib import Path

from appliance.config import FILE_NAME, parse_config
from appliance.errors import UsageError
from appliance.trust.bytes import durable

_HEAD = re.compile(r"(?m)^[ \t]*\[[ \t]*server[ \t]*\][^\n]*$")
_NEXT = re.compile(r"(?m)^[ \t]*\[")


def keep(data: Path, host: str | None, port: int | None) -> None:
    """Write host and port into `[server]`; a None stays as it is.

    Raises:
        UsageError: `config_invalid` when this cannot change the file, which stays as it was.
        OSError: the file cannot be replaced.
    """
    path = data / FILE_NAME
    text = path.read_text(encoding="utf-8")
    if host is not None:
        text = _with(text, "host", f'"{host}"')
    if port is not None:
        text = _with(text, "port", str(port))
    try:
        kept = parse_config(text).server
    except UsageError as error:
        raise _unchanged(error.message) from error
    if (host not in (None, kept.host)) or (port not in (None, kept.port)):
        raise _unchanged("it says so in another way.")
    durable.replace(path, text.encode(), path.stat().st_mode & 0o777)


def _with(text: str, name: str, value: str) -> str:
    head = _HEAD.search(text)
    if head is None:
        ending = "" if text.endswith("\n") or not text else "\n"
        return f"{text}{ending}\n[server]\n{name} = {value}\n"
    after = _NEXT.search(text, head.end())
    end = after.start() if after else len(text)
    section = text[head.end() : end]
    line = re.compile(rf"(?m)^[ \t]*{name}[ \t]*=[^\n#]*(?=#|$)")
    if found := line.search(section):
        gap = " " if section[found.end() : found.end() + 1] == "#" else ""
        section = f"{section[: found.start()]}{name} = {value}{gap}{section[found.end() :]}"
    else:
        section = f"\n{name} = {value}{section}"
    return text[: head.end()] + section + text[end:]


def _unchanged(why: str) -> UsageError:
    return UsageError("config_invalid", f"{FILE_NAME} was not changed: {why}", param="server")
