"""`dataset` from a table to a signed directory, with exit statuses and JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from appliance.app import open_services
from appliance.cli.main import cli
from appliance.datasets.directory import Dataset, read_artifact, write
from appliance.errors import Refused
from appliance.trust.artifacts.signing import sign_directory
from appliance.trust.artifacts.store import load_policy
from appliance.trust.bytes import ecdsa
from tests.api.admin.lab import APPROVERS, LabData
from tests.cli.conftest import Run
from tests.datasets.examples import dataset, orders
from tests.trust.forge import new_key, quiet


def alone(*arguments: str | Path, exits: int = 0) -> Any:
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
    alone("new", tmp_path / "orders", "--from", table, *COLUMNS, "--name", "orders")
    return tmp_path / "orders"


def test_new_splits_by_group_and_says_what_it_made(tmp_path: Path, table: Path) -> None:
    found = alone("new", tmp_path / "d", "--from", table, *COLUMNS, "--time", "date")
    assert found["kind"] == "dataset"
    assert sum(found["items"].values()) == 300
    assert set(found["items"]) == {"train", "dev", "certify", "test"}
    shown = alone("show", tmp_path / "d", "--items", "--split", "dev")
    assert len(shown["item_list"]) == found["items"]["dev"]
    assert shown["rule"]["by"] == "group"


def test_check_exits_with_one_when_results_would_be_wrong(made: Path) -> None:
    report = alone("check", made)
    assert report["ok"]
    told = CliRunner().invoke(cli, ["dataset", "check", str(made)]).stdout
    assert "personal data: none found. Not looked for: names that no list holds" in told
    first = json.loads((made / "train.jsonl").read_text().splitlines()[0])
    twin = first | {"id": "twin", "group": "twin"}
    with (made / "test.jsonl").open("a") as file:
        file.write(json.dumps(twin) + "\n")
    report = alone("check", made, exits=1)
    assert not report["ok"]
    (leak,) = [p for p in report["problems"] if p["code"] == "leak_exact"]
    assert leak["examples"][0]["item"] == "twin"


def test_a_random_split_is_refused_and_nothing_changes(made: Path) -> None:
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    refused = alone("split", made, "--by", "random", exits=1)
    assert refused["code"] == "split_ignores_groups"
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before


def test_a_change_takes_the_signature(tmp_path: Path, made: Path) -> None:
    (tmp_path / "key.pem").write_bytes(ecdsa.private_pem(new_key()))
    signed = alone("sign", made, "--key", tmp_path / "key.pem")
    assert signed["files"] == 5
    assert (made / "model.sig").is_file()
    alone("remove-item", made, "nosuch", exits=1)
    assert (made / "model.sig").is_file()
    after = alone("remove-item", made, "w00001", "w00002")
    assert sum(after["items"].values()) == 298
    assert after["version"] == 2
    assert not (made / "model.sig").exists()


def test_what_cannot_be_read_is_not_signed(tmp_path: Path, made: Path) -> None:
    (tmp_path / "key.pem").write_bytes(ecdsa.private_pem(new_key()))
    (made / "test.jsonl").write_text("{}\n")
    refused = alone("sign", made, "--key", tmp_path / "key.pem", exits=1)
    assert refused["code"] == "item_invalid"
    assert not (made / "model.sig").exists()


def test_split_by_shares_and_mask(made: Path) -> None:
    after = alone("split", made, "--by", "group", "--share", "train=0.8", "--share", "test=0.2")
    assert set(after["items"]) == {"train", "test"}
    assert alone("mask", made)["version"] == 3


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
    assert alone("new", tmp_path / "d", "--from", path, *COLUMNS, exits=1)["code"] == code
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


def test_rows_without_a_label_are_told(tmp_path: Path) -> None:
    path, rows = tmp_path / "t.csv", [f"{n},d{n},pump {n},{'' if n < 3 else 'x'}" for n in range(9)]
    path.write_text("no,day,text,part\n" + "\n".join(rows) + "\n")
    made = ["dataset", "new", str(tmp_path / "d"), "--from", str(path), *COLUMNS]
    assert "unlabelled, without part: 3 rows" in CliRunner().invoke(cli, made).output


def test_columns_must_be_named(tmp_path: Path, table: Path) -> None:
    wrong = CliRunner().invoke(cli, ["dataset", "new", str(tmp_path / "d"), "--from", str(table)])
    assert wrong.exit_code == 2
    assert "--group" in wrong.output


def test_text_of_items_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"id":"a","group":"g","input":{"t":"x\\u001b[31m"},"expected":"\\u202ey"}\n')
    alone("new", tmp_path / "d", "--from", path, "--share", "train=1")
    shown = CliRunner().invoke(cli, ["dataset", "show", str(tmp_path / "d"), "--items"])
    assert shown.exit_code == 0
    assert "\x1b" not in shown.output
    assert "\u202e" not in shown.output


@pytest.fixture
def signed(lab: LabData, tmp_path: Path) -> Path:
    """By the lab's publisher."""
    path = tmp_path / "orders"
    write(path, dataset(orders(90)))
    sign_directory(path, lab.key("publisher").read_bytes(), quiet)
    return path


