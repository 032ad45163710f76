"""Samba of Debian as an Active Directory: nested groups by its rule in chain, closed accounts."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

NAMESPACES = ("unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child",
              "--mount-proc")  # fmt: skip
MISSING = [name for name in ("samba", "samba-tool", "unshare", "ip") if not shutil.which(name)]


def named(*groups: str) -> list[str]:
    return [f"cn={name},cn=users,dc=site,dc=test" for name in groups]


@pytest.mark.slow
@pytest.mark.skipif(
    bool(MISSING), reason=f"without {MISSING}: samba-ad-dc, -ad-provision, -vfs-modules"
)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has namespaces with the ports of a domain")
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
