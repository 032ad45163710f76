"""Names of keys on tokens."""

import pytest

from appliance.errors import UsageError
from appliance.tokens import uri
from appliance.tokens.uri import TokenUri


def test_a_uri_names_module_token_and_key() -> None:
    text = "pkcs11:token=Site%20A;serial=07;object=paula;id=%00%ff;type=private?module-path=/m.so"
    wanted = TokenUri("/m.so", token="Site A", serial="07", object="paula", id=b"\0\xff")
    assert uri.parse(text) == wanted
    assert uri.parse("pkcs11:object=x") == TokenUri(uri.MODULE, object="x")


@pytest.mark.parametrize(
    "text",
    [
        "paula.pem",
        "pkcs11:",
        "pkcs11:token=a",  # no key
        "pkcs11:object=a?pin-value=1234",  # others read command lines
        "pkcs11:object=a?pin-source=file:/pin",
        "pkcs11:object=a;colour=red",  # would narrow the choice
        "pkcs11:object=a?module-name=softhsm2",
        "pkcs11:object=a;object=b",
        "pkcs11:object=",
        "pkcs11:object=%zz",
        "pkcs11:object=%ff",  # no UTF-8
        "pkcs11:object=%1b",
        "pkcs11:object=a?module-path=m.so",
        "pkcs11:object=a#x",
    ],
)
def test_what_is_no_uri_of_one_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        uri.parse(text)
    assert caught.value.code == "token_uri_invalid"
