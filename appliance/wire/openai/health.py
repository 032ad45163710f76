"""`GET /healthz` and `GET /readyz`: signs of life."""

from typing import Literal

from pydantic import BaseModel


class Health(BaseModel):
    """A sign of life."""

    status: Literal["ok", "ready"]
