"""Schemas of the texts that were signed with a model."""

from pydantic import Field

from appliance.wire.admin.base import Reply
from appliance.wire.admin.endpoint import viewers


class Grammar(Reply):
    """A grammar that was signed with a model. `kind` is "json_schema" or "lark"; `file` is its
    place in the artifact, with its `sha256`.
    """

    name: str
    kind: str
    file: str
    sha256: str


class Template(Reply):
    """A model's chat template: `used`, from `file` where the artifact has one, and the `own` one
    in the model's file. `sha256` is that of `used`, as a policy pins it. `before` is the one
    used by `against`, the version of the model that was served before, if any.
    """

    id: str
    used: str
    own: str
    sha256: str
    file: str | None = None
    against: str | None = None
    before: str = ""


class GrammarText(Grammar):
    """A grammar with its text."""

    text: str


class Grammars(Reply):
    """The grammars of a model, and those `before`: of `against`, as for `Template`."""

    id: str
    grammars: list[GrammarText] = Field(default=[])
    against: str | None = None
    before: list[GrammarText] = Field(default=[])


MODEL_TEMPLATE = viewers.get("/admin/models/{model_id}/template", Template)
MODEL_GRAMMARS = viewers.get("/admin/models/{model_id}/grammars", Grammars)
