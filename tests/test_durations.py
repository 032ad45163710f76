"""Costs of test modules, as they are recorded and as they order a run."""

from pathlib import Path

import pytest

from tests import durations

MEASURED = {"tests/a/test_x.py": 12.0, "tests/a/test_y.py": 0.4, "tests/test_z.py": 3.0}


def test_a_record_names_what_is_long_and_sums_the_rest() -> None:
    text = durations.write(MEASURED)
    assert durations.read(text) == {
        "tests/a/test_x.py": 12.0, "tests/test_z.py": 3.0, durations.REST: 0.4,
    }  # fmt: skip
    assert durations.by_package(MEASURED) == {"a": 12.4, "test_z.py": 3.0}


def test_the_record_of_the_tree_names_modules_that_are_there() -> None:
    recorded = durations.recorded()
    assert recorded.pop(durations.REST) > 0
    assert [
        name for name in recorded if not Path(durations.RECORD.parents[1], name).is_file()
    ] == []


def test_the_longest_groups_begin(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Named(pytest.Item):
        def runtest(self) -> None:
            pass

    def item(module: str) -> pytest.Item:
        made: pytest.Item = Named.from_parent(request.session, name="t", nodeid=f"{module}::t")
        made.add_marker(pytest.mark.xdist_group(module[-4:]))
        return made

    monkeypatch.setattr(durations, "recorded", lambda: MEASURED)
    items = [item(module) for module in ("tests/new.py", "tests/test_z.py", "tests/a/test_x.py")]
    durations.longest_first(items)
    assert [each.nodeid for each in items] == [
        "tests/a/test_x.py::t", "tests/test_z.py::t", "tests/new.py::t",
    ]  # fmt: skip
