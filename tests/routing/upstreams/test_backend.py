"""Bad input by an upstream's hosts, and its effect on requests."""

import asyncio
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.admission.fair_queue import AHEAD
from appliance.config import UpstreamConfig
from appliance.engine.text.reply import ParsedReply, collected
from appliance.errors import ApplianceError, AuditUnavailable, Forbidden
from appliance.routing.upstreams.connection import Connection
from appliance.routing.upstreams.hosts import SLACK
from appliance.types import TaskNeeds, Tools
from tests.routing.upstreams.engine import WORDS, Engine
from tests.routing.upstreams.site import (
    BIG,
    all_hops,
    answer,
    caller,
    chat,
    config,
    entries,
    ready,
    until,
)


async def test_an_answer_and_what_the_log_says(tmp_path: Path) -> None:
    async with Engine().serve() as engine, ready(tmp_path / "d", config(engine.url)) as services:
        pieces = await answer(services, caller(), chat(max_tokens=9))
        assert "".join(piece.text for piece in pieces) == "".join(WORDS)
        assert pieces[-1].finish_reason == "stop"
        (sent, answered) = all_hops(services)
        assert (sent["event"], answered["event"]) == ("sent", "answered")
        assert sent["request_id"] == answered["request_id"] == "req-k1"
        assert answered["identity"] == "claimed" and answered["model"] == "m"
        (intent,), (outcome,) = entries(services, "intent"), entries(services, "outcome")
        assert intent["digest"] == services.upstreams.get(BIG).identity
        assert (sent["seq"], answered["seq"]) == (intent["seq"], outcome["seq"])
        assert not entries(services, "hop")
        record = services.upstreams.get(BIG).hosts[0].record
        assert record is not None and intent["sent"] == {
            "host": engine.url, "digest": record.digest, "identity": "claimed", "state": "ready"
        }  # fmt: skip
        assert set(outcome["answered"]) == {"answer", "model", "fingerprint", "finish"}
        both = services.reader.entry(intent["seq"]).raw + services.reader.entry(outcome["seq"]).raw
        assert len(both) <= 2_500
        assert (outcome["prompt_tokens"], outcome["completion_tokens"]) == (11, 4)
        (request,) = engine.streams
        assert request.body["model"] == "there" and request.body["max_tokens"] == 9


async def test_each_answer_to_a_request_has_an_id_of_its_own(tmp_path: Path) -> None:
    async with (
        Engine(named=True).serve() as engine,
        ready(tmp_path / "d", config(engine.url)) as services,
    ):
        for _ in range(2):
            pieces = await answer(services, caller(), chat())
            assert pieces[-1].finish_reason == "stop"
        ids = {hop["answer"] for hop in all_hops(services) if hop["event"] == "answered"}
        assert len(ids) == 2 and all("req-k1-" in each for each in ids)


async def test_nothing_of_the_client_is_forwarded(tmp_path: Path) -> None:
    async with Engine().serve() as engine, ready(tmp_path / "d", config(engine.url)) as services:
        await answer(services, caller("k-secret"), chat())
        for request in engine.requests:
            assert set(request.headers) <= {
                "host", "accept", "accept-encoding", "connection", "user-agent", "content-type",
                "content-length", "x-request-id",
            }  # fmt: skip
        (sent,) = engine.streams
        assert "k-secret" not in str({**sent.body, **sent.headers, "x-request-id": ""})


BAD = {
    "truncated": "upstream_incomplete",
    "dropped": "upstream_lost",
    "cut": "upstream_lost",
    "silent": "upstream_timeout",
    "stalled": "upstream_timeout",
    "error_event": "upstream_incomplete",
    "aborted": "upstream_incomplete",
    "garbage": "upstream_invalid",
    "page": "upstream_invalid",
    "plain": "upstream_invalid",
    "huge": "upstream_invalid",
    "zipped": "upstream_invalid",
    "redirect": "upstream_redirect",
    "full": "upstream_busy",
    "denied": "upstream_denied",
    "rejected": "upstream_rejected",
    "crashed": "upstream_incomplete",
    "two_ids": "upstream_invalid",
    "after_finish": "upstream_invalid",
    "second_choice": "upstream_invalid",
}


