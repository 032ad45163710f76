"""Samba of Debian as an Active Directory: nested groups by its rule in chain, closed accounts."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tests.contract.conftest import npm_packages
from tests.contract.test_login_service import PROVIDER
from tests.tokens.softhsm import needs_softhsm

NAMESPACES = ("unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child",
              "--mount-proc")  # fmt: skip
WALK = "tests/contract/test_site_walk.py"
MISSING = [name for name in ("samba", "samba-tool", "unshare", "ip") if not shutil.which(name)]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING), reason=f"without {MISSING}: samba-ad-dc, -ad-provision, -vfs-modules"
    ),
    pytest.mark.skipif(
        os.geteuid() != 0, reason="only root has namespaces with the ports of a domain"
    ),
]


def named(*groups: str) -> list[str]:
    return [f"cn={name},cn=users,dc=site,dc=test" for name in groups]


def test_people_of_an_active_directory(tmp_path: Path) -> None:
    command = [*NAMESPACES, sys.executable, "-m", "tests.contract.active_directory", str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    everything = named("board", "everything", "staff")
    assert json.loads(done.stdout) == {
        "ann": everything, "ANN": everything, "bea": named("everything", "staff"),
        "eve": "person_disabled", "*": "person_unknown", "nobody": "person_unknown",
        "before": everything, "after": "person_disabled",
    }  # fmt: skip


@needs_softhsm
@pytest.mark.timeout(1_200)  # two minutes on two busy cores
def test_the_walk_through_a_site_of_an_active_directory(default_model_path: Path) -> None:
    npm_packages(PROVIDER)  # fetched where there is a network
    env = {**os.environ, "SITE_DIRECTORY": "samba"}
    with tempfile.TemporaryDirectory() as short:  # names of sockets have 108 bytes
        walk = ["--timeout", "1200", "-p", "no:cacheprovider", "--basetemp", f"{short}/t", WALK]
        command = [*NAMESPACES, sys.executable, "-m", "pytest", "-q", *walk]
        done = subprocess.run(command, cwd=CHECKOUT, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout
