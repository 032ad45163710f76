"""Each block of the guides runs, or is read by the product."""

import json
import re

import pytest

from appliance.config import parse_config
from appliance.datasets.items import parse_line
from appliance.routing import definition as routes
from appliance.tasks import definition as tasks
from installer.host import answers
from tests.conftest import CHECKOUT
from tests.guide_blocks import (
    READ,
    RUN,
    RUN_BY,
    WALKED,
    GuideBlock,
    blocks_of,
    pages,
)

LISTED = {*WALKED, *RUN_BY}
FOUND = [one for path in pages() for one in blocks_of(path)]
TO_READ = [one for one in FOUND if one.language in READ]
DIGEST = "ab" * 32


def unaccounted(blocks: list[GuideBlock]) -> list[str]:
    """The blocks that neither a mark nor a table accounts for, and rows without one block."""
    rows = dict.fromkeys(LISTED, 0)
    missing = []
    for one in blocks:
        mine = [row for row in rows if row[0] == one.page and one.code.startswith(row[1])]
        longest = max(mine, key=lambda row: len(row[1]), default=None)
        if one.language not in RUN or one.mark:
            continue
        if longest is None:
            missing.append(f"{one.page}: {one.code.splitlines()[0]}")
        else:
            rows[longest] += 1
    return missing + [f"{row}: {count} blocks" for row, count in rows.items() if count != 1]


def test_each_block_runs() -> None:
    assert unaccounted(FOUND) == []
    assert len([one for one in FOUND if one.language in RUN]) > 100


def test_a_block_that_is_in_no_table_is_found() -> None:
    new = GuideBlock("gate", "sh", "appliance eval gate\n", "")
    assert unaccounted([*FOUND, new]) == ["gate: appliance eval gate"]
    assert unaccounted([one for one in FOUND if one.page != "gpu"]) != []


def test_the_walk_runs_what_it_says() -> None:
    text = (CHECKOUT / "tests" / "system" / "test_guide_walk.py").read_text(encoding="utf-8")
    assert [row for row in WALKED if f'"{row[1]}' not in text] == []


def test_the_tests_that_run_blocks_exist() -> None:
    assert [test for test in RUN_BY.values() if not (CHECKOUT / test).is_file()] == []


@pytest.mark.parametrize("one", TO_READ, ids=lambda one: f"{one.page}-{one.code.split()[0]}")
def test_the_product_reads_a_block_of_settings_or_json(one: GuideBlock) -> None:
    read(one)


def read(one: GuideBlock) -> None:
    """As the program that its reader gives it to."""
    text = one.code.replace('"…"', f'"{DIGEST}"')
    if one.language == "json":
        read_json(one.page, text)
    elif one.page == "install-guide":
        answers.parse(text.encode())
    elif text.startswith("[[stages]]"):  # another second stage of the page of routes
        (whole,) = (b.code for b in TO_READ if b.page == "routes" and b.language == "toml")
        head = whole.replace('"…"', f'"{DIGEST}"').rpartition("[[stages]]")[0]
        assert routes.parse((head + text).encode()).stages[-1].upstream == "big"
    elif one.page == "routes":
        assert len(routes.parse(text.encode()).stages) == 2
    elif one.page == "tasks":
        read_task(text)
    elif one.page == "people" and "issuer" not in text:  # the same table with more keys
        (table,) = (b.code for b in TO_READ if b.page == "people" and "issuer" in b.code)
        parse_config(table.partition("\n[groups")[0] + "\n" + text.partition("\n")[2])
    elif text.startswith("genesis ="):  # one more key of the table before
        (table,) = (b.code for b in TO_READ if b.code.startswith('[upstreams."big"]'))
        parse_config(table.replace('"vllm"', '"appliance"') + text)
    else:
        parse_config(text)


def read_task(text: str) -> None:
    """A whole task, or one with other tables in place of its own."""
    (whole,) = (b.code for b in TO_READ if b.page == "tasks" and b.code.startswith("id ="))
    if text.startswith("[output]"):
        before, _, after = whole.partition("[output]")
        text = (
            before + text + "[gate]" + after.partition("[gate]")[2].replace("exact", "normalised")
        )
    elif not text.startswith("id ="):
        fields = '[output]\nform = "fields"\nencoding = "json"\nschema = "schema.json"\n'
        before, _, after = whole.partition("[output]")
        text = before + fields + "[gate]" + after.partition("[gate]")[2] + text
    tasks.parse(text.encode())


def read_json(page: str, text: str) -> None:
    """One document, an item a line, or members of a policy."""
    if page == "gate":
        text = "{" + re.sub(r", …}", "}", text.strip().rstrip(",")) + "}"
    if text.count("\n{") == 0 and page == "collections":
        item = parse_line(" ".join(text.split()).encode(), "the page")
        assert item.relevant
        return
    assert isinstance(json.loads(text), dict)
