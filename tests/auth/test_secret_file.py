"""Secrets are read from files, or refused."""

from pathlib import Path

import pytest

from appliance.auth.secret_file import read_secret
from appliance.errors import UsageError


def test_a_secret_is_a_line_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-there\n")
    assert (read_secret(tmp_path, "key"), read_secret(tmp_path, "")) == ("sk-there", "")


@pytest.mark.parametrize("content", [b" \n", b"a\nb", "ä".encode(), None])
def test_files_that_hold_none_are_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_secret(tmp_path, "key")
    assert caught.value.code == "key_unreadable"
