"""The page in a real browser: keys, changes, classes, names of strangers, a server that is gone.

One server and one browser for all. Each test goes on from the session as it is.
"""

import json
import time

import pytest
from page_session import (
    TIMES,
    UNWRITABLE,
    Served,
    browser,
    opened,
    rename_class,
    until,
    wait,
    write_photographs,
)
from PIL import Image

from weakseg.labels.store import opened_store

HOSTILE = "<img src=x onerror=document.title=1>.png"
# The second time as soon as the next question is on show, by the page's own clock.
PRESS_TWICE = """async () => {
  const press = () => dispatchEvent(new KeyboardEvent("keydown", {code: "Digit1", key: "1"}));
  const { id } = page.questions.current;
  press();
  while (page.questions.current?.id === id || page.questions.shownAt === Infinity)
    await new Promise(requestAnimationFrame);
  press();
}"""
SIZES = {HOSTILE: (90, 60), **{f"{n}.png": (64, 48) for n in range(14)}}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    images = write_photographs(folder / "photos", SIZES)
    # Turned by its EXIF block: 40 wide and 70 tall as it is meant to be seen.
    turned = Image.new("RGB", (70, 40), (40, 90, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(images / "turned.jpg", exif=exif)
    found = Served(folder, images, "--classes", "<b>red</b>", "leaf")
    yield found
    found.close()


@pytest.fixture(scope="module")
def page(served):
    """The page, opened by its link, after the example clicks."""
    with browser() as chromium, opened(chromium, served.links[-1]) as found:
        yield found


def ready(page):
    """Wait until a question is on show and keys count."""
    wait(page, "page.questions.shownAt < performance.now() - 210")


def press(page, key):
    ready(page)
    page.keyboard.press(key)
    wait(page, "page.outbox.length === 0")


def stored(served):
    with opened_store(served.folder / "labels") as store:
        return [event for _, _, event in store.events("answered")]


def test_the_start_takes_one_click_a_class_and_one_sentence(page, served):
    page.wait_for_selector("#frame img")
    assert "Click on <b>red</b>" in page.inner_text("#task")  # a name is text, never HTML
    page.wait_for_timeout(300)
    page.keyboard.press("ArrowRight")
    wait(page, "page.examples.stage.shown?.picture === 1")
    box = page.locator("#frame .picture").bounding_box()
    before = time.monotonic()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
    until(lambda: len(served.told()) == 1)
    (example,) = served.told()
    index = served.session.photographs.index[example.asked.picture]
    width, height = served.session.photographs.sizes[index]
    assert index == 1 and example.label == "<b>red</b>"
    assert example.seconds > 0.3  # the search in both photographs
    assert abs(example.asked.place[0] - width / 2) < 1.5
    assert abs(example.asked.place[1] - height / 4) < 1.5
    wait(page, "document.querySelector('#task b').textContent === 'leaf'")
    page.keyboard.press("ArrowRight")
    page.get_by_role("tab", name="Draw").click()  # where it is no search
    page.wait_for_timeout(900)
    page.get_by_role("tab", name="Questions").click()
    page.wait_for_timeout(300)
    page.keyboard.press("Enter")  # skips the rest
    ready(page)
    elsewhere = 0.9
    log = served.session.log
    assert log.begun and log.seconds > 0.6
    assert 0.3 < log.searched < time.monotonic() - before - elsewhere


def test_keys_answer_by_their_place_and_the_next_question_is_there_already(page, served):
    before = len(served.told())
    keys = {"Digit1": "<b>red</b>", "Numpad2": "leaf", "Digit0": "background", "Space": None}
    for key in keys:
        press(page, key)
    told = served.told()[before:]
    assert [one.label for one in told if one.way == "first"][:4] == [*keys.values()]
    page.evaluate("page.questions.waits.length = 0")
    for number in range(10):
        wait(page, "page.questions.waiting.length")
        ready(page)
        (following, *_) = page.evaluate("page.questions.waiting.map((one) => one.id)")
        press(page, "Digit0")
        wait(page, f"page.questions.current?.id === {following}")
        assert len(page.evaluate("page.questions.waits")) >= number
    # Shift on a French number row changes the letter, not the key.
    ready(page)
    page.evaluate(
        "dispatchEvent(new KeyboardEvent('keydown', {code: 'Digit2', key: 'é', bubbles: true}))"
    )
    until(lambda: served.told()[-1].label == "leaf")


def test_repeats_and_keys_too_soon_mean_nothing(page, served):
    ready(page)
    count = len(served.told())
    page.evaluate(
        "dispatchEvent(new KeyboardEvent('keydown', {code: 'Digit1', key: '1', repeat: true}))"
    )
    page.evaluate(PRESS_TWICE)
    page.wait_for_timeout(250)
    wait(page, "page.outbox.length === 0")
    assert sum(one.way != "repeat" for one in served.told()[count:]) == 1


def test_going_back_changes_an_answer_and_the_strip_shows_it(page, served):
    press(page, "Digit1")
    number = served.told()[-1].asked.number
    current = page.evaluate("page.questions.current.id")
    ready(page)
    page.keyboard.press("Backspace")
    assert "You said: <b>red</b>" in page.inner_text("#prompt")
    press(page, "Digit2")
    changed = served.told()[-1]
    assert (changed.asked.number, changed.label, changed.way) == (number, "leaf", "changed")
    assert page.evaluate("page.questions.current.id") == current
    assert page.locator("#strip em").last.inner_text() == "leaf"
    page.locator("#strip button").nth(3).click()
    assert "You said" in page.inner_text("#prompt")
    for _ in range(9):
        ready(page)
        page.keyboard.press("ArrowRight")
    assert "in the middle" in page.inner_text("#prompt")
    assert len(page.locator("#strip button").all()) == 10


def test_masks_come_and_none_is_of_an_open_picture(page, served):
    page.wait_for_selector("#masks .tile", state="attached")
    open_now = set(page.evaluate("[...page.questions.open]"))
    shown = page.eval_on_selector_all(
        "#masks .tile:not(.asked)", "tiles => tiles.map(one => Number(one.dataset.picture))"
    )
    assert shown and not open_now & {*shown}
    assert page.locator("#masks .mask").first.evaluate("one => one.naturalWidth") > 0


def test_the_ring_lies_on_the_pixel_and_covers_none_of_it(page, served):
    ready(page)
    question = page.evaluate("page.questions.current")
    holder = page.locator("#frame .picture").bounding_box()
    ring = page.locator("#frame .ring").evaluate(
        "one => { const box = one.getBoundingClientRect(); return [box.x, box.y]; }"
    )
    scale = holder["width"] / question["width"]
    assert ring[0] == pytest.approx(holder["x"] + question["x"] * scale, abs=1)
    assert ring[1] == pytest.approx(holder["y"] + question["y"] * scale, abs=1)
    radius = float(page.locator("#frame .ring .dark").get_attribute("r"))
    assert radius - 2.5 > scale / 2 * 2**0.5


def test_an_upright_photograph_stays_upright(page, served):
    index = served.session.photographs.index["turned"]
    assert served.session.photographs.sizes[index] == (40, 70)
    size = page.evaluate(
        f"load => fetch('/picture/{index}').then(r => r.blob()).then(createImageBitmap)"
        ".then(one => [one.width, one.height])"
    )
    assert size == [40, 70]


def test_classes_are_added_and_coloured_in_mid_session(page, served):
    page.click("#open-classes")
    page.fill("#new-class", "<i>sky</i>")
    page.press("#new-class", "Enter")
    wait(page, "page.state.classes.length === 4")
    page.locator("#classes-dialog .close").click()
    assert page.locator("#keys button span").all_inner_texts() == [
        "<b>red</b>",
        "leaf",
        "<i>sky</i>",
        "none of these",
    ]
    press(page, "Digit3")
    assert served.told()[-1].label == "<i>sky</i>"


def test_the_strip_follows_a_class_that_is_renamed(page, served):
    press(page, "Digit3")
    rename_class(page, 3, "  <i>wide</i>   sky ", "<i>wide</i> sky")
    assert page.locator("#strip em").last.inner_text() == "<i>wide</i> sky"


def test_the_keyboard_changes_classes_and_arrow_keys_alone_merge_none(page, served):
    page.click("#open-classes")
    field = page.locator("#class-rows input:not([type=color])").nth(3)
    field.fill("")
    field.press("Enter")
    page.wait_for_selector("#classes-dialog .wrong:has-text('has a name')")
    field.fill("sky")
    field.press("Tab")
    wait(page, "page.state.classes.some(one => one.name === 'sky')")
    into = "class that sky goes into"
    wait(page, f"document.activeElement.ariaLabel === '{into}'")  # still, in the new row
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    assert "of sky become leaf" in page.inner_text("#merge")
    assert len(served.session.log.classes.names) == 4
    page.click("#merge-now")
    wait(page, "page.state.classes.length === 3")
    page.keyboard.press("Escape")
    assert served.told()[-1].label == "leaf"


def test_a_second_tab_takes_over_and_the_first_one_answers_no_more(page, served):
    ready(page)
    question = page.evaluate("page.questions.current.id")
    other = page.context.new_page()
    other.goto(page.url)
    ready(other)
    page.wait_for_selector("#elsewhere-dialog[open]")
    count = len(served.told())
    for key in ("Digit1", "Escape", "Digit1"):
        page.keyboard.press(key)
    assert page.evaluate("page.outbox.waiting.every(one => one.path === '/events')")
    assert other.evaluate("page.questions.current.id") == question
    assert len(served.told()) == count
    press(other, "Digit2")
    page.get_by_role("button", name="Go on here").click()
    other.wait_for_selector("#elsewhere-dialog[open]")
    ready(page)
    assert page.evaluate("page.questions.current.id") > question
    other.close()


def test_what_another_session_left_in_the_browser_is_not_stored_here(page, served):
    """Sessions follow each other at one address; answers of one mean nothing in another."""
    ready(page)
    question = page.evaluate("page.questions.current.id")
    mine = page.evaluate("page.outbox.key")
    theirs = mine.rpartition(" ")[0] + " 1.0"
    body = {"id": question, "class": "leaf", "times": {}}
    left = json.dumps([{"path": "/answer", "body": body}])
    page.evaluate("([key, left]) => localStorage.setItem(key, left)", [theirs, left])
    page.route("**/picture/*", lambda route: route.abort())
    page.reload()
    page.wait_for_selector("#frame:has-text('trying again')")
    page.unroute("**/picture/*")
    ready(page)
    wait(page, "page.outbox.length === 0")
    assert page.evaluate("page.questions.current.id") == question
    assert page.evaluate("key => localStorage.getItem(key)", theirs)


def test_a_touch_answers(page, served):
    ready(page)
    page.locator("#more button", has_text="can't tell").click()
    wait(page, "page.outbox.length === 0")
    assert served.told()[-1].label is None


def test_enter_presses_a_button_that_tab_has_led_to(page, served):
    ready(page)
    page.locator("#keys button", has_text="leaf").evaluate("one => one.focus()")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    press(page, "Enter")
    told = served.told()[-1]
    assert (told.label, told.other) == ("leaf", False)
    press(page, "Enter")
    assert served.told()[-1].other
    page.evaluate("document.activeElement.blur()")


def test_raw_events_are_stored_with_their_question(page, served):
    press(page, "Digit0")
    page.evaluate("page.clock.send()")
    wait(page, "page.outbox.length === 0")
    with opened_store(served.folder / "labels") as store:
        inputs = [event for _, _, event in store.events("input")]
    kinds = {event.kind for event in inputs}
    assert {"shown", "key", "press", "release"} <= kinds
    shown = [event.geometry for event in inputs if event.kind == "shown"]
    assert all(one["at"] > 1e12 and "prediction" in one for one in shown)
    answers = stored(served)
    assert {one["question"] for one in shown if "question" in one} >= {answers[-1].geometry["id"]}
    assert answers[-1].geometry["active"]["60"] <= answers[-1].geometry["wall"] + 0.01


def test_a_long_pause_covers_the_picture_and_asks(page, served):
    ready(page)
    page.evaluate("page.clock.last = performance.now() - 61000")
    page.wait_for_selector("#veil:not([hidden])")
    count = len(served.told())
    page.keyboard.press("Digit1")  # goes on, and is no answer
    page.wait_for_selector("#veil", state="hidden")
    assert len(served.told()) == count


def test_a_server_that_was_killed_before_it_stored_loses_nothing(page, served):
    ready(page)
    question = page.evaluate("page.questions.current.id")
    served.close()
    page.keyboard.press("Digit2")
    page.wait_for_selector("#fault:not([hidden])")
    wait(page, "page.outbox.length > 0")
    count = len(served.told())
    served.start()
    page.goto(served.links[-1])
    until(lambda: len(served.told()) > count)
    ready(page)
    told = [one for one in served.told() if one.asked.number == question]
    assert [one.label for one in told] == ["leaf"]
    assert page.evaluate("page.questions.current.id") > question


@pytest.mark.parametrize("fault", UNWRITABLE)
def test_an_answer_that_cant_be_stored_waits_until_it_can(page, served, fault):
    ready(page)
    question = page.evaluate("page.questions.current.id")
    with fault(served.folder / "labels") as words:
        page.keyboard.press("Digit2")
        page.wait_for_selector(f"#fault:has-text('kept here'):has-text('{words}')")
        page.reload()  # it waits in the browser's storage
        page.wait_for_selector(f"#fault:has-text('{words}')")
        assert question not in [one.asked.number for one in served.told()]
    until(page.locator("#fault").is_hidden)  # a thread behind the page may have met it too
    wait(page, "page.outbox.length === 0")
    told = [one for one in served.told() if one.asked.number == question]
    assert [one.label for one in told] == ["leaf"]
    ready(page)


@pytest.mark.parametrize("is_late", [False, True])
def test_a_question_that_another_browser_answers_is_left_out_here(page, served, is_late):
    """This page is told of it in time, or when its own answer comes too late."""
    if is_late:
        page.evaluate("page.questions.skipAnswered = () => {}")
    ready(page)
    question = page.evaluate("page.questions.current.id")
    served.session.answer(question, "leaf", TIMES, False, visit="another")
    if is_late:
        page.keyboard.press("Digit1")
    page.wait_for_selector("#prompt:has-text('answered in another browser')")
    wait(page, f"page.questions.told.at(-1).id === {question}")
    assert page.evaluate("page.questions.told.at(-1).class") == "leaf"
    ready(page)
    assert page.evaluate("page.questions.current.id") > question
    told = [one for one in served.told() if one.asked.number == question]
    assert [one.label for one in told] == ["leaf"]
    press(page, "Digit2")
    assert "another browser" not in page.inner_text("#prompt")


def test_a_name_of_a_stranger_runs_nothing(page):
    assert page.title() != "1"
    assert page.locator("img[src=x]").count() == 0
