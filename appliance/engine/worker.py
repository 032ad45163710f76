"""The engine worker: a child process that holds one model and talks over one socket.

Order: import everything, load the CPU variant, rehearse what loads lazily, check the seals, drop
all rights, and only then read the first byte of the model. Four threads: this one reads the socket;
two prepare requests, one small and one large at a time; the last one owns the llama.cpp context. A
thread that fails ends the process. The process ends when its socket does. Adapters must carry the
seals too.

usage: python -I -m appliance.engine.worker SOCKET_FD DESCRIPTORS_FD
"""

import os

# Before numpy and ggml are imported: OpenBLAS would start a thread that the confinement cannot
# cover, and ggml's abort handler would fork a debugger.
os.environ.update(OPENBLAS_NUM_THREADS="1", GGML_NO_BACKTRACE="1")

import contextlib
import queue
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar, assert_never

import jinja2.debug  # noqa: F401 - loaded when a template raises, too late then
import numpy as np
import numpy.ctypeslib

from appliance.engine import binding, confine, effort, heap, protocol
from appliance.engine.cells import BRANCHES
from appliance.engine.channel import Channel
from appliance.engine.generator import Generator
from appliance.engine.gpu_backend import map_backend
from appliance.engine.logprobs import Echo, Logprobs
from appliance.engine.pooler import Pooler, pooled
from appliance.engine.runner import MOST_SEQUENCES, Library, ModelRunner, RunnerConfig
from appliance.engine.sampling import Sampler
from appliance.engine.scheduler import FORCED
from appliance.engine.text.templates import ChatTemplate
from appliance.engine.text.textstream import TextStream
from appliance.errors import ApplianceError, BadRequest, StateRefused
from appliance.types import Sampling

_SWITCH_S = 0.0005  # a step asks for the interpreter many times, and preparing holds it
_PREPARING_STACK = 64 << 20  # some tokenisers recurse once for each letter of a word

T = TypeVar("T")
Preparable: TypeAlias = protocol.Prepare | protocol.Tokenize
Asked = TypeVar("Asked", protocol.Prepare, protocol.Tokenize)


class Service(Protocol):
    """A worker's service for its model: `Generator` or `Pooler`."""

    n_ctx: int
    vocabulary: protocol.Vocabulary | None
    fewest: int  # tokens of a message
    engine: Any  # `add`, `cancel`, `busy` and `step`, all on the thread that owns the context

    def prepare(self, request: protocol.Prepare) -> tuple[protocol.Prepared, list[Any]]:
        """Check a request; the answer, and the engine's work."""
        ...

    def tokenize(self, request: protocol.Tokenize) -> protocol.Tokens: ...


