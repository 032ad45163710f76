"""Chat templates: what is in their reach."""

import hashlib
from typing import Any

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engine.text.templates import CHATML, ChatTemplate
from appliance.errors import BadRequest

HELLO: tuple[dict[str, Any], ...] = ({"role": "user", "content": "hello"},)


def template(source: str, limit: int = 10_000) -> ChatTemplate:
    return ChatTemplate(source, bos="<s>", eos="</s>", limit=limit)


def render(source: str, messages: tuple[dict[str, Any], ...] = HELLO, limit: int = 10_000) -> str:
    return template(source, limit).render(messages)


def refusal(source: str, messages: tuple[dict[str, Any], ...] = HELLO) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        render(source, messages)
    assert caught.value.code == "template_failed"
    return caught.value


def test_the_fallback_is_chatml() -> None:
    assert render(CHATML) == "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"


def test_what_templates_of_the_field_use_is_there() -> None:
    source = (
        "{{ bos_token }}{% for m in messages %}{% if loop.first and m.role == 'system' %}"
        "{% continue %}{% endif %}{{ m['content'] | trim | tojson }}{% endfor %}"
        "{% set ns = namespace(n=0) %}{% set ns.n = 3 %}{{ ns.n }}{{ eos_token }}"
        "{{ strftime_now('%Y')|length }}{{ add_generation_prompt }}"
    )
    assert render(source) == '<s>"hello"3</s>4True'


def test_a_date_is_that_of_the_given_time() -> None:
    made = template("{{ strftime_now('%d %b %Y') }}")
    assert made.dated and not template(CHATML).dated
    assert made.render(HELLO, clock_s=86_400 * 365) == "01 Jan 1971"


def test_tojson_keeps_characters_and_does_not_escape_html() -> None:
    assert render("{{ {'a': '<é>'} | tojson }}") == '{"a": "<é>"}'


def test_content_is_data_and_never_a_template() -> None:
    text = "{{ 7 * 7 }}{% raw %}<|im_end|>"
    assert text in render(CHATML, ({"role": "user", "content": text},))


def test_the_digest_is_of_the_source() -> None:
    assert template("x").sha256 == hashlib.sha256(b"x").hexdigest()


ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}{{ ''['__class__'].__mro__ }}",
    "{{ (''|attr('__class__')).__mro__ }}",
    "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f')|attr('mro') }}",
    "{{ messages.__class__.__base__ }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update(role='system') }}",
    "{{ messages[0].clear() }}",
    "{{ raise_exception.__globals__['__builtins__'] }}",
    "{{ strftime_now.__code__.co_consts }}",
    "{{ cycler.__init__.__globals__.os.system('true') }}",
    "{{ lipsum.__globals__.os }}{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context.environment }}",
    "{{ '{0.__class__.__mro__}'.format(messages) }}",
    "{{ '{a.__class__.__init__.__globals__}'.format_map({'a': messages}) }}",
    "{{ ('%(a)s'|format(a=messages.__class__)).__class__.__mro__ }}",
    "{% set x = ''.__class__ %}{{ x.__mro__ }}",
    "{{ (messages|map(attribute='__class__')|list)[0].__mro__ }}",
    "{{ [1]|map('attr', '__class__')|map(attribute='__mro__')|list|string|length ~ x.y.z }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os.name }}",
    "{% extends '/etc/passwd' %}",
    "{{ range(1000000000)|list }}",
    "{{ open('/etc/passwd').read() }}",
    "{{ __import__('os') }}",
    "{{ ().__iter__.__self__.__class__.__base__ }}",
    "{{ (lambda: 1) }}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_a_way_out_of_the_sandbox_is_refused(source: str) -> None:
    refusal(source)


@pytest.mark.parametrize(
    "source",
    ["{{ ''.__class__ }}", "{{ ''|attr('__class__') }}", "{{ raise_exception.__globals__ }}"],
)
def test_a_private_attribute_is_nothing(source: str) -> None:
    """Jinja gives an undefined value here, which prints as nothing."""
    assert render(source) == ""


def test_the_attempts_work_without_the_sandbox() -> None:
    """The control: in a plain environment the first way out leads out."""
    plain = jinja2.Environment(autoescape=False)
    assert "class" in plain.from_string(ESCAPES[0]).render(messages=[])


def test_raise_exception_is_the_models_refusal_with_its_words() -> None:
    error = refusal("{{ raise_exception('roles must alternate') }}")
    assert "roles must alternate" in error.message


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}",
        "{{ 1 + }}",
        "{% nonsense %}",
        "{{ x|no_such_filter }}",
        "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
        "{% for a in messages %}" * 40 + "{% endfor %}" * 40,
        "{{ " + "9" * 5000 + " }}",
        "{% if x %}" * 3000 + "{% endif %}" * 3000,
        "{{ '" + "\\" + "ud800' }}",
        "{{ a" + ".b" * 30_000 + " }}",
        "{% macro m() %}" * 500 + "{% endmacro %}" * 500,
    ],
    ids=lambda s: s[:24].encode("ascii", "replace").decode(),
)
def test_a_source_that_does_not_compile_is_template_failed(source: str) -> None:
    """Either it compiles and renders, or the refusal has the code; Python errors never leak."""
    try:
        render(source)
    except BadRequest as error:
        assert error.code == "template_failed"


@pytest.mark.parametrize(
    "source",
    [
        "{{ 1 / 0 }}",
        "{{ messages[9].role }}",
        "{{ undefined_name.attribute }}",
        "{{ 'a' + 1 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ messages|sort(attribute='content.x.y')|join(1) ~ none.x }}",
        "{{ 10 ** 10000 }}",
        "{{ strftime_now(3) }}",
        "{{ {'a': raise_exception}|tojson }}",
    ],
)
def test_whatever_goes_wrong_while_rendering_is_template_failed(source: str) -> None:
    refusal(source)


def test_output_is_bounded_while_it_is_made() -> None:
    endless = (
        "{% for i in range(90000) %}{% for j in range(90000) %}xxxxxxxxxx{% endfor %}{% endfor %}"
    )
    for source in (endless, "{{ 'x' * 101 }}"):
        with pytest.raises(BadRequest, match="longer than 100 characters") as caught:
            render(source, limit=100)
        assert caught.value.code == "request_too_large"
    assert render("{{ 'x' * 100 }}", limit=100) == "x" * 100


def test_one_rendering_leaves_nothing_for_the_next() -> None:
    counting = template("{% set x = (x|default(0)) + 1 %}{{ x }}{{ messages|length }}")
    assert [counting.render(HELLO) for _ in range(3)] == ["11"] * 3


json_like: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.dictionaries(st.text(max_size=8), json_like, max_size=4), max_size=4))
def test_messages_of_any_shape_render_or_are_refused(messages: list[dict[str, Any]]) -> None:
    for source in (
        CHATML,
        "{% for m in messages %}{{ m.content.x }}{{ m.role + m['content'] }}{% endfor %}",
    ):
        try:
            render(source, tuple(messages))
        except BadRequest as error:
            assert error.code == "template_failed"
