"""The ledger: durable line by line, torn at most at its end, held by one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from installer.host.ledger import NAME, Ledger, open_ledger, read_ledger
from installer.host.problems import InstallError
from tests.conftest import CHECKOUT, need_tool


def filled(state: Path) -> bytes:
    with open_ledger(state) as ledger:
        ledger.append("begin", release="1")
        ledger.append("done", phase="copy")
    return (state / NAME).read_bytes()


def test_lines_are_read_again(tmp_path: Path) -> None:
    filled(tmp_path)
    with open_ledger(tmp_path) as ledger:
        assert [event.name for event in ledger.unfinished()] == ["begin", "done"]
        ledger.append("commit", release="1", counter=4)
        assert ledger.unfinished() == []
        assert [event.facts["counter"] for event in ledger.committed()] == [4]


def test_a_torn_line_never_happened(tmp_path: Path) -> None:
    whole = filled(tmp_path)
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole)):
        (tmp_path / NAME).write_bytes(whole[:cut])
        with open_ledger(tmp_path) as ledger:
            assert [event.name for event in ledger.events] == ["begin"]
            ledger.append("done", phase="copy")
        assert (tmp_path / NAME).read_bytes() == whole


def test_any_other_damage_stops_everything(tmp_path: Path) -> None:
    whole = filled(tmp_path)
    for at in range(len(whole) - 1):
        (tmp_path / NAME).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(InstallError) as refused, open_ledger(tmp_path):
            pass
        assert refused.value.code == "ledger_damaged"
    (tmp_path / NAME).write_bytes(whole[whole.index(b"\n") + 1 :])  # the first line is gone
    with pytest.raises(InstallError):
        read_ledger(tmp_path / NAME)


def test_a_second_installer_is_refused(tmp_path: Path) -> None:
    with open_ledger(tmp_path), pytest.raises(InstallError) as refused, open_ledger(tmp_path):
        pass
    assert refused.value.code == "installer_running"
    with open_ledger(tmp_path):  # and let in once the first has ended
        pass


def test_each_line_is_synced_before_append_returns(tmp_path: Path) -> None:
    strace = need_tool("strace")
    code = (
        "from pathlib import Path; from installer.host.ledger import open_ledger\n"
        "import os\n"
        f"with open_ledger(Path({str(tmp_path)!r})) as ledger:\n"
        "    ledger.append('begin'); os.write(2, b'between'); ledger.append('done')\n"
    )
    done = subprocess.run(
        [strace, "-s", "200", "-e", "trace=write,fdatasync,fsync", sys.executable, "-c", code],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    calls = [line for line in done.stderr.splitlines() if "write(" in line or "sync(" in line]
    first = next(n for n, line in enumerate(calls) if '\\"begin' in line)
    between = next(n for n, line in enumerate(calls) if "write(2, " in line)
    assert "fdatasync(" in calls[first + 1] and first + 1 < between


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    before = (tmp_path / NAME).read_bytes()
    events, chain, _ = read_ledger(tmp_path / NAME)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
    with pytest.raises(OSError, match="No space"):
        Ledger(tmp_path / NAME, events, chain).append("done")
    assert (tmp_path / NAME).read_bytes() == before
