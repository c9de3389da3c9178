"""What the panel says of the next minutes: no more than the gain of a doubling allows."""

import re
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_session import Visitor, session_in, started, until, write_photographs

from weakseg.page import panel
from weakseg.page.panel import Outlook
from weakseg.planning.gain import OPEN, SMALL
from weakseg.planning.out_of_fold import quality

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
    asking, known = session.asker.snapshot(), session.log.estimates[:]

    def meanwhile(found, *_):
        if len(session.log.classes.names) > 2:
            visitor.post("/classes", {"merge": "leaf", "to": "red"})
        return quality(found, True)

    session.panel.estimated_at, session.panel.classes = 0, session.log.classes
    with patch.object(panel, "ENOUGH", 3), patch.object(panel, "quality", meanwhile):
        session.panel.estimate(asking)  # of classes that are gone by its end: it says nothing
    assert session.log.estimates == known


@pytest.mark.parametrize(("scored", "is_told"), [([0], False), ([0, 2], True)])
def test_how_well_the_background_alone_is_found_is_no_estimate(tmp_path, scored, is_told):
    images = write_photographs(tmp_path / "photos", {f"{n}.png": (40, 30) for n in range(2)})
    session = session_in(tmp_path, images, "--classes", "red", "leaf")
    answers = np.array([0, 1, 2])
    found = SimpleNamespace(answers=answers, predicted=answers)
    unscored = [number for number in range(3) if number not in scored]
    content = {"miou": [80.0, 70.0, 90.0], "pixel_accuracy": None, "cannot_tell": None}
    content |= {"scored": scored, "unscored": unscored}
    asking = SimpleNamespace(answers=[], model=SimpleNamespace(fits=1))
    session.panel.slow_at = 1
    with (
        patch.multiple(panel, ENOUGH=3, out_of_fold=lambda _: found, quality=lambda *_: None),
        patch.object(panel, "as_dict", lambda _: content),
    ):
        session.panel.estimate(asking)
    shown = session.panel.state()
    assert (shown["estimate"] is not None) == is_told
    assert shown["agreement"]["unscored"] == [("background", "red", "leaf")[n] for n in unscored]
    assert any("without red" in line for line in session.panel.card()) == is_told
