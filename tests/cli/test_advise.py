"""`appliance advise`: by options, by a file, by questions."""

import json
import tomllib
from pathlib import Path

from click.testing import CliRunner

from appliance.advisor.questions import build, read
from appliance.cli.advise import EXAMPLE
from appliance.cli.main import cli
from appliance.evals.job import DIRECTORY
from tests.advisor.test_options import RESULT
from tests.advisor.test_task_facts import write
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run, run_command


def test_the_example_is_a_file_of_answers(run: Run) -> None:
    shown = run("advise", "--example")
    assert shown.status == 0 and read(shown.out) == read(EXAMPLE)
    everything = "\n".join(
        line.removeprefix("# ") if " = " in line or line.startswith("# [[") else line
        for line in EXAMPLE.splitlines()
    )
    found = build(tomllib.loads(everything))
    assert (
        found.measured[0].coverage == 0.75
        and found.prices[0].source
        and found.regulation.bound == 0.05
    )


def test_the_example_needs_no_data_directory() -> None:
    shown = run_command("advise", "--example")
    assert (shown.status, shown.err) == (0, "") and read(shown.out) == read(EXAMPLE)
    told = run_command("advise", "--example", "--json")
    assert told.document["example"] == EXAMPLE
    without = run_command("advise", "--json")  # the control
    assert without.status != 0 and without.document["code"] == "data_missing"


def test_advice_by_a_file_with_options_over_it_and_its_page(
    run: Run, lab: LabData, tmp_path: Path
) -> None:
    write(lab.data / DIRECTORY, 7, json.dumps(RESULT))
    (tmp_path / "a.toml").write_text(EXAMPLE)
    file, page, result = tmp_path / "a.toml", tmp_path / "page.html", tmp_path / "advice.json"
    page.write_text("old")
    done = run(
        *("advise", "orders", "--answers", file, "--requests-day", 400, "--quality", 0.7),
        *("--report", page, "--result", result),
    )
    assert done.status == 0, done.err
    assert done.out.startswith("Don't use a language model: nearest neighbours")
    for words in ("OPTION", "baseline", "flips if", "MISSING"):
        assert words in done.out, words
    assert "<svg" in page.read_text() and "wrote" in done.err
    assert done.out.startswith(json.loads(result.read_text())["answer"])
    told = run("advise", "orders", "--answers", file, "--requests-day", 400, "--json").document
    assert told["task"] == "orders" and told["options"][0]["cost_month"]["p10"] > 0


def test_json_answers_and_dates_of_toml_say_the_same(run: Run, tmp_path: Path) -> None:
    toml, js = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text("[[prices]]\nname = 'c'\nas_of = 2020-01-01\nsource = 's'\n")
    js.write_text(json.dumps({"prices": [{"name": "c", "as_of": "2020-01-01", "source": "s"}]}))
    for file in (toml, js):
        done = run("advise", "--answers", file, "--data-may-leave", "--json").document
        assert done["verdict"] == "blocked" and "days old" in done["answer"]


def test_what_cannot_be_read_is_refused_with_its_place(run: Run, tmp_path: Path) -> None:
    for text in ("[load", "[load]\nx = 1979-05-27T07:32:00Z", "[load]\nrequests_day = 'x'"):
        (tmp_path / "a.toml").write_text(text)
        found = run("advise", "--answers", tmp_path / "a.toml", "--json")
        assert found.code == (1, "answers_invalid"), text
    (tmp_path / "a.json").write_text("[]")
    found = run("advise", "--answers", tmp_path / "a.json", "--json")
    assert found.code == (1, "answers_invalid")


def test_the_four_questions_in_the_terminal(lab: LabData) -> None:
    answers = "0.9\n\n500\n2000\n2\ny\n"
    done = CliRunner().invoke(
        cli, ["advise", "--ask", "--json"], input=answers, env={"APPLIANCE_DATA": str(lab.data)}
    )
    assert done.exit_code == 0, done.output
    for words in ("1 Domain", "2 Data", "3 Volume", "4 Regulation"):
        assert words in done.stderr
    assert json.loads(done.stdout)["verdict"] == "not_enough_data"
    wrong = CliRunner().invoke(
        cli, ["advise", "--ask"], input="much\n", env={"APPLIANCE_DATA": str(lab.data)}
    )
    assert wrong.exit_code == 2 and "is no number" in wrong.stderr
