"""Hidden entries are found (tamper case 23), without false alarms."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.audit.files import LogFiles
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.audit.segments import Segments
from appliance.audit.store import DAMAGE
from appliance.audit.verification.indexes import IndexCheck
from appliance.audit.verification.verify import verify_log
from appliance.audit.writer import PAGE
from appliance.errors import NotFound
from tests.audit.halves import divided
from tests.audit.logs import INDEXES, Intruder, admin, ask, found, intent, new_log, open_log


@pytest.mark.parametrize("column", INDEXES)
def test_23_an_entry_hidden_in_any_index(intruder: Intruder, victim: Path, column: str) -> None:
    with open_log(victim) as log:
        log.append(intent("r99", app="erp")).result()
    seq = {"intent": 7, "code": 7, "app": 40}.get(column, 6)
    (value,) = intruder.one(f"SELECT {column} FROM leaf WHERE seq = {seq}")
    intruder.refile(f"leaf_{INDEXES[column]}", but=f"{column} = '{value}'")
    all_rows = f"SELECT min(seq) FROM leaf NOT INDEXED WHERE {column} = '{value}'"
    assert found(victim)[0] == (*intruder.one(all_rows), "index_mismatch")
    if column == "request_id":  # what it is for: the filtered view shows nothing
        assert LogReader(victim).search(Query(request_id=str(value))).entries == []


def test_23_an_index_that_is_gone(intruder: Intruder, victim: Path) -> None:
    intruder.sql("DROP INDEX leaf_request")
    assert (0, "index_mismatch") in found(victim)


def test_23_a_span_that_hides_a_block(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    with open_log(directory) as log:
        for _ in range(3):
            log.append(*(admin(str(n)) for n in range(500))).result()
    assert found(directory) == []
    Intruder(directory).sql("UPDATE span SET high_us = high_us - 1")
    assert found(directory) == [(0, "index_mismatch")]
    Intruder(directory).sql("DELETE FROM span")
    assert found(directory) == [(0, "index_mismatch")]


class Pages:
    """The pages of a database file."""

    INNER, LEAF, INDEX_INNER, INDEX_LEAF = 5, 13, 2, 10

    def __init__(self, path: Path) -> None:
        self._path, self.data = path, bytearray(path.read_bytes())

    def at(self, number: int, kind: int) -> int:
        place = (number - 1) * PAGE
        assert self.data[place] == kind
        return place

    def cells(self, place: int) -> list[bytes]:
        """Pointers to the cells of a leaf."""
        count = int.from_bytes(self.data[place + 3 : place + 5])
        return [bytes(self.data[place + 8 + 2 * n :][:2]) for n in range(count)]

    def point(self, place: int, cells: list[bytes]) -> None:
        self.data[place + 3 : place + 5] = len(cells).to_bytes(2)
        self.data[place + 8 : place + 8 + 2 * len(cells)] = b"".join(cells)

    def save(self) -> None:
        self.data[28:32] = (len(self.data) // PAGE).to_bytes(4)
        self._path.write_bytes(self.data)


def root_of(path: Path, name: str) -> int:
    (root,) = Intruder(path.parent).one(f"SELECT rootpage FROM sqlite_schema WHERE name = '{name}'")
    return int(root)


def missed(path: Path) -> int:
    """Let the root of the table of entries lead a look-up past one that a scan still meets."""
    pages = Pages(path)
    at = pages.at(root_of(path, "leaf"), Pages.INNER)
    # An inner page of a table: a child, and its highest number as a varint.
    cell = at + int.from_bytes(pages.data[at + 12 : at + 14])
    number = int(pages.data[cell + 4])
    assert 1 < number < 128
    pages.data[cell + 4] -= 1
    pages.save()
    return number


def met_twice(path: Path) -> None:
    """Let a scan backwards meet the last entry twice: the count stays right."""
    pages = Pages(path)
    at = pages.at(root_of(path, "leaf"), Pages.INNER)
    last = int.from_bytes(pages.data[at + 8 : at + 12])
    place = pages.at(last, Pages.LEAF)
    cells, page = pages.cells(place), bytes(pages.data[place : place + PAGE])
    pages.data += page
    pages.point(len(pages.data) - PAGE, cells[-1:])
    # An entry behind all that a chunk has, with one column, keeps the scan forwards from there.
    beyond = int.from_bytes(page[5:7]) - 4
    pages.data[place + beyond : place + beyond + 4] = bytes([2, 45, 2, 0])
    pages.data[place + 5 : place + 7] = beyond.to_bytes(2)
    pages.point(place, [*cells, beyond.to_bytes(2)])
    count = int.from_bytes(pages.data[at + 3 : at + 5])
    start = int.from_bytes(pages.data[at + 5 : at + 7]) - 5
    pages.data[at + start : at + start + 5] = last.to_bytes(4) + bytes([38])
    pages.data[at + 12 + 2 * count : at + 14 + 2 * count] = start.to_bytes(2)
    pages.data[at + 3 : at + 5] = (count + 1).to_bytes(2)
    pages.data[at + 5 : at + 7] = start.to_bytes(2)
    pages.data[at + 8 : at + 12] = (len(pages.data) // PAGE).to_bytes(4)
    pages.save()


def test_23_a_page_that_leads_past_an_entry(victim: Path) -> None:
    """Searches propose it, a scan meets it, a look-up by number does not."""
    seq = missed(victim / "log.db")
    with pytest.raises(NotFound):
        LogReader(victim).entry(seq)
    assert (seq, "index_mismatch") in found(victim)


def test_23_as_many_are_met_as_there_should_be_and_one_is_missed(victim: Path) -> None:
    seq = missed(victim / "log.db")
    met_twice(victim / "log.db")
    with pytest.raises(NotFound):
        LogReader(victim).entry(seq)
    assert (seq, "index_mismatch") in found(victim)


def index_of(directory: Path, apps: str) -> tuple[Path, Pages, int]:
    new_log(directory)
    with open_log(directory) as log:
        for number, app in enumerate(apps):
            log.append(intent(f"r{number}", app=app)).result()
    pages = Pages(directory / "log.db")
    return directory, pages, pages.at(root_of(directory / "log.db", "leaf_app"), Pages.INDEX_LEAF)


def test_23_an_index_in_which_a_scan_finds_all_and_a_search_does_not(tmp_path: Path) -> None:
    """Duplicate cells lead the search past an entry that a scan forwards meets."""
    directory, pages, at = index_of(tmp_path / "log", "axxyyyyy")
    a, x1, x2, *y = pages.cells(at)
    pages.point(at, [a, x1, x2, y[0], a, x1, *y])
    pages.save()
    newest = Query(app="x", newest_first=True)
    assert [entry.seq for entry in LogReader(directory).search(newest).entries] == [2]
    assert (3, "index_mismatch") in found(directory)


@pytest.mark.parametrize(("place", "cell"), [(2, 0), (3, 6), (5, 7)])
def test_23_an_index_with_an_entry_too_many_ends_a_search_early(
    tmp_path: Path, place: int, cell: int
) -> None:
    """Every look-up arrives; a search from entry to entry stops at the foreign one."""
    directory, pages, at = index_of(tmp_path / "log", "axxxxxyy")
    cells = pages.cells(at)
    pages.point(at, [*cells[:place], cells[cell], *cells[place:]])
    pages.save()
    reader = LogReader(directory)
    met = [len(reader.search(Query(app="x", newest_first=down)).entries) for down in (False, True)]
    assert min(met) < 5
    assert found(directory) == [(0, "index_mismatch")]
    with divided():
        assert [p.code for p in verify_log(directory).problems] == ["index_mismatch"]


def swapped(directory: Path) -> int:
    """Exchange the last entry in the root of the index of apps and the first one of its last page:
    that page is in order, but the root leads past the entry that came from there.
    """
    pages = Pages(directory / "log.db")
    root = pages.at(root_of(directory / "log.db", "leaf_app"), Pages.INDEX_INNER)
    count = int.from_bytes(pages.data[root + 3 : root + 5])
    pointer = root + 12 + 2 * (count - 1)
    inner = root + int.from_bytes(pages.data[pointer : pointer + 2]) + 4  # behind the child
    last = pages.at(int.from_bytes(pages.data[root + 8 : root + 12]), Pages.INDEX_LEAF)
    leaf = last + int.from_bytes(pages.cells(last)[0])
    size = 1 + pages.data[inner]
    one, other = pages.data[inner : inner + size], pages.data[leaf : leaf + size]
    assert one[0] == other[0]
    pages.data[inner : inner + size], pages.data[leaf : leaf + size] = other, one
    pages.save()
    return int.from_bytes(one[-2:])


def test_23_an_index_whose_root_leads_past_an_entry_of_its_last_page(tmp_path: Path) -> None:
    """SQLite continues in the last page from its place, and finds what a search does not."""
    directory = new_log(tmp_path / "log")
    apps = [f"app-{n}" for n in range(100, 1_000)]
    random.Random(41).shuffle(apps)  # who asks for all in order is on that page when its turn comes
    with open_log(directory) as log:
        log.append(*(intent(f"r{n}", app=app) for n, app in enumerate(apps))).result()
    seq = swapped(directory)
    app = apps[seq - 1]
    assert LogReader(directory).search(Query(app=app)).entries == []
    assert found(directory) == [(seq, "index_mismatch")]
    with divided():
        assert [p.seq for p in verify_log(directory).problems] == [seq]


def test_rows_that_do_not_rise_are_damage_and_end_the_verification(three: Path) -> None:
    """The last rows of a segment lead back to one before, so that a chunk ends where it began."""
    pages = Pages(three / "log.db")
    page = root_of(three / "log.db", "leaf")
    while pages.data[(page - 1) * PAGE] == Pages.INNER:
        at = pages.at(page, Pages.INNER)
        page = int.from_bytes(pages.data[at + 8 : at + 12])
    at = pages.at(page, Pages.LEAF)
    cells = pages.cells(at)
    pages.point(at, [*cells[:2], *cells[3:], cells[0]])
    pages.save()
    assert "database_damaged" in {code for _, code in found(three)}
    with divided():
        assert "database_damaged" in {p.code for p in verify_log(three).problems}


def test_23_a_span_for_a_block_that_is_not_complete(victim: Path) -> None:
    late = Query(since_us=0)
    assert len(LogReader(victim).search(late).entries) == 40
    Intruder(victim).sql("INSERT INTO span VALUES (7, 0, 0)")
    assert LogReader(victim).search(late).entries == []  # what it is for
    assert found(victim) == [(0, "index_mismatch")]


def test_23_a_span_of_a_block_that_two_processes_divide(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    with open_log(directory) as log:
        for _ in range(3):
            log.append(*(admin(str(n)) for n in range(500))).result()
    Intruder(directory).sql("UPDATE span SET high_us = high_us - 1")
    with divided():
        assert [p.code for p in verify_log(directory).problems] == ["index_mismatch"]


def test_a_row_with_a_number_beyond_all_costs_no_time(intruder: Intruder, victim: Path) -> None:
    rows = intruder.rows()
    intruder.write([*rows, replace(rows[-1], seq=1 << 60)])
    assert (40, "entry_missing") in found(victim)


def test_after_an_error_it_looks_no_more_and_keeps_the_reason(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"not a database, or at least not one of these" * 200)
    files = Segments(LogFiles(tmp_path))
    with files.open() as log:
        check = IndexCheck(log)
        check.look(0, 40, None)
        first = check.error
        check.look(40, 80, None)
    files.close()
    assert isinstance(first, DAMAGE) and check.error is first and check.count == 0


def test_a_log_in_use_is_checked_too(victim: Path) -> None:
    with open_log(victim) as log:
        for number in range(20):
            ask(log, f"r{number}")
            assert found(victim) == []
