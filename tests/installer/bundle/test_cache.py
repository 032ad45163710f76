"""The cache's place, and builds that do not collide in it."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from installer.bundle import cache
from installer.bundle.cache import cache_root, exclusive, sha256_file


def test_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_root() == Path("/elsewhere/appliance")
    for unusable in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert cache_root() == Path("/home/someone/.cache/appliance")


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_file(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()


def test_a_second_process_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "deep" / "wheel.lock"
    program = (
        "import sys; from pathlib import Path; from installer.bundle.cache import exclusive\n"
        f"with exclusive(Path({str(lock)!r})): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        said: list[str] = []

        def release(text: str) -> None:
            said.append(text)
            holder.communicate()

        monkeypatch.setattr(cache, "say", release)
        with exclusive(lock, heartbeat=0.0):
            assert holder.returncode == 0
    assert said == ["  another process is making wheel; waiting for it"]
