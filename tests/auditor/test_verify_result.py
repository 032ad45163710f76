"""The entry that names a result is found in an export, and only that one."""

import ast
import subprocess
import sys
from pathlib import Path

from appliance.audit.export import export
from appliance.audit.log import Draft
from appliance.jobs.kind import JsonObject, digest, dumps
from tests.audit.logs import admin, new_log, open_log

PROGRAM = Path(__file__).parents[2] / "auditor" / "verify_result.py"
RESULT: JsonObject = {"answer": "Not worse.", "quality": 0.1 + 0.2, "small": 1e-7, "n": 3}
ADVICE: JsonObject = {"answer": "Don't.", "options": []}


def run(*arguments: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-I", str(PROGRAM), *map(str, arguments)], capture_output=True, text=True
    )
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def ended(job: int, state: str, result: JsonObject | None = None) -> Draft:
    named = {} if result is None else {"result_sha256": digest(result)}
    return Draft("job_end", {"actor": "uid:1", "job": job, "work": "gate", "state": state, **named})


def written(path: Path, result: JsonObject) -> Path:
    path.write_text(dumps(result), encoding="utf-8")
    return path


def test_results_of_jobs_and_advice_are_found_and_others_are_not(tmp_path: Path) -> None:
    log, out = new_log(tmp_path / "log"), tmp_path / "out"
    with open_log(log) as opened:
        opened.append(*(admin(str(n)) for n in range(300))).result()  # more than one bundle
        opened.append(ended(7, "done", RESULT), ended(8, "failed", {"n": 8})).result()
        fields = {"actor": "uid:1", "action": "advice", "task": "orders"}
        opened.append(Draft("admin", {**fields, "result_sha256": digest(ADVICE)})).result()
        fields["action"] = "key"
        opened.append(Draft("admin", {**fields, "result_sha256": digest({"n": 9})})).result()
    export(log, "tiles", out)
    known = written(tmp_path / "job.json", RESULT), written(tmp_path / "advice.json", ADVICE)
    status, told = run(out, *known)
    assert status == 0
    assert "job.json is the result of job 7 (gate), entry 301" in told
    assert "advice.json is the advice on orders, entry 303" in told
    for unknown in ({**RESULT, "quality": 0.3}, {"n": 8}, {"n": 9}):
        status, told = run(out, *known, written(tmp_path / "other.json", unknown))
        assert status == 1 and "other.json is named by NO entry of the log" in told
        assert "job 7" in told


def test_what_cannot_be_read_ends_with_1_and_no_arguments_with_2(tmp_path: Path) -> None:
    assert run(tmp_path, tmp_path / "none.json")[0] == 1
    assert run(tmp_path / "none", PROGRAM)[0] == 1
    assert run()[0] == 2


def test_it_imports_the_standard_library_and_nothing_else() -> None:
    tree = ast.parse(PROGRAM.read_text())
    names = {n.name for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names}
    names |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert names <= set(sys.stdlib_module_names)
