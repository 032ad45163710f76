"""Changes outside of the installer's own directories, and their removal.

Rules: every such file names its maker, is a link into the release in service or a small script, and
is in `made`: so one rename switches all, and uninstalling finds all. Accounts stay when the product
goes: files may be theirs.
"""

import grp
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from installer.host import units
from installer.host.answers import Answers, Layout
from installer.host.assemble import CLEAN
from installer.host.files import point_link, remove, sync_directory, write_file
from installer.host.preflight import OURS
from installer.host.problems import InstallError
from installer.host.signature import KEY

_LINKED: Final = {
    "sysusers.conf": "/etc/sysusers.d/appliance.conf",
    "tmpfiles.conf": "/etc/tmpfiles.d/appliance.conf",
    "logrotate.conf": "/etc/logrotate.d/appliance",
}
_FAPOLICYD: Final = Path("/run/fapolicyd/fapolicyd.fifo")
_COMMAND: Final = """\
#!/bin/sh
# {ours}
# Beside a running server a command talks to it. Without one it works on the data itself, and then
# as the account of the service, whose files they are. A server that was killed leaves its socket.
current=$(readlink -f '{current}') || exit 3
[ -x "$current/root/usr/bin/python" ] || {{ echo "The appliance is not installed." >&2; exit 3; }}
{middle}
"""
_PRODUCT: Final = """\
: "${{APPLIANCE_DATA:={data}}}"
export APPLIANCE_DATA
listens() {{
  [ -S "$1" ] && "$current/root/usr/bin/python" -I -S -c 'import socket, sys
server = socket.socket(socket.AF_UNIX)
server.settimeout(5)
server.connect(sys.argv[1])' "$1" 2>/dev/null
}}
if [ "$(id -u)" = 0 ] && [ -f "$APPLIANCE_DATA/appliance.toml" ] &&
  ! listens "$APPLIANCE_DATA/run/admin.sock"; then
  owner=$(stat -c %u "$APPLIANCE_DATA")
  [ "$owner" = 0 ] || exec setpriv --reuid "$owner" --regid "$(id -g "$owner")" \\
    --init-groups "$current/root/usr/bin/python" -I -m appliance "$@"
fi
exec "$current/root/usr/bin/python" -I -m appliance "$@"\
"""
_INSTALLER: Final = """\
umask 022
exec "$current/root/usr/bin/python" -I -B "$current/installer.pyz" "$@" --state '{state}'{user}\
"""


def render(
    layout: Layout, answers: Answers, release: str, target: Path, *, gpu: bool = False
) -> None:
    """Write units and settings into a release; they become live with the link to it.

    `gpu`: the release has a GPU plugin on this host.
    """
    for folder, texts in (
        ("units", units.units(layout, answers, release, gpu=gpu)),
        ("host", units.settings(layout, answers, release)),
    ):
        (target / folder).mkdir(exist_ok=True)
        for name, text in texts.items():
            write_file(target / folder / name, text.encode())


def links(layout: Layout, managed: bool) -> Iterator[tuple[Path, str]]:
    """The links that the host's programs follow, and their targets."""
    if managed:
        names = (units.SERVICE, units.FAILED, *(() if layout.user else (units.RECOVER,)))
        for name in names:
            yield layout.units / name, f"{layout.current}/units/{name}"
    if not layout.user:
        for name, place in _LINKED.items():
            if Path(place).parent.is_dir():
                yield Path(place), f"{layout.current}/host/{name}"
        for name in ("appliance.nft", "appliance.firewalld.xml"):
            yield layout.etc / name, f"{layout.current}/host/{name}"


def commands(layout: Layout) -> dict[Path, str]:
    """The commands and their texts."""
    values = {"ours": OURS, "current": layout.current, "data": layout.data, "state": layout.state}
    user = " --user" if layout.user else ""
    product = _PRODUCT.format(**values)
    installer = _INSTALLER.format(**values, user=user)
    return {
        layout.commands / "appliance": _COMMAND.format(**values, middle=product),
        layout.commands / "appliance-installer": _COMMAND.format(**values, middle=installer),
    }


def install(layout: Layout, managed: bool) -> None:
    """Make links and commands; existing ones stay as they are."""
    for path, target in links(layout, managed):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (path.is_symlink() and str(path.readlink()) == target):
            point_link(path, target)
    for path, text in commands(layout).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text() != text:
            write_file(path, text.encode(), 0o755)


def uninstall(layout: Layout) -> None:
    """Remove exactly what `install` made."""
    for path, target in links(layout, managed=True):
        if path.is_symlink() and str(path.readlink()) == target:
            path.unlink()
            sync_directory(path.parent)
    for path in commands(layout):
        if path.is_file() and OURS in path.read_text(errors="replace"):
            remove(path)


def leftovers(layout: Layout) -> Iterator[Path]:
    """Remains of a killed run next to the files and links that it was about to replace."""
    linked = (path for path, _ in links(layout, managed=True))
    for path in (layout.current, layout.trust / KEY, *commands(layout), *linked):
        yield path.with_name(path.name + ".part")


def make_accounts(answers: Answers, data: Path) -> None:
    """Make the missing account of the service and group of its operators (`step_failed`)."""
    if not _known(grp.getgrnam, answers.operators):
        _run("groupadd", "--system", answers.operators)
    if not _known(pwd.getpwnam, answers.account):
        shell = next((s for s in ("/usr/sbin/nologin", "/sbin/nologin") if Path(s).exists()), "")
        _run(
            *("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", str(data)),
            *("--shell", shell or "/bin/false", "--groups", answers.operators, answers.account),
        )


def label(layout: Layout, release: Path, *, selinux: bool, fapolicyd: bool) -> list[str]:
    """Set the labels and the trust that the host's policies want; what was done (`step_failed`)."""
    done = []
    if selinux and shutil.which("restorecon"):
        _run("restorecon", "-R", str(release))
        done.append("restorecon")
    if fapolicyd and not layout.user:
        trust = Path("/etc/fapolicyd/trust.d/appliance")
        trust.parent.mkdir(exist_ok=True)
        write_file(trust, "".join(_trusted(release)).encode())
        if _FAPOLICYD.is_fifo() and shutil.which("fapolicyd-cli"):  # it runs: it reads it now
            _run("fapolicyd-cli", "--update")
        done.append("fapolicyd")
    return done


def _trusted(release: Path) -> Iterator[str]:
    for line in (release / "tree.list").read_text().splitlines():
        if line.startswith("f "):
            _, _, size, digest, path = line.split(" ", 4)
            yield f"{release}/root/{path} {size} {digest}\n"


def _known(look: "object", name: str) -> bool:
    try:
        look(name)  # type: ignore[operator]
    except KeyError:
        return False
    return True


def _run(*command: str) -> None:
    try:
        done = subprocess.run(
            command, env=CLEAN, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
    except OSError as error:
        raise InstallError("step_failed", f"{command[0]}: {error.strerror}.") from error
    if done.returncode != 0:
        raise InstallError("step_failed", f"{' '.join(command)}: {done.stderr.strip()}")
