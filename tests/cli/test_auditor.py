"""`appliance auditor …`."""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from appliance.cli.auditor import TOOLS
from tests.cli.conftest import run_command
from tests.conftest import CHECKOUT


def test_the_programs_are_written_as_they_are_and_run_alone(tmp_path: Path) -> None:
    to = tmp_path / "stick" / "tools"
    found = run_command("auditor", "export-tools", to, "--json").document
    assert set(found["files"]) == set(TOOLS) == {path.name for path in to.iterdir()}
    for name, digest in found["files"].items():
        data = (to / name).read_bytes()
        assert data == (CHECKOUT / "auditor" / name).read_bytes()
        assert sha256(data).hexdigest() == digest
        done = subprocess.run(
            [sys.executable, "-I", str(to / name)], capture_output=True, text=True
        )
        assert done.returncode == 2 and name in done.stdout + done.stderr


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "witness.py").write_text("somebody's own")
    assert run_command("auditor", "export-tools", tmp_path, "--json").code == (2, "data_exists")
    assert [path.name for path in tmp_path.iterdir()] == ["witness.py"]
    assert (tmp_path / "witness.py").read_text() == "somebody's own"
