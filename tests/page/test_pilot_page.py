"""The pilot in a real browser: its cards, both views, and its table."""

import numpy as np
import pytest
from page_session import browser, session_in, until, write_photographs

from weakseg.labels.clock import visits
from weakseg.labels.store import opened_store
from weakseg.page import pilot
from weakseg.page.server import Server


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A pilot of three pictures a kind, with one question about each, and its link."""
    monkeypatch.setattr(pilot, "PICTURES", 3)
    monkeypatch.setattr(pilot, "QUESTIONS", 1)
    images = write_photographs(tmp_path / "photos", {f"{n}.png": (64, 48) for n in range(6)})
    session = session_in(tmp_path, images, "--classes", "red")
    session.measure(["questions", "masks"])
    links = []
    server = Server(session, "127.0.0.1", 0, links.append)
    server.start()
    yield session, links[-1]
    server.close()


def work(page):
    """Do what is on show, if it is ready."""
    if page.evaluate("document.getElementById('pilot-dialog').open"):
        page.keyboard.press("Enter")
    elif page.evaluate("page.questions.shownAt < performance.now() - 210"):
        page.keyboard.press("Digit1")
    elif page.evaluate("page.draw.active && page.draw.only.left.includes(page.draw.ready)"):
        if page.evaluate("page.draw.found.index !== page.draw.ready || page.draw.dirty"):
            return
        page.evaluate("page.draw.choose('brush')")
        box = page.locator("#pad").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for key in ("", "Backspace", "Control+y", ""):
            if key:
                page.keyboard.press(key)
            else:
                page.mouse.move(x, y)
                page.mouse.down()
                page.mouse.move(x + 30, y + 20)
                page.mouse.up()
                x += 20
        page.keyboard.press("KeyV")  # no prediction is shown
        page.evaluate("page.draw.ready = -1")  # until the next one is
        page.keyboard.press("Enter")


def test_a_pilot_from_its_first_card_to_its_table(served):
    session, link = served
    with browser() as chromium:
        page = chromium.new_page()
        faults = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(link)
        page.wait_for_selector("#pilot-dialog[open]")
        assert "Block 1 of 4" in page.inner_text("#pilot-dialog")
        until(lambda: work(page) or session.pilot.finished.is_set())
        page.wait_for_selector("#pilot-table table")
        table = page.inner_text("#pilot-table")
        assert (
            "answer\t3" in table
            and "mask of an object\t3" in table
            and "look at a picture\t6" in table
        )
        page.evaluate("page.clock.send()")
        until(lambda: page.evaluate("page.outbox.length === 0"))
        assert not faults
    with opened_store(session.log.folder) as store:
        raw = visits(event for _, _, event in store.events("input"))
        acts = [event for _, _, event in store.events("answered", "drawn")]
    told = sorted(act.geometry["active"]["60"] for act in acts)
    again = sorted(one.seconds["60"] for one in raw)
    assert np.allclose(told, again, atol=0.01) and not any(one.is_seen for one in raw)
    drawn = [act.geometry for act in acts if act.act == "drawn"]
    assert [one["complete"] for one in drawn] == [["full"]] * 3
    # What was undone, redone and painted on belongs to the mask that it became.
    with opened_store(session.log.folder) as store:
        inputs = [event for _, _, event in store.events("input") if event.picture]
    for act in (one for one in acts if one.act == "drawn"):
        own = [one for one in inputs if one.picture == act.picture]
        last = max(one.geometry["clock"] for one in own if one.kind == "drew")
        began = min(one.geometry["clock"] for one in own if one.kind == "shown")
        (mask,) = act.geometry["shapes"]
        assert abs(mask["wall"] - (last - began) / 1000) < 1
