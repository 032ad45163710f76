"""Files of the audit directory: written whole, read strictly, one writer."""

import subprocess
import sys
from pathlib import Path

import pytest

from appliance.audit import files
from appliance.audit.files import LogFiles, replace, write_new
from appliance.errors import StateRefused


def test_a_new_file_is_never_written_over_an_old_one(tmp_path: Path) -> None:
    write_new(tmp_path / "key", b"first", 0o600)
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "key", b"second", 0o600)
    assert (tmp_path / "key").read_bytes() == b"first"


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = tmp_path / "HEAD"
    replace(head, b"first")
    replace(head, b"second")
    assert [p.name for p in tmp_path.iterdir()] == ["HEAD"]

    def torn(_descriptor: int, _data: bytes) -> None:
        raise OSError("no space")

    monkeypatch.setattr(files, "_write", torn)
    with pytest.raises(OSError, match="no space"):
        replace(head, b"third")
    assert head.read_bytes() == b"second"


def test_the_lock_keeps_other_processes_out(victim: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from appliance.audit.files import LogFiles\n"
        "LogFiles(Path(sys.argv[1])).lock(); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(victim)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(StateRefused) as caught:
            LogFiles(victim).lock()
        assert caught.value.code == "data_locked"
        other.communicate()
    LogFiles(victim).lock()
