"""The worker as a program, before and without a model, frame by frame."""

import fcntl
import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.engine import protocol
from appliance.engine.channel import Channel
from appliance.engine.confine import LOW_PRIORITY
from appliance.engine.worker import ModelWorker, shapes
from appliance.trust.bytes.sealed import SealedFile, seal_and_close
from appliance.types import Constraint, GenerationRequest, ModelKind
from tests.lora import write_lora
from tests.prepare import prepare


@dataclass
class Started:
    process: subprocess.Popen[bytes]
    connection: socket.socket
    descriptors: socket.socket

    def send(self, message: protocol.ToWorker) -> None:
        self.connection.sendall(protocol.frame(message))

    def receive(self) -> protocol.FromWorker:
        """The next message that is not about how far a load is."""
        while True:
            (size,) = protocol.HEADER.unpack(self.connection.recv(4, socket.MSG_WAITALL))
            frame = self.connection.recv(size, socket.MSG_WAITALL)
            message = protocol.decode_from_worker(frame)
            if not isinstance(message, protocol.Loading):
                return message

    def end(self) -> int:
        self.connection.close()
        self.descriptors.close()
        return self.process.wait(60)


def start(fd: int, *extra: int) -> Started:
    ours, theirs = socket.socketpair()
    giving, taking = socket.socketpair()
    handed = (theirs.fileno(), taking.fileno())
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "appliance.engine.worker", *map(str, handed)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
        pass_fds=(*handed, *extra),
    )
    theirs.close()
    taking.close()
    socket.send_fds(giving, [b"\0"], [fd])
    ours.settimeout(60)
    return Started(process, ours, giving)


@pytest.fixture
def model_fd(sealed_model: SealedFile) -> Iterator[int]:
    fd = sealed_model.reopen()
    yield fd
    os.close(fd)


def load(variant: Path) -> protocol.Load:
    return protocol.Load(
        variant=str(variant),
        n_ctx=256,
        slots=2,
        threads=1,
        prefill_budget=64,
        reproducible=False,
        memory_bytes=3 << 30,
        max_prepare_bytes=1 << 16,
    )


@pytest.mark.parametrize("kind", ["generate", "embed", "rerank"])
def test_layers_go_to_the_gpus_that_the_load_names(variant: Path, kind: ModelKind) -> None:
    on_gpus = protocol.LoadOnGpu("/p/libggml-cuda.so", (), 31, (11, 20))
    asked = msgspec.structs.replace(load(variant), kind=kind, gpu=on_gpus)
    assert shapes(asked).split == (11, 20)
    assert shapes(msgspec.structs.replace(asked, gpu=None)).split == ()


def test_a_worker_whose_server_hangs_up_at_once_ends(model_fd: int) -> None:
    assert start(model_fd).end() == 64


def test_a_first_message_that_is_no_load_ends_it(model_fd: int) -> None:
    worker = start(model_fd)
    worker.send(protocol.Run(1))
    assert worker.process.wait(60) == 64
    worker.end()


def test_noise_ends_it(model_fd: int) -> None:
    worker = start(model_fd)
    worker.connection.sendall(protocol.HEADER.pack(3) + b"\xc1\xc1\xc1")
    assert worker.process.wait(60) == 70
    worker.end()


def test_a_stray_descriptor_ends_it_before_the_model_is_read(model_fd: int, variant: Path) -> None:
    stray = os.open("/etc/passwd", os.O_RDONLY)
    worker = start(model_fd, stray)
    os.close(stray)
    worker.send(load(variant))
    answer = worker.receive()
    assert isinstance(answer, protocol.Failed)
    assert answer.code == "confinement_failed" and "/etc/passwd" in answer.message
    worker.end()


def test_a_running_worker_ends_when_its_server_goes(model_fd: int, variant: Path) -> None:
    worker = start(model_fd)
    worker.send(load(variant))
    assert isinstance(worker.receive(), protocol.WorkerReady)
    worker.send(prepare(prompt="Hello", ignore_eos=True))
    prepared = worker.receive()
    assert isinstance(prepared, protocol.Prepared)
    # As much as the context leaves, since nothing was asked.
    assert prepared.max_tokens == 256 - prepared.prompt_tokens
    worker.send(protocol.Run(1))
    assert isinstance(worker.receive(), protocol.Step)
    assert worker.end() in {0, 70}  # either thread may notice first


