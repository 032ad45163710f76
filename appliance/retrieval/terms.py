"""The words of a query as the index of a collection writes them.

Rules: the index's own tokeniser makes them; words without content are left out, unless nothing else
is there, and so is the part before or after an apostrophe (d'huile, doesn't).
"""

import re
from typing import Final

import pysqlite3.dbapi2

TOKENIZER: Final = "porter unicode61 remove_diacritics 2"
"""Of every collection. Porter's stemmer is for English and harms other languages little."""
MOST_TERMS: Final = 64
"""Words of a query that are searched; the rest is left out."""
# The most frequent words of English, German and French that mean nothing by themselves.
_STOP: Final = {
    "en": "a about an and any are aren as at be been but by can could couldn did didn do does doesn"
    " don for from had has hasn have haven how i if in into is isn it its me my no not of on or our"
    " should shouldn so than that the their them there these they this those to was wasn we were"
    " weren what when where which who why will with would wouldn you your",
    "de": "aber als am an auch auf aus bei bin bis da das dass dem den der des die dies diese"
    " dieser durch ein eine einem einen einer eines er es für gibt hat ich ihr im in ist kann kein"
    " keine man mein mich mir mit nach nicht noch nur ob oder sein sich sie sind so soll und uns"
    " vom von vor war warum was welche wenn wer werden wie wird wir wo zu zum zur über",
    "fr": "a au aux avec ce ces cette comment dans de des du elle en est et être il ils je la le"
    " les leur lui ma mais me mes mon ne nous on ou où par pas pour pourquoi puis quand que quel"
    " quelle quelles quels qui sa se ses son sont sur un une vous y à",
}
STOP_WORDS: Final = {language: frozenset(words.split()) for language, words in _STOP.items()}
_ALL_STOP: Final = frozenset().union(*STOP_WORDS.values())
_WORD: Final = re.compile(r"\w+")
# What an apostrophe sets off and means nothing: l'huile, qu'il, a-t-il; don't, what's, we're.
_APOSTROPHE: Final = re.compile(
    r"\b(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu)['\u2019](?=\w\w)|-t-(?=\w)"
    r"|(?<=\w)['\u2019](?:s|t|re|ll|ve|d|m)\b"
)


def query_terms(query: str) -> list[str]:
    """The terms of a query, in alphabetical order."""
    words = _WORD.findall(_APOSTROPHE.sub(" ", query.lower()))
    content = [word for word in words if word not in _ALL_STOP] or words
    connection = pysqlite3.dbapi2.connect(":memory:")
    try:
        connection.execute(f"CREATE VIRTUAL TABLE q USING fts5(body, tokenize='{TOKENIZER}')")
        connection.execute("CREATE VIRTUAL TABLE v USING fts5vocab(q, row)")
        connection.execute("INSERT INTO q VALUES (?)", (" ".join(content[: MOST_TERMS * 2]),))
        rows = connection.execute("SELECT term FROM v ORDER BY term").fetchall()
    finally:
        connection.close()
    return [str(term) for (term,) in rows[:MOST_TERMS]]


def language_of(text: str) -> str:
    """By the most frequent small words: en, de, fr, or "" when unclear."""
    words = _WORD.findall(text[:20_000].lower())
    counts = {name: sum(word in stop for word in words) for name, stop in STOP_WORDS.items()}
    best, second = sorted(counts.values(), reverse=True)[:2]
    if best * 10 < len(words) or best == second:
        return ""
    return max(counts, key=lambda name: counts[name])
