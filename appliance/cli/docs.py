"""`docs`: the guides, offline.

Rules: the pages were made when this installation's wheel was built; they are served on loopback
only, and a browser that shows them may ask no other host.
"""

import io
import os
import re
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from appliance.cli.imports import importing
from appliance.cli.output import Output, json_option, table
from appliance.errors import Refused

if TYPE_CHECKING:
    from starlette.applications import Starlette

PAGES: Final = Path(__file__).parents[1] / "pages"
CONTENTS: Final = "contents"
HOST: Final = "127.0.0.1"
POLICY: Final = "default-src 'self' data: 'unsafe-inline'; frame-ancestors 'none'"
_SOURCE: Final = ".md.txt"
_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK: Final = re.compile(r"\[([^\]]+)\]\((?:[\w.-]+/)*([\w-]+)\.md(?:#[\w-]+)?\)")


@click.command()
@click.argument("page", required=False)
@click.option(
    "--port",
    metavar="N",
    default=8090,
    type=click.IntRange(0, 65_535),
    help="Port; 8090 without it.",
)
@json_option
@click.pass_obj
def docs(output: Output, page: str | None, port: int) -> None:
    """Show the guides, without a network.

    Serves them to a browser on this host, with a search, until ctrl-c; or prints PAGE.
    `contents` lists the pages.
    """
    sources = pages(PAGES)
    if page is None:
        _serve(output, port)
    elif page == CONTENTS:
        titles = {name: _title(path) for name, path in sources.items()}
        output.data({"pages": titles}, table(("PAGE", "TITLE"), titles.items()))
    else:
        name = page.removesuffix(".md").removeprefix("docs/")
        if name not in sources:
            raise Refused("unknown_page", f"There is no page {name!r}.")
        text = sources[name].read_text(encoding="utf-8")
        if sys.stdout.isatty() and not output.as_json:
            click.echo_via_pager(drawn(text))
        else:
            output.data({"page": name, "text": text}, [text.rstrip()])


def pages(place: Path) -> dict[str, Path]:
    """Files by name.

    Raises:
        Refused: `docs_missing`.
    """
    root = place / "_sources"
    found = {p.relative_to(root).as_posix(): p for p in sorted(root.rglob(f"*{_SOURCE}"))}
    if not found:
        raise Refused("docs_missing", "This installation has no pages.")
    names = {name.removesuffix(_SOURCE).removeprefix("docs/"): p for name, p in found.items()}
    return {name: path for name, path in names.items() if name not in ("index", "decisions")}


def site(place: Path) -> "Starlette":
    """The pages as a site."""
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles

    return Starlette(routes=[Mount("/", StaticFiles(directory=place, html=True))])


def drawn(text: str) -> str:
    """Markdown as a terminal shows it."""
    from rich.console import Console
    from rich.markdown import Markdown

    out = io.StringIO()
    text = _LINK.sub(lambda m: m[1] if m[2] in m[1] else f"{m[1]} ({m[2]})", _COMMENT.sub("", text))
    console = Console(file=out, force_terminal=os.environ.get("TERM") != "dumb")
    console.print(Markdown(text, hyperlinks=False))
    return out.getvalue()


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def _serve(output: Output, port: int) -> None:
    with importing():
        import uvicorn

    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        message = f"Port {port} of {HOST} cannot be used: {error.strerror}."
        raise Refused("docs_port_taken", message) from error
    with listener:
        url = f"http://{HOST}:{listener.getsockname()[1]}/"
        output.data({"url": url}, [f"The guides are at {url}; ctrl-c ends this."])
        sys.stdout.flush()
        config = uvicorn.Config(
            site(PAGES), log_level="warning", headers=[("content-security-policy", POLICY)]
        )
        uvicorn.Server(config).run(sockets=[listener])