def test_a_request_that_was_not_prepared_does_not_run(model_fd: int, variant: Path) -> None:
    worker = start(model_fd)
    worker.send(load(variant))
    assert isinstance(worker.receive(), protocol.WorkerReady)
    worker.send(protocol.Run(7))
    worker.send(protocol.Cancel(8))
    worker.send(prepare(prompt="Hi", max_tokens=1))
    assert isinstance(worker.receive(), protocol.Prepared)
    worker.send(protocol.Run(1))
    worker.send(protocol.Run(1))  # a second time means nothing
    step = worker.receive()
    assert isinstance(step, protocol.Step) and [r.finish for r in step.rows] == ["length"]
    worker.send(protocol.Cancel(1))  # it has ended, so nothing is said
    worker.send(prepare(2, prompt="Hi", max_tokens=1))
    assert isinstance(worker.receive(), protocol.Prepared)
    assert worker.end() == 0


def rendered(worker: Started) -> tuple[str, str, int]:
    ready = worker.receive()
    assert isinstance(ready, protocol.WorkerReady) and ready.vocabulary is not None
    user = ({"role": "user", "content": "Hi"},)
    worker.send(prepare(messages=user, max_tokens=1))
    prepared = worker.receive()
    assert isinstance(prepared, protocol.Prepared)
    worker.end()
    return ready.vocabulary.template, prepared.template_sha256, prepared.prompt_tokens


def test_the_template_that_was_verified_is_used_in_place_of_the_files_own(
    model_fd: int, variant: Path
) -> None:
    template = "{{ messages[0].content }}" * 20
    told = []
    for given in (template, ""):
        worker = start(model_fd)
        worker.send(msgspec.structs.replace(load(variant), template=given))
        told.append(rendered(worker))
    (used, digest, tokens), (own, own_digest, own_tokens) = told
    assert (used, digest) == (template, hashlib.sha256(template.encode()).hexdigest())
    assert "im_start" in own and own_digest == hashlib.sha256(own.encode()).hexdigest()
    assert tokens == 20 != own_tokens  # "HiHiHi…", nothing of the chat markup around it


def test_a_signed_grammar_that_cannot_be_enforced_ends_the_load(
    model_fd: int, variant: Path
) -> None:
    worker = start(model_fd)
    grammars = {"good": Constraint("lark", 'start: "a"'), "bad": Constraint("lark", "start: x")}
    worker.send(msgspec.structs.replace(load(variant), grammars=grammars))
    answer = worker.receive()
    assert isinstance(answer, protocol.Failed) and answer.code == "grammar_invalid"
    assert answer.message.startswith("The grammar bad: ")
    assert worker.process.wait(60) == 1
    worker.end()


def test_frames_arrive_whole_however_they_are_cut() -> None:
    ours, theirs = socket.socketpair()
    sent = [protocol.Run(n) for n in range(50)]
    data = b"".join(map(protocol.frame, sent))

    def trickle() -> None:
        for i in range(0, len(data), 3):
            ours.sendall(data[i : i + 3])
        ours.close()

    thread = threading.Thread(target=trickle)
    thread.start()
    channel = Channel(theirs)
    received = list(iter(channel.receive, None))
    thread.join()
    theirs.close()
    assert received == sent


