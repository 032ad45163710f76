"""The answer file, and the paths that follow from it."""

from pathlib import Path

import pytest

from installer.host import answers
from installer.host.problems import InstallError

HOME = Path("/home/ann")


@pytest.mark.parametrize(
    "text",
    [
        "port = ",
        "prot = 80",
        'port = "80"',
        "port = true",
        "models = [1]",
        'models = "all"',
        "profile = 1",
    ],
)
def test_a_bad_file_is_refused(text: str) -> None:
    with pytest.raises(InstallError) as refused:
        answers.parse(text.encode())
    assert refused.value.code == "answers_invalid"


def test_the_nearest_key_is_named() -> None:
    with pytest.raises(InstallError, match="did you mean port"):
        answers.parse(b"prot = 80")


def test_a_file_that_is_no_text_is_refused() -> None:
    with pytest.raises(InstallError, match="utf-8"):
        answers.parse(b'data = "/srv/\xff"')


def test_a_file_from_windows_is_read() -> None:
    assert answers.parse(b'\xef\xbb\xbfport = 9000\r\nhost = "::1"\r\n') == {
        "port": 9000, "host": "::1",
    }  # fmt: skip


def test_a_fingerprint_may_be_written_as_it_is_printed() -> None:
    printed = " ".join(["ABCD"] * 16)
    found = answers.parse(f'profile = "site"\ntrust_fingerprint = "{printed}"'.encode())
    assert answers.combine(found).trust_fingerprint == "abcd" * 16


@pytest.mark.parametrize(
    "bad",
    [
        {"service": "upstart"},
        {"profile": "none"},
        {"account": "root; rm -rf /"},
        {"operators": ""},
        {"prefix": "relative"},
        {"prefix": "/opt/../etc"},
        {"data": "/a b"},
        {"state": "/x\n[Service]"},
        {"port": 0},
        {"port": 70_000},
        {"host": "a b"},
        {"fingerprint": "abc"},
        {"profile": "site"},
        {"trust_fingerprint": "ab" * 32},
        {"trust": "officer"},
    ],
)
def test_a_bad_value_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(InstallError) as refused:
        answers.combine(bad)
    assert refused.value.code == "answers_invalid"


def test_later_sources_are_stronger_and_what_is_kept_is_read_again() -> None:
    found = answers.combine({"port": 1, "models": ("a",)}, {"port": 2})
    assert (found.port, found.models) == (2, ("a",))
    assert answers.decode(answers.encode(found)) == found
    with pytest.raises(InstallError) as refused:
        answers.decode(b"{}[")
    assert refused.value.code == "release_changed"


def test_paths() -> None:
    whole = answers.layout(answers.combine(), user=False, home=HOME)
    assert (whole.prefix, whole.data) == (Path("/opt/appliance"), Path("/var/lib/appliance"))
    own = answers.layout(answers.combine({"data": "/srv/a"}), user=True, home=HOME)
    assert own.prefix == HOME / ".local/share/appliance"
    assert own.data == Path("/srv/a")
    assert all(path.is_relative_to(HOME) for path in (own.prefix, own.etc, own.state, own.commands))


def test_a_path_too_long_for_the_socket_is_refused() -> None:
    with pytest.raises(InstallError) as refused:
        answers.layout(answers.combine({"data": "/" + "a" * 100}), user=False, home=HOME)
    assert refused.value.code == "path_too_long"


def test_kept_answers_that_are_not_known_here_are_left() -> None:
    newer = {"port": 9000, "models": ["a"], "of_a_later_release": True}
    found = answers.combine(answers.kept(newer))
    assert (found.port, found.models) == (9000, ("a",))
