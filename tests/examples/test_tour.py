"""`make tour` as it runs, in its cheapest form, and its refusals."""

import html
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from examples import tour, tour_licences, tour_notices
from examples.demo import DemoError
from examples.tour_steps import Tour
from tests.conftest import CHECKOUT


def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "examples", "tour", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow  # the whole battery, so minutes
@pytest.mark.timeout(1_200)
def test_every_station_and_a_verified_receipt(
    tmp_path: Path, default_model_path: Path, excavators_path: Path, licences_path: Path
) -> None:
    out = tmp_path / "tour"
    done = run(
        *("--model", default_model_path.parent, "--examples", excavators_path),
        *("--notices", licences_path, "--out", out, "--limit", "6"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    story, last_block = done.stdout.rsplit("\n\n", 1)
    assert re.match(r"receipt verified: seq \d+ root [0-9a-f]{64}\n", last_block)
    for words in (
        "train 1", "independent groups", "10 labels", "majority", "logistic regression",
        "smollm2-135m", "sealed: certify, test", "refused: evaluation_missing", "pass: ",
        "excavator-system-2 is approved", "excavator-system is answered by excavator-system-2",
        "$ python", "certifiable", "Not enough data", "fault-code-1 is approved", "verified: bytes",
        "judged", "licence-id is answered by licence-id-1", "Certified", "wait for a person",
        "answered", "answers got a label", "index.html",
    ):  # fmt: skip
        assert words in story, (words, story)
    assert story.count("\n# ") >= len(tour.BEFORE) + len(tour.SERVED)
    answers = re.findall(r"^  [a-z_]+ +[01]\.\d\d  .+$", story, re.MULTILINE)
    assert len(answers) == 10, story
    index = (out / "index.html").read_text(encoding="utf-8")
    for linked in re.findall(r'href="([^"]+)"', index):
        drawn = "<svg" in (out / linked).read_text(encoding="utf-8")
        assert drawn or linked == f"{tour.ROUTE}.html"  # no look was taken there
    assert index.count("<svg") == 2 and "Work orders: no" in index
    assert "Licence notices: yes" in index
    assert "compared with nothing" not in story
    assert "verify_export.py" in index and index.count("verify_certificate.py") >= 2
    pages = ("evaluation", "gate", tour.ROUTE, "handbook-gate", "advice", tour_notices.ROUTE)
    for name in pages:
        assert f"{name}.json is the" in story, name
        answer = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))["answer"]
        assert html.escape(answer) in index
    tuned = Path(sys.prefix, "tuning", "torch").is_dir()
    assert index.count("href=") == (7 if tuned else 6)
    known = ("served as trained", "orders-tuning") if tuned else ("not tried", "lock-tune.txt")
    assert all(word in story for word in known), story


def test_too_few_examples_are_refused(tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    item = {"id": "a", "group": "g", "input": {"text": "t"}, "expected": "x", "split": "train"}
    few.write_text(json.dumps(item) + "\n")
    with pytest.raises(DemoError, match="too few items"):
        tour.subset(few)


def test_without_the_tuning_set_the_tour_says_what_to_carry_in_and_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "bare"))
    tour.tune(Tour(tmp_path, tmp_path / "none", tmp_path / "none"))
    said = capsys.readouterr().out
    assert "make tune-setup" in said and "lock-tune.txt" in said and "$ " not in said
    assert list(tmp_path.iterdir()) == []


def test_a_tuning_is_judged_on_groups_that_no_other_station_opens(excavators_path: Path) -> None:
    found = tour.subset(excavators_path)

    def groups(items: list[dict[str, Any]], *splits: str) -> set[str]:
        return {item["group"] for item in items if item["split"] in splits}

    assert len(found.tuning) == 300
    sealed = groups(found.tuning, "test")
    assert len(sealed) == 60
    assert not sealed & groups(found.orders, "train", "dev", "test", "certify")
    assert not sealed & {item["group"] for item in found.left}
    assert not groups(found.orders, "test") & groups(found.orders, "certify")
    for split in ("train", "dev"):
        assert groups(found.tuning, split) == groups(found.orders, split)


def test_make_tour_asks_for_its_examples_and_leaves_them_outside() -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    licences, orders = re.findall(r"-m examples (?:licences|tour) .*", makefile)
    assert "installer.bundle.examples excavators" in orders
    assert "installer.bundle.examples licences" in licences
    assert '--notices "$$($(RUN) -m installer.bundle.examples licences)' in orders
    ignored = (CHECKOUT / ".gitignore").read_text().splitlines()
    for directory in (tour.DIRECTORY, tour_licences.DIRECTORY):
        assert f"/{directory}/" in ignored
