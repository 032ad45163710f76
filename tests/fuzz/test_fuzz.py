"""A short run of the fuzz target; a finding would end it."""

import re
from pathlib import Path

import pytest

from appliance.trust.gguf.gguf import vet
from tests.conftest import CHECKOUT
from tests.fuzz import run

pytestmark = pytest.mark.slow


def test_ten_seconds_find_nothing(tmp_path: Path) -> None:
    done = run.fuzz(10, -1, tmp_path)
    assert done.returncode == 0, done.stdout[-2000:]
    executions = re.findall(r"^#(\d+)\tDONE", done.stdout, re.MULTILINE)
    assert executions and int(executions[0]) > 1_000
    assert list(tmp_path.iterdir()) == []


def test_a_parser_that_forgets_a_check_is_found(tmp_path: Path) -> None:
    """The control: the same target over a copy of the parser without one of its checks."""
    (tmp_path / "appliance" / "trust" / "gguf").mkdir(parents=True)
    files = ["__init__.py", "errors.py", "text.py", "trust/__init__.py"]
    parser = CHECKOUT / "appliance" / "trust" / "gguf"
    files += [f"trust/gguf/{path.name}" for path in parser.glob("*.py")]
    for name in files:
        text = (CHECKOUT / "appliance" / name).read_text()
        if name == "trust/gguf/reader.py":
            assert "if count > self._end - start:" in text
            text = text.replace("if count > self._end - start:", "if count > 1 << 70:")
        (tmp_path / "appliance" / name).write_text(text)
    done = run.fuzz(60, -1, tmp_path, source=tmp_path)
    assert done.returncode != 0
    assert "Uncaught Python exception" in done.stdout


def test_the_seeds_are_valid_files(tmp_path: Path) -> None:
    run.write_seeds(tmp_path)
    assert all(vet(path.read_bytes()).n_tensors for path in tmp_path.iterdir())
