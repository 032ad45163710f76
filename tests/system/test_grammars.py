"""Signed grammars in a real worker, and docs/grammars.md as a person follows it."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.app import Services, initialise, open_services
from appliance.audit.search import Query
from appliance.errors import BadRequest, StateRefused
from appliance.trust.artifacts import signing
from appliance.trust.artifacts.store import load_policy
from appliance.types import Constraint
from tests.answers import body, collect
from tests.lora import add_adapter
from tests.smol import APPROVERS, ID, SMALL, approve, caller, key, quiet, request
from tests.system.test_docs_snippets import ALONE, SERVED, follow, served
from tests.trust.forge import sha256

PAGE = Path(__file__).parents[2] / "docs" / "grammars.md"
VERDICT = 'start: verdict ", severity " SEVERITY\nverdict: "worn" | "broken"\nSEVERITY: /[1-5]/\n'
UNENFORCEABLE = '{"type": "array", "uniqueItems": true}'


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, narrow_path: Path) -> Iterator[Path]:
    """A lab with an approved model `ID`, and `hostile` with a grammar that cannot be enforced."""
    root = tmp_path_factory.mktemp("grammars")
    initialise(root / "data", "lab")
    with open_services(root / "data", config=SMALL) as services:
        for name, file, text in (
            (ID, "verdict.lark", VERDICT),
            ("hostile", "a.json", UNENFORCEABLE),
        ):
            artifact = root / name
            artifact.mkdir()
            shutil.copyfile(narrow_path, artifact / "model.gguf")
            (artifact / file).write_text(text)
            (artifact / "artifact.json").write_text(
                json.dumps({"version": 1, "roles": {file: "grammar"}})
            )
            signing.sign_directory(artifact, key(services.data, "publisher"), quiet)
            imported = services.lifecycle.import_model("uid:0", artifact, None, quiet)
            assert imported.state == "verified", imported
            approve(services, name, *APPROVERS)
            shutil.rmtree(artifact)
        add_adapter(services, "fr", 0)
    yield root / "data"
    shutil.rmtree(root)


@pytest.fixture
def services(data: Path) -> Iterator[Services]:
    with open_services(data, config=SMALL) as opened:
        yield opened


async def test_an_answer_has_the_form_that_was_signed(services: Services) -> None:
    await services.pool.load("uid:0", ID)
    asked = replace(
        request(max_tokens=40, ignore_eos=False), constraint=Constraint("grammar", "verdict")
    )
    generation = await services.inference.start(caller(), asked)
    text, finish = await collect(generation)
    assert re.fullmatch("(worn|broken), severity [1-5]", text) and finish == "stop"
    params = body(services, generation.intent.seq)["params"]
    assert isinstance(params, dict)
    assert params["constraint"] == {
        "kind": "grammar", "name": "verdict", "sha256": sha256(VERDICT.encode()),
    }  # fmt: skip
    with pytest.raises(BadRequest) as refusal:
        other = replace(asked, constraint=Constraint("grammar", "report"))
        await services.inference.start(caller(), other)
    assert refusal.value.code == "unknown_grammar" and "verdict" in refusal.value.message
    await services.supervisor.close()


async def test_an_adapter_answers_in_the_grammars_of_its_base(services: Services) -> None:
    await services.pool.load("uid:0", ID)
    asked = replace(
        request(max_tokens=40, ignore_eos=False),
        model=f"{ID}:fr",
        constraint=Constraint("grammar", "verdict"),
    )
    generation = await services.inference.start(caller(), asked)
    text, _ = await collect(generation)
    assert re.fullmatch("(worn|broken), severity [1-5]", text)
    recorded = body(services, generation.intent.seq)
    assert recorded["adapter"] and '"name": "verdict"' in json.dumps(recorded["params"])
    await services.supervisor.close()


async def test_a_grammar_that_cannot_be_enforced_refuses_the_load(services: Services) -> None:
    taken = services.supervisor.budget.taken
    with pytest.raises(StateRefused) as refusal:
        await services.pool.load("uid:4711", "hostile")
    assert refusal.value.code == "grammar_invalid"
    assert "grammar a" in refusal.value.message and "uniqueItems" in refusal.value.message
    assert services.supervisor.budget.taken == taken
    assert services.lifecycle.record("hostile").state == "approved"
    found = services.reader.search(Query(kind="model", code="grammar_invalid")).entries
    assert [(e.body["event"], e.body["actor"]) for e in found] == [("load_refused", "uid:4711")]


def test_a_grammar_that_was_changed_in_the_store_is_not_loaded(
    services: Services, data: Path
) -> None:
    stored = data / "models" / "hostile" / "a.json"
    stored.chmod(0o600)
    stored.write_text("{}")
    with pytest.raises(Exception, match="not the file that was signed") as refusal:
        services.store.seal("hostile", load_policy(data / "trust"), quiet)
    assert getattr(refusal.value, "code", "") == "file_changed"


@pytest.mark.slow
def test_the_page_from_an_empty_directory_to_two_answers(
    tmp_path: Path, default_model_path: Path
) -> None:
    data = {"APPLIANCE_DATA": str(tmp_path / "data"), "GGUF": str(default_model_path)}
    (shown,) = follow(PAGE, tmp_path, data, ALONE)
    assert re.search(r"grammar report: json_schema, [0-9a-f]{64}", shown)
    with open_services(tmp_path / "data") as services:
        _, secret = services.keys.create("guide")
    with served(tmp_path / "data", "pump") as url:
        app = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": secret}
        (told,) = follow(PAGE, tmp_path, app, SERVED)
    report, verdict = told.splitlines()
    assert json.loads(report)["part"] in {"pump", "valve", "motor"}
    assert re.fullmatch("(sound|worn|broken), severity [1-5]", verdict)
    shutil.rmtree(tmp_path / "data")
