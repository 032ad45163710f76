"""`/v1/sessions`: a key shown once, for a token that ends by itself."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from appliance.wire.openai.generation import example


class SessionBegin(BaseModel):
    """The body of `POST /v1/sessions`, which is empty: the key says it all."""

    model_config = ConfigDict(strict=True, extra="forbid", **example())


class SessionLogin(BaseModel):
    """The body of `POST /v1/sessions/login`: a code of a login service, with its PKCE verifier."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        **example(
            login="corp", code="k3J…", verifier="v" * 43, nonce="n" * 43, redirect="https://…"
        ),
    )

    login: str = Field(min_length=1, max_length=64, description="name of the service")
    code: str = Field(min_length=1, max_length=2_048)
    verifier: str = Field(pattern="^[A-Za-z0-9._~-]{43,128}$")
    nonce: str = Field(min_length=22, max_length=128)
    redirect: str = Field(min_length=1, max_length=1_024)


class SessionBegun(BaseModel):
    """A session; its `token` stands for the key until `expires`, and is told once."""

    object: Literal["session"] = "session"
    token: str
    expires: int
    name: str = Field(description="of the key, or of the person who signed in")
    answers: bool = Field(description="whether the key answers what waits in the queue")


class SessionsEnded(BaseModel):
    """Sessions that have ended."""

    object: Literal["sessions.ended"] = "sessions.ended"
    ended: int
