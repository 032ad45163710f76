"""Commands while `appliance serve` runs: a real server with a real model."""

import contextlib
import fcntl
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import httpx
import pytest

from appliance.config import load_config
from examples import tour_documents
from tests.api.admin.lab import APPROVERS, LabData, make_lab
from tests.cli.conftest import Done, run_command
from tests.evals.orders import write_data, write_task
from tests.trust import forge

Serving: TypeAlias = Callable[..., Done]


def start(data: Path, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "appliance", "serve", "--port", "0", "--data", data, *options],
        stderr=subprocess.PIPE,
        text=True,
    )


def refused(data: Path, *options: str) -> tuple[int, str]:
    """Exit status and words of a server that does not start."""
    with start(data, *options) as process:
        _, words = process.communicate()
    return process.returncode, words


def watch(data: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "appliance", "status", "--watch", "--data", data],
        stdout=subprocess.PIPE,
        text=True,
        # Where tests run in the background, the shell has them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for(process: "subprocess.Popen[str]", words: str) -> None:
    assert process.stderr is not None
    assert any(words in line for line in process.stderr), f"it ended without saying {words!r}"


@contextlib.contextmanager
def server(data: Path, words: str, *options: str) -> Iterator["subprocess.Popen[str]"]:
    process = start(data, *options)
    try:
        wait_for(process, words)
        yield process
    finally:
        process.terminate()
        with process:
            process.communicate()


def import_approved(lab: LabData, gguf: Path) -> None:
    artifact = lab.data.parent / "smol"
    artifact.mkdir()
    shutil.copyfile(gguf, artifact / "model.gguf")
    publisher = lab.key("publisher")
    assert run_command("model", "sign", artifact, "--key", publisher).status == 0
    assert run_command("model", "import", artifact, data=lab.data).status == 0
    for name in APPROVERS:
        done = run_command(
            *("model", "approve", "smol", "--as", name, "--key", lab.key(name)),
            *("--meaning", "fit for use"),
            data=lab.data,
        )
        assert done.status == 0


@pytest.fixture(scope="module")
def serving(
    tmp_path_factory: pytest.TempPathFactory, default_model_path: Path
) -> Iterator[Serving]:
    """On the data directory of a server that serves SmolLM2."""
    lab = make_lab(tmp_path_factory.mktemp("serve"))
    import_approved(lab, default_model_path)

    def run(*arguments: str | Path) -> Done:
        return run_command(*arguments, data=lab.data)

    with server(lab.data, "serving smol"):
        yield run


def test_the_status_is_that_of_the_server(serving: Serving) -> None:
    status = serving("status", "--json").document
    assert (status["state"], status["role"]) == ("serving", "admin")
    (worker,) = status["workers"]
    assert (worker["model"], worker["state"], worker["running"]) == ("smol", "ready", 0)
    assert [(m["id"], m["state"], m["loaded"]) for m in status["models"]] == [
        ("smol", "serving", True)
    ]
    plain = serving("status").out
    assert "LAB" in plain.splitlines()[0] and "[+] serving" in plain.splitlines()[0]


def test_unload_and_load(serving: Serving) -> None:
    unloaded = serving("model", "unload", "smol", "--json").document
    assert (unloaded["state"], unloaded["loaded"]) == ("approved", False)
    assert serving("status", "--json").document["state"] == "idle"
    assert serving("model", "unload", "smol", "--json").code == (1, "wrong_state")
    done = serving("model", "load", "smol", "--json")
    assert (done.document["state"], done.document["loaded"]) == ("serving", True)
    told = [line.split()[0] for line in done.err.splitlines() if line.endswith(" %")]
    assert list(dict.fromkeys(told)) == ["verifying", "sealing", "loading"]
    assert "loading 100 %" in done.err


def test_the_server_does_what_a_command_asks_and_records_it(serving: Serving) -> None:
    made = serving("key", "create", "app", "--json").document
    newest = serving("audit", "tail", "-n", "1", "--json").document["entries"][0]
    assert (newest["body"]["action"], newest["body"]["key_id"]) == ("key_create", made["id"])
    assert newest["body"]["actor"] == f"uid:{os.getuid()}"


def test_the_log_is_verified_while_it_is_written(serving: Serving) -> None:
    done = serving("audit", "verify", "--json")
    assert (done.status, done.document["ok"]) == (0, True)
    assert serving("audit", "verify", "--from", "10000", "--json").code == (1, "not_found")


def test_a_bad_artifact_is_refused_by_the_server_too(serving: Serving, tmp_path: Path) -> None:
    forge.make_artifact(tmp_path / "unsigned")
    done = serving("model", "import", tmp_path / "unsigned", "--json")
    assert (done.code, done.document["state"]) == ((1, "signature_missing"), "refused")


