"""The admin's decisions: an answer file (TOML) and the paths that follow from it.

Rules: every key is declared here; the answers are kept with the release, so an upgrade asks nothing
again. Paths are absolute and plain: they go into units and scripts.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from installer.host.problems import InstallError

SERVICES: Final = ("auto", "systemd", "none")
PROFILES: Final = ("lab", "site")
_PLAIN: Final = re.compile(r"(/[A-Za-z0-9._+-]+)+")
_USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_LONGEST_SOCKET: Final = 107
_FROM_PAPER: Final = ("fingerprint", "trust_fingerprint")
"""Read as they are printed: in groups or not, in capitals or not."""
_KINDS: Final = {
    str: 'a text: name = "..."',
    int: "a number without quotes",
    list: 'a list of texts: ["..."]',
}


def _key(default: Any, doc: str, place: str = "") -> Any:
    """An empty path means the default place."""
    return field(default=default, metadata={"doc": doc, "place": place})


@dataclass(frozen=True)
class Answers:
    """All keys of the answer file; docs/install-guide.md has them, too."""

    profile: str = _key(
        "lab",
        "`lab`: all on one machine, to try. `site`: with the organisation's trust root",
    )
    service: str = _key(
        "auto", "`systemd`, `none` (you start `appliance serve`), or `auto`: systemd where it runs"
    )
    account: str = _key("appliance", "the service's account")
    operators: str = _key("appliance-operators", "the group that may use the admin socket")
    prefix: str = _key("", "the releases", "/opt/appliance")
    data: str = _key("", "the data directory", "/var/lib/appliance")
    state: str = _key("", "ledger and copies of the installer", "/var/lib/appliance-install")
    host: str = _key("127.0.0.1", "where the server listens, set at the first installation")
    port: int = _key(8080, "its port")
    models: tuple[str, ...] = _key(
        (),
        "models of the stick to bring; with `multilingual-e5-small` evaluations measure nearest"
        " neighbours",
    )
    fingerprint: str = _key("", "of the vendor's key, from the paper")
    trust: str = _key(
        "",
        "for `site`: the officer's directory with `metadata/` and `targets/`; without it, the"
        " bundle's",
    )
    trust_fingerprint: str = _key(
        "", "for `site`: of the trust root, from the officer's printed record"
    )


@dataclass(frozen=True)
class Layout:
    """Paths on this host.

    `prefix` holds the releases and `current`; `etc` the pinned key and counter; `state` the ledger,
    copies and snapshots of the installer.
    """

    prefix: Path
    etc: Path
    data: Path
    state: Path
    commands: Path
    units: Path
    user: bool

    @property
    def releases(self) -> Path:
        return self.prefix / "releases"

    @property
    def current(self) -> Path:
        """The link to the release in service, switched by one rename."""
        return self.prefix / "current"

    @property
    def tuning(self) -> Path:
        """The link to the tuning set, which `[tuning] directory` names."""
        return self.prefix / "tuning"

    @property
    def tuning_sets(self) -> Path:
        """The sets, each in a directory named by its signed list."""
        return self.prefix / "tuning-sets"

    @property
    def trust(self) -> Path:
        """The pinned key of the vendor and the counter of the newest release."""
        return self.etc / "trust"

    @property
    def store(self) -> Path:
        return self.state / "store"

    @property
    def snapshots(self) -> Path:
        return self.state / "snapshots"

    def release(self, release: str) -> Path:
        return self.releases / release


def parse(data: bytes) -> dict[str, Any]:
    """Read an answer file, perhaps written on Windows: only the keys that it has
    (`answers_invalid`).
    """
    try:
        table = tomllib.loads(data.decode("utf-8-sig"))
    except ValueError as error:
        raise _invalid(str(error)) from error
    known = {each.name: each.default for each in fields(Answers)}
    for name, value in table.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise _invalid(f"there is no key {name}; did you mean {near}?")
        wanted = list if name == "models" else type(known[name])
        plain = not isinstance(value, list) or all(type(v) is str for v in value)
        if type(value) is not wanted or not plain:
            raise _invalid(f"{name} must be {_KINDS[wanted]}")
        if name in _FROM_PAPER:
            table[name] = digits(str(value))
    return {name: tuple(v) if isinstance(v, list) else v for name, v in table.items()}


def digits(fingerprint: str) -> str:
    """A fingerprint as it was typed, without groups and capitals."""
    return re.sub(r"[\s:]", "", fingerprint).lower()


def combine(*sources: Mapping[str, Any]) -> Answers:
    """The later sources are stronger (`answers_invalid`)."""
    answers = Answers()
    for source in sources:
        answers = replace(answers, **source)
    if answers.service not in SERVICES or answers.profile not in PROFILES:
        raise _invalid(f"service is one of {SERVICES}, profile one of {PROFILES}")
    for name in ("account", "operators"):
        if not _USER.fullmatch(getattr(answers, name)):
            raise _invalid(f"{name} is no name of an account")
    for name in ("prefix", "data", "state", "trust"):
        value = getattr(answers, name)
        if value and (not _PLAIN.fullmatch(value) or ".." in value.split("/")):
            raise _invalid(f"{name} must be an absolute path of letters, digits and ._+-")
    if not 1 <= answers.port <= 65_535:
        raise _invalid("port is 1 to 65535")
    for name in _FROM_PAPER:
        if not re.fullmatch(r"|[0-9a-f]{64}", getattr(answers, name)):
            raise _invalid(f"{name} is 64 hexadecimal digits")
    if (answers.profile == "site") != bool(answers.trust_fingerprint):
        raise _invalid("a site has a trust_fingerprint, from paper, and a lab has none")
    if not re.fullmatch(r"[0-9a-zA-Z.:-]+", answers.host):
        raise _invalid("host is an address or a name")
    return answers


def layout(answers: Answers, *, user: bool, home: Path) -> Layout:
    """The paths that follow from the answers; the socket's must fit (`path_too_long`)."""
    if user:
        share, config = home / ".local" / "share", home / ".config"
        default = Layout(
            prefix=share / "appliance",
            etc=config / "appliance",
            data=share / "appliance-data",
            state=home / ".local" / "state" / "appliance-install",
            commands=home / ".local" / "bin",
            units=config / "systemd" / "user",
            user=True,
        )
    else:
        default = Layout(
            prefix=Path("/opt/appliance"),
            etc=Path("/etc/appliance"),
            data=Path("/var/lib/appliance"),
            state=Path("/var/lib/appliance-install"),
            commands=Path("/usr/local/bin"),
            units=Path("/etc/systemd/system"),
            user=False,
        )
    found = replace(
        default,
        prefix=Path(answers.prefix or default.prefix),
        data=Path(answers.data or default.data),
        state=Path(answers.state or default.state),
    )
    if len(str(found.data / "run" / "admin.sock")) > _LONGEST_SOCKET:
        raise InstallError("path_too_long", f"{found.data} is too long for the admin socket.")
    return found


def encode(answers: Answers) -> bytes:
    """The bytes kept with a release."""
    return (json.dumps(asdict(answers), indent=1, sort_keys=True) + "\n").encode()


def decode(data: bytes) -> Answers:
    """Read what `encode` made (`release_changed`)."""
    try:
        return combine(kept(json.loads(data)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InstallError("release_changed", f"answers.json: {error}") from error


def kept(table: Mapping[str, Any]) -> dict[str, Any]:
    """Without those that this release does not know, as after a rollback."""
    known = {f.name: table[f.name] for f in fields(Answers) if f.name in table}
    return known | {"models": tuple(known.get("models", ()))}


def _invalid(text: str) -> InstallError:
    return InstallError("answers_invalid", f"The answers: {text}.")
