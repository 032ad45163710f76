"""Dates that people type."""

from datetime import UTC, datetime

from appliance.errors import BadRequest


def microseconds(text: str, param: str) -> int:
    """A date or time in ISO 8601 as microseconds since the epoch; without a zone UTC
    (`invalid_value`).
    """
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(aware.timestamp()) * 1_000_000 + aware.microsecond
    except (ValueError, OverflowError) as error:
        raise BadRequest(
            "invalid_value", f"{param} must be a date such as 2030-12-31.", param=param
        ) from error
