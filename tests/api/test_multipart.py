"""Forms as they come: the same whatever the pieces are, and no more than a piece in memory."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.multipart import FormField, FormReader
from appliance.errors import BadRequest

KIND = "multipart/form-data; boundary=XX"


def read(kind: str, pieces: list[bytes]) -> list[tuple[str, str | None, bytes]]:
    reader, found = FormReader(kind), list[list[object]]()
    for piece in pieces:
        for one in reader.feed(piece):
            if isinstance(one, FormField):
                found.append([one.name, one.filename, b""])
            else:
                found[-1][2] += one  # type: ignore[operator]
    reader.close()
    return [tuple(one) for one in found]  # type: ignore[misc]


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=40))
def test_a_form_of_a_client_is_read_alike_in_whatever_pieces(
    content: bytes, sizes: list[int]
) -> None:
    content = content.replace(b"--", b"\r\n--") if len(content) % 2 else content
    files = {"file": ("a b.jsonl", content)}
    request = httpx.Request("POST", "http://l", data={"purpose": "batch"}, files=files)
    body, pieces = request.read(), list[bytes]()
    for size in sizes:
        pieces.append(body[:size])
        body = body[size:]
    expected = [("purpose", None, b"batch"), ("file", "a b.jsonl", content)]
    assert read(request.headers["content-type"], [*pieces, body]) == expected


def test_no_more_is_held_than_a_piece_and_a_boundary() -> None:
    reader = FormReader(KIND)
    list(reader.feed(b'--XX\r\nContent-Disposition: form-data; name="file"\r\n\r\n'))
    for _ in range(100):
        list(reader.feed(b"x" * 10_000))
        assert len(reader._rest) < 100


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b""),
        ("application/json; boundary=XX", b""),
        (KIND, b""),
        (KIND, b"no boundary"),
        (KIND, b"--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--"),
        (KIND, b"--XX\r\n\r\nx\r\n--XX--"),
        (KIND, b"--XX\r\n" + b"a" * 5_000),
        (KIND, b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\nx'),
        (KIND, b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 20),
    ],
)
def test_what_is_no_form_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        read(kind, [body])
    assert caught.value.code == "invalid_form"
