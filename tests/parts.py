"""Services with other parts."""

import copy
from typing import Any

from appliance.app import Services


def having(services: Services, **parts: Any) -> Services:
    unknown = parts.keys() - vars(services).keys()
    assert not unknown, f"no parts: {unknown}"
    made = copy.copy(services)
    vars(made).update(parts)
    return made
