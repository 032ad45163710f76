"""Messages between the command and the child."""

import msgspec
import pytest

from appliance.tuning.conversion.messages import CONFIG, ConversionOrder, ConversionResult


def test_both_directions_arrive_as_they_were_sent() -> None:
    order = ConversionOrder("tiny", {CONFIG: 5}, 1 << 30, 1 << 20)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(order), type=ConversionOrder) == order
    result = ConversionResult("convert_tensors", "It lies.")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(result), type=ConversionResult) == result
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode({"tensors": "many"}), type=ConversionResult)
