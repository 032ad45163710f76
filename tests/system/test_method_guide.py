"""docs/method-guide.md is true: its commands, in its order, on the example set and a real model."""

import json
import re
from pathlib import Path

import pytest

from tests.api.admin.lab import make_lab
from tests.several import make_models
from tests.system.test_docs_snippets import ALONE, SERVED, Block, blocks, execute, follow, served

PAGE = Path(__file__).parents[2] / "docs" / "method-guide.md"
MODEL = "smollm2-135m"
CONFIG = "[engine]\nthreads = 1\n[models.default]\nn_ctx = 1024\nslots = 4\n"


@pytest.mark.slow  # the whole battery, so minutes
@pytest.mark.timeout(1_200)
def test_from_an_example_set_to_an_app(
    tmp_path: Path, default_model_path: Path, excavators_path: Path
) -> None:
    data = make_models(tmp_path, {MODEL: default_model_path})
    with (data / "appliance.toml").open("a") as file:
        file.write(CONFIG)
    variables = {"APPLIANCE_DATA": str(data), "HOME": str(Path.home())}
    first, checked, labelled, task = follow(PAGE, tmp_path, variables)
    assert json.loads(first)["group"] == "A 2004-07-01"
    assert re.search(r"agree 8\d\.\d% of the time", checked) and "SMALLEST EFFECT" in checked
    assert "hose 1 leaks" in labelled or "hose 2 leaks" in labelled or "hose 3 leaks" in labelled
    assert "3 items labelled, 0 not settled" in labelled
    assert (tmp_path / "new-orders" / "labelling.json").is_file()
    assert "form: labels" in task
    text = PAGE.read_text(encoding="utf-8")
    measure, approve, app, gate, route, manuals, advise, drift = blocks(text, SERVED)
    with served(data, MODEL) as address:
        measured = execute(measure, tmp_path, variables)
        approved = execute(approve, tmp_path, variables)
        key = json.loads(
            execute(Block("sh", "appliance key new app --json", 0), tmp_path, variables)
        )
        given = {"OPENAI_BASE_URL": f"{address}/v1", "OPENAI_API_KEY": key["secret"]}
        answered = execute(app, tmp_path, given)
        judged = execute(gate, tmp_path, variables)
        routed = execute(route, tmp_path, variables)
        searched = execute(manuals, tmp_path, variables)
        advised = execute(advise, tmp_path, variables)
        watched = execute(drift, tmp_path, variables)
    for words in ("exact_match on dev: 25 items", "logistic regression, n=100", MODEL, "majority"):
        assert words in measured, words
    assert "<svg" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert approved.count("approved") >= 1 and re.search(r"^sk-\w", approved, re.MULTILINE)
    label, confidence, name = answered.split()
    assert label in text and 0 < float(confidence) <= 1 and name == "excavator-system"
    assert text.count(f"{ALONE}\n") == 4 and text.count(f"{SERVED}\n") == 8
    assert "Pass: excavator-words is not worse than majority by 5 points" in judged
    assert re.search(r"test: \d+ groups, 0 looks left", judged), judged
    assert "unstable over time" in routed and "an alarm of drift suspends" in routed, routed
    assert "The relief valve opens at 250 bar" in searched
    assert advised.startswith("Not enough data") and "logistic regression" in advised
    check_advice_and_watch(tmp_path, watched)


def check_advice_and_watch(directory: Path, watched: str) -> None:
    assert "Rules of thumb" in (directory / "advice.html").read_text(encoding="utf-8")
    assert watched.count("Not watched yet: 16 more weeks") == 2 and "not found:" in watched


@pytest.mark.slow  # many commands
def test_the_advisor_and_the_watch_answer_without_a_model(tmp_path: Path) -> None:
    lab = make_lab(tmp_path)
    *_, advise, drift = blocks(PAGE.read_text(encoding="utf-8"), SERVED)
    variables = {"APPLIANCE_DATA": str(lab.data), "HOME": str(Path.home())}
    assert execute(advise, tmp_path, variables).startswith("Not enough data")
    check_advice_and_watch(tmp_path, execute(drift, tmp_path, variables))
