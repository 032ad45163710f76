"""Ten thousand pages come in, whatever moments the server is killed at."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.app import initialise, open_services
from appliance.retrieval.access import ADMIN
from appliance.retrieval.checking import verify
from tests.conftest import CHECKOUT
from tests.retrieval.pdfs import pdf

DOCUMENTS, PAGES, KILLS = 250, 40, 50


def page(document: int, number: int) -> list[str]:
    rng = random.Random(document * 1_000 + number)
    words = [
        f"d{document}p{number}",
        *rng.choices(["pump", "valve", "hose", "engine", "track"], k=60),
    ]
    return [" ".join(words[at : at + 10]) for at in range(0, len(words), 10)]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_pages_survive_fifty_kills(tmp_path: Path) -> None:
    data, documents = tmp_path / "data", tmp_path / "documents"
    initialise(data, "lab")
    documents.mkdir()
    for number in range(DOCUMENTS):
        pages = [page(number, at) for at in range(PAGES)]
        (documents / f"{number:03}.pdf").write_bytes(pdf(pages))
    command = [sys.executable, "-m", "tests.system.ingest_kills", str(data), str(documents)]
    rng, kills = random.Random(), 0
    while True:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "at work\n"
            if kills == KILLS:
                assert child.wait(900) == 0
                break
            time.sleep(rng.random() * 0.5)
            assert child.poll() is None, f"it was done after {kills} kills"
            child.kill()
            kills += 1
    with open_services(data) as services:
        collection = services.retrieval.library.get("c").collection
        found = collection.documents(ADMIN)
        assert len(found) == DOCUMENTS
        assert {(d.version, d.pages, d.empty_pages) for d in found} == {(1, PAGES, 0)}
        checked = verify(collection)
        assert (checked.documents, checked.versions) == (DOCUMENTS, DOCUMENTS)
        assert checked.problems == []
        searcher = services.retrieval.library.get("c").searcher
        for document, number in ((0, 0), (DOCUMENTS // 2, 7), (DOCUMENTS - 1, PAGES - 1)):
            (passage, *_) = searcher.search(ADMIN, f"d{document}p{number}", 1).passages
            assert passage.document == f"{document:03}.pdf"
