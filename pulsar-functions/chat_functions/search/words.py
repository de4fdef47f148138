"""The words of a text, in any language, as the index keeps them and as a query asks for them.

Case, width and ligatures are folded by the standard library (NFKC and Unicode case folding), words are split where
Unicode puts word boundaries (UAX #29, by `regex`). Scripts that put no spaces between words are indexed by letters and
pairs of letters instead: no dictionary that text and query could disagree about. Korean is among them, since its
particles are written onto the word.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import regex

LONGEST = 64
"""Characters of a word that count; what differs only behind them is the same word."""
_PILE = regex.compile(r"(\p{M}{30})\p{M}+")
"""Marks on one letter of which the first thirty count (UAX #15, Stream-Safe Text Format): no language has so many."""
_SPACELESS = regex.compile(
    r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}ー]\p{M}*)+"
)
_BOUNDARY = regex.compile(r"\b", regex.WORD | regex.V1)
_WORD = regex.compile(r"[\p{L}\p{N}\p{Extended_Pictographic}]")
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u02bc": "'"})


@dataclass(frozen=True, slots=True)
class Words:
    """What a text consists of: words between spaces, and runs of letters without any."""

    words: frozenset[str]
    runs: tuple[str, ...]

    @property
    def indexed(self) -> frozenset[str]:
        """The terms under which the text is found."""
        return self.words.union(*(_letters(run) | _pairs(run) for run in self.runs))

    @property
    def asked(self) -> frozenset[str]:
        """The terms that a text must have if this is the query. Empty: nothing is asked for."""
        return self.words.union(*(_pairs(run) or _letters(run) for run in self.runs))

    def contains(self, query: Words) -> bool:
        """Whether the text has every word of the query, and its runs as they stand, not only their pairs."""
        return query.words <= self.words and all(any(asked in run for run in self.runs) for asked in query.runs)


def words_of(text: str) -> Words:
    """The words of a text or a query."""
    folded = _fold(text)
    runs = tuple(found.group() for found in _SPACELESS.finditer(folded))
    pieces = _BOUNDARY.split(_SPACELESS.sub(" ", folded))
    return Words(frozenset(piece[:LONGEST] for piece in pieces if _WORD.search(piece)), runs)


def _fold(text: str) -> str:
    text = _PILE.sub(r"\1", text)  # a pile is sorted, by as many steps as its length squared
    once = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", once).translate(_APOSTROPHES)  # folding may undo the normal form


def _letters(run: str) -> frozenset[str]:
    return frozenset(run)


def _pairs(run: str) -> frozenset[str]:
    return frozenset(run[place : place + 2] for place in range(len(run) - 1))
