"""`dataset` from a table to a signed directory, with exit statuses and JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from appliance.cli.main import cli
from appliance.trust import ecdsa
from tests.datasets.examples import orders
from tests.trust.forge import new_key


def run(*arguments: str | Path, exits: int = 0) -> Any:
    done = CliRunner().invoke(cli, ["dataset", *map(str, arguments), "--json"])
    assert done.exit_code == exits, done.output
    return json.loads(done.stdout) if done.stdout else None


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Work orders as a spreadsheet exports them."""
    path = tmp_path / "orders.csv"
    rows = [f"{i.id},{i.group},{i.text},{i.expected},{i.time}" for i in orders(300)]
    path.write_text("no,day,text,part,date\n" + "\n".join(rows) + "\n")
    return path


COLUMNS = ("--id", "no", "--group", "day", "--input", "text", "--expected", "part")


@pytest.fixture
def made(tmp_path: Path, table: Path) -> Path:
    """The dataset of it."""
    run("new", tmp_path / "orders", "--from", table, *COLUMNS, "--name", "orders")
    return tmp_path / "orders"


def test_new_splits_by_group_and_says_what_it_made(tmp_path: Path, table: Path) -> None:
    found = run("new", tmp_path / "d", "--from", table, *COLUMNS, "--time", "date")
    assert found["kind"] == "dataset"
    assert sum(found["items"].values()) == 300
    assert set(found["items"]) == {"train", "dev", "certify", "test"}
    shown = run("show", tmp_path / "d", "--items", "--split", "dev")
    assert len(shown["item_list"]) == found["items"]["dev"]
    assert shown["rule"]["by"] == "group"


def test_check_exits_with_one_when_results_would_be_wrong(made: Path) -> None:
    report = run("check", made)
    assert report["ok"]
    first = json.loads((made / "train.jsonl").read_text().splitlines()[0])
    twin = first | {"id": "twin", "group": "twin"}
    with (made / "test.jsonl").open("a") as file:
        file.write(json.dumps(twin) + "\n")
    report = run("check", made, exits=1)
    assert not report["ok"]
    (leak,) = [p for p in report["problems"] if p["code"] == "leak_exact"]
    assert leak["examples"][0]["item"] == "twin"


def test_a_random_split_is_refused_and_nothing_changes(made: Path) -> None:
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    refused = run("split", made, "--by", "random", exits=1)
    assert refused["code"] == "split_ignores_groups"
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before


def test_a_change_takes_the_signature(tmp_path: Path, made: Path) -> None:
    (tmp_path / "key.pem").write_bytes(ecdsa.private_pem(new_key()))
    signed = run("sign", made, "--key", tmp_path / "key.pem")
    assert signed["files"] == 5
    assert (made / "model.sig").is_file()
    run("remove-item", made, "nosuch", exits=1)
    assert (made / "model.sig").is_file()
    after = run("remove-item", made, "w00001", "w00002")
    assert sum(after["items"].values()) == 298
    assert after["version"] == 2
    assert not (made / "model.sig").exists()


def test_what_cannot_be_read_is_not_signed(tmp_path: Path, made: Path) -> None:
    (tmp_path / "key.pem").write_bytes(ecdsa.private_pem(new_key()))
    (made / "test.jsonl").write_text("{}\n")
    refused = run("sign", made, "--key", tmp_path / "key.pem", exits=1)
    assert refused["code"] == "item_invalid"
    assert not (made / "model.sig").exists()


def test_split_by_shares_and_mask(made: Path) -> None:
    after = run("split", made, "--by", "group", "--share", "train=0.8", "--share", "test=0.2")
    assert set(after["items"]) == {"train", "test"}
    assert run("mask", made)["version"] == 3


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no,day,text,part\n1,,hose,x\n", "group_missing"),
        ("no,day,text,part\n1,d,=1,x\n", "csv_formula"),
        ("a," * 1_000_000 + "b\n", "csv_columns"),
        ("no,day,text,part\n1,d,\udce9,x\n", "dataset_encoding"),
    ],
)
def test_tables_that_are_refused_make_no_directory(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert run("new", tmp_path / "d", "--from", path, *COLUMNS, exits=1)["code"] == code
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--by", "group", "--share", "train=lots"),
        ("--by", "group", "--share", "train"),
        ("--by", "time", "--start", "exam=2010"),
        (),
    ],
)
def test_wrong_usage(made: Path, arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(cli, ["dataset", "split", str(made), *arguments]).exit_code == 2


def test_columns_must_be_named(tmp_path: Path, table: Path) -> None:
    wrong = CliRunner().invoke(cli, ["dataset", "new", str(tmp_path / "d"), "--from", str(table)])
    assert wrong.exit_code == 2
    assert "--group" in wrong.output


def test_text_of_items_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"id":"a","group":"g","input":{"t":"x\\u001b[31m"},"expected":"\\u202ey"}\n')
    run("new", tmp_path / "d", "--from", path, "--share", "train=1")
    shown = CliRunner().invoke(cli, ["dataset", "show", str(tmp_path / "d"), "--items"])
    assert shown.exit_code == 0
    assert "\x1b" not in shown.output
    assert "\u202e" not in shown.output