PIECES_CAME = {
    "truncated", "cut", "stalled", "error_event", "aborted", "rejected", "two_ids", "after_finish",
}  # fmt: skip
"""And what is the request's own fault; these are not sent again."""


@pytest.mark.parametrize("idle_seconds", [1, 20])
async def test_what_is_no_whole_answer_is_none(tmp_path: Path, idle_seconds: int) -> None:
    idle = idle_seconds == 1  # for hosts that say nothing; the others may take long
    bad = {mode: code for mode, code in BAD.items() if (code == "upstream_timeout") == idle}
    found, sent = {}, {}
    async with Engine().serve() as one, Engine().serve() as two:
        settings = config(one.url, two.url, answer_kib=64, idle_seconds=idle_seconds)
        async with ready(tmp_path / "d", settings) as services:

            async def tried(mode: str) -> None:
                one.mode = two.mode = mode
                before = len(one.streams) + len(two.streams)
                with pytest.raises(ApplianceError) as caught:
                    await answer(services, caller(), chat())
                found[mode] = caught.value.code
                assert "\x1b" not in caught.value.message
                sent[mode] = len(one.streams) + len(two.streams) - before
                one.mode = two.mode = "whole"
                await services.upstreams.probe("uid:0", BIG)

            for mode in bad:
                await tried(mode)
            outcomes = entries(services, "outcome")
            hops = [hop for hop in all_hops(services) if hop["event"] != "sent"]
    assert found == bad
    assert {mode for mode in bad if sent[mode] == 1} == PIECES_CAME & set(bad)
    assert max(sent.values()) == 2
    assert [one["finish"] for one in outcomes] == list(bad.values())
    assert {one["status"] for one in outcomes} == {"error"}
    assert [hop["code"] for hop in hops] == [
        code for mode, code in bad.items() for _ in range(sent[mode])
    ]


async def test_an_id_that_an_earlier_answer_had(tmp_path: Path) -> None:
    async with (
        Engine(mode="same_id").serve() as engine,
        ready(tmp_path / "d", config(engine.url)) as services,
    ):
        await answer(services, caller(), chat())
        with pytest.raises(ApplianceError) as caught:
            await answer(services, caller(), chat())
        assert caught.value.code == "upstream_invalid"
    async with (
        Engine(mode="same_id").serve() as engine,
        ready(tmp_path / "e", config(engine.url, kind="ollama")) as services,
    ):
        await answer(services, caller(), chat())  # whose ids are three digits
        await answer(services, caller(), chat())


async def test_an_end_without_done_is_whole(tmp_path: Path) -> None:
    async with (
        Engine(mode="no_done").serve() as engine,
        ready(tmp_path / "d", config(engine.url)) as services,
    ):
        pieces = await answer(services, caller(), chat())
        assert pieces[-1].finish_reason == "stop"


async def test_a_refused_connection_is_tried_elsewhere_once_each(tmp_path: Path) -> None:
    async with (
        Engine().serve() as one,
        Engine().serve() as two,
        ready(tmp_path / "d", config(one.url, two.url)) as services,
    ):
        for host in services.upstreams.get(BIG).hosts:
            host.connection = _refusing(host.url)
        with pytest.raises(ApplianceError) as caught:
            await answer(services, caller(), chat())
        assert caught.value.code == "upstream_unavailable"
        events = [hop["event"] for hop in all_hops(services)]
        assert events == ["sent", "refused"] * 2
        assert not one.streams and not two.streams


def _refusing(url: str) -> Connection:
    return Connection("http://127.0.0.1:9", UpstreamConfig(urls=(url,)), None, "")


async def test_a_cancelled_answer_closes_its_connection(tmp_path: Path) -> None:
    async with (
        Engine(mode="silent").serve() as engine,
        ready(tmp_path / "d", config(engine.url)) as services,
    ):
        generation = await services.inference.begin(caller(), chat())
        while not engine.streams:
            await asyncio.sleep(0.01)
        await generation.cancel()
        await generation.finished()
        assert [hop["event"] for hop in all_hops(services)] == ["sent", "cancelled"]
        assert services.upstreams.get(BIG).hosts[0].health.running == 0
        (outcome,) = entries(services, "outcome")
        assert outcome["status"] == "cancelled"


