"""What the log keeps of a request: nothing of the client's text in what is permanent."""

import json
from dataclasses import replace

from appliance.app import Services
from appliance.audit.appending import append
from appliance.audit.log import Draft
from appliance.audit.recovery import unknown_outcome
from appliance.audit.search import Query
from appliance.serving.audit_entries import intent
from appliance.serving.backend import PreparedRequest, Provenance
from appliance.types import ClientIds, Constraint, GenerationRequest, Tools
from appliance.workers.coverage import Obstacle
from tests.answers import collect
from tests.audit.verification.test_bulk import undecoded
from tests.smol import caller, request

SECRET = "xyzzy"
MODEL = Provenance("m", "cd" * 32, 3, "llama.cpp b1", None, "ab" * 32)


def drafted(asked: GenerationRequest, model: Provenance = MODEL) -> Draft:
    return intent(caller("k7"), PreparedRequest(asked, 1, 5, 5, 4, model))


def test_text_of_the_client_is_erasable_and_not_in_the_body() -> None:
    tools = Tools(({"name": SECRET, "parameters": {}},), forced=(SECRET,))
    asked = replace(
        request(SECRET, stop=(SECRET,), logit_bias=((7, 1.5),)),
        constraint=Constraint("regex", SECRET),
        tools=tools,
    )
    draft = drafted(asked)
    assert SECRET not in json.dumps(draft.fields)
    kept = {"prompt", "stop", "tools", "constraint"}
    assert SECRET in draft.contents["asked"].decode()
    assert set(draft.contents) == {*kept, "logit_bias", "asked"}
    assert all(SECRET in draft.contents[name].decode() for name in kept)
    assert "sha256" not in json.dumps(draft.fields["params"])  # a short text is found by its digest
    params = draft.fields["params"]
    assert isinstance(params, dict)
    assert (params["stop"], params["logit_bias"], params["seed"]) == (1, 1, "5")


def test_bodies_hold_no_floats_and_name_what_answers() -> None:
    draft = drafted(request(temperature=0.7))

    def floats(value: object) -> bool:
        inner = value.values() if isinstance(value, dict) else ()
        return isinstance(value, float) or any(map(floats, inner))

    assert not floats(draft.fields) and floats({"a": {"b": 0.7}})
    answers = {"model": "m", "digest": "cd" * 32, "policy": 3, "engine": "llama.cpp b1"}
    assert answers.items() <= draft.fields.items()
    assert (draft.fields["template"], draft.fields["adapter"]) == ("ab" * 32, None)
    assert draft.fields["replayable"] == "yes" and "asked" not in draft.contents
    far = drafted(request(), replace(MODEL, obstacle=Obstacle.UPSTREAM))
    assert far.fields["replayable"] == "upstream"
    assert "task" not in draft.fields
    assert drafted(request(), replace(MODEL, task="01" * 32)).fields["task"] == "01" * 32


def test_the_names_that_a_client_gave_are_kept_and_without_them_there_is_no_field() -> None:
    prepared = PreparedRequest(request(), 1, 5, 5, 4, MODEL)
    named = replace(caller("k7"), client=ClientIds("a", "", "00-x"))
    kept = intent(named, prepared).fields
    assert kept["client"] == {"x_request_id": "a", "traceparent": "00-x"}
    assert "client" not in intent(caller("k7"), prepared).fields


def test_lone_surrogates_do_not_stop_the_record() -> None:
    assert drafted(request("a\ud800b")).contents["prompt"] == b'"a?b"'


def test_documents_are_recorded_with_their_query() -> None:
    asked = replace(request(), prompt=None, query="q", texts=("d",))
    draft = drafted(asked)
    assert json.loads(draft.contents["prompt"]) == {"query": "q", "documents": ["d"]}
    assert draft.fields["params"] == {"kind": "rerank", "texts": 1}


async def test_prompt_and_answer_are_kept_encrypted_and_found_again(ready: Services) -> None:
    generation = await ready.inference.start(caller(), request(f"Remember: {SECRET}"))
    text, _ = await collect(generation)
    assert generation.outcome is not None
    prompt = json.loads(ready.reader.content(generation.intent.seq, "prompt"))
    assert SECRET in json.dumps(prompt)
    assert ready.reader.content(generation.outcome.seq, "completion").decode() == text
    assert SECRET.encode() not in (ready.data / "audit" / "log.db").read_bytes()


def test_a_signed_grammar_is_recorded_by_its_name_and_its_digest() -> None:
    signed = replace(MODEL, grammars={"other": "01" * 32, "verdict": "ef" * 32})
    draft = drafted(replace(request(), constraint=Constraint("grammar", "verdict")), signed)
    params = draft.fields["params"]
    assert isinstance(params, dict)
    assert params["constraint"] == {
        "kind": "grammar", "name": "verdict", "sha256": "ef" * 32,
    }  # fmt: skip


async def test_verification_in_bulk_knows_every_field_of_a_request(ready: Services) -> None:
    """A field that `audit/verification/bulk.py` lacks would be verified slowly, entry by entry."""
    some = request(logprobs=2)
    signed = replace(
        MODEL,
        grammars={"verdict": "ef" * 32},
        task="01" * 32,
        retrieved={
            "collection": "c",
            "generation": 3,
            "ranking": "bm25",
            "passages": [{"commitment": "02" * 32}],
            "search": "evidence-1",
        },
    )
    for asked in (
        some,
        replace(some, constraint=Constraint("regex", "a"), tools=Tools(({"name": "f"},))),
        replace(some, constraint=Constraint("grammar", "verdict")),
        replace(some, prompt=None, query="q", texts=("d",)),
    ):
        draft = drafted(asked, signed)
        await append(ready.audit, draft)
        (asked_for,) = ready.reader.search(Query(limit=1, newest_first=True)).entries
        await append(ready.audit, unknown_outcome(asked_for))
    await collect(await ready.inference.start(caller(), request()))
    for kind in ("intent", "outcome"):
        entries = ready.reader.search(Query(kind=kind, limit=1000)).entries
        assert len(entries) > 4
        assert undecoded([entry.raw for entry in entries]) is not None
