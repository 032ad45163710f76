"""Blocks of the guides that no other test runs, on one server with a small model.

A block runs as it stands, by bash, but for names of the reader's own. A line that two people type
is run for both.
"""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from openai import OpenAI

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread
from appliance.app import initialise, open_services
from appliance.cli.job import watched
from appliance.client import AdminClient, socket_path
from appliance.clock import FixedClock
from auditor import verify_export
from tests.api.admin.lab import APPROVERS, LabData, start_job
from tests.audit.segmented import ROWS, fill, open_segments
from tests.cli.conftest import run_command
from tests.cli.test_tune import CANDIDATES
from tests.cli.test_tune_offer import Trained
from tests.conftest import need_tool
from tests.evals.orders import TASK, item, write_data, write_task
from tests.forked import FORKING
from tests.guide_blocks import block
from tests.lora import signed_adapter
from tests.routing import world
from tests.several import make_models
from tests.smol import SMALL
from tests.system.conftest import Server
from tests.system.test_docs_snippets import served
from tests.tasks.example import LABELS
from tests.tuning import example
from tests.tuning.conversion import directories

MODEL, EMBEDDER = "smollm2-135m", "all-minilm-l6-v2"
CONFIG = "[engine]\nthreads = 1\n[models.default]\nn_ctx = 512\nslots = 4\n"
PARTS = {
    "hydraulics": ("hose", "pump", "cylinder", "valve"),
    "engine": ("piston", "turbo", "oil filter", "radiator"),
}


@dataclass
class Desk:
    """A person's directory beside a lab, where blocks are typed; `names` replace those of a page,
    in order.
    """

    lab: LabData
    directory: Path
    url: str = ""
    names: Mapping[str, str] = field(default_factory=dict)

    def typed(
        self,
        page: str,
        begins: str,
        names: Mapping[str, str] = MappingProxyType({}),
        status: int = 0,
    ) -> str:
        code = block(page, begins)
        for old, new in {**names, **self.names}.items():
            code = re.sub(rf"(?<![\w-]){re.escape(old)}(?![\w-])", new, code)
        return self.run("\n".join(map(self.signed, code.splitlines())), status)

    def signed(self, line: str) -> str:
        """A line that people sign, with their names and keys: an approval by two of them."""
        line = re.sub(r"--as (?:NAME|paula)", "--as NAME", line)
        line = re.sub(r"--key (?:FILE|KEY\.pem|paula\.pem|publisher\.pem)", "--key FILE", line)
        people = APPROVERS if "approve" in line.split("#")[0] else ("publisher",)
        if "--as NAME" not in line and "--key FILE" not in line:
            return line
        if " task promote " in line or " task rollback " in line:
            people = (APPROVERS[0],)
        typed = [line.partition("  #")[0]] * len(people)
        pairs = zip(typed, people, strict=True)
        return "\n".join(
            each.replace("NAME", name).replace("FILE", str(self.lab.key(name)))
            for each, name in pairs
        )

    def run(self, code: str, status: int = 0) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code],
            cwd=self.directory,
            env={
                "PATH": f"{FORKING.typed()}:/usr/bin:/bin",
                "APPLIANCE_DATA": str(self.lab.data),
                "HOME": str(self.directory),
            },
            input="y\n", capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == status, f"{code}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def document(self, *words: str) -> Any:
        done = run_command(*words, "--json", data=self.lab.data)
        assert done.status == 0, done.err
        return done.document

    def new_key(self, name: str) -> str:
        return str(self.document("key", "new", name)["secret"])

    def client(self, secret: str) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=secret)

    def at(self, name: str, **names: str) -> "Desk":
        directory = self.directory.parent / name
        directory.mkdir()
        return Desk(self.lab, directory, self.url, names)


