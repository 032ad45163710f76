"""An approver's diffs of the signed texts, safe to print."""

from typing import cast

from appliance.cli.differences import grammar_difference, template_difference
from appliance.client import AdminClient
from appliance.wire.admin.model_texts import MODEL_TEMPLATE, Grammars, GrammarText, Template


def text(name: str, source: str) -> GrammarText:
    return GrammarText(name=name, kind="lark", file=f"{name}.lark", sha256="00", text=source)


class Told:
    """The answers of a server about `new`, whose version before is `old`, and about `other`."""

    def __init__(self, against: str | None = "old") -> None:
        self._against = against

    def call(self, at: object, *, model_id: str) -> Template | Grammars:
        return self.template(model_id) if at == MODEL_TEMPLATE else self.grammars(model_id)

    def template(self, model_id: str) -> Template:
        if model_id == "other":
            return Template(id="other", used="of other", own="", sha256="00")
        return Template(
            id="new", used="kept\nnew\x1b[2J", own="own", sha256="00", file="chat.jinja",
            against=self._against, before="kept\nold",
        )  # fmt: skip

    def grammars(self, model_id: str) -> Grammars:
        if model_id == "other":
            return Grammars(id="other", grammars=[text("a", "of other")])
        before = [text("a", "was"), text("gone", "away")] if self._against else []
        return Grammars(
            id="new", grammars=[text("a", "is\x1b[2J"), text("more", "new")],
            against=self._against, before=before,
        )  # fmt: skip


def changes(lines: list[str]) -> list[str]:
    """Lines taken away or added, without the names of the files."""
    return [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def client(against: str | None = "old") -> AdminClient:
    return cast(AdminClient, Told(against))


def test_a_template_beside_the_version_served_before() -> None:
    lines, shown = template_difference(client(), "new", None)
    assert lines[:2] == ["--- old, served before", "+++ new (chat.jinja)"]
    assert [line[:4] for line in changes(lines)] == ["-old", "+new"] and shown.used
    assert "\x1b" not in "".join(lines)


def test_a_template_without_one_beside_the_models_own() -> None:
    lines, _ = template_difference(client(None), "new", None)
    assert "own file" in lines[0] and changes(lines)[0] == "-own"


def test_another_model_to_compare_with() -> None:
    lines, _ = template_difference(client(), "new", "other")
    assert lines[0] == "--- other" and changes(lines)[0] == "-of other"
    told, _ = grammar_difference(client(), "new", "other")
    assert "-of other" in told and "-away" not in told


def test_grammars_that_changed_went_and_came() -> None:
    lines, _ = grammar_difference(client(), "new", None)
    assert [line[:4] for line in changes(lines)] == ["-was", "+is\\", "-awa", "+new"]
    assert "--- old: grammar gone" in lines and "\x1b" not in "".join(lines)
    lines, _ = grammar_difference(client(None), "new", None)
    assert "--- nothing: grammar a" in lines and "-away" not in lines
