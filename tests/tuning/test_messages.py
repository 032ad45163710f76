"""Messages in the pipes: whole both ways, anything else refused."""

import msgspec
import pytest

from appliance.tuning import messages
from appliance.tuning.rows import TokenRow
from appliance.tuning.settings import TuneSettings

ROWS = (TokenRow("a", (1, 5), (7, 2)),)


def test_an_order_and_what_comes_of_it_arrive_whole() -> None:
    order = messages.TrainingOrder(TuneSettings(rank=4), ROWS, ROWS, ROWS, threads=2, most_bytes=9)
    body = messages.frame(order)[messages.HEADER.size :]
    assert messages.decode_order(body) == order
    for message in (
        messages.TrainingStep(1, 2, 0.5, 40, 1.5, 0.25),
        messages.TrainerCheckpoint(1, b"state"),
        messages.TrainerRefused("tuning_memory", "no"),
    ):
        whole = messages.frame(message)
        (size,) = messages.HEADER.unpack(whole[: messages.HEADER.size])
        assert size == len(whole) - messages.HEADER.size
        assert messages.decode_from_trainer(whole[messages.HEADER.size :]) == message


@pytest.mark.parametrize("body", [b"", b"\x93torn", msgspec.msgpack.encode({"type": "shell"})])
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        messages.decode_from_trainer(body)
    with pytest.raises(msgspec.DecodeError):
        messages.decode_order(body)