async def test_labels_come_with_their_distribution(tmp_path: Path) -> None:
    async with (
        Engine(words=("seven",)).serve() as engine,
        ready(tmp_path / "d", config(engine.url)) as services,
    ):
        pieces = await answer(
            services, caller(), chat(task=TaskNeeds(labels=("seven", "other", "third")))
        )
        shares = struct.unpack("<3f", pieces[-1].vector)
        assert shares[0] > shares[1] > shares[2]
        assert pieces[-1].text == "" and pieces[-1].tokens == 1
        with pytest.raises(ApplianceError) as caught:  # the engine ignored the choice
            await answer(services, caller(), chat(task=TaskNeeds(labels=("one", "two"))))
        assert caught.value.code == "upstream_invalid"


ATTACKS = {
    "model_not_found": caller("k", "other"),
    "upstream_retention": caller("k", content="off"),
}


async def test_no_way_around_the_rights_of_a_key(tmp_path: Path) -> None:
    committed = caller("k", content="commit-only")
    async with Engine().serve() as engine, ready(tmp_path / "d", config(engine.url)) as services:
        for code, who in [*ATTACKS.items(), ("upstream_retention", committed)]:
            with pytest.raises(ApplianceError) as caught:
                await answer(services, who, chat())
            assert caught.value.code == code
        assert not engine.streams and not all_hops(services)
        assert not entries(services, "intent")
        last = caller("k", BIG, rpm=1)
        await answer(services, last, chat())
        with pytest.raises(ApplianceError) as caught:
            await answer(services, last, chat())
        assert caught.value.code == "rate_limit_exceeded"
        assert len(engine.streams) == 1


async def test_the_right_is_asked_again_at_the_target(tmp_path: Path) -> None:
    async with Engine().serve() as engine, ready(tmp_path / "d", config(engine.url)) as services:
        who = caller("k", "orders")
        place = services.shares.admit(who.principal, BIG, 1)
        backend = await services.upstream_backends.open(BIG, "k", place)
        with pytest.raises(Forbidden) as caught:
            await backend.prepare(chat(), who.principal, 1)
        assert caught.value.code == "upstream_forbidden"
        place.leave(0, 0)