def approve(lab: LabData, run: Run, name: str = "orders") -> None:
    for person in APPROVERS:
        done = run(
            *("model", "approve", name, "--as", person, "--key", lab.key(person)),
            *("--meaning", "fit for use"),
        )
        assert done.status == 0, done.err
        assert "chat template" not in done.err  # a dataset has none: no digest of nothing


def read_again(lab: LabData) -> tuple[str, Dataset]:
    """As an evaluation reads it: the approved dataset, checked once more."""
    with open_services(lab.data) as services:
        policy = load_policy(lab.data / "trust")
        return services.store.use("orders", "dataset", policy, quiet, read_artifact)


def code_of(lab: LabData) -> str:
    with pytest.raises(Refused) as refused:
        read_again(lab)
    return refused.value.code


def test_a_dataset_goes_the_way_of_a_model(lab: LabData, run: Run, signed: Path) -> None:
    done = run("dataset", "import", signed, "--json")
    assert (done.status, done.document["state"]) == (0, "verified")
    assert code_of(lab) == "not_approved"
    approve(lab, run)
    (listed,) = run("dataset", "list", "--json").document["datasets"]
    assert (listed["id"], listed["state"], listed["kind"]) == ("orders", "approved", "dataset")
    shown = run("model", "show", "orders", "--json").document
    assert sum(shown["facts"]["items"].values()) == 90
    digest, found = read_again(lab)
    assert digest == listed["digest"]
    assert found == dataset(orders(90))


def test_a_dataset_that_was_changed_after_signing(lab: LabData, run: Run, signed: Path) -> None:
    rows = (signed / "test.jsonl").read_bytes().splitlines(keepends=True)
    (signed / "test.jsonl").write_bytes(b"".join(rows[:-1]))
    done = run("dataset", "import", signed, "--json")
    assert (done.status, done.document["state"]) == (1, "refused")
    assert done.document["code"] == "file_changed"
    assert not (lab.data / "models" / "orders").exists()


def test_a_stored_dataset_that_was_changed_is_not_read(
    lab: LabData, run: Run, signed: Path
) -> None:
    run("dataset", "import", signed)
    approve(lab, run)
    path = lab.data / "models" / "orders" / "train.jsonl"
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    assert code_of(lab) == "file_changed"


def test_a_signed_dataset_that_is_inconsistent(lab: LabData, run: Run, signed: Path) -> None:
    first = json.loads((signed / "train.jsonl").read_text().splitlines()[0])
    with (signed / "test.jsonl").open("a") as file:
        file.write(json.dumps(first | {"id": "twin"}) + "\n")
    sign_directory(signed, lab.key("publisher").read_bytes(), quiet)
    refused = run("dataset", "import", signed, "--json")
    assert refused.code == (1, "group_in_two_splits")  # before it is copied
    stored = run("model", "import", signed, "--json")  # and where a person goes past that
    assert (stored.document["state"], stored.document["code"]) == (
        "refused",
        "group_in_two_splits",
    )


def test_an_unsigned_dataset_is_refused(lab: LabData, run: Run, signed: Path) -> None:
    (signed / "model.sig").unlink()
    done = run("dataset", "import", signed, "--json")
    assert (done.status, done.document["code"]) == (1, "signature_missing")


def test_a_dataset_is_no_model(lab: LabData, run: Run, signed: Path) -> None:
    run("dataset", "import", signed)
    approve(lab, run)
    with open_services(lab.data) as services:
        assert list(services.pool.cards()) == []
        assert not services.store.inventory.record("orders").is_model
        with pytest.raises(Refused) as refused:
            services.store.inventory.facts(services.store.inventory.record("orders"))
        assert refused.value.code == "artifact_kind"
    assert run("model", "show", "orders", "--bom", "--json").code == (1, "artifact_kind")
    planned = run("model", "plan", signed, "--id", "again", "--json").document
    assert planned["ok"]
    assert planned["memory_mib"] == 0


def test_a_dataset_has_no_base(lab: LabData, run: Run, signed: Path) -> None:
    done = run("dataset", "import", signed, "--id", "tiny:orders", "--json")
    assert done.status == 1
    assert done.document["code"] == "artifact_kind"


def test_a_model_is_no_dataset(lab: LabData, run: Run, approved: str) -> None:
    with open_services(lab.data) as services, pytest.raises(Refused) as refused:
        policy = load_policy(lab.data / "trust")
        services.store.use(approved, "dataset", policy, quiet, read_artifact)
    assert refused.value.code == "artifact_kind"
    assert run("dataset", "list", "--json").document == {"datasets": []}
    assert "dataset import" in run("dataset", "list").out
