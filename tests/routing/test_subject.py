"""Subject of a calibration; test_calibration has wrong specifications."""

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from appliance.datasets.items import Item
from appliance.errors import TaskRefused
from appliance.routing import subject
from appliance.routing.subject import RouteSubject
from appliance.tasks.loaded import LoadedTask, load
from tests.evals.orders import FITTED
from tests.routing.world import COMMON, coefficients
from tests.tasks import example
from tests.tasks.example import BLEND, FIELDS, SCHEMA
from tests.tasks.test_loaded import loaded


def task(text: str = FITTED) -> LoadedTask:
    files = {"task.toml": text.encode(), "classifier.json": coefficients(COMMON).encode()}
    return load(lambda name, most: files[name][:most], "1" * 64)


def unfit(small: LoadedTask, larger: LoadedTask | None) -> str:
    with pytest.raises(TaskRefused) as caught:
        subject._check_stages(small, larger)
    assert caught.value.code == "route_stage_unfit"
    return caught.value.message


def test_only_a_model_is_asked_whether_it_is_right() -> None:
    subject._check_stages(in_fields(), None, p_true=True)
    with pytest.raises(TaskRefused) as caught:
        subject._check_stages(task(), None, p_true=True)
    assert caught.value.code == "route_stage_unfit" and "p_true" in caught.value.message


def test_a_group_comes_from_something_that_a_request_has() -> None:
    for known in ("", "key", "person", "text"):
        subject._check_group(task(), known)
    with pytest.raises(TaskRefused) as caught:
        subject._check_group(task(), "customer")
    assert caught.value.code == "route_stage_unfit"
    assert "none of key, person, text" in caught.value.message


def test_stages_take_the_same_fields_and_give_the_same_labels() -> None:
    subject._check_stages(task(), None)
    subject._check_stages(task(), task(FITTED.replace("max_chars = 500", "max_chars = 900")))
    renamed = FITTED.replace('name = "text"', 'name = "order"').replace("{{ text }}", "{{ order }}")
    assert "fields" in unfit(task(), task(renamed))
    other = SimpleNamespace(task=SimpleNamespace(id="x", output=None))
    assert "labels" in unfit(task(), cast(LoadedTask, other))
    assert "text" in unfit(cast(LoadedTask, other), None)


def test_a_route_gives_one_label_and_is_not_measured_by_the_first_three() -> None:
    assert "top_3" in unfit(task(FITTED.replace("exact_match", "top_3")), None)


def in_fields(schema: Mapping[str, Any] = SCHEMA, encoding: str = "values") -> LoadedTask:
    toml = FIELDS.replace('"values"', f'"{encoding}"')
    files = {"task.toml": toml.encode(), "schema.json": json.dumps(schema).encode()}
    return load(lambda name, most: files[name][:most], "1" * 64)


def test_stages_of_fields_have_one_schema_in_any_encoding() -> None:
    subject._check_stages(in_fields(), None)
    subject._check_stages(in_fields(), in_fields(encoding="json"))
    less = {**SCHEMA, "required": ["part"]}
    assert "schema" in unfit(in_fields(), in_fields(less, "json"))
    assert "schema" in unfit(in_fields(), task())
    assert "labels" in unfit(task(), in_fields())


def noise(*pairs: tuple[str, str]) -> float:
    items = tuple(
        Item(f"i{n}", f"g{n}", {"text": text}, label) for n, (text, label) in enumerate(pairs)
    )
    split = SimpleNamespace(dataset=SimpleNamespace(splits={"train": items}))
    return RouteSubject.noise.fget(cast(RouteSubject, SimpleNamespace(split=split)))  # type: ignore[attr-defined,no-any-return]


def test_noise_is_what_repeated_texts_contradict() -> None:
    same = [(f"text {n}", "a") for n in range(20) for _ in range(2)]
    assert noise(*same) == 0
    assert noise(*same, ("text 1", "b"), ("text 2", "b")) == pytest.approx(2 / 42)
    assert noise(("text 1", "a"), ("text 1", "b")) == 0  # too few to tell


def test_what_a_model_has_a_part_in_depends_on_company() -> None:
    blend = loaded(BLEND, classifier_json=example.coefficients())
    stages = {"classifier": task(), "model": in_fields(), "blend": blend}
    for kind, small in stages.items():
        assert small.task.candidate.kind == kind
        for covered in (True, False):
            found = cast(RouteSubject, SimpleNamespace(small=small, covered=covered))
            wanted = kind != "classifier" and not covered
            assert RouteSubject.company.fget(found) is wanted  # type: ignore[attr-defined]
