"""The server's end of a worker: nothing that a worker does or says harms more than itself."""

import asyncio
import contextlib
import fcntl
import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from appliance.engine import protocol
from appliance.engine.limits import MOST_VALUES
from appliance.engine.protocol import (
    HEADER,
    Prepare,
    Prepared,
    Rejected,
    Row,
    Step,
    Tokenize,
    Tokens,
)
from appliance.errors import BadRequest, StateRefused, TooLarge, WorkerLost
from appliance.trust.bytes.sealed import SEALS, SealedFile, seal_and_close
from appliance.types import Constraint, GenerationRequest
from appliance.workers import process
from appliance.workers.crashes import Death
from appliance.workers.process import WorkerProcess
from tests.engine.fake_worker import FakeWorker, fake_worker
from tests.fuzz import model_mutants, tiny_models
from tests.lora import write_lora
from tests.prepare import prepare
from tests.smol import until
from tests.trust.forge import u32

Rows = asyncio.Queue[Row | None]


def ask(number: int, **fields: object) -> Prepare:
    return prepare(number, **{"prompt": "x", **fields})


def tokenize(number: int) -> Tokenize:
    return Tokenize(number, GenerationRequest("", prompt="x"))


async def heard(fake: FakeWorker) -> int:
    while not isinstance(message := await fake.hear(), Prepare):
        pass
    return message.id


async def prepared(fake: FakeWorker, key: str) -> int:
    number = fake.process.next_id()
    task = asyncio.create_task(fake.process.prepare(ask(number), key))
    while not isinstance(message := await fake.hear(), Prepare):
        pass
    assert message == ask(number)
    fake.say(Prepared(number, 3, 10, ""))
    assert (await task).prompt_tokens == 3
    return number


def step(*rows: Row) -> Step:
    return Step(list(rows), 1, 0, 5)


@contextlib.asynccontextmanager
async def pumped(fake: FakeWorker) -> AsyncIterator["asyncio.Task[Death]"]:
    task = asyncio.create_task(fake.process.pump())
    yield task
    fake.die()
    await task


async def test_rows_reach_their_request_and_state_is_kept() -> None:
    async with fake_worker() as fake, pumped(fake):
        one, two = await prepared(fake, "a"), await prepared(fake, "b")
        rows = {n: await fake.process.run(n) for n in (one, two)}
        assert fake.process.load == 2
        fake.say(step(Row(two, "B", 1), Row(one, "A", 1)))
        fake.say(step(Row(one, "", 1, "stop"), Row(99, "nobody's", 1)))
        assert [await rows[one].get() for _ in range(2)] == [
            Row(one, "A", 1),
            Row(one, "", 1, "stop"),
        ]
        assert await rows[two].get() == Row(two, "B", 1)
        assert (fake.process.running, fake.process.cells_used, fake.process.load) == (1, 5, 1)


async def test_a_refusal_of_the_worker_is_the_requests() -> None:
    async with fake_worker() as fake, pumped(fake):
        for code, kind in (
            ("context_length_exceeded", BadRequest),
            ("request_too_large", TooLarge),
        ):
            number = fake.process.next_id()
            task = asyncio.create_task(fake.process.prepare(ask(number), "k"))
            await fake.hear()
            fake.say(Rejected(number, code, "no", "messages"))
            with pytest.raises(kind) as caught:
                await task
            assert (caught.value.code, caught.value.param) == (code, "messages")


async def test_tokens_reach_who_asked_and_leave_nobody_suspected() -> None:
    async with fake_worker() as fake, pumped(fake) as pump:
        number = fake.process.next_id()
        task = asyncio.create_task(fake.process.tokenize(tokenize(number), "k"))
        assert await fake.hear() == tokenize(number)
        assert fake.process.load == 1
        fake.say(Tokens(number, [7]))
        assert (await task).tokens == [7]
        assert fake.process.load == 0
        fake.die()
        assert (await pump).suspects == frozenset()


def descriptor(fake: FakeWorker) -> int:
    fds = socket.recv_fds(fake.descriptors, 1, 1)[1]
    inode = os.fstat(fds[0]).st_ino
    os.close(fds[0])
    return inode


