"""The licence texts of a wheel."""

import zipfile
from pathlib import Path

from installer.bundle import licences
from installer.bundle.wheel_facts import WheelFacts


def test_every_text_of_the_metadata_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "x-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/LICENSE", "not this one: it is the code's data")
        archive.writestr("x-1.dist-info/licenses/LICENSE.txt", "the terms")
        archive.writestr("x-1.dist-info/licenses/vendored/COPYING", "theirs")
    facts = WheelFacts(path.name, "x", "1", "0" * 64, "MIT")
    text = licences.of_wheel(path, facts).decode()
    assert "MIT" in text and "the terms" in text and "theirs" in text and "not this one" not in text
