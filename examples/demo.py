"""The main job end to end, as a person would do it: every step is a real command.

Rules: it ends by itself and leaves nothing running; with `--serve` it leaves the server running
in the foreground and prints how to call it. The last block's first line is
`receipt verified: seq N root HEX`, or the exit status is not 0.

usage: python -m examples demo --model DIR [--serve]
"""

import argparse
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

MODEL_ID = "smollm2-135m"
QUESTION = "In one sentence: why does a pump need a relief valve?"
SERVE_DATA = Path(".demo")
_START_SECONDS = 600  # a machine that is busy with other work takes long, and ends


class DemoError(Exception):
    """A step failed; the message says which."""


def say(line: str) -> None:
    """One line of narration."""
    print(line, flush=True)


def command(data: Path, *arguments: str, found: int = 0) -> Any:
    """Run one `appliance` command, show it, and return the JSON document that it printed.

    Args:
        found: the highest exit status that is an answer; a check that says no ends with 1.

    Raises:
        DemoError: it failed.
    """
    say("$ appliance " + " ".join(arguments))
    done = subprocess.run(
        [sys.executable, "-m", "appliance", *arguments, "--json"],
        env={"APPLIANCE_DATA": str(data), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,  # no person answers a prompt
        stdout=subprocess.PIPE,
        check=False,
    )
    if not 0 <= done.returncode <= found:
        raise DemoError(f"`appliance {arguments[0]}` ended with {done.returncode}: {done.stdout!r}")
    return json.loads(done.stdout or b"null")


def refusal(data: Path, *arguments: str) -> str:
    """Run one `appliance` command that must be refused, show it, and return the stable code.

    Raises:
        DemoError: it was not refused.
    """
    say("$ appliance " + " ".join(arguments))
    done = subprocess.run(
        [sys.executable, "-m", "appliance", *arguments, "--json"],
        env={"APPLIANCE_DATA": str(data), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    if done.returncode != 1:
        raise DemoError(f"`appliance {arguments[0]}` ended with {done.returncode}, not refused")
    code: str = json.loads(done.stdout)["code"]
    return code


def prepare(data: Path, gguf: Path, *options: str) -> None:
    """Lab keys, a signed artifact, two approvals: a model that may be loaded; `options` are for
    `appliance init`.
    """
    command(data, "init", "--profile", "lab", *options)
    bring_in(data, gguf, MODEL_ID)


def bring_in(data: Path, gguf: Path, model: str) -> None:
    """Sign a model with the lab's keys, import it under an id, and approve it twice."""
    keys = data / "keys" / "lab"
    with tempfile.TemporaryDirectory() as stick:
        artifact = Path(stick) / model
        artifact.mkdir()
        shutil.copyfile(gguf, artifact / gguf.name)
        command(data, "model", "sign", str(artifact), "--key", str(keys / "publisher.pem"))
        command(data, "model", "verify", str(artifact), "--key", str(keys / "publisher.pub"))
        record = command(data, "model", "import", str(artifact), "--id", model)
    say(f"  {record['state']}: {record['digest']}")
    for name in ("approver-1", "approver-2"):
        record = command(
            data,
            *("model", "approve", model, "--as", name, "--key", str(keys / f"{name}.pem")),
            *("--meaning", "tried in the lab"),
        )
        say(f"  {record['state']}")


@contextlib.contextmanager
def serving(data: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server that is ready, and ended at the end."""
    say(f"$ appliance serve --host 127.0.0.1 --port {port}")
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "serve", "--host", "127.0.0.1", "--port", str(port)],
        env={"APPLIANCE_DATA": str(data), "PATH": "/usr/bin:/bin"},
    )
    try:
        wait_until_ready(process, port)
        yield process
    finally:
        process.terminate()
        process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait for `/readyz` to say 200.

    Raises:
        DemoError: the server ended or needs too long.
    """
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise DemoError(f"the server ended with {process.returncode}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    raise DemoError(f"the server is not ready after {_START_SECONDS} s")


def ask(port: int, secret: str) -> int:
    """Stream one answer to the terminal.

    Returns:
        Sequence number of the outcome's audit entry, from the last comment of the stream.

    Raises:
        DemoError: the answer is not complete.
    """
    body = {
        "model": MODEL_ID,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": 80,
        "temperature": 0,
        "stream": True,
    }
    receipt = finish = None
    say(f"POST /v1/chat/completions: {QUESTION}\n")
    with httpx.stream(
        "POST",
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json=body,
        headers={"Authorization": f"Bearer {secret}"},
        timeout=120,
    ) as response:
        for line in response.iter_lines():
            if line.startswith(": receipt "):
                receipt = line.removeprefix(": receipt ")
            elif line.startswith("data: {"):
                choice = json.loads(line[len("data: ") :])["choices"][0]
                finish = choice["finish_reason"] or finish
                print(choice["delta"].get("content") or "", end="", flush=True)
    say("")
    if response.status_code != httpx.codes.OK or not receipt or not finish:
        raise DemoError(f"no complete answer: HTTP {response.status_code}, finish {finish}")
    say(f"receipt: {receipt}")
    return int(receipt.split()[0])


def check(data: Path, seq: int, proof: Path) -> None:
    """With the server stopped: prove that the answer is in the log, from two files alone."""
    command(data, "audit", "proof", str(seq), "--out", str(proof))
    genesis = proof.with_name("genesis.pub")
    shutil.copyfile(data / "audit" / "genesis.pub", genesis)
    result = command(proof.parent, "audit", "check-proof", str(proof), "--key", str(genesis))
    say(f"\nreceipt verified: seq {result['seq']} root {result['root']}")
    say(
        "The answer above came from a model that one key signed and two others approved. Its\n"
        "record is in the log: that was checked with two files, without the server."
    )


def free_port() -> int:
    """Free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def demo(gguf: Path) -> None:
    """The whole story in a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="appliance-demo-") as directory:
        data = Path(directory) / "data"
        prepare(data, gguf)
        key = command(data, "key", "new", "demo")
        port = free_port()
        with serving(data, port):
            seq = ask(port, key["secret"])
        check(data, seq, Path(directory) / "receipt.proof")


def serve(gguf: Path, port: int) -> None:
    """A server that stays, with a key to call it."""
    if not (SERVE_DATA / "appliance.toml").exists():
        prepare(SERVE_DATA.absolute(), gguf)
    key = command(SERVE_DATA.absolute(), "key", "new", f"demo-{int(time.time())}")
    with serving(SERVE_DATA.absolute(), port) as process:
        say(f"\nURL  http://127.0.0.1:{port}/v1\nKey  {key['secret']}\n")
        say(
            f"curl http://127.0.0.1:{port}/v1/chat/completions "
            f"-H 'Authorization: Bearer {key['secret']}' -H 'Content-Type: application/json' "
            f'-d \'{{"model":"{MODEL_ID}","messages":[{{"role":"user","content":"Hello"}}]}}\'\n'
        )
        with contextlib.suppress(KeyboardInterrupt):
            process.wait()


def options(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("--model", type=Path, required=True, help="directory with one *.gguf")
    parser.add_argument("--serve", action="store_true", help="leave the server running")
    parser.add_argument("--port", type=int, default=8080, help="for --serve")


def run(given: argparse.Namespace) -> None:
    """Run it. Raises DemoError."""
    (gguf,) = given.model.glob("*.gguf")
    serve(gguf, given.port) if given.serve else demo(gguf)