async def test_adapters_are_handed_over_by_descriptor_and_answered(
    sealed_model: SealedFile,
) -> None:
    async with fake_worker() as fake, pumped(fake) as pump:
        task = asyncio.create_task(fake.process.attach("d1", sealed_model))
        asked = await fake.hear()
        assert isinstance(asked, protocol.Attach) and asked.adapter == "d1"
        assert descriptor(fake) == sealed_model.inode
        fake.say(protocol.Adapters(asked.id, ["d1"]))
        await task
        assert fake.process.adapters == {"d1"}

        task = asyncio.create_task(fake.process.attach("d2", sealed_model))
        asked = await fake.hear()
        assert isinstance(asked, protocol.Attach)
        descriptor(fake)
        fake.say(Rejected(asked.id, "not_sealed", "no"))
        with pytest.raises(StateRefused) as caught:
            await task
        assert caught.value.code == "not_sealed" and fake.process.adapters == {"d1"}

        task = asyncio.create_task(fake.process.detach("d1"))
        asked = await fake.hear()
        assert isinstance(asked, protocol.Detach)
        assert fake.process.adapters == frozenset()  # at once: nobody may ask for it any more
        fake.say(protocol.Adapters(asked.id, []))
        await task

        task = asyncio.create_task(fake.process.attach("d3", sealed_model))
        await fake.hear()
        fake.die()
        with pytest.raises(WorkerLost):
            await task
        assert (await pump).suspects == frozenset()
        with pytest.raises(WorkerLost):
            await fake.process.attach("d4", sealed_model)


async def test_a_worker_that_answers_an_adapter_with_something_else_is_ended(
    sealed_model: SealedFile,
) -> None:
    async with fake_worker() as fake, pumped(fake) as pump:
        task = asyncio.create_task(fake.process.attach("d1", sealed_model))
        asked = await fake.hear()
        assert isinstance(asked, protocol.Attach)
        fake.say(Tokens(asked.id, [7]))
        with pytest.raises(WorkerLost):
            await task
        fake.writer.close()
        assert (await pump).status == -signal.SIGKILL


async def test_a_worker_that_dies_of_a_text_makes_its_key_suspected() -> None:
    async with fake_worker() as fake, pumped(fake) as pump:
        ours = tokenize(fake.process.next_id())
        task = asyncio.create_task(fake.process.tokenize(ours, "k"))
        await fake.hear()
        fake.die()
        with pytest.raises(WorkerLost):
            await task
        assert (await pump).suspects == {"k"}


async def test_a_worker_that_answers_something_else_is_ended() -> None:
    async with fake_worker() as fake, pumped(fake) as pump:
        number = fake.process.next_id()
        task = asyncio.create_task(fake.process.tokenize(tokenize(number), "k"))
        await fake.hear()
        fake.say(Prepared(number, 1, 1, ""))
        with pytest.raises(WorkerLost):
            await task
        fake.writer.close()
        assert (await pump).status == -signal.SIGKILL


BROKEN = {
    "a frame larger than allowed": HEADER.pack(protocol.LARGEST_FRAME + 1),
    "a frame of four gigabytes": b"\xff\xff\xff\xff",
    "noise": HEADER.pack(5) + b"\xc1\xc1\xc1\xc1\xc1",
    "an empty frame": HEADER.pack(0),
    "a message of the server": protocol.frame(protocol.Run(1)),
    "a message of another type": HEADER.pack(3) + msgspec.msgpack.encode([1, 2])[:3],
    "text that is not UTF-8": protocol.frame(protocol.Failed("x", "???")).replace(
        b"???", b"\xff\xff\xff"
    ),
    "a code that is not ours": protocol.frame(Rejected(1, "made_up", "x")),
    "a reason that is none": protocol.frame(step(Row(1, "x", 1, "stop"))).replace(b"stop", b"spot"),
    "a fragment": b"\x10",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=list(BROKEN))
