"""The record of clients is of tests that are there, and the page of the record."""

import ast
from pathlib import Path

import pytest

from tests.contract import seen
from tests.contract.seen import NO_CLIENT, NODE, SeenClients, of_node, recorded, table, write

CLIENTS = Path(__file__).parent / "clients"


def named_in(path: Path) -> set[str]:
    found = ast.walk(ast.parse(path.read_text("utf-8")))
    names = {node.name for node in found if isinstance(node, ast.FunctionDef)}
    return {name.removeprefix("test_").replace("_", " ") for name in names if "test_" in name}


def test_the_record_is_of_files_and_tests_that_are_there() -> None:
    python = {path.name: path for path in CLIENTS.glob("test_*.py")}
    node = {path.name for path in NODE.glob("*.test.mjs")}
    assert set(recorded()) <= python.keys() | node
    for name, one in recorded().items():
        assert one.clients and one.passed
        if name in python:
            gone = set(one.passed) - named_in(python[name])
            assert not gone, f"{name} was changed: make test-contract RECORD=1"


def test_every_client_is_in_the_record() -> None:
    files = {path.name for path in [*CLIENTS.glob("test_*.py"), *NODE.glob("*.test.mjs")]}
    assert files - NO_CLIENT == recorded().keys(), "make test-contract RECORD=1 PART='llm or dspy'"


def test_a_run_is_written_over_an_earlier_one_of_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "RECORD", tmp_path / "seen.json")
    write("b.py", SeenClients({"b": "1"}, ["a stream", "errors are classes"]))
    write("a.py", SeenClients({"a": "1"}, ["a chat"]))
    write("b.py", SeenClients({"b": "2"}, ["a stream", "what is wrong is refused"]))
    assert list(table()) == [
        ("a 1", "a chat", ""),
        ("b 2", "a stream", "what is wrong is refused"),
    ]


def test_another_model_is_added_until_the_tests_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "RECORD", tmp_path / "seen.json")
    write("a.py", SeenClients({"a": "1"}, ["a chat"], ["q"]))
    write("a.py", SeenClients({"a": "1"}, ["a chat"]))
    assert (seen.models(), list(table())) == (["q"], [("a 1 †", "a chat", "")])
    write("a.py", SeenClients({"a": "2"}, ["a chat"]))
    assert (seen.models(), list(table())) == ([], [("a 2", "a chat", "")])


def test_a_test_of_several_parts_of_a_package_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "RECORD", tmp_path / "seen.json")
    passed = ["chat: a text", "a vector", "responses: a text", "responses: ten turns"]
    write("a.test.mjs", SeenClients({"a (npm)": "1", "b (npm)": "2"}, passed))
    works = "chat, responses: a text; a vector; responses: ten turns"
    assert list(table()) == [("npm: a 1, b 2", works, "")]


def test_packages_of_npm_have_the_version_of_the_lock() -> None:
    script = 'import { Client } from "@modelcontextprotocol/client";\nimport { x } from "node:x";'
    found = of_node(script, "ok 1 - one\nnot ok 2 - two\nok 3 - what is refused\n")
    ((name, version),) = found.clients.items()
    assert name == "@modelcontextprotocol/client (npm)" and version[0].isdigit()
    assert (found.works, found.refused) == (["one"], ["what is refused"])
