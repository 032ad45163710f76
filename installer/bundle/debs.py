"""The Debian packages of the bundled runtime: locked, fetched with apt, unpacked.

Rules: apt has its own configuration of Debian 13 and its archive keys, so the build host may run
another release; no maintainer script runs. `python -m installer.bundle.debs --lock` writes the lock
from today's archive.
"""

import argparse
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from installer.bundle.cache import cache_root, exclusive, sha256_file
from installer.bundle.locks import LOCKS
from installer.bundle.steps import BundleError, command_line, run_step, say

LOCK: Final = LOCKS / "debian.lock"
SUITE: Final = "trixie"
ARCHITECTURE: Final = "amd64"
PACKAGES: Final = (
    "libc6", "gcc-14-base", "libgcc-s1", "libstdc++6",
    "libpython3.13-minimal", "libpython3.13-stdlib", "python3.13-minimal",
    "libbz2-1.0", "libexpat1", "libffi8", "liblzma5", "libsqlite3-0", "libssl3t64", "libuuid1",
    "libzstd1", "openssl", "zlib1g",
)  # fmt: skip
"""Packages for Python, our wheels and the check of signatures; none for readline, curses, dbm."""
KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.pgp"
_OLD_KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
_LINE: Final = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9.+-]+)=(?P<version>\S+) --hash=sha256:(?P<sha256>[0-9a-f]{64})"
)
_URI: Final = re.compile(r"'[^']*' (\S+) \d+ SHA256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Package:
    """One locked Debian package."""

    name: str
    version: str
    sha256: str

    @property
    def purl(self) -> str:
        version = self.version.replace(":", "%3A").replace("+", "%2B")
        return f"pkg:deb/debian/{self.name.replace('+', '%2B')}@{version}?arch={ARCHITECTURE}"


def read(path: Path = LOCK) -> list[Package]:
    """The locked packages; exactly the wanted ones."""
    found = []
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise BundleError(f"{path.name}: not a package with version and hash: {line[:80]}")
        found.append(Package(match["name"], match["version"], match["sha256"]))
    if [package.name for package in found] != list(PACKAGES):
        raise BundleError(f"{path.name} does not lock the packages of debs.py in their order")
    return found


def fetch(packages: Sequence[Package], root: Path) -> list[Path]:
    """The package files, from the cache below `root` or the archive, each checked."""
    with exclusive(root / "debs.lock"):
        absent = [p for p in packages if not _is(root / f"{p.sha256}.deb", p)]
        if absent:
            say(f"Fetching {len(absent)} packages of Debian {SUITE}")
            with tempfile.TemporaryDirectory(dir=root, prefix="part-") as work:
                _download(Path(work), absent, root)
    return [root / f"{package.sha256}.deb" for package in packages]


def unpack(package: Path, target: Path) -> None:
    """Take the files out of a package."""
    run_step(
        ["dpkg-deb", "--extract", str(package), str(target)],
        what=f"unpack {package.name}",
        log=target.parent / "unpack.log",
    )


def _is(path: Path, package: Package) -> bool:
    return path.is_file() and sha256_file(path) == package.sha256


def _download(work: Path, packages: Sequence[Package], root: Path) -> None:
    apt = _apt(work)
    wanted = [f"{p.name}:{ARCHITECTURE}={p.version}" for p in packages]
    (work / "debs").mkdir()
    done = subprocess.run(
        ["apt-get", "download", *wanted],
        cwd=work / "debs",
        env=apt,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BundleError(
            f"{done.stderr.strip()}\nA locked version is not in the archive any more (an update "
            "replaced it), or the archive cannot be reached. `make lock-debian` takes what is "
            "there today."
        )
    by_digest = {sha256_file(path): path for path in (work / "debs").glob("*.deb")}
    for package in packages:
        if package.sha256 not in by_digest:
            raise BundleError(f"{package.name} {package.version}: not the locked bytes")
        by_digest[package.sha256].replace(root / f"{package.sha256}.deb")


def _apt(work: Path) -> dict[str, str]:
    """An environment in which apt knows only this suite; its lists are fetched."""
    mirror = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian").rstrip("/")
    keyring = KEYRING if Path(KEYRING).exists() else _OLD_KEYRING
    for name in ("state/lists/partial", "cache/archives/partial", "etc"):
        (work / name).mkdir(parents=True)
    (work / "etc" / "sources.list").write_text(
        f"deb [signed-by={keyring}] {mirror} {SUITE} main\n"
        f"deb [signed-by={keyring}] {mirror} {SUITE}-updates main\n"
        f"deb [signed-by={keyring}] {mirror}-security {SUITE}-security main\n"
    )
    (work / "status").write_text("")
    host = Path("/etc/apt/apt.conf.d")
    proxies = "".join(p.read_text() for p in sorted(host.glob("*proxy*"))) if host.is_dir() else ""
    (work / "apt.conf").write_text(
        f'Dir::State "{work}/state"; Dir::State::status "{work}/status";\n'
        f'Dir::Cache "{work}/cache"; Dir::Etc::sourcelist "{work}/etc/sources.list";\n'
        f'Dir::Etc::sourceparts "-"; Dir::Etc::parts "-"; Dir::Etc::main "-";\n'
        f'Dir::Etc::preferencesparts "-"; APT::Architecture "{ARCHITECTURE}";\n'
        f'APT::Architectures "{ARCHITECTURE}"; APT::Sandbox::User "";\n{proxies}'
    )
    env = os.environ | {"APT_CONFIG": str(work / "apt.conf"), "LC_ALL": "C.UTF-8"}
    try:
        run_step(
            ["apt-get", "-q", "update"], what="lists of Debian", log=work / "update.log", env=env
        )
    except BundleError as error:
        raise BundleError(f"{error}\nThe archive of Debian cannot be reached.") from error
    return env


def lock_text() -> str:
    """For today's archive."""
    with tempfile.TemporaryDirectory() as work:
        env = _apt(Path(work))
        names = [f"{name}:{ARCHITECTURE}" for name in PACKAGES]
        done = subprocess.run(
            ["apt-get", "download", "--print-uris", *names],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise BundleError(done.stderr.strip())
    found = {}
    for file, digest in _URI.findall(done.stdout):
        name, version, _ = file.removesuffix(".deb").split("_")
        found[name] = (version.replace("%3a", ":"), digest)
    lines = [f"{n}={found[n][0]} --hash=sha256:{found[n][1]}\n" for n in PACKAGES]
    head = f"# Debian {SUITE}, {ARCHITECTURE}; written by `make lock-debian`.\n"
    return head + "".join(lines)


def main() -> None:
    """Command line: fetch the locked packages, or write the lock."""
    parser = argparse.ArgumentParser(prog="python -m installer.bundle.debs")
    parser.add_argument("--lock", action="store_true", help="write the lock anew")
    if parser.parse_args().lock:
        LOCK.write_text(lock_text())
        say(f"{LOCK.name} written")
        return
    if shutil.which("dpkg-deb") is None:
        raise BundleError("the runtime is made from Debian packages: dpkg-deb is needed")
    for path in fetch(read(), cache_root() / "debs"):
        print(path)


if __name__ == "__main__":
    command_line(main)