def rows(groups: int, seed: int) -> Iterator[tuple[str, str, str, str]]:
    drawn = random.Random(seed)
    for number in range(groups * 2):
        label = list(PARTS)[number % 2]
        day = f"{2006 + number // 2 % 5}-{1 + number // 10 % 12:02}-{1 + number // 2 % 28:02}"
        own = f"{drawn.getrandbits(48):012x}"  # no text is like another; few tokens
        part = PARTS[label][number // 2 % 4]
        yield f"truck-{seed}-{number // 2}", day, f"replace {part} {own}", label


def write_orders(path: Path, groups: int = 300, seed: int = 1) -> None:
    lines = [f"w{n},{','.join(row)}" for n, row in enumerate(rows(groups, seed))]
    path.write_text("no,asset,day,text,system\n" + "\n".join(lines) + "\n")


def tuned(data: Path) -> None:
    """Job 1: a tuning that is done, with an adapter that learned nothing."""
    home = data / "tuning" / "1"
    home.mkdir(parents=True)
    adapter = signed_adapter(data, data / "models" / MODEL, home / "adapter", 5, rank=1)
    write_task(home / "task", LABELS)
    result = example.tuned(candidates=[CANDIDATES[1]], best="model").having(adapter=str(adapter))
    with open_services(data, config=SMALL) as services:
        services.jobs._kinds["tune"] = Trained(result)
        with (
            serve_in_thread(create_admin_app(services), socket_path(data)),
            AdminClient(socket_path(data)) as client,
        ):
            watched(client, start_job(client, "tune", {}).id)
        socket_path(data).unlink()


@pytest.fixture(scope="module")
def desk(
    tmp_path_factory: pytest.TempPathFactory, narrow_path: Path, embedder_path: Path
) -> Iterator[Desk]:
    for tool in ("bash", "curl"):
        need_tool(tool)
    root = tmp_path_factory.mktemp("guides")
    data = make_models(root, {MODEL: narrow_path, EMBEDDER: embedder_path})
    with (data / "appliance.toml").open("a") as file:
        file.write(CONFIG)
    (root / "desk").mkdir()
    tuned(data)
    with served(data, MODEL) as url:
        yield Desk(LabData(data), root / "desk", url)


def test_from_a_csv_to_a_classifier(desk: Desk) -> None:
    here = desk.at("start")
    lines = [f'"{text}",{label},{asset}' for asset, _, text, label in rows(300, 2)]
    (here.directory / "notices.csv").write_text("text,label,case\n" + "\n".join(lines) + "\n")
    said = here.typed("start-here", "appliance dataset new notices", status=1)
    assert "notices has 0 of 2 approvals" in said
    signers = " ".join(f"--as {name} --key {here.lab.key(name)}" for name in APPROVERS)
    release = block("start-here", "appliance dataset new notices").splitlines()[-1]
    said = here.run(f"{release} {signers} --meaning 'labels and task read'")
    assert "licence is answered by licence" in said, said


def test_a_dataset_from_a_table_to_the_store(desk: Desk) -> None:
    here = desk.at("datasets")
    write_orders(here.directory / "orders.csv", seed=3)
    said = here.typed("datasets", "appliance dataset new orders")
    assert "SMALLEST EFFECT" in said and "certify" in said, said
    here.typed("datasets", "appliance dataset split orders")
    new, capture = block("datasets", "appliance key new plant-7").splitlines()
    secret = re.search(r"sk-\S+", here.run(new))
    assert secret is not None
    with here.client(secret[0]) as client:
        client.completions.create(model=MODEL, prompt="hose leaks at the boom", max_tokens=1)
    (key,) = [k["id"] for k in here.document("key", "list")["keys"] if k["name"] == "plant-7"]
    here.run(capture.replace("KEY-ID", key))
    assert "hose leaks at the boom" in (here.directory / "plant/unlabelled.jsonl").read_text()
    here.typed("datasets", "appliance dataset seal orders")
    here.run(f"appliance dataset sign orders --key {here.lab.key('publisher')}")
    shutil.copytree(here.directory / "orders", here.directory / "stick" / "planned-orders")
    stick = {"/media/stick/orders": str(here.directory / "stick/planned-orders")}
    said = here.typed("datasets", "appliance dataset import", stick | {"orders": "planned-orders"})
    assert "planned-orders" in said and "approved" in said


def test_a_gate_a_task_and_its_versions(desk: Desk) -> None:
    here = desk.at("gate", KEY=desk.new_key("planner"))
    write_orders(here.directory / "orders.csv", seed=4)
    here.run(
        "appliance dataset new orders --from orders.csv --id no --group asset --group day"
        " --input text --expected system --description 'Work orders.'\n"
        "cp -r orders excavators\n"
        + "\n".join(
            f"appliance task new {name} --classifier --from orders --id {name}\n"
            f"appliance task sign {name} --key {here.lab.key('publisher')}"
            for name in ("excavator-task", "orders-2", "orders-3")
        )
    )
    said = here.typed("gate", "appliance dataset seal orders")
    assert "Pass: excavator-system is not worse" in said, said
    for name in ("orders-2", "orders-3"):
        here.run(f"appliance task import {name}")
        for person in APPROVERS:
            key = here.lab.key(person)
            here.run(f"appliance artifact approve {name} --as {person} --key {key} --meaning read")
    said = here.typed("gate", "appliance task promote")
    assert "order-system" in said
    here.run("appliance auditor export-tools tools && mv tools/verify_certificate.py .")
    here.run("appliance eval key | sed -n '1,/END/p' > evaluator.pub")
    found = here.document("eval", "certificates")["certificates"]
    (kept,) = [each for each in found if each["task"] == "excavator-system"]
    jobs = here.document("job", "list")["jobs"]
    (gate,) = [j["id"] for j in jobs if j["kind"] == "gate" and "excavator-system" in j["title"]]
    said = here.typed("gate", "appliance eval certificates", {"ID": kept["id"], "JOB": str(gate)})
    assert "certificate" in said

    tasks = here.at("tasks", KEY=here.names["KEY"], **{"qwen-0.5b": MODEL})
    shutil.copytree(here.directory / "excavators", tasks.directory / "excavators")
    new = block("tasks", "appliance task new").replace("--models qwen-0.5b", "--limit 2")
    *drafted, report = new.splitlines()
    tasks.run("\n".join(drafted))
    jobs = [j["id"] for j in tasks.document("job", "list")["jobs"]]
    tasks.run(report.replace("7", str(max(jobs))))
    tasks.run("appliance eval run ./excavator-task --data ./excavators --limit 2")
    second = str(max(jobs) + 1)
    said = tasks.typed("tasks", "appliance eval compare", {"7": str(max(jobs)), "9": second})
    assert "logistic regression" in said
    said = tasks.typed("tasks", "curl", {"http://127.0.0.1:8080": desk.url})
    assert '"label":"' in said.replace(" ", "")
    known: dict[str, Any] = {"client": here.client(here.names["KEY"])}
    exec(block("tasks", "answer = client"), known)
    known["client"].close()
    assert known["answer"].choices[0].message.content in PARTS


def test_a_route_from_a_directory_to_its_export(route_data: Path, tmp_path: Path) -> None:
    data = world.copied(route_data, tmp_path)
    (tmp_path / "desk").mkdir()
    shutil.copytree(route_data.parent / "orders", tmp_path / "desk" / "orders")
    (tmp_path / "desk" / "orders" / "model.sig").unlink()
    server = Server(data, ("", ""))
    server.start(until="listening on")
    desk = Desk(LabData(data), tmp_path / "desk")
    try:
        text = block("routes", "appliance route check")
        check, import_, *rest, carry = text.splitlines()
        desk.run(desk.signed(check))
        desk.run(import_.partition("  #")[0] + " || true")  # the world has it already
        said = desk.run("\n".join(map(desk.signed, rest)))
        assert "certified" in said.lower()
        desk.run(carry.partition("  #")[0] + " || true")  # it was suspended
    finally:
        assert server.end(signal.SIGTERM) == 0


def test_documents_from_a_folder_to_measured_searches(desk: Desk) -> None:
    for name, page in (("manuals", "collections"), ("handbook", "documents-guide")):
        here = desk.at(f"of-{name}")
        folder = here.directory / "srv"
        folder.mkdir()
        (folder / "pump.pdf.md").write_text("# Valves\n\nThe relief valve opens at 12 bar.\n")
        (folder / "old-pump.md").write_text("# Old\n\nThe old pump has no valve.\n")
        secret = here.new_key(f"reader-{name}")
        (key,) = [
            k["id"] for k in here.document("key", "list")["keys"] if k["name"] == f"reader-{name}"
        ]
        names = {
            "/srv/manuals": str(folder), "KEY_ID": key, "manuals": name, "fitters": f"f-{name}",
            "multilingual-e5-small": EMBEDDER,
        }  # fmt: skip
        question = {"query": "When does the valve open?", "relevant": {"pump.pdf.md": 1}}
        lines = [json.dumps(question | {"query": f"{question['query']} {n}"}) for n in range(3)]
        (here.directory / "questions.jsonl").write_text("\n".join(lines) + "\n")
        if page == "documents-guide":
            here.typed(page, "appliance key list", names)
        here.typed(page, "appliance collection new", names)
        if page == "documents-guide":
            said = here.typed(page, "appliance collection search", names)
            assert "12 bar" in said
        said = here.typed(page, "appliance collection tune", names)
        assert "50 are needed" in said
        if page == "documents-guide":
            files = {"pump.pdf": "pump.pdf.md", "old-pump.pdf": "old-pump.md"}
            keep = block(page, "appliance collection add manuals /srv/manuals --keep-access")
            assert "verified: 1 document, " in here.typed(page, keep.splitlines()[0], files | names)
        assert secret.startswith("sk-")


def test_the_python_of_the_readme(desk: Desk) -> None:
    code = block("README", "from openai").replace("http://127.0.0.1:8080", desk.url)
    known: dict[str, Any] = {}
    exec(code.replace("sk-…", desk.new_key("newcomer")), known)
    known["client"].close()
    assert known["answer"].choices[0].message.content


def test_the_first_answer_after_an_installation(desk: Desk) -> None:
    here = desk.at("installed")
    status, new, *ask = block("install-guide", "appliance status").splitlines()
    here.run(status)
    secret = re.search(r"sk-\S+", here.run(new))
    assert secret is not None
    asked = (
        "\n".join(ask).replace("KEY", secret[0]).replace('"MODEL"', f'"{MODEL}", "max_tokens": 4')
    )
    assert '"content"' in here.run(asked.replace("http://127.0.0.1:8080", desk.url))


def test_lines_and_numbers_in_place_of_screens(desk: Desk) -> None:
    """The screens of the block: tests/cli/test_tui.py."""
    here = desk.at("operator")
    *_, watch, metrics = block("operator-guide", "appliance tui --data").splitlines()
    typed = Path(sys.executable).parent / watch.partition("  #")[0]  # it ends when its pipe does
    assert here.run(f"{typed} | head --lines 3 || true").count("\n") >= 3
    assert "tokens" in here.run(metrics)


def test_a_task_that_cites_is_measured(desk: Desk) -> None:
    here = desk.at("asks")
    (here.directory / "pump.md").write_text("# Valves\n\nThe relief valve opens at 12 bar.\n")
    here.run(
        "appliance collection new asked && appliance collection add asked pump.md --everyone\n"
        f"mkdir asks questions && appliance model show {MODEL} --json > model.json"
    )
    digest = json.loads((here.directory / "model.json").read_text())["digest"]
    form = 'form = "text"\ncollection = "asked"\nquotes = true\n[gate]'
    text = LABELS.split("[output]")[0] + f"[output]\n{form}" + LABELS.split("[gate]")[1]
    text = re.sub(r'digest = ".*"', f'digest = "{digest}"', text).replace('"text"', '"question"', 1)
    text = text.replace("{{ text }}", "{{ question }}") + '[compare.text]\nmatch = "pattern"\n'
    (here.directory / "asks" / "task.toml").write_text(text)
    first = block("collections", '{"id": "q1"').replace("\n", " ").replace('"valves.md": 1', "")
    first = first.replace(", }", "}")
    lines = [first, first.replace("q1", "q2").replace("does", "will")]
    (here.directory / "questions" / "dev.jsonl").write_text("\n".join(lines) + "\n")
    manifest = {"format": 1, "version": 1, "name": "questions", "splits": {}}
    (here.directory / "questions" / "dataset.json").write_text(json.dumps(manifest))
    said = here.typed("collections", "appliance eval run")
    assert "nDCG@10" in said, said


def test_a_directory_of_safetensors_becomes_a_model_and_smaller_ones(desk: Desk) -> None:
    here = desk.at("converted")
    directories.write(here.directory / "DIR")
    (here.directory / "tiny-wide").mkdir()
    names = {"ARTIFACT": "tiny-wide", "KEY": str(here.lab.key("publisher"))}
    here.typed("tuning-guide", "appliance model convert", names)
    here.run(here.signed("appliance artifact import tiny-wide"))
    here.run(
        here.signed("appliance artifact approve tiny-wide --as NAME --key FILE --meaning read")
    )
    write_task(here.directory / "TASK_DIR", TASK)
    write_data(here.directory / "DATASET_DIR", train=24)
    said = here.typed("tuning-guide", "appliance quantize", {"MODEL": "tiny-wide"}, 1)
    assert "Q8_0: 6 groups cannot show that it is not worse" in said, said


def test_an_adapter_of_a_tuning_is_tried_and_offered(desk: Desk) -> None:
    here = desk.at("tuned")
    write_data(here.directory / "DATASET")
    names = {"DATA": str(here.lab.data), "7": "1"}
    said = here.typed("tuning-guide", "appliance artifact import", names, status=1)
    assert "smollm2-135m:orders [+] serving" in said and "model, 0.650 on dev" in said, said
    assert "[~] waiting dataset" in said, said


def test_a_teacher_that_knows_too_little_is_told_apart(desk: Desk) -> None:
    here = desk.at("taught")
    data = write_data(here.directory / "DATASET_DIR", train=12)
    unlabelled = [{**item(n, "unlabelled"), "expected": None} for n in range(4)]
    (data / "unlabelled.jsonl").write_text("".join(json.dumps(one) + "\n" for one in unlabelled))
    here.run(f"appliance task new TASK_DIR --from DATASET_DIR --model {MODEL} --description x")
    said = here.typed("tuning-guide", "appliance tune teach", {"qwen2.5-coder-1.5b": MODEL}, 1)
    assert "teacher_disagrees" in said, said


def test_tls_and_a_copy_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "desk").mkdir()
    initialise(tmp_path / "data", "lab")
    here = Desk(LabData(tmp_path / "data"), tmp_path / "desk")
    here.typed("admin-guide", "export APPLIANCE_DATA")
    here.typed("admin-guide", "appliance tls issue")
    assert "BEGIN CERTIFICATE" in (tmp_path / "data" / "tls" / "ca.pem").read_text()
    here.typed("admin-guide", "appliance tls renew")
    backup = {"/mnt/backup/appliance-2026-11-24": str(tmp_path / "backup")}
    here.typed("admin-guide", "cp -a", backup)
    assert (tmp_path / "backup" / "appliance.db").is_file()