def test_an_evaluation_says_what_was_found_cited_and_right(
    serving: Serving, tmp_path: Path
) -> None:
    """The search, the quotations, and the answers, each by question."""
    tour_documents.write(documents := tmp_path / "documents")
    chapters = (documents / "handbook.md").read_text().split("## ")[1:]
    (documents / "handbook.md").unlink()
    for number, chapter in enumerate(chapters):
        (documents / f"{number}.md").write_text(f"## {chapter}")
    assert serving("collection", "new", "handbook").status == 0
    assert serving("collection", "add", "handbook", documents, "--everyone").status == 0
    digest = serving("model", "show", "smol", "--json").document["digest"]
    by = f'kind = "model"\nmodel = "smol"\ndigest = "{digest}"'
    task = write_task(tmp_path / "fault-code", "version = 1\n" + tour_documents.TASK % by)
    asked = [item for item in tour_documents.items() if item["split"] == "train"][:4]
    for number, item in enumerate(asked):
        item["split"] = "dev"
        part = int(item["id"].removeprefix("fault-")) // 10 - 10
        item["relevant"] = {f"{part}.md": 1} if number else {"nosuch.md": 1}
    data = write_data(tmp_path / "faults")
    (data / "dev.jsonl").write_text("".join(json.dumps(item) + "\n" for item in asked))
    done = serving("eval", "run", task, "--data", data, "--no-baselines", "--json")
    assert done.status == 0, done.err
    found, (row,) = done.document["retrieval"], done.document["candidates"]
    assert (found["questions"], found["ranking"], found["passages"]) == (4, "bm25", 3)
    assert found["ndcg_10"][0] == found["recall_10"][0] == found["recall_given"][0] == 0.75
    assert 0 < found["ndcg_10"][1] < 0.75 < found["ndcg_10"][2] < 1
    assert row["quality"] <= row["evidence"][0] and row["verified"][0] == 1
    assert row["citation_precision"] is None or row["citation_precision"][0] <= 1
    told = serving("eval", "show").out
    assert "search of handbook by bm25, 4 questions: nDCG@10 0.750 (" in told
    assert "smol: evidence in " in told
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps(item) + "\n" for item in asked[1:]))
    assert "bm25     1.000" in serving("collection", "tune", "handbook", questions).out


def test_another_server_is_refused(serving: Serving) -> None:
    data = Path(serving("status", "--json").document["data"])
    status, words = refused(data)
    assert status == 1
    assert words.startswith("data_locked: ")


def test_watch_prints_blocks_with_rates_until_it_is_interrupted(serving: Serving) -> None:
    data = Path(serving("status", "--json").document["data"])
    process = watch(data)
    with process:
        assert process.stdout is not None
        first = list(itertools.takewhile(lambda line: "serving, up" not in line, process.stdout))
        second = list(itertools.takewhile(lambda line: "first token" not in line, process.stdout))
        assert any("[+] serving, up" in line for line in second)
        assert any(line.startswith("tokens ") and "a second" in line for line in second)
        process.send_signal(signal.SIGINT)
        assert "\x1b" not in "".join(first + second) + process.stdout.read()
    assert process.returncode == 1


def test_a_server_starts_ends_orderly_and_starts_again(tmp_path: Path) -> None:
    """Beside it a watcher that outlives it; the second has a supervisor that reads no log."""
    lab = make_lab(tmp_path)
    secret = run_command("key", "create", "app", "--json", data=lab.data).document["secret"]
    run_command("serve", "--save", data=lab.data)
    assert load_config(lab.data).server.port == 8080
    with watch(lab.data) as watching:
        assert watching.stdout is not None
        assert any("[!] down" in line for line in watching.stdout)
        with server(lab.data, "listening on", "--save") as process:
            port = load_config(lab.data).server.port
            assert port not in (0, 8080)
            url = f"http://127.0.0.1:{port}"
            assert httpx.get(f"{url}/healthz").status_code == 200
            assert run_command("status", "--json", data=lab.data).document["url"] == url
            told = run_command("doctor", "--json", data=lab.data).document
            assert (told["url"], told["serving"]) == (url, True)
            assert any("[-] idle" in line for line in watching.stdout)
        assert process.returncode == 0
        assert any("[!] down" in line for line in watching.stdout)
        watching.terminate()
    assert not (lab.data / "run" / "admin.sock").exists()
    assert run_command("status", "--json", data=lab.data).document["state"] == "stopped"
    with start(lab.data) as process:  # --port 0 again, which is not kept
        assert process.stderr is not None
        other = next(line for line in process.stderr if "listening on " in line).split()[3]
        assert other != url and load_config(lab.data).server.port == port
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)  # full after some fifty lines
        headers = {"authorization": f"Bearer {secret}"}
        with httpx.Client(base_url=other, headers=headers, timeout=60) as client:
            for _ in range(120):
                assert client.get("/v1/models").status_code == 200
        process.terminate()
        assert process.wait(60) == 0
        assert "GET /v1/models 200" in process.stderr.read()  # it was the log that was not read


def test_a_port_that_is_taken_is_not_kept(tmp_path: Path) -> None:
    lab = make_lab(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        status, words = refused(lab.data, "--port", number, "--save")
    assert (status, words.partition(":")[0]) == (2, "bind_refused")
    assert load_config(lab.data).server.port == 8080


def test_an_address_that_others_can_reach_is_refused(tmp_path: Path) -> None:
    lab = make_lab(tmp_path)  # tests/server/test_serve.py has the other addresses
    status, words = refused(lab.data, "--host", "0.0.0.0")
    assert status == 2
    assert words.startswith("bind_refused: ")


def test_a_model_that_does_not_fit_is_refused_with_the_numbers(
    tmp_path: Path, narrow_path: Path
) -> None:
    lab = make_lab(tmp_path)
    import_approved(lab, narrow_path)
    with (lab.data / "appliance.toml").open("a") as config:
        config.write("\n[engine]\nmemory_mib = 64\n")
    with server(lab.data, "not loaded: smol: "):
        done = run_command("model", "load", "smol", "--json", data=lab.data)
        assert done.code == (1, "insufficient_memory")
        assert "64" in done.document["message"]
        assert run_command("status", "--json", data=lab.data).document["workers"] == []