async def test_a_worker_that_breaks_the_protocol_is_ended_and_its_clients_told(data: bytes) -> None:
    async with fake_worker() as fake:
        pump = asyncio.create_task(fake.process.pump())
        running = await prepared(fake, "running")
        rows = await fake.process.run(running)
        waiting = asyncio.create_task(fake.process.prepare(ask(1000), "preparing"))
        await fake.hear()
        fake.say_raw(data)
        if len(data) < 4:
            fake.writer.write_eof()
        assert await rows.get() is None
        with pytest.raises(WorkerLost):
            await waiting
        assert (await pump).status == -signal.SIGKILL


async def test_a_good_worker_is_not_ended() -> None:
    async with fake_worker() as fake, pumped(fake) as pump:
        await prepared(fake, "k")
        assert not pump.done() and fake.child.poll() is None


async def test_a_death_is_attributed_to_what_is_prepared_and_newly_admitted() -> None:
    async with fake_worker() as fake:
        pump = asyncio.create_task(fake.process.pump())
        old = await prepared(fake, "old")
        await fake.process.run(old)
        new = await prepared(fake, "newly admitted")
        rows = await fake.process.run(new)
        fake.say(step(Row(old, "a", 1)))
        number = fake.process.next_id()
        refused = asyncio.create_task(fake.process.prepare(ask(number), "refused"))
        while not isinstance(await fake.hear(), Prepare):
            pass
        fake.say(Rejected(number, "invalid_value", "no"))
        with pytest.raises(BadRequest):
            await refused
        dying = asyncio.create_task(fake.process.prepare(ask(50), "being prepared"))
        await fake.hear()
        fake.die()
        with pytest.raises(WorkerLost):
            await dying
        assert await rows.get() is None
        await fake.process.cancel(new)  # what its client does now changes nothing
        assert (await pump).suspects == {"newly admitted", "being prepared"}


async def test_a_client_that_leaves_while_its_prompt_kills_the_worker_stays_a_suspect() -> None:
    async with fake_worker() as fake:
        pump = asyncio.create_task(fake.process.pump())
        number = await prepared(fake, "runs")
        await fake.process.run(number)
        await fake.process.cancel(number)
        gone = asyncio.create_task(fake.process.prepare(ask(7), "left at once"))
        while not isinstance(await fake.hear(), Prepare):
            pass
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
        fake.die()
        assert (await pump).suspects == {"left at once", "runs"}


async def test_what_waits_behind_a_prompt_that_kills_the_worker_is_no_suspect() -> None:
    async with fake_worker() as fake:
        pump = asyncio.create_task(fake.process.pump())
        asked = [
            asyncio.create_task(fake.process.prepare(ask(7), "small")),
            asyncio.create_task(fake.process.prepare(ask(8, prompt="x" * protocol.SMALL), "large")),
        ]
        assert {await heard(fake) for _ in asked} == {7, 8}
        for number, size in ((9, 1), (10, protocol.SMALL)):  # they wait in both lanes
            asked.append(
                asyncio.create_task(fake.process.prepare(ask(number, prompt="x" * size), "i"))
            )
        await asyncio.sleep(0)
        assert fake.process.load == 4
        fake.die()
        for task in asked:
            with pytest.raises(WorkerLost):
                await task
        assert (await pump).suspects == {"small", "large"}
        assert fake.process.load == 0


async def test_a_small_request_does_not_wait_for_a_large_one_and_apps_take_turns() -> None:
    async with fake_worker() as fake, pumped(fake):
        big = [
            asyncio.create_task(fake.process.prepare(ask(n, prompt="x" * protocol.SMALL), key))
            for n, key in ((1, "a"), (2, "a"), (3, "a"), (4, "b"))
        ]
        assert await heard(fake) == 1
        small = asyncio.create_task(fake.process.prepare(ask(5), "c"))
        assert await heard(fake) == 5
        fake.say(Prepared(5, 3, 10, ""))
        await small
        order = [1, 2, 4, 3]
        for number in order:
            fake.say(Prepared(number, 3, 10, ""))
            if number != order[-1]:
                assert await heard(fake) == order[order.index(number) + 1]
        await asyncio.gather(*big)


