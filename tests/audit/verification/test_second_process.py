"""Half of a verification by another process: the same verdict, whatever was done to the log."""

import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from appliance.audit.files import LogFiles
from appliance.audit.log import Draft
from appliance.audit.verification import second_process, verify
from appliance.audit.verification.findings import Findings
from appliance.audit.verification.second_process import Ahead, Helper, helps
from appliance.audit.verification.verify import verify_log
from appliance.host import host_key
from tests.audit.halves import Here
from tests.audit.logs import Intruder, ask, intent, new_log, open_log, outcome
from tests.audit.segmented import ROWS


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> list[Ahead | None]:
    said: list[Ahead | None] = []
    monkeypatch.setattr(verify, "Helper", partial(Here, said))
    monkeypatch.setattr(verify, "helps", lambda entries: entries > 3)
    return said


def test_both_halves_make_the_report_of_one_pass(
    three: Path, pristine: Path, divided: list[Ahead | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = [verify_log(three), verify_log(pristine), verify_log(three, first=5, last=ROWS)]
    assert len(divided) == 3
    assert None not in divided
    monkeypatch.setattr(verify, "helps", lambda _entries: False)
    assert reports == [
        verify_log(three), verify_log(pristine), verify_log(three, first=5, last=ROWS),
    ]  # fmt: skip


def links(directory: Path, *, restart: bool) -> Path:
    new_log(directory)
    with open_log(directory) as log:
        asked = log.append(*(intent(f"r{n}") for n in range(6))).result()
        for number in range(3):
            ask(log, f"x{number}")
        if restart:
            log.append(Draft("start", {})).result()
        for number in (0, 3, 5):
            log.append(outcome(asked[number].seq, f"r{number}")).result()
        ask(log, "y")
    return directory


@pytest.mark.parametrize("restart", [False, True])
def test_links_over_the_middle_are_judged_as_in_one_pass(
    tmp_path: Path, divided: list[Ahead | None], monkeypatch: pytest.MonkeyPatch, restart: bool
) -> None:
    directory = links(tmp_path / "log", restart=restart)
    report = verify_log(directory)
    assert divided[-1] is not None
    assert divided[-1].events
    assert (report.open_intents, report.ok) == (0 if restart else 3, not restart)
    monkeypatch.setattr(verify, "helps", lambda _entries: False)
    assert verify_log(directory) == report


def test_a_state_that_was_not_reached_counts_for_nothing(
    three: Path, divided: list[Ahead | None]
) -> None:
    """The first half is another one, consistent in itself; the second still hangs together."""
    there = Intruder(three)
    rows = there.rows()
    there.write(there.rechain([r.body.replace(b'"k1"', b'"k2"') for r in rows]))
    report = verify_log(three)
    assert divided[-1] is not None  # it found nothing, and nobody believed it
    assert report.problems


@pytest.mark.parametrize("protected", [False, True])
def test_the_real_process(
    three: Path, monkeypatch: pytest.MonkeyPatch, protected: bool, request: pytest.FixtureRequest
) -> None:
    if protected:  # it gets the host key
        host_key.make(three.parent, "correct horse battery")
        request.addfinalizer(partial(host_key.lock, three.parent))
        host_key.protect(three.parent, [three / "kek"])
    expected = verify_log(three)
    monkeypatch.setattr(verify, "helps", lambda _entries: True)
    adopted: list[Any] = []
    adopt = verify._Run.adopt

    def noted(run: Any, found: Ahead | None) -> bool:
        adopted.append(adopt(run, found))
        return bool(adopted[-1])

    monkeypatch.setattr(verify._Run, "adopt", noted)
    steps: list[tuple[int, int]] = []
    assert verify_log(three, progress=lambda *step: steps.append(step)) == expected
    assert (adopted, steps[-1]) == ([True], (expected.entries, expected.entries))


@pytest.mark.parametrize("said", [b"", b"12\n", b"12\n{}\n", b"nonsense"])
def test_a_helper_that_says_nothing_useful(
    three: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    real = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen",
        lambda _command, **options: real(["printf", said.decode()], **options),
    )  # fmt: skip
    with Helper(three, ROWS, ROWS + 9, "key") as helper:
        assert helper.result() is None
    monkeypatch.setattr(verify, "helps", lambda _entries: True)
    assert verify_log(three).ok


def test_a_helper_that_cannot_start(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with Helper(three, 1, 2, "key") as helper:
        assert (helper.done(), helper.result()) == (0, None)


def test_a_short_log_is_read_alone() -> None:
    assert not helps(second_process.FEWEST - 1)


def test_what_lies_in_the_middle_is_a_head(three: Path) -> None:
    sizes = {size for (size,) in Intruder(three).all("SELECT size FROM checkpoint")}
    with verify._opened(LogFiles(three)) as log:
        files = LogFiles(three)
        run = verify._Run(log, files, 0, None, files.verifier_key(), Findings())
        assert run._middle() is None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(verify, "helps", lambda _entries: True)
            middle = run._middle()
        run.close()
    assert middle is not None
    assert middle in sizes or middle > ROWS
