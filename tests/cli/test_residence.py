"""How a model stands in memory, in a few words."""

from appliance.cli.residence import use_of, why
from appliance.wire.admin.models import Model


def model(**told: object) -> Model:
    return Model.model_validate({"id": "m", "state": "approved", "digest": None, **told})


def test_what_is_not_in_memory_has_no_use_and_hostile_words_are_made_safe() -> None:
    assert use_of(model()) == "-" and why(model()) == ""
    assert use_of(model(activity="busy", pinned=True)) == "busy, pinned"
    assert "\x1b" not in use_of(model(activity="\x1b[2J")) + why(model(unloaded="\x1b[2J"))
    assert why(model(code="file_changed", unloaded="idle")) == "file_changed"