async def test_a_lane_is_free_only_when_the_worker_is_though_the_client_has_gone() -> None:
    async with fake_worker() as fake, pumped(fake):
        gone = asyncio.create_task(fake.process.prepare(ask(1), "a"))
        await fake.hear()
        waits = [asyncio.create_task(fake.process.prepare(ask(n), "b")) for n in (2, 3)]
        await asyncio.sleep(0)
        for task in (gone, waits[0]):  # one that is prepared, one that waits
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        fake.say(Prepared(1, 3, 10, ""))
        assert {type(await fake.hear()) for _ in range(2)} == {Prepare, protocol.Cancel}
        fake.say(Prepared(3, 3, 10, ""))
        await waits[1]


async def test_calls_of_too_many_lists_never_reach_the_worker() -> None:
    async with fake_worker() as fake, pumped(fake):
        call: dict[str, object] = {"function": {"arguments": {"a": [[]] * MOST_VALUES}}}
        many = GenerationRequest("", messages=({"role": "assistant", "tool_calls": [call]},))
        for refused in (
            fake.process.prepare(Prepare(fake.process.next_id(), many), "k"),
            fake.process.tokenize(Tokenize(fake.process.next_id(), many), "k"),
        ):
            with pytest.raises(TooLarge) as caught:
                await refused
            assert caught.value.code == "request_too_large"
        assert fake.process.load == 0
        assert await prepared(fake, "k") == 3  # all that it hears


async def test_messages_that_cannot_fit_never_reach_the_worker() -> None:
    async with fake_worker() as fake, pumped(fake):
        fake.process.ready = msgspec.structs.replace(fake.process.ready, n_ctx=64, fewest=5)
        talk = ({"role": "user", "content": ""},)
        fits = prepare(messages=talk * 12)
        with pytest.raises(BadRequest) as caught:
            await fake.process.prepare(prepare(2, messages=talk * 13), "k")
        assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
        assert "at least 65 tokens" in caught.value.message
        task = asyncio.create_task(fake.process.prepare(fits, "k"))
        assert await fake.hear() == fits
        fake.say(Prepared(1, 60, 4, ""))
        await task


async def test_a_request_given_up_before_it_runs_is_no_suspect() -> None:
    async with fake_worker() as fake:
        pump = asyncio.create_task(fake.process.pump())
        number = await prepared(fake, "k")
        await fake.process.cancel(number)
        fake.die()
        assert (await pump).suspects == frozenset()


async def test_a_client_that_leaves_while_its_prompt_is_prepared_leaves_nothing_in_the_worker() -> (
    None
):
    async with fake_worker() as fake, pumped(fake):
        task = asyncio.create_task(fake.process.prepare(ask(5), "k"))
        assert await fake.hear() == ask(5)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        fake.say(Prepared(5, 3, 10, ""))
        assert await fake.hear() == protocol.Cancel(5)


@pytest.mark.parametrize(("size", "shorter"), [(1, ""), (protocol.SMALL, "LARGE_")])
async def test_a_prompt_that_takes_too_long_ends_the_worker_and_is_a_suspect(
    monkeypatch: pytest.MonkeyPatch, size: int, shorter: str
) -> None:
    monkeypatch.setattr(process, f"_PREPARE_{shorter}TIMEOUT_S", 0.05)
    async with fake_worker() as fake:
        pump = asyncio.create_task(fake.process.pump())
        with pytest.raises(WorkerLost, match="too long"):
            await fake.process.prepare(ask(1, prompt="x" * size), "slow")
        fake.writer.close()
        death = await pump
        assert (death.status, death.suspects) == (-signal.SIGKILL, frozenset({"slow"}))


async def test_a_dead_worker_refuses_at_once() -> None:
    async with fake_worker() as fake:
        number_task = asyncio.create_task(fake.process.pump())
        number = await prepared(fake, "k")
        fake.die()
        await number_task
        for action in (fake.process.prepare(ask(9), "k"), fake.process.run(number)):
            with pytest.raises(WorkerLost):
                await asyncio.wait_for(action, 5)
        await fake.process.cancel(number)
        assert fake.process.load == 0


# The real worker.


