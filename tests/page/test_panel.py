"""What the panel says of the next minutes: no more than the gain of a doubling allows."""

import re
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_session import Visitor, session_in, started, until, write_photographs

from weakseg.page import panel
from weakseg.page.panel import Outlook
from weakseg.planning.gain import OPEN, SMALL

TOLD = re.compile(r"Less than a point .* next (?:(\d+) answers|answer), about (\d+|a) minutes? at")


@given(st.integers(40, 5000), st.booleans(), st.data())
def test_less_than_a_point_is_said_of_the_doubling_alone(at, is_small, data):
    """Whoever goes on by the sentence gives no more than twice the answers that it was found by."""
    answers = at + data.draw(st.integers(0, 2 * at))
    pace = data.draw(st.floats(0.5, 20))
    line = Outlook(at, is_small).sentence(answers, pace * answers)
    assert (line == OPEN) == (not is_small or answers >= 2 * at)
    if line != OPEN:
        number, minutes = TOLD.match(line).groups()
        left = int(number or 1)
        assert answers + left == 2 * at
        assert abs(int(minutes.replace("a", "1")) - left * pace / 60) <= 1


@pytest.mark.parametrize(
    ("sentence", "words"), [(SMALL, "Less than a point"), (OPEN, "Can't tell")]
)
def test_the_page_says_what_was_found_and_nothing_of_other_classes(tmp_path, sentence, words):
    images = write_photographs(tmp_path / "photos", {f"{n}.png": (40, 30) for n in range(12)})
    session = session_in(tmp_path, images, "--classes", "red")
    visitor, found = Visitor(session), SimpleNamespace(sentence=sentence)

    def shown():
        return visitor.get("/state")["panel"]["sentence"]

    def work(count):
        for number in range(count):
            until(visitor.questions, 60)
            one = visitor.questions()[0]
            visitor.last = one["id"]
            visitor.answer(one, ("red", "background")[number % 2])

    with started(session), patch.object(panel, "gain", lambda asking: found):
        with patch.object(panel, "ENOUGH", 3):
            visitor.post("/begin", {})
            work(25)
            until(lambda: session.panel.outlook)
        assert shown().startswith(words)
        visitor.post("/classes", {"add": "leaf"})
        work(6)
        until(lambda: shown() == "")
