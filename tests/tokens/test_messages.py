"""Messages between a command and the process of the module."""

import msgspec
import pytest

from appliance.tokens import messages
from appliance.tokens.uri import TokenUri


def test_each_message_is_read_as_it_was_written() -> None:
    uri = TokenUri("/m.so", object="k", id=b"\0")
    orders = [
        messages.FindToken(uri), messages.LogIn(None), messages.LogIn("1", make=True, always=True),
        messages.SignDigest(b"d"), messages.SignDigest(b"d", "1"), messages.AgreeWith(b"\4"),
    ]  # fmt: skip
    for order in orders:
        assert messages.ORDERS.decode(msgspec.msgpack.encode(order)) == order
    with pytest.raises(msgspec.ValidationError):
        messages.ANSWERS.decode(msgspec.msgpack.encode(orders[0]))