def load_message(variant: Path, **changes: object) -> protocol.Load:
    fields: dict[str, object] = {
        "variant": str(variant),
        "n_ctx": 512,
        "slots": 2,
        "threads": 1,
        "prefill_budget": 64,
        "reproducible": False,
        "memory_bytes": 3 << 30,
        "max_prepare_bytes": 1 << 16,
        **changes,
    }
    return protocol.Load(**fields)  # type: ignore[arg-type]


@dataclass
class Live:
    worker: WorkerProcess
    pump: "asyncio.Task[Death]"

    async def begin(self, **fields: object) -> tuple[int, Rows]:
        number = self.worker.next_id()
        await self.worker.prepare(ask(number, **fields), "k")
        return number, await self.worker.run(number)

    async def answer(self, **fields: object) -> tuple[str, str | None]:
        return await collect((await self.begin(**fields))[1])


async def collect(rows: Rows) -> tuple[str, str | None]:
    text = ""
    while (row := await rows.get()) is not None:
        text += row.text
        if row.finish:
            return text, row.finish
    return text, None


@contextlib.asynccontextmanager
async def live(model: process.Sealed, load: protocol.Load) -> AsyncIterator[Live]:
    worker = await WorkerProcess.start(model, load)
    pump = asyncio.create_task(worker.pump())
    try:
        yield Live(worker, pump)
    finally:
        worker.kill()
        await pump


@pytest.mark.executed
async def test_a_real_worker_answers_and_says_what_confines_it(
    sealed_model: SealedFile, variant: Path
) -> None:
    async with live(sealed_model, load_message(variant)) as it:
        assert it.worker.ready.n_ctx == 512
        assert it.worker.ready.confinement["seccomp"] is True
        assert it.worker.ready.confinement["no_new_privs"] is True
        text, finish = await it.answer(prompt="The capital of France is", max_tokens=5)
        assert text and finish == "length"
        status = Path(f"/proc/{it.worker.pid}/status").read_text()
        assert re.search(r"^NoNewPrivs:\s+1$", status, re.M)
        assert re.search(r"^Seccomp:\s+2$", status, re.M)
        try:
            environment = Path(f"/proc/{it.worker.pid}/environ").read_bytes()
            links = [str(p.readlink()) for p in Path(f"/proc/{it.worker.pid}/fd").iterdir()]
        except PermissionError:  # the worker is not dumpable: only root may look
            return
        assert environment == b""
        kinds = sorted(re.sub(r"[:(\[].*", "", link) for link in links)
        # The model's own descriptor is closed after loading; its pages stay mapped.
        assert [k for k in kinds if k != "/dev/null"] == ["pipe", "socket", "socket"]


async def test_killed_in_mid_stream_every_client_is_told_and_a_new_one_answers(
    sealed_model: SealedFile, variant: Path
) -> None:
    before = open_descriptors()
    async with live(sealed_model, load_message(variant)) as it:
        streams = [
            (await it.begin(prompt=f"Count to {n}:", max_tokens=400, ignore_eos=True))[1]
            for n in range(3)
        ]
        assert await streams[0].get() is not None
        os.kill(it.worker.pid, signal.SIGKILL)
        assert [(await collect(rows))[1] for rows in streams] == [None, None, None]
        assert (await it.pump).status == -signal.SIGKILL
    async with live(sealed_model, load_message(variant)) as it:
        assert (await it.answer(prompt="Hello", max_tokens=2))[1] == "length"
    assert open_descriptors() == before


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_cancelling_in_every_state_frees_everything(
    sealed_model: SealedFile, variant: Path
) -> None:
    async with live(sealed_model, load_message(variant, prefill_budget=16)) as it:
        long, filling = await it.begin(prompt="word " * 300, max_tokens=50)  # 19 steps of prefill
        decoding, _ = await it.begin(prompt="x", max_tokens=200, ignore_eos=True)
        queued, waiting = await it.begin(prompt="y", max_tokens=200)
        number = it.worker.next_id()
        await it.worker.prepare(ask(number), "k")
        for request in (queued, long, decoding, number):
            await it.worker.cancel(request)
        assert (await collect(filling))[1] == "cancelled"
        assert (await collect(waiting))[1] == "cancelled"
        # The next answer comes from an engine that is empty before and after it.
        assert (await it.answer(prompt="Hello", max_tokens=3))[1] == "length"
        while it.worker.load:
            await asyncio.sleep(0)
        assert (it.worker.running, it.worker.waiting, it.worker.cells_used) == (0, 0, 0)
        with pytest.raises(asyncio.QueueEmpty):
            (await it.worker.run(number)).get_nowait()  # it was forgotten, so nothing comes