def test_old_entries_leave_with_two_approvals(tmp_path: Path) -> None:
    data = tmp_path / "data"
    clock = FixedClock(int(time.time() - 2 * 365 * 86_400) * 1_000_000)
    initialise(data, "lab", clock)
    with open_segments(data / "audit", clock) as log:
        fill(log, ROWS + 3)
    (tmp_path / "desk").mkdir()
    here = Desk(LabData(data), tmp_path / "desk")
    copy = str(tmp_path / "copy")
    said = here.typed(
        "admin-guide", "appliance audit retention", {"SEQ": str(ROWS), "/mnt/archive/log": copy}
    )
    assert "[+] verified" in said
    assert verify_export.main([copy, str(data / "audit" / "genesis.pub")]) == 0


def test_an_auditor_checks_texts_a_result_and_an_answer(desk: Desk) -> None:
    here = desk.at("auditor", KEY=desk.new_key("audited"))
    audit = desk.lab.data / "audit"
    with here.client(here.names["KEY"]) as client:
        asked = client.chat.completions.with_raw_response.create(
            model=MODEL, messages=[{"role": "user", "content": "Hello"}], max_tokens=1
        )
    here.run(
        f"appliance auditor export-tools . && cp {audit}/genesis.pub .\n"
        "appliance advise --example > answers.toml\n"
        "echo text > text.txt && appliance collection new audited\n"
        "appliance collection add audited text.txt --everyone"  # a job with a result
    )
    job = str(max(job["id"] for job in here.document("job", "list")["jobs"]))
    places = {
        "/mnt/stick": str(here.directory), "ID": job, "TASK": "", "DATA/audit": str(audit),
        "http://127.0.0.1:8080": desk.url, "REQUEST-ID": asked.headers["x-request-id"],
    }  # fmt: skip
    here.typed("auditor-guide", "curl", places)
    assert json.loads((here.directory / "receipt.json").read_text())["outcome"]["seq"]
    here.typed("auditor-guide", "appliance job result", places)
    here.run(f"appliance audit export --format tiles --out {here.directory}/log")
    said = here.typed("auditor-guide", "python3 verify_result.py", places)
    assert f"the result of job {job}" in said
    here.typed(
        "auditor-guide", "python3 verify_export.py /mnt/stick/log genesis.pub DATA/audit", places
    )
