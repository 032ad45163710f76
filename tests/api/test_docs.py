"""The pages of `/docs`: local files only, under a policy that allows no others."""

import re

import pytest

from appliance.api.docs import PATHS, POLICY
from tests.api.conftest import Lan

TYPES = {"/docs": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css"}


@pytest.mark.parametrize("path", sorted(PATHS))
async def test_each_file_comes_without_a_key_and_under_the_policy(lan: Lan, path: str) -> None:
    async with lan.anonymous() as client:
        reply = await client.get(path)
    assert reply.status_code == 200 and reply.content
    kind = TYPES.get(path) or TYPES[path[path.rindex(".") :]]
    assert reply.headers["content-type"].startswith(kind)
    assert reply.headers["content-security-policy"] == POLICY
    assert reply.headers["x-content-type-options"] == "nosniff"


async def test_the_page_loads_files_of_ours_and_no_inline_script(lan: Lan) -> None:
    page = (await lan.client.get("/docs")).text
    named = set(re.findall(r'(?:src|href)="([^"]*)"', page)) - {"data:,"}
    assert {f"/{name}" for name in named} == PATHS - {"/docs"}
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == ["", ""]
    assert "//" not in page and "<style" not in page


def test_the_policy_names_no_host_and_allows_nothing_inline() -> None:
    assert POLICY.startswith("default-src 'none'")
    assert "unsafe" not in POLICY and "http" not in POLICY and "*" not in POLICY


async def test_nothing_else_of_the_package_is_served(lan: Lan) -> None:
    for name in ("redoc.standalone.js", "favicon.png", ""):
        assert (await lan.client.get(f"/docs/{name}")).status_code == 404