async def test_no_hop_without_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first hop is in the intent; without its end there is no second."""
    async with (
        Engine().serve() as one,
        Engine().serve() as two,
        ready(tmp_path / "d", config(one.url, two.url)) as services,
    ):

        async def fails(_fields: object) -> object:
            raise AuditUnavailable("audit_unavailable", "The disk is full.")

        first, other = services.upstreams.get(BIG).hosts
        for _ in range(SLACK + 1):  # so that the first one is asked first
            services.upstreams.get(BIG).begin(other)
        first.connection = _refusing(first.url)
        with monkeypatch.context() as patched:
            patched.setattr(services.upstreams, "hop", fails)
            with pytest.raises(AuditUnavailable):
                await answer(services, caller(), chat())
            assert not two.streams
        await answer(services, caller(), chat())
        assert not one.streams and len(two.streams) == 1


async def test_a_request_goes_to_another_host_than_it_was_meant_for(tmp_path: Path) -> None:
    async with (
        Engine().serve() as one,
        Engine().serve() as two,
        ready(tmp_path / "d", config(one.url, two.url, slots=1)) as services,
    ):
        upstream = services.upstreams.get(BIG)
        one.mode = two.mode = "silent"
        begin, both = services.inference.begin, 2
        running = [await begin(caller(), chat()) for _ in range(both + AHEAD)]
        await until(lambda: len(one.streams) + len(two.streams) == len(running))
        waits = await begin(replace(caller(), request_id="req-waits"), chat())
        gone = await begin(replace(caller(), request_id="req-gone"), chat())
        assert sum(host.meant for host in upstream.hosts) == 2
        meant = entries(services, "intent")[len(running)]["sent"]["host"]
        await gone.cancel()
        await services.upstreams.drain("uid:0", BIG, meant, drained=True)
        one.mode = two.mode = "whole"
        for each in running:
            await each.cancel()
        assert "".join([piece.text async for piece in waits]) == "".join(WORDS)
        await gone.finished()
        assert [host.meant for host in upstream.hosts] == [0, 0]
        outcomes = {outcome["request_id"]: outcome for outcome in entries(services, "outcome")}
        assert outcomes["req-waits"]["unsent"] and outcomes["req-gone"]["unsent"]
        assert outcomes["req-waits"]["answered_by"]["host"] != meant
        mine = [hop for hop in entries(services, "hop") if hop["request_id"] == "req-waits"]
        assert [(hop["event"], hop["host"] == meant) for hop in mine] == [
            ("sent", False), ("answered", False),
        ]  # fmt: skip


async def test_requests_that_wait_are_meant_for_all_hosts_alike(tmp_path: Path) -> None:
    async with (
        Engine().serve() as one,
        Engine().serve() as two,
        ready(tmp_path / "d", config(one.url, two.url, slots=8)) as services,
    ):
        who = caller().principal
        place = services.shares.admit(who, BIG, 16)
        backend = await services.upstream_backends.open(BIG, "k1", place)
        asked = [await backend.prepare(chat(), who, 1) for _ in range(16)]
        found = sorted(host.meant for host in services.upstreams.get(BIG).hosts)
        assert sum(found) == 16 and found[1] - found[0] <= SLACK + 1
        for each in asked:
            await backend.cancel(each)
        place.leave(0, 0)


async def test_a_request_without_a_piece_is_sent_to_another_host_once(tmp_path: Path) -> None:
    async with (
        Engine().serve() as one,
        Engine().serve() as two,
        ready(tmp_path / "d", config(one.url, two.url)) as services,
    ):
        upstream = services.upstreams.get(BIG)
        near, other = upstream.hosts
        for _ in range(SLACK + 1):  # so that the first one is asked first
            upstream.begin(other)
        for mode in ("dropped", "crashed", "full", "garbage"):
            one.mode = mode
            pieces = await answer(services, caller(mode), chat())
            assert "".join(piece.text for piece in pieces) == "".join(WORDS)
            mine = [hop for hop in all_hops(services) if hop["request_id"] == f"req-{mode}"]
            events = [(hop["hop"], hop["event"]) for hop in mine]
            assert events == [(1, "sent"), (1, "failed"), (2, "sent"), (2, "answered")]
            assert mine[0]["host"] == near.url != mine[2]["host"]
        for kind in ("intent", "outcome"):
            assert len(entries(services, kind)) == 4


TOOL = {"name": "order", "description": "Order a part.", "parameters": {"type": "object"}}


async def test_calls_and_reasoning_of_another_host(tmp_path: Path) -> None:
    async with (
        Engine(mode="calls").serve() as engine,
        ready(tmp_path / "d", config(engine.url)) as services,
    ):
        asked = chat(tools=Tools((TOOL,), ("order",)), max_tokens=50)
        generation = await services.inference.begin(caller(), asked)
        reply = ParsedReply(generation.form)
        pieces = [
            piece for delta in [one async for one in generation] for piece in reply.push(delta.text)
        ]
        said = collected([*pieces, *reply.finish()])
        assert (said.reasoning, said.content) == ("It leaks.", "")
        assert said.calls == [{"name": "order", "arguments": '{"part": "pump"}'}]
        (sent,) = engine.streams
        assert sent.body["tool_choice"] == "required"
        engine.mode = "whole"  # it calls nothing, and had to
        with pytest.raises(ApplianceError) as caught:
            await answer(services, caller(), asked)
        assert caught.value.code == "upstream_invalid"


async def test_several_choices_of_another_host(tmp_path: Path) -> None:
    async with (
        Engine(mode="several").serve() as engine,
        ready(tmp_path / "d", config(engine.url)) as services,
    ):
        given: dict[str, Any] = {"messages": None, "prompt": "Name one: "}
        generation = await services.inference.begin(caller(), chat(n=3, echo=True, **given))
        texts = ["", "", ""]
        async for delta in generation:
            texts[delta.index] += delta.text
        assert texts == [f"Name one: choice {index}" for index in range(3)]
        assert (generation.completion_tokens, generation.cached_tokens) == (9, 8)
        best = await answer(services, caller("k2"), chat(best_of=3, **given))
        assert "".join(piece.text for piece in best) == "choice 2"
        assert engine.streams[-1].body["logprobs"] == 0
        hops = [hop for hop in all_hops(services) if hop["event"] == "answered"]
        assert [hop["finish"] for hop in hops] == ["stop,stop,stop"] * 2
