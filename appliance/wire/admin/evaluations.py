"""Schemas of evaluations on the admin socket."""

from appliance.wire.admin.base import Reply


class Report(Reply):
    """The page of an evaluation: one self-contained HTML file."""

    html: str