class ModelWorker:
    """Requests of one model."""

    def __init__(self, channel: Channel, service: Service, descriptors: socket.socket) -> None:
        self._channel = channel
        self._descriptors = descriptors
        self._service = service
        self._engine = service.engine
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._prepared: dict[int, list[Any]] = {}
        self._small: queue.SimpleQueue[Preparable] = queue.SimpleQueue()
        self._large: queue.SimpleQueue[Preparable] = queue.SimpleQueue()

    def serve(self) -> None:
        threading.Thread(target=self._decode_forever, name="decode", daemon=True).start()
        usual = threading.stack_size(_PREPARING_STACK)
        for name, requests in (("small", self._small), ("large", self._large)):
            threading.Thread(
                target=self._prepare_forever, args=(requests,), name=name, daemon=True
            ).start()
        threading.stack_size(usual)
        while (message := self._channel.receive()) is not None:
            match message:
                case protocol.Prepare() | protocol.Tokenize():
                    small = self._channel.size <= protocol.SMALL
                    (self._small if small else self._large).put(message)
                case protocol.Run():
                    for work in self._prepared.pop(message.id, ()):
                        self._inbox.put(work)
                case protocol.Cancel():
                    if not self._prepared.pop(message.id, None):
                        self._inbox.put(message.id)
                case protocol.Attach():
                    self._inbox.put((message, receive_descriptor(self._descriptors)))
                case protocol.Detach():
                    self._inbox.put((message, -1))
                case protocol.Load():
                    pass  # only the first message of all is one
                case _:
                    assert_never(message)

    def _prepare_forever(self, requests: "queue.SimpleQueue[Preparable]") -> None:
        if requests is self._large:  # one may compute for seconds
            with contextlib.suppress(PermissionError):  # the process has a lower one already
                os.setpriority(os.PRIO_PROCESS, 0, confine.LOW_PRIORITY)  # of this thread alone
        try:
            while True:
                message = requests.get()
                if isinstance(message, protocol.Prepare):
                    self._channel.send(self._prepare(message))
                else:
                    self._channel.send(_answer(message, self._service.tokenize))
        except BaseException:
            traceback.print_exc()
            os._exit(70)

    def _prepare(self, request: protocol.Prepare) -> protocol.Prepared | protocol.Rejected:
        answer = _answer(request, self._service.prepare)
        if isinstance(answer, protocol.Rejected):
            return answer
        prepared, self._prepared[request.id] = answer
        return prepared

    def _change(self, message: protocol.Attach | protocol.Detach, fd: int) -> None:
        try:
            if isinstance(message, protocol.Detach):
                self._engine.detach(message.adapter)
            else:
                try:
                    binding.check_descriptor(fd, on_disk=False)
                except StateRefused:
                    os.close(fd)
                    raise
                self._engine.attach(message.adapter, fd)
        except StateRefused as error:
            self._channel.send(protocol.Rejected(message.id, error.code, error.message))
        else:
            self._channel.send(protocol.Adapters(message.id, sorted(self._engine.adapters)))

    def _decode_forever(self) -> None:
        try:
            while True:
                self._take_messages()
                step = self._engine.step()
                if step.rows or not self._engine.busy():
                    self._channel.send(step)
        except BaseException:
            traceback.print_exc()
            os._exit(70)

    def _take_messages(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._inbox.get(block=not self._engine.busy())
                if isinstance(item, int):
                    self._engine.cancel(item)
                elif isinstance(item, tuple):
                    self._change(*item)
                else:
                    self._engine.add(item)


def receive_descriptor(descriptors: socket.socket) -> int:
    """The next descriptor that the server sends."""
    (fd,) = socket.recv_fds(descriptors, 1, 1)[1]
    return fd


def _answer(request: Asked, compute: Callable[[Asked], T]) -> T | protocol.Rejected:
    try:
        with effort.bounded():
            return compute(request)
    except BadRequest as error:
        return protocol.Rejected(request.id, error.code, error.message, error.param)
    except MemoryError:
        return protocol.Rejected(
            request.id, "request_too_large", "The prompt needs too much memory."
        )


def rehearse() -> None:
    """Use once what loads modules or codecs lazily: after the drop it could not."""
    template = ChatTemplate(
        "{{ 'a\\n' ~ strftime_now('%d %b %Y') ~ ({'a': 1}|tojson) }}{% if messages[0].x %}"
        "{{ raise_exception('no') }}{% endif %}",
        bos="",
        eos="",
        limit=1000,
    )
    template.render(({"x": False},))
    with contextlib.suppress(BadRequest):
        template.render(({"x": True},))
    logits = np.zeros(16, np.float32)
    sampling = Sampling(
        temperature=0.5, top_k=4, top_p=0.9, min_p=0.1, seed=1, typical_p=0.9,
        presence_penalty=1, frequency_penalty=1, repetition_penalty=2, logit_bias=((1, 1.0),),
    )  # fmt: skip
    Sampler(sampling, 1, keep=True).pick(logits, [1, 2], banned={3})
    Sampler(Sampling(top_p=0.5), 1, keep=False).pick(np.full(16, np.nan, np.float32), [1])
    logprobs = Logprobs(2, lambda _: b"\xff")
    Echo([1, 2], lambda _: b"x", silent=1, logprobs=logprobs).tell(2, logits.reshape(1, 16))
    TextStream(("x",)).push(b"\xff")
    traceback.format_exc()


def load_model(
    load: protocol.Load, model_fd: int, sockets: Collection[int], tell: Callable[[int], None]
) -> tuple[ModelRunner, dict[str, bool | int | str], list[int]]:
    """Confine the process, then load the model; `tell` gets the loaded share in percent."""
    library = Library(Path(load.variant), load.refused)
    library.loading = tell
    rehearse()
    binding.check_descriptor(model_fd, on_disk=load.on_disk)
    inode = os.fstat(model_fd).st_ino
    mappings = binding.Mappings()
    keep = {model_fd, *sockets, mappings.fd, 2}
    in_force = confine.drop(load.memory_bytes, keep, _gpu(load))
    runner = ModelRunner(library, model_fd, shapes(load))
    return runner, in_force, sorted({inode, *mappings.added()})


def shapes(load: protocol.Load) -> RunnerConfig:
    """The context that a model's kind needs."""
    if load.kind != "generate":
        return pooled(load)
    most = max(0, MOST_SEQUENCES - BRANCHES - load.slots)
    return RunnerConfig(
        n_ctx=load.n_ctx,
        slots=load.slots,
        threads=load.threads,
        n_batch=load.prefill_budget + FORCED * load.slots,
        reproducible=load.reproducible,
        kept=0 if load.reproducible else min(load.kept, most),
        split=load.gpu.split if load.gpu else (),
        mapped=load.on_disk,
        patience=load.patience,
    )


def _gpu(load: protocol.Load) -> confine.GpuAccess | None:
    if load.gpu is None:
        return None
    os.environ["CUDA_CACHE_DISABLE"] = "1"  # code for the GPU never comes from a file
    return map_backend(Path(load.gpu.backend), Path(load.variant).parent, load.gpu.devices)


def main(socket_fd: int, descriptors_fd: int) -> int:
    """Load, report, serve; the exit status."""
    heap.share_one_arena()
    sys.setswitchinterval(_SWITCH_S)
    channel = Channel(socket.socket(fileno=socket_fd))
    descriptors = socket.socket(fileno=descriptors_fd)  # asks what it is, which is forbidden later
    load = channel.receive()
    if not isinstance(load, protocol.Load):
        return 64
    model_fd = receive_descriptor(descriptors)
    begun = time.monotonic()
    try:
        runner, in_force, inodes = load_model(
            load,
            model_fd,
            (socket_fd, descriptors_fd),
            lambda percent: channel.send(protocol.Loading(percent)),
        )
        service: Service = (
            Generator(runner, load) if load.kind == "generate" else Pooler(runner, load)
        )
    except ApplianceError as error:
        channel.send(protocol.Failed(error.code, error.message))
        return 1
    took = int((time.monotonic() - begun) * 1000)
    ready = protocol.WorkerReady(
        service.n_ctx,
        runner.n_vocab,
        in_force,
        took,
        inodes,
        service.vocabulary,
        service.fewest,
    )
    channel.send(ready)
    ModelWorker(channel, service, descriptors).serve()
    return 0


if __name__ == "__main__":
    status = 70
    try:
        status = main(*map(int, sys.argv[1:3]))
    except BaseException:
        traceback.print_exc()
    os._exit(status)  # an orderly exit would free ctypes callbacks, and their page is read-only now
