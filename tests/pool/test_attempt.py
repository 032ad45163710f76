"""A load under way and who watches it."""

import pytest

from appliance.errors import Unavailable
from appliance.pool.attempt import LoadAttempt


def attempt(wanted: bool = False) -> LoadAttempt:
    return LoadAttempt("m", "uid:0", "by hand", 7, lambda: wanted)


def gone(_phase: str, _done: int, _total: int) -> None:
    raise Unavailable("interrupted", "It went away.")


def test_the_newest_report_is_kept_and_each_watcher_gets_every_one() -> None:
    load, seen = attempt(), []
    load.watchers.append(lambda *step: seen.append(step))
    load.report("sealing", 1, 2)
    load.report("loading", 0, 2)
    assert (load.phase, load.done, load.total) == ("loading", 0, 2)
    assert seen == [("sealing", 1, 2), ("loading", 0, 2)]


@pytest.mark.parametrize("wanted", [False, True])
def test_without_a_watcher_it_continues_only_while_requests_wait(wanted: bool) -> None:
    load = attempt(wanted)
    load.watchers.append(gone)
    if wanted:
        load.report("sealing", 1, 2)
    else:
        with pytest.raises(Unavailable):
            load.report("sealing", 1, 2)
    assert load.watchers == []
    load.report("sealing", 2, 2)  # one that nobody ever watched continues


def test_a_watcher_that_leaves_ends_nothing_for_the_others() -> None:
    load, seen = attempt(), []
    load.watchers += [gone, lambda *step: seen.append(step)]
    load.report("sealing", 1, 2)
    assert seen == [("sealing", 1, 2)]


def test_the_thread_that_reports_learns_that_the_server_stops() -> None:
    load = attempt(wanted=True)
    load.stopped = True
    with pytest.raises(Unavailable) as caught:
        load.report("sealing", 1, 2)
    assert caught.value.code == "shutting_down"