async def test_refusals_of_a_real_worker(sealed_model: SealedFile, variant: Path) -> None:
    async with live(sealed_model, load_message(variant)) as it:
        cases: list[tuple[dict[str, object], str]] = [
            ({"prompt": "x " * 600}, "context_length_exceeded"),
            ({"prompt": "x", "max_tokens": 512}, "context_length_exceeded"),
            ({"prompt": "x" * (1 << 17)}, "request_too_large"),
            ({"prompt": ""}, "invalid_value"),
            ({"prompt": None, "tokens": (1, 49152)}, "invalid_value"),
            ({"prompt": None, "messages": ({"role": 1},)}, "template_failed"),
        ]
        for fields, code in cases:
            with pytest.raises((BadRequest, TooLarge)) as caught:
                await it.answer(**fields)
            assert caught.value.code == code
        assert (await it.answer(prompt="still here", max_tokens=1))[1] == "length"


def peak_mib(pid: int) -> int:
    found = re.search(r"^VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) >> 10


async def test_the_largest_prompts_take_bounded_memory_while_they_are_prepared(
    sealed_model: SealedFile, variant: Path
) -> None:
    size = 1 << 20  # the default of max_prepare_bytes
    texts = ("x" * size, "ab " * (size // 3), "<|im_start|>" * (size // 12), "\u00e9" * (size // 2))
    async with live(sealed_model, load_message(variant, max_prepare_bytes=size)) as it:
        await it.answer(prompt="The first one makes tables.", max_tokens=1)
        before = peak_mib(it.worker.pid)
        for text in texts:
            with pytest.raises(BadRequest) as caught:
                await it.answer(prompt=text, max_tokens=1)
            assert caught.value.code == "context_length_exceeded"
        assert peak_mib(it.worker.pid) - before < 256


async def test_a_stop_string_may_cut_a_document_and_that_is_no_fault(
    sealed_model: SealedFile, variant: Path
) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    constraint = Constraint("json_schema", json.dumps(schema))
    async with live(sealed_model, load_message(variant)) as it:
        cut = await it.answer(prompt="Hi", max_tokens=40, constraint=constraint, stop=(":",))
        assert cut == ('{"a"', "stop")
        text, finish = await it.answer(prompt="Hi", max_tokens=3, constraint=constraint)
        assert finish == "length" and text.startswith("{")


class Unsealed:
    def __init__(self, data: bytes, seals: int) -> None:
        self.fd = os.memfd_create("model", os.MFD_ALLOW_SEALING)
        os.write(self.fd, data)
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, seals)

    @property
    def inode(self) -> int:
        return os.fstat(self.fd).st_ino

    def reopen(self) -> int:
        return os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC)


@pytest.mark.parametrize(
    "missing",
    [fcntl.F_SEAL_SEAL, fcntl.F_SEAL_SHRINK, fcntl.F_SEAL_GROW, fcntl.F_SEAL_WRITE],
)
async def test_a_descriptor_without_all_four_seals_is_refused(variant: Path, missing: int) -> None:
    model = Unsealed(b"GGUF", SEALS & ~missing)
    with pytest.raises(StateRefused) as caught:
        await WorkerProcess.start(model, load_message(variant))
    os.close(model.fd)
    assert caught.value.code == "not_sealed"


async def test_sealed_garbage_is_refused_by_the_engine_and_leaves_nothing(variant: Path) -> None:
    """The control of the test above: with all seals the next check is reached."""
    before = 0
    for _ in range(2):  # the first start of a process may open what stays, such as a pool's pipe
        model = Unsealed(b"GGUF" + b"\xff" * 1000, SEALS)
        with pytest.raises(StateRefused) as caught:
            await WorkerProcess.start(model, load_message(variant))
        os.close(model.fd)
        assert caught.value.code == "model_load_failed"
        await asyncio.sleep(0)  # a connection is closed by the next turn of the loop
        before = before or open_descriptors()
    await until(lambda: open_descriptors() <= before)


async def test_a_missing_variant_is_refused(sealed_model: SealedFile, variant: Path) -> None:
    with pytest.raises(StateRefused) as caught:
        await WorkerProcess.start(
            sealed_model, load_message(variant.with_name("libggml-cpu-none.so"))
        )
    assert caught.value.code == "model_load_failed"


async def test_too_little_memory_is_a_refusal_and_not_a_hang(
    sealed_model: SealedFile, variant: Path
) -> None:
    with pytest.raises(StateRefused) as caught:
        await WorkerProcess.start(sealed_model, load_message(variant, memory_bytes=32 << 20))
    assert caught.value.code == "model_load_failed"


async def test_a_start_that_is_given_up_ends_the_child(
    sealed_model: SealedFile, variant: Path
) -> None:
    before = open_descriptors()
    task = asyncio.create_task(WorkerProcess.start(sealed_model, load_message(variant)))
    while open_descriptors() <= before:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert open_descriptors() == before


# `n` is 1, but not a constant: the compiler would compute a constant at once.
BOMBS = {
    "memory": "'a' * (n * 3000000000)",
    "doubling": "((('a' * (n * 100000)) * 1000) * 1000)",
    "width": "'%*d'|format(n * 2000000000, 1)",
    "list": "([0] * (n * 400000000))|length",
    "join": "(['x' * (n * 1000000)] * 4000)|join",
    "escape": "''.__class__.__mro__[1].__subclasses__()",
    "raise": "raise_exception('no')",
    "recursion": "deep()",
}


def template_of_bombs() -> str:
    cases = "".join(f"{{% elif c == '{name}' %}}{{{{ {code} }}}}" for name, code in BOMBS.items())
    spin = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    return (
        "{% macro deep() %}{{ deep() }}{% endmacro %}{% set c = messages[0].content %}"
        "{% set n = messages|length %}"
        f"{{% if c == 'spin' %}}{spin}{cases}{{% else %}}{{{{ c }}}}{{% endif %}}"
    )


@pytest.fixture(scope="module")
def bombs(shallow_path: Path) -> bytes:
    """A model with another chat template of the same length in its place."""
    data = shallow_path.read_bytes()
    at = data.index(b"tokenizer.chat_template") + len(b"tokenizer.chat_template") + 4
    size = int.from_bytes(data[at : at + 8], "little")
    source = template_of_bombs().encode()
    # Tensor data begins at a multiple of 32 bytes, so the header grows by one.
    grown = source + b" " * (-(len(source) - size) % 32)
    header = data[:at] + len(grown).to_bytes(8, "little") + grown
    return header + data[at + 8 + size :]


async def test_templates_that_blow_up_are_refused_and_the_worker_lives(
    bombs: bytes, variant: Path
) -> None:
    model = Unsealed(bombs, SEALS)
    async with live(model, load_message(variant, memory_bytes=1 << 30)) as it:
        for name in BOMBS:
            with pytest.raises(BadRequest) as caught:
                await it.answer(prompt=None, messages=({"role": "user", "content": name},))
            assert caught.value.code == "template_failed", name
        said = await it.answer(
            prompt=None, messages=({"role": "user", "content": "Hello"},), max_tokens=2
        )
        assert said[1] == "length"
    os.close(model.fd)


async def test_a_template_that_never_ends_ends_with_its_worker(
    bombs: bytes, variant: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Unsealed(bombs, SEALS)
    async with live(model, load_message(variant)) as it:
        _, running = await it.begin(prompt="x", max_tokens=400, ignore_eos=True)
        assert await running.get() is not None
        monkeypatch.setattr(process, "_PREPARE_TIMEOUT_S", 0.5)
        with pytest.raises(WorkerLost):
            await it.answer(prompt=None, messages=({"role": "user", "content": "spin"},))
        assert (await collect(running))[1] is None
        death = await it.pump
        assert death.suspects == {"k"}
    os.close(model.fd)


async def test_a_model_whose_first_step_never_ends_does_not_load(variant: Path) -> None:
    made = tiny_models.gemma()
    whole = Unsealed(model_mutants.build(made), SEALS)
    async with live(whole, load_message(variant, n_ctx=64, patience=0.05)) as it:
        assert (await it.answer(prompt="the", max_tokens=1))[1] in ("length", "stop")
    made.pairs["gemma.rope.dimension_count"] = u32(0)  # vetting refuses that; llama.cpp spins
    endless = Unsealed(model_mutants.build(made), SEALS)
    with pytest.raises(StateRefused) as caught:
        await WorkerProcess.start(endless, load_message(variant, n_ctx=64, patience=0.05))
    assert caught.value.code == "model_load_failed"
    assert f"ended with {-signal.SIGALRM}" in caught.value.message
    for model in (whole, endless):
        os.close(model.fd)


async def test_a_step_that_took_too_long_is_nobodys_fault() -> None:
    async with fake_worker() as fake:
        pump = asyncio.create_task(fake.process.pump())
        dying = asyncio.create_task(fake.process.prepare(ask(1), "k"))
        await fake.hear()
        fake.child.send_signal(signal.SIGALRM)
        fake.child.wait()
        fake.writer.close()
        with pytest.raises(WorkerLost):
            await dying
        death = await pump
        assert death.stuck and death.suspects == frozenset()


class Elsewhere:
    inode = 1

    def __init__(self, model: SealedFile) -> None:
        self._model = model

    def reopen(self) -> int:
        return self._model.reopen()


async def test_a_worker_that_mapped_another_file_is_ended(
    sealed_model: SealedFile, variant: Path
) -> None:
    before = open_descriptors()
    with pytest.raises(StateRefused) as caught:
        await WorkerProcess.start(Elsewhere(sealed_model), load_message(variant))
    assert caught.value.code == "mapping_mismatch"
    assert str(sealed_model.inode) in caught.value.message
    assert open_descriptors() == before


async def test_a_start_tells_how_far_the_load_is(sealed_model: SealedFile, variant: Path) -> None:
    told: list[int] = []
    worker = await WorkerProcess.start(sealed_model, load_message(variant), loading=told.append)
    worker.kill()
    await worker.closed()
    assert told[-1] == 100 and told == sorted(set(told)) and len(told) > 5


@pytest.mark.parametrize("percents", [[101], [5, 4]])
async def test_progress_that_cannot_be_breaks_the_protocol(
    percents: list[int], variant: Path
) -> None:
    told: list[int] = []
    async with fake_worker() as fake:
        starting = asyncio.create_task(fake.process._handshake(load_message(variant), told.append))
        await fake.hear()
        for percent in percents:
            fake.say(protocol.Loading(percent))
        with pytest.raises(StateRefused) as caught:
            await starting
    assert caught.value.code == "model_load_failed" and told == percents[:-1]


async def test_a_real_worker_starts_with_the_adapters_that_it_can_take(
    sealed_model: SealedFile, variant: Path, shallow_path: Path, tmp_path: Path
) -> None:
    """As after a crash: they are loaded before the first request."""
    write_lora(shallow_path, tmp_path / "good.gguf", 1)
    (tmp_path / "bad.gguf").write_bytes(b"GGUF")
    adapters = {
        name: seal_and_close(os.open(tmp_path / f"{name}.gguf", os.O_RDONLY), name)
        for name in ("bad", "good")
    }
    worker = await WorkerProcess.start(sealed_model, load_message(variant), adapters)
    assert worker.adapters == {"good"}
    pump = asyncio.create_task(worker.pump())
    request = ask(worker.next_id(), max_tokens=2, ignore_eos=True, adapter="good")
    await worker.prepare(request, "k")
    rows = await worker.run(request.id)
    finish = None
    while finish is None:
        row = await rows.get()
        assert row is not None
        finish = row.finish
    assert finish == "length"
    worker.kill()
    await pump
    for sealed in adapters.values():
        sealed.close()
