"""A small bundle through the real builder's and the real installer's code.

Only the load is small: this machine's Python, and a product of one module with settings, a database
and an append-only log.
"""

import base64
import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from installer.bundle import media, pyz, runtime
from installer.bundle.build import make_trees
from installer.bundle.media import Source
from installer.host.manifest import Manifest, Part, Requirements
from tests.conftest import CHECKOUT

INSTALL = CHECKOUT / "installer" / "host" / "install.sh"
PRODUCT = """\
import argparse, fcntl, json, os, sqlite3, sys
from pathlib import Path

SCHEMA = {schema}
BROKEN = {broken!r}


def main():
    arguments = sys.argv[1:]
    data = Path(arguments[arguments.index("--data") + 1]) if "--data" in arguments else None
    command = " ".join(arguments[: 2 if arguments[0] in ("model", "trust") else 1])
    print(json.dumps(COMMANDS.get(command, verify)(data, arguments)))


def init(data, arguments):
    (data / "audit").mkdir()
    (data / "run").mkdir()
    (data / "audit" / "log").write_text("genesis\\n")
    sqlite3.connect(data / "appliance.db").close()
    (data / "appliance.toml").write_text('host = "127.0.0.1"\\nport = 8080\\n')
    if "lab" in arguments:
        (data / "keys" / "lab").mkdir(parents=True)
    else:
        root, fingerprint = (arguments[arguments.index(n) + 1] for n in ("--root", "--fingerprint"))
        (data / "root").write_text(Path(root).read_text() + fingerprint)
    return {{}}


def update(data, arguments):
    policy = Path(arguments[2], "targets", "policy.json").read_text()
    if not policy.isdigit():
        sys.exit("trust_expired")
    had = (data / "policy").read_text() if (data / "policy").exists() else ""
    (data / "policy").write_text(policy)
    return {{"changed": policy != had, "after": {{"root": 1, "policy": int(policy)}}}}


def selftest(data, arguments):
    with (data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        connection = sqlite3.connect(data / "appliance.db")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            sys.exit("the database is newer")
        for number in range(version, SCHEMA):
            connection.execute(f"CREATE TABLE t{{number}} (x)")
            connection.execute(f"PRAGMA user_version = {{number + 1}}")
        connection.commit()
        connection.close()
        with (data / "audit" / "log").open("a") as log:
            log.write("selftest of {release}\\n")
    if BROKEN:
        sys.exit("broken on purpose")
    return {{"ok": True, "policy": 1, "models": 0, "token": None, "entry": 1}}


def verify(data, arguments):
    lines = (data / "audit" / "log").read_text().splitlines()
    return {{"ok": lines[0] == "genesis", "entries": len(lines), "root": ""}}


def models(data, arguments):
    registry = data / "registry.json"
    listed = json.loads(registry.read_text()) if registry.exists() else []
    for model in listed:
        if model["state"] == "approved" and not (data / "models" / model["id"]).is_dir():
            model["state"] = "missing"
    return {{"models": listed}}


COMMANDS = {{
    "init": init,
    "selftest": selftest,
    "trust update": update,
    "status": lambda data, arguments: {{}},
    "model list": models,
}}
if __name__ == "__main__":
    main()
"""


# In place of the installer's own start: a file in the home directory may change it first.
HOOKED = b"""
import os
from pathlib import Path
from installer.host import cli, ledger

hook = Path(os.environ["HOME"], "hook.py")
if hook.exists():
    exec(hook.read_text())
cli.main()
"""
AFTER_A_LINE = """
append = ledger.Ledger.append

def appended(self, name, **facts):
    append(self, name, **facts)
    after(facts.get("phase", name))

ledger.Ledger.append = appended
"""
"""A hook that calls `after` with each phase that is done, and with `begin` and `commit`."""
KILL = """
import signal, sys
left = {count}
CHANGES = {{"os.rename", "os.remove", "os.rmdir", "os.symlink", "os.mkdir", "os.truncate"}}

def point():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def change(event, arguments):
    if event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & 3):
        point()

def after(_phase):
    point()
"""


