"""The unmodified `openai` package of npm, from a lock with digests, against `appliance serve`."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from installer.bundle.cache import cache_root, exclusive
from tests.conftest import need_tool, unavailable
from tests.contract.conftest import EMBEDDER, Live

HERE = Path(__file__).parent / "node"
LOCK = HERE / "package-lock.json"


@pytest.fixture(scope="module")
def packages() -> Path:
    """A directory with `node_modules` as the lock says, kept under the lock's digest."""
    npm = need_tool("npm")
    root = cache_root() / "node"
    made = root / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    with exclusive(root / f"{made.name}.lock"):
        if not (made / "complete").is_file():
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir(parents=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copyfile(HERE / name, made / name)
            done = subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=made, capture_output=True, text=True, timeout=600, check=False,
            )  # fmt: skip
            if done.returncode:
                unavailable(f"the npm packages cannot be installed: {done.stderr.strip()[-300:]}")
            (made / "complete").touch()
    return made


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_package_of_npm(packages: Path, three_models: Live, tmp_path: Path) -> None:
    node = need_tool("node")
    shutil.copyfile(HERE / "client.test.mjs", tmp_path / "client.test.mjs")
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    done = subprocess.run(
        [node, "--test", "--test-reporter", "tap", "client.test.mjs"],
        cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False,
        env={
            "PATH": os.defpath,
            "OPENAI_BASE_URL": three_models.base_url,
            "OPENAI_API_KEY": three_models.api_key,
            "CONTRACT_MODEL": three_models.model,
            "CONTRACT_EMBEDDER": EMBEDDER,
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    assert "# pass 9" in done.stdout and "# fail 0" in done.stdout


def test_every_package_of_the_lock_has_a_digest() -> None:
    text = LOCK.read_text(encoding="utf-8")
    locked = {name: one for name, one in json.loads(text)["packages"].items() if name}
    assert locked
    assert all(one["integrity"].startswith("sha512-") for one in locked.values())
    assert "http" not in text  # whichever registry there is
