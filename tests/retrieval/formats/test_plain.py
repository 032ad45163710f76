"""Plain text."""

from appliance.retrieval.formats.plain import read

SAMPLE = (b"One.\n\nTwo.", b"One.\n\nTwo.")


def test_paragraphs_stand_between_empty_lines() -> None:
    done = read(b"One\nline.\r\n\r\n \t\r\nTwo.\n\n\n\nThree.")
    found = [done.text[b.start : b.end].decode() for b in done.blocks]
    assert found == ["One\nline.", "Two.", "Three."]


def test_encodings() -> None:
    assert read("\ufeff\u00e4".encode()).text == "\u00e4".encode()
    assert read("\u00e4\u20ac".encode("utf-16")).text.decode() == "\u00e4\u20ac"
    old = read("W\u00e4rme".encode("cp1252"))
    assert (old.text.decode(), old.warnings) == ("W\u00e4rme", ("not_utf8",))


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert read(bytes(range(256)) * 10).text
    assert read(b"").text == b"" and read(b"").blocks == ()