def test_two_threads_never_mix_their_frames() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(theirs)

    def talk(number: int) -> None:
        for _ in range(200):
            channel.send(protocol.Failed(str(number), "x" * 3000))

    threads = [threading.Thread(target=talk, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    seen = []
    for _ in range(400):
        (size,) = protocol.HEADER.unpack(ours.recv(4, socket.MSG_WAITALL))
        message = protocol.decode_from_worker(ours.recv(size, socket.MSG_WAITALL))
        assert isinstance(message, protocol.Failed) and message.message == "x" * 3000
        seen.append(message.code)
    for thread in threads:
        thread.join()
    ours.close()
    theirs.close()
    assert sorted(seen) == ["0"] * 200 + ["1"] * 200


class Priorities:
    n_ctx, fewest, engine = 64, 0, None
    vocabulary: protocol.Vocabulary | None = None

    def prepare(self, request: protocol.Prepare) -> tuple[protocol.Prepared, list[Any]]:
        raise NotImplementedError

    def tokenize(self, request: protocol.Tokenize) -> protocol.Tokens:
        return protocol.Tokens(request.id, [os.getpriority(os.PRIO_PROCESS, 0)])


def test_what_is_large_is_prepared_with_the_lower_priority(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ModelWorker, "_decode_forever", lambda _: None)
    ours, theirs = socket.socketpair()
    worker = ModelWorker(Channel(theirs), Priorities(), theirs)
    serving = threading.Thread(target=worker.serve)
    serving.start()
    found = []
    for size in (1, protocol.SMALL, 1):
        ours.sendall(protocol.frame(protocol.Tokenize(1, GenerationRequest("", prompt="x" * size))))
        (length,) = protocol.HEADER.unpack(ours.recv(4, socket.MSG_WAITALL))
        answer = protocol.decode_from_worker(ours.recv(length, socket.MSG_WAITALL))
        assert isinstance(answer, protocol.Tokens)
        found += answer.tokens
    ours.close()
    serving.join()
    theirs.close()
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert found == [usual, max(usual, LOW_PRIORITY), usual]


def test_the_sealed_model_carries_all_seals(model_fd: int) -> None:
    assert fcntl.fcntl(model_fd, fcntl.F_GET_SEALS) & 0xF == 0xF


# Adapters


@pytest.fixture(scope="module")
def lora(shallow_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lora") / "adapter.gguf"
    write_lora(shallow_path, path, 1, strength=4.0)
    return path


def sealed_fd(path: Path) -> int:
    sealed = seal_and_close(os.open(path, os.O_RDONLY), path.name)
    fd = sealed.reopen()
    sealed.close()
    return fd


def attach(worker: Started, number: int, adapter: str, fd: int) -> protocol.FromWorker:
    socket.send_fds(worker.descriptors, [b"\0"], [fd])
    os.close(fd)
    worker.send(protocol.Attach(number, adapter))
    return worker.receive()


def generate(worker: Started, number: int, adapter: str) -> str:
    prompt = "The capital of France is"
    worker.send(prepare(number, prompt=prompt, max_tokens=8, ignore_eos=True, adapter=adapter))
    assert isinstance(worker.receive(), protocol.Prepared)
    worker.send(protocol.Run(number))
    text, finish = "", None
    while finish is None:
        step = worker.receive()
        assert isinstance(step, protocol.Step)
        for row in step.rows:
            text, finish = text + row.text, row.finish
    return text


def test_adapters_come_and_go_while_a_confined_worker_runs(
    model_fd: int, variant: Path, lora: Path
) -> None:
    worker = start(model_fd)
    worker.send(load(variant))
    assert isinstance(worker.receive(), protocol.WorkerReady)
    plain = generate(worker, 1, "")
    answer = attach(worker, 2, "d1", sealed_fd(lora))
    assert answer == protocol.Adapters(2, ["d1"])
    changed = generate(worker, 3, "d1")
    assert changed != plain and generate(worker, 4, "") == plain
    worker.send(protocol.Detach(5, "d1"))
    assert worker.receive() == protocol.Adapters(5, [])
    worker.send(prepare(6, prompt="x", adapter="d1"))
    rejected = worker.receive()
    assert isinstance(rejected, protocol.Rejected) and rejected.code == "adapter_unloaded"
    assert attach(worker, 7, "d1", sealed_fd(lora)) == protocol.Adapters(7, ["d1"])
    assert worker.end() in {0, 70}


def test_an_adapter_that_is_not_sealed_or_none_is_refused_and_the_worker_goes_on(
    model_fd: int, variant: Path, lora: Path, tmp_path: Path
) -> None:
    worker = start(model_fd)
    worker.send(load(variant))
    assert isinstance(worker.receive(), protocol.WorkerReady)
    junk = tmp_path / "junk.gguf"
    junk.write_bytes(lora.read_bytes()[:4096])
    cases = {
        "not_sealed": os.open(lora, os.O_RDONLY),
        "model_load_failed": sealed_fd(junk),
    }
    for number, (code, fd) in enumerate(cases.items()):
        answer = attach(worker, number, "x", fd)
        assert isinstance(answer, protocol.Rejected) and answer.code == code
    assert attach(worker, 9, "x", sealed_fd(lora)) == protocol.Adapters(9, ["x"])
    generate(worker, 10, "x")
    worker.end()
