"""Words of queries."""

import pytest

from appliance.retrieval.terms import MOST_TERMS, language_of, query_terms


def test_words_are_those_of_the_index() -> None:
    assert query_terms("How do I replace the pumps, or a PUMP?") == ["pump", "replac"]
    assert query_terms("R\u00e9parations") == query_terms("reparations")


def test_a_query_of_small_words_is_searched_all_the_same() -> None:
    assert query_terms("who is it") == ["is", "it", "who"]
    assert query_terms("") == query_terms("?!") == []


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("Comment l'installation d'un paquet s'arr\u00eate-t-elle\u00a0?", "arret instal paquet"),
        ("Lorsqu\u2019une pompe n\u2019aspire pas d\u2019huile", "aspir huil pomp"),
        ("Why doesn't list.sort() return the sorted list?", "list return sort"),
        ("What's wrong? They're O'Reilly's.", "o reilli wrong"),
        ("What are C's types?", "c type"),
        ("'s t", "s t"),
    ],
)
def test_what_an_apostrophe_sets_off_is_left_out(query: str, terms: str) -> None:
    assert query_terms(query) == terms.split()


def test_operators_are_plain_words() -> None:
    assert query_terms('"a" OR b* NEAR(c) body:x') == ["b", "bodi", "c", "near", "x"]


def test_the_number_of_terms_is_bounded() -> None:
    assert len(query_terms(" ".join(f"w{n}" for n in range(500)))) == MOST_TERMS


def test_languages_are_told_by_their_small_words() -> None:
    assert language_of("The pump is in the cab and it leaks when it is hot.") == "en"
    assert language_of("Die Pumpe ist in der Kabine und sie leckt, wenn es hei\u00df ist.") == "de"
    assert language_of("La pompe est dans la cabine et elle fuit quand il est chaud.") == "fr"
    assert language_of("12 bar 4711") == ""
