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
    session.measure(["questions", "boxes"])
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
        box = page.locator("#pad").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for step in ("move", "down", "move", "up"):
            place = (x, y) if step == "move" else ()
            getattr(page.mouse, step)(*place)
            x, y = x + 20, y + 15
        page.keyboard.press("KeyV")  # no prediction is shown
        page.keyboard.press("Enter")
        page.evaluate("page.draw.ready = -1")


def test_a_pilot_from_its_first_card_to_its_table(served):
    session, link = served
    with browser() as chromium:
        page = chromium.new_page()
        faults = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(link)
        page.wait_for_selector("#pilot-dialog[open]")
        assert "Block 1 of 4" in page.inner_text("#pilot-dialog")
        until(lambda: work(page) or session.pilot.finished.is_set(), 30)
        page.wait_for_selector("#pilot-table table")
        table = page.inner_text("#pilot-table")
        assert "answer\t3" in table and "box\t3" in table and "look at a picture\t6" in table
        page.evaluate("page.clock.send()")
        until(lambda: page.evaluate("page.outbox.length === 0"))
        assert not faults
    with opened_store(session.log.folder) as store:
        raw = visits(event for _, _, event in store.events("input"))
        acts = [event for _, _, event in store.events("answered", "drawn")]
    told = sorted(act.geometry["active"]["60"] for act in acts)
    again = sorted(one.seconds["60"] for one in raw)
    assert np.allclose(told, again, atol=0.01) and not any(one.is_seen for one in raw)
    assert [act.geometry["complete"] for act in acts if act.act == "drawn"] == [["boxes"]] * 3