@dataclass(frozen=True)
class Bench:
    """A directory with a vendor's key and a host's home."""

    place: Path

    @property
    def key(self) -> Path:
        return self.place / "vendor.pem"

    @property
    def home(self) -> Path:
        return self.place / "home"

    @property
    def stick(self) -> Path:
        return self.place / "stick"

    @property
    def state(self) -> Path:
        return self.home / ".local" / "state" / "appliance-install"

    @property
    def data(self) -> Path:
        return self.home / ".local" / "share" / "appliance-data"

    @property
    def prefix(self) -> Path:
        return self.home / ".local" / "share" / "appliance"

    @property
    def current(self) -> str | None:
        link = self.prefix / "current"
        return link.readlink().name if link.is_symlink() else None

    def fingerprint(self, stick: Path | None = None) -> str:
        return hashlib.sha256(((stick or self.stick) / "vendor.pub").read_bytes()).hexdigest()

    def bundle(
        self,
        release: str = "1.0",
        counter: int = 1,
        *,
        schema: int = 1,
        broken: bool = False,
        out: Path | None = None,
        key: Path | None = None,
        chunk: int = 30_000,
        main: bytes = HOOKED,
        machine: str = "x86_64",
        extra: tuple[Source, ...] = (),
    ) -> Path:
        """Write a bundle; the directory that plays the stick."""
        work = self.place / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        pack_runtime(work / "runtime.tar.gz", work / "runtime")
        pack_wheel(work / "product.whl", release, schema, broken)
        pyz.pack(work / "install.pyz", main)
        wheels = [(f"appliance-{release}-py3-none-any.whl", work / "product.whl")]
        sources = [
            Source("runtime.tar.gz", "runtime", work / "runtime.tar.gz"),
            Source("install.pyz", "installer", work / "install.pyz"),
            Source("tree.list", "tree", work / "tree.list"),
            *(Source(name, "wheel", path) for name, path in wheels),
            *extra,
        ]
        for when in sorted({source.when for source in extra if source.kind == "plugin"}):
            sources.append(Source(f"{when}.list", "tree", work / f"{when}.list", when))
        listed = make_trees(work, wheels, sources)

        def describe(parts: tuple[Part, ...]) -> Manifest:
            needs = Requirements("4.0", 1)
            return Manifest(release, release, counter, machine, "2026-01-01", needs, listed, parts)

        if not self.key.exists():
            media.new_key(self.key)
        out = out or self.stick
        texts = {"install.sh": INSTALL.read_bytes(), "LICENSES/ours": b"licence\n"}
        media.write(out, sources, describe, texts, key or self.key, chunk=chunk)
        return out

    def install(
        self,
        *options: str,
        stick: Path | None = None,
        prefix: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        stick = stick or self.stick
        self.home.mkdir(exist_ok=True)
        command = [*prefix, "sh", str(stick / "install.sh"), "install", "--media", str(stick)]
        command += ["--user", "--fingerprint", self.fingerprint(), *options]
        return self._run(command, env or {})

    def hook(self, text: str) -> None:
        self.home.mkdir(exist_ok=True)
        (self.home / "hook.py").write_text(text)

    def unhook(self) -> None:
        (self.home / "hook.py").unlink()

    def kill(self, kind: str, count: int) -> None:
        """Let the installer end itself: after a line of the ledger, or before a change."""
        begin = "sys.addaudithook(change)\n" if kind == "change" else AFTER_A_LINE
        self.hook(KILL.format(count=count) + begin)

    def installer(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = self.home / ".local" / "bin" / "appliance-installer"
        return self._run([str(command), *arguments], {})

    def _run(self, command: list[str], more: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), **more}
        return subprocess.run(
            command, env=env, cwd=self.place, capture_output=True, text=True, timeout=600
        )

    def is_whole(self) -> bool:
        """True if every installed file is the signed one."""
        done = self.installer("check")
        return done.returncode == 0 and "every file is what was signed" in done.stderr

    def told(self, *arguments: str) -> dict[str, object]:
        done = self.installer(*arguments, "--json")
        found: dict[str, object] = json.loads(done.stdout)
        return found

    def footprint(self) -> dict[str, str]:
        """Everything on the host that counts: releases, data, commands, units, pinned key."""
        found = {}
        for path in sorted(self.home.rglob("*")):
            name = str(path.relative_to(self.home))
            if name.startswith(".local/state/appliance-install/") or name.endswith("/lock"):
                continue
            if name in ("hook.py", "filler", "lost+found"):
                continue
            if path.is_symlink():
                found[name] = str(path.readlink())
            elif path.is_file():
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found


def pack_runtime(target: Path, root: Path) -> None:
    """An archive like the runtime's, with this machine's Python."""
    (root / "usr" / "bin").mkdir(parents=True)
    (root / "usr" / "lib" / "python3" / "dist-packages").mkdir(parents=True)
    (root / "usr" / "lib" / "python3.13").mkdir()
    (root / "usr" / "lib" / "python3.13" / "module.py").write_text("x = 1\n")
    python = root / "usr" / "bin" / "python"
    python.write_text(
        "#!/bin/sh\n"
        "root=${0%/usr/bin/python}\n"
        f'[ "$2 $3" != "-m appliance" ] || {{ shift 3; exec {sys.executable} -I '
        '"$root/usr/lib/python3/dist-packages/appliance/__main__.py" "$@"; }\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    (root / "bin").symlink_to("usr/bin")
    runtime.pack(root, target)


def pack_wheel(target: Path, release: str, schema: int, broken: bool) -> None:
    stem = f"appliance-{release}.dist-info"
    body = PRODUCT.format(schema=schema, broken=broken, release=release)
    files = {"appliance/__init__.py": b"", "appliance/__main__.py": body.encode()}
    files[f"{stem}/METADATA"] = b"Metadata-Version: 2.1\nName: appliance\n"
    record = io.StringIO()
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record.write(f"{name},sha256={digest},{len(data)}\n")
    record.write(f"{stem}/RECORD,,\n")
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in {**files, f"{stem}/RECORD": record.getvalue().encode()}.items():
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
