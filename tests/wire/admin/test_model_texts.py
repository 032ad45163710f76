"""The schemas of the texts that were signed with a model."""

from appliance.wire.admin.model_texts import Grammars, Template


def test_an_older_server_is_read() -> None:
    """Its replies lack later fields."""
    shown = Template.model_validate({"id": "a", "used": "u", "own": "o", "sha256": "00"})
    assert (shown.file, shown.against, shown.before) == (None, None, "")
    assert Grammars.model_validate({"id": "a"}).grammars == []
