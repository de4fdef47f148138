"""The words of a text: what was said can be asked for, in any case, whole or, without spaces, in part."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chat_functions.search.words import LONGEST, words_of
from tests.fastest import fastest


@given(st.text(max_size=60))
def test_a_text_holds_itself_in_any_case(text: str) -> None:
    """And what a query asks the index for is what was put there."""
    said = words_of(text)
    for query in (text, text.upper(), text.casefold()):
        asked = words_of(query)
        assert asked.asked <= asked.indexed
        if words_of(query.casefold()) == words_of(text.casefold()):  # upper case is not always a way back
            assert asked.asked <= said.indexed
            assert said.contains(asked)


@given(st.text(alphabet="東京タワーに行く", min_size=1, max_size=12), st.data())
def test_a_part_of_a_run_is_found_in_it(run: str, data: st.DataObject) -> None:
    """Wherever it begins and ends; and its letters in another order only if they stand there so too."""
    start = data.draw(st.integers(0, len(run) - 1))
    part = run[start : data.draw(st.integers(start + 1, len(run)))]
    asked, said = words_of(part), words_of(f"と言う {run}。")
    assert asked.asked <= said.indexed
    assert said.contains(asked)
    turned = part[::-1]
    assert said.contains(words_of(turned)) == (turned in run)


def test_a_pile_of_marks_takes_no_time() -> None:
    """To bring marks into order takes as many steps as there are, squared."""
    marks = "x" + "\u0300" * 4000 + "\u0316" * 4000
    assert words_of(marks) == words_of("x" + "\u0300" * 30)
    assert fastest(lambda: words_of(marks)) < 0.005  # sixty ms without that bound


def test_words_are_bounded() -> None:
    """However long somebody types without a blank."""
    assert words_of("a" * 4000).indexed == {"a" * LONGEST}
    assert words_of("?! ...").asked == frozenset()
