"""Documents read in confined processes: good ones whole, poisoned ones refused."""

import importlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.errors import CollectionRefused
from appliance.retrieval import formats, reading
from appliance.retrieval.reader import decoded
from tests.retrieval.formats.test_docx import BOMB, document, paragraph


def sample(media: str) -> tuple[bytes, bytes]:
    module = importlib.import_module(f"tests.retrieval.formats.test_{media}")
    assert hasattr(module, "SAMPLE"), f"{module.__name__} lacks SAMPLE: a document, and its text"
    found: tuple[bytes, bytes] = module.SAMPLE
    return found


@pytest.mark.parametrize("media", formats.NAMES)
def test_each_format_is_read_in_its_process_and_says_what_it_is(media: str) -> None:
    module = f"appliance/retrieval/formats/{media}.py"
    said = getattr(formats.reader(media), "FORMAT", None)
    assert isinstance(said, formats.DocumentFormat), f"{module} lacks FORMAT, a DocumentFormat"
    data, text = sample(media)
    assert reading.read(data, media).text == text
    others = {e for name, each in formats.formats().items() if name != media for e in each.endings}
    for ending in formats.formats()[media].endings:
        assert ending not in others, f"{module}: {ending} is another format's"
        assert reading.media_of(f"A{ending.upper()}") == media


def test_no_process_but_a_reader_loads_what_parses_documents() -> None:
    """Server and commands know the formats; the control loads the library."""
    code = "import sys; from appliance.retrieval import formats as f; f.formats(); {}; "
    code += "print(*sys.modules)"
    for extra, loaded in (("0", False), ("f.reader('pdf').prepare()", True)):
        told = subprocess.run(
            [sys.executable, "-c", code.format(extra)], capture_output=True, check=True, text=True
        )
        assert ("pypdfium2" in told.stdout.split()) == loaded


@pytest.mark.parametrize("media", ["docx", "pdf"])
def test_damaged_documents_are_refused_and_the_next_one_is_read(media: str) -> None:
    rng = random.Random(3)
    data, text = sample(media)
    for _ in range(3):
        broken = bytearray(data)
        for _ in range(30):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            reading.read(bytes(broken), media)
        except CollectionRefused as refused:
            assert refused.code.startswith("document_")
    assert reading.read(data, media).text == text


def test_entities_are_refused() -> None:
    with pytest.raises(CollectionRefused) as refused:
        reading.read(document(paragraph("&b;"), before=BOMB), "docx")
    assert refused.value.code == "document_unreadable"


def test_control_characters_are_no_text() -> None:
    assert reading.read(b"a\x1b]0;title\x07b\x00\xe2\x80\xaec", "plain").text == b"a]0;titlebc"


def test_a_document_that_takes_too_long_is_left_out() -> None:
    with pytest.raises(CollectionRefused) as refused:
        reading.read(b"<p>" * 5_000_000, "html", seconds=1)
    assert refused.value.code == "document_time"
    assert "processor time" in refused.value.message


def started(code: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


def test_the_time_of_a_reader_does_not_pass_while_it_gets_no_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stopped process stands for one on a busy machine; it continues after some looks."""
    standing, looks = reading._standing, []

    def looked(pid: int) -> tuple[bool, int]:
        looks.append(standing(pid))
        if len(looks) % 10 == 0:
            os.kill(pid, signal.SIGCONT)
        return looks[-1]

    monkeypatch.setattr(reading, "_LOOK_S", 0.01)
    monkeypatch.setattr(reading, "_standing", looked)
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP); os.write(1, b'read')"
    with started(code) as process:
        assert reading._answer(process) == b"read"
    assert len(looks) >= 10


def test_a_reader_that_waits_for_what_never_comes_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_LOOK_S", 0.01)
    with started("import signal; signal.pause()") as process:
        with pytest.raises(CollectionRefused) as refused:
            reading._answer(process)
        process.kill()
    assert refused.value.code == "document_time"


def test_an_answer_has_a_greatest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_ANSWER", 1_000)
    with pytest.raises(CollectionRefused) as refused:
        reading.read(b"word " * 1_000, "plain")
    assert refused.value.code == "document_too_large"


HOSTILE = """
import os, socket, sys, types
from appliance.retrieval import reader
from appliance.retrieval.extracted import Builder
def attempts():
    yield "open", lambda: open("/etc/passwd")
    yield "write", lambda: open("/tmp/canary-of-a-reader", "w")
    yield "connect", socket.socket
    yield "fork", os.fork
    yield "kill", lambda: os.kill(os.getppid(), 0)
    yield "memory", lambda: bytearray(2 << 30)
def read(data):
    builder = Builder()
    for name, attempt in attempts():
        try:
            attempt()
            builder.add("paragraph", f"{name} done")
        except (OSError, MemoryError):
            builder.add("paragraph", f"{name} refused")
    return builder.done()
sys.modules["appliance.retrieval.formats.plain"] = types.SimpleNamespace(read=read)
sys.argv[1:] = ["plain", "60"]
if CONTROL:
    reader.confine.drop = lambda *_: None
reader.main()
"""


@pytest.mark.parametrize("control", [False, True])
def test_a_reader_has_no_rights_when_the_first_byte_is_read(control: bool) -> None:
    script = HOSTILE.replace("CONTROL", str(control))
    if control:
        script = script.replace('yield "fork", os.fork', "").replace("2 << 30", "1")
        script = script.replace("/tmp/canary-of-a-reader", "/dev/null")
    answered = subprocess.run(
        [sys.executable, "-c", script], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    words = decoded(answered.stdout).text.decode().split("\n\n")
    if control:
        assert {"open done", "write done", "kill done", "memory done"} <= set(words)
    else:
        assert words == [
            f"{name} refused" for name in ("open", "write", "connect", "fork", "kill", "memory")
        ]


def test_what_a_reader_answers_is_checked() -> None:
    for answer in (b"", b"\xff", b"\x81\xa4code\xa1x"):
        with pytest.raises(CollectionRefused) as refused:
            decoded(answer)
        assert refused.value.code == "document_unreadable"


def test_files_are_read_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"text")
    (tmp_path / "l.txt").symlink_to(tmp_path / "a.txt")
    assert reading.content(tmp_path / "a.txt") == b"text"
    for name in ("l.txt", "none.txt"):
        with pytest.raises(CollectionRefused) as refused:
            reading.content(tmp_path / name)
        assert refused.value.code == "document_unreadable"


def test_files_have_a_greatest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_BYTES", 10)
    (tmp_path / "a.txt").write_bytes(b"x" * 11)
    with pytest.raises(CollectionRefused) as refused:
        reading.content(tmp_path / "a.txt")
    assert refused.value.code == "document_too_large"


def test_a_name_without_a_known_ending_is_refused_with_the_formats_there_are() -> None:
    for name in ("a.exe", "a", "a.zip"):
        with pytest.raises(CollectionRefused) as refused:
            reading.media_of(name)
        assert refused.value.code == "document_unsupported"
        assert "PDF" in refused.value.message
