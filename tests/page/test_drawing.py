"""Drawing with a real mouse: what is stored, to the hundredth of a pixel, and what is never lost.

One server and one browser for all. Each test takes a picture of its own.
"""

import json

import numpy as np
import pytest
from page_session import Served, browser, opened, rename_class, until, wait, write_photographs
from PIL import Image

from weakseg.labels.carried import label_record, merged
from weakseg.labels.formats.geometry import area_pixels
from weakseg.labels.formats.runs import mask_geometry
from weakseg.labels.store import opened_store
from weakseg.labels.store_labels import store_content

TURNED = "turned"  # by its EXIF block: 48 wide and 80 tall as it is meant to be seen
SIZE = (48, 80)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawing")
    images = write_photographs(folder / "photos", {f"{n}.png": (64, 48) for n in range(12)})
    pixels = np.random.default_rng(0).integers(0, 255, (48, 80, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(images / f"{TURNED}.jpg", exif=exif)
    found = Served(folder, images, "--classes", "red", "leaf")
    yield found
    found.close()


@pytest.fixture(scope="module")
def page(served):
    with browser() as chromium, opened(chromium, served.links[-1]) as found:
        enter(found)
        yield found


def enter(page):
    """Open the drawing view."""
    page.get_by_role("tab", name="Draw").click()
    wait(page, "page.draw.ready !== undefined")


def show(page, served, name):
    """Show a picture, and return its index."""
    index = served.session.photographs.index[name]
    page.evaluate(f"page.draw.open({index})")
    wait(page, f"page.draw.ready === {index} && page.draw.drawing.picture.index === {index}")
    return index


def at(page, x, y):
    """Return where a place of the photograph is on the screen."""
    box = page.locator("#pad").bounding_box()
    left, top = page.evaluate(f"page.draw.pad.view.toScreen({x}, {y})")
    return box["x"] + left, box["y"] + top


def click(page, x, y):
    page.mouse.click(*at(page, x, y))


def drag(page, *places):
    page.mouse.move(*at(page, *places[0]))
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*at(page, *place))
    page.mouse.up()


def drawn(page):
    return page.evaluate("page.draw.drawing.shapes.map(one => [one.kind, one.class, one.geometry])")


def save(page, served, name):
    """Save the picture on show, and return its shapes in the store, as (kind, class, geometry)."""
    done = served.session.drawings
    before = done.version
    page.keyboard.press("Enter")
    until(lambda: done.version > before)
    with opened_store(served.folder / "labels") as store:
        given = store.given([done.source])[name][done.source]
    return [(one.kind, one.label, one.geometry) for one in given.shapes.values()], given


def near(places, wanted, within=0.02):
    return np.abs(np.array(places, float) - np.array(wanted, float)).max() <= within


def test_each_kind_lies_where_it_was_drawn_on_a_turned_zoomed_photograph(page, served):
    show(page, served, TURNED)
    assert page.evaluate("[page.draw.drawing.picture.width, page.draw.drawing.picture.height]") == [
        *SIZE
    ]
    page.keyboard.press("t")  # the view is turned by a quarter as well
    before, scale = at(page, 30, 40), page.evaluate("page.draw.pad.view.scale")
    page.mouse.move(*before)
    page.mouse.wheel(0, -200)  # zoom at the cursor: what lies under it stays
    wait(page, f"page.draw.pad.view.scale > 1.2 * {scale}")
    assert near(at(page, 30, 40), before, 1)
    page.keyboard.press("1")
    click(page, 20.25, 30.5)
    page.keyboard.press("s")
    page.keyboard.press("0")
    drag(page, (12, 22), (15, 34), (14, 46))
    page.keyboard.press("b")
    page.keyboard.press("2")
    drag(page, (18, 25), (33, 52.5))
    for place in [(22, 30), (35, 41), (27, 49), (20, 38)]:
        click(page, *place)
    page.keyboard.press("o")
    for place in [(20, 24), (34, 26), (31, 50)]:
        click(page, *place)
    page.keyboard.press("Enter")  # closes it
    page.keyboard.press("p")
    for place in [(16, 28), (30, 28), (30, 44), (16, 44)]:
        click(page, *place)
    click(page, 16, 28)  # on its first corner: closes it too
    page.keyboard.press("1")
    page.keyboard.press("m")
    page.evaluate("page.draw.pad.sizeBrush(6)")
    drag(page, (20, 33), (30, 33))
    page.get_by_role("button", name="leaf: not said").click()
    shapes, given = save(page, served, TURNED)
    assert given.size == SIZE and given.complete == ()
    kinds = [kind for kind, *_ in shapes]
    assert kinds == ["click", "stroke", "box", "box", "outline", "polygon", "mask", "tag"]
    assert [label for _, label, _ in shapes] == ["red", "background", *["leaf"] * 4, "red", "leaf"]
    tap, stroke, box, extreme, outline, polygon, mask, tag = [shape for *_, shape in shapes]
    assert near(tap, (20.25, 30.5)) and tag is True
    assert near(stroke["path"], [(12, 22), (15, 34), (14, 46)]) and stroke["width"] == 12
    assert near(box, (18, 25, 33, 52.5)) and near(extreme, (20, 30, 35, 49))
    assert near(outline, [(20, 24), (34, 26), (31, 50)])
    assert near(polygon[0][0], [(16, 28), (30, 28), (30, 44), (16, 44)])
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    way = np.hypot(columns - columns.clip(20, 30), rows - 33)  # from the brush's middle line
    covered = area_pixels(served_shape("mask", mask), SIZE)
    assert (covered == (way <= 3)).mean() > 0.999  # at its rim the mouse's rounding may tell


def served_shape(kind, geometry):
    from weakseg.labels.formats.records import Shape

    return Shape(kind, "red", geometry)


def test_the_record_tells_how_long_each_shape_took_and_training_reads_it(served):
    with opened_store(served.folder / "labels") as store:
        acts = [event for _, _, event in store.events("drawn")]
    (act,) = [one for one in acts if one.picture == TURNED]
    assert [one.get("how") for one in act.geometry["shapes"]][2:4] == ["drag", "extreme"]
    took = sum(one["active"]["60"] for one in act.geometry["shapes"])
    assert 0 < took < act.seconds + 0.1
    assert act.geometry["prediction"] is False
    record = store_content(served.folder / "labels", served.session.asker.dataset)["images"][TURNED]
    assert len(record["boxes"]) == 2 and record["complete"] == []
    assert record["tags"] == {"present": ["leaf"], "absent": []}


def test_undo_goes_back_by_strokes_and_redo_forward(page, served):
    show(page, served, "0")
    page.keyboard.press("c")
    click(page, 10, 10)
    page.keyboard.press("m")
    drag(page, (20, 20), (30, 20))
    alone = drawn(page)[-1]
    drag(page, (30, 20), (40, 20))  # it touches the first: one object
    assert [kind for kind, *_ in drawn(page)] == ["click", "mask"]
    grown = drawn(page)[-1]
    page.keyboard.press("e")
    drag(page, (38, 20), (46, 20))
    assert sum(drawn(page)[-1][2]["counts"][1::2]) < sum(grown[2]["counts"][1::2])
    page.keyboard.press("Backspace")
    assert drawn(page)[-1] == grown
    page.keyboard.press("Control+z")
    assert drawn(page)[-1] == alone
    page.keyboard.press("Control+Shift+z")
    assert drawn(page)[-1] == grown
    for _ in range(5):
        page.keyboard.press("Control+z")
    assert drawn(page) == []


POINTER = """([id, kind, x, y, type]) => document.getElementById('pad').dispatchEvent(
    new PointerEvent(`pointer${kind}`, {pointerId: id, pointerType: type, clientX: x, clientY: y,
    bubbles: true, isPrimary: id === 11}))"""


def test_corners_and_whole_shapes_are_moved_and_nothing_else(page, served):
    """On a photograph that EXIF, the view and the wheel have turned and zoomed."""
    show(page, served, TURNED)
    page.evaluate("page.draw.drawing.change([])")
    page.keyboard.press("t")
    page.mouse.move(*at(page, 24, 40))
    page.mouse.wheel(0, -100)
    page.keyboard.press("1")
    page.keyboard.press("c")
    click(page, 10.25, 20.5)
    page.keyboard.press("b")
    drag(page, (14, 24), (24, 34))
    page.keyboard.press("p")
    for place in [(28, 24), (38, 24), (38, 40)]:
        click(page, *place)
    page.keyboard.press("Enter")
    page.keyboard.press("s")
    drag(page, (10, 45), (20, 47), (30, 45))
    page.evaluate("page.draw.pad.sizeBrush(6)")
    page.keyboard.press("m")
    drag(page, (14, 58), (20, 58))
    before = {kind: geometry for kind, _, geometry in drawn(page)}
    page.keyboard.press("d")
    steps = [
        ("click", (10.25, 20.5), (12.75, 22.25), [12.75, 22.25]),
        ("box", (24, 34), (26.5, 36.25), [14, 24, 26.5, 36.25]),  # a corner
        ("box", (20, 30), (19, 28), [13, 22, 25.5, 34.25]),  # the whole
        ("box", (25.5, 34.25), (11, 20), [11, 20, 13, 22]),  # beyond the corner across
        ("polygon", (38, 40), (36, 38.5), [[[[28, 24], [38, 24], [36, 38.5]]]]),
        ("polygon", (35, 27), (90, 26), [[[[38, 23], [48, 23], [46, 37.5]]]]),  # at the edge
        ("stroke", (20, 47), (21, 50), [[11, 48], [21, 50], [31, 48]]),
    ]
    for kind, start, end, wanted in steps:
        others = [one for one in drawn(page) if one[0] != kind]
        drag(page, start, end)
        (now,) = [geometry for name, _, geometry in drawn(page) if name == kind]
        assert near(now["path"] if kind == "stroke" else now, wanted, 0.03), kind
        assert [one for one in drawn(page) if one[0] != kind] == others
    drag(page, (17, 58), (21, 55))
    mask = drawn(page)[-1][2]
    moved = {**before["mask"], "left": before["mask"]["left"] + 4, "top": before["mask"]["top"] - 3}
    assert mask == moved
    click(page, 21, 55)  # a hand that shakes moves nothing
    drag(page, (44, 70), (40, 60))  # there is nothing
    assert drawn(page)[-1][2] == moved and len(drawn(page)) == 5
    page.evaluate("document.getElementById('pad').setPointerCapture = () => {}")
    for kind, beside in (("touch", 15), ("pen", 5)):  # css pixels
        (x, y), end = at(page, 46, 37.5), at(page, 44, 39)
        places = {"down": (x + beside, y), "move": end, "up": (end[0] + beside, end[1])}
        for step, place in places.items():
            page.evaluate(POINTER, [11, step, *place, kind])
        assert near(drawn(page)[2][2][0][0][2], (44, 39), 0.03)
        page.keyboard.press("Control+z")
        assert near(drawn(page)[2][2][0][0][2], (46, 37.5), 0.03)
    page.evaluate("page.draw.pad.penSeen = false")
    shapes, _ = save(page, served, TURNED)
    assert [one[:2] for one in shapes] == [
        (kind, "red") for kind in ("click", "box", "polygon", "stroke", "mask")
    ]
    assert near(shapes[1][2], (11, 20, 13, 22), 0.03) and shapes[4][2] == moved


def test_a_move_is_one_step_of_undo_and_takes_an_accepted_mask_as_ones_own(page, served):
    show(page, served, "9")
    mask = {"left": 10, "top": 10, "width": 4, "height": 2, "counts": [0, 8], "model": "probe 0"}
    page.evaluate(
        "geometry => page.draw.drawing.change([{kind: 'accepted', class: 'red', geometry}])", mask
    )
    page.keyboard.press("d")
    drag(page, (12, 11), (20, 15), (32, 21))
    assert drawn(page) == [["mask", "red", {**mask, "left": 30, "top": 20, "corrections": 1}]]
    page.keyboard.press("Control+z")
    assert drawn(page)[0][0] == "accepted"
    page.keyboard.press("Control+y")
    assert drawn(page)[0][0] == "mask"
    page.mouse.move(*at(page, 32, 21))
    page.mouse.down()
    page.mouse.move(*at(page, 50, 40))
    page.keyboard.press("Escape")
    page.mouse.up()
    assert drawn(page)[0][2]["left"] == 30
    page.evaluate("while (page.draw.drawing.undo()) {}")


def test_what_is_saved_again_changes_what_changed_alone(page, served):
    show(page, served, "1")
    page.keyboard.press("c")
    click(page, 10, 10)
    click(page, 30, 30)
    save(page, served, "1")
    show(page, served, "1")
    page.locator("#draw-list button").first.click()  # the latest
    click(page, 40, 20)
    shapes, _ = save(page, served, "1")
    assert near([place for *_, place in shapes], [(10, 10), (40, 20)])
    with opened_store(served.folder / "labels") as store:
        events = [e for _, _, e in store.events("shape", "removed") if e.picture == "1"]
    assert [one.act for one in events] == ["shape", "shape", "removed", "shape"]


def test_lists_are_complete_only_where_the_person_says_so(page, served):
    show(page, served, "2")
    page.get_by_label("None of these classes is here").check()
    _, given = save(page, served, "2")
    assert {"boxes", "full"} <= {*given.complete}
    show(page, served, "2")
    page.keyboard.press("b")
    page.keyboard.press("1")
    drag(page, (10, 10), (30, 30))
    assert page.evaluate("page.draw.drawing.complete") == []  # something is there, after all
    page.get_by_label("every object has a box").check()
    _, given = save(page, served, "2")
    assert given.complete == ("boxes",)


def test_a_picture_is_skipped_with_a_reason_and_the_next_one_comes(page, served):
    index = show(page, served, "3")
    page.keyboard.press("x")
    page.get_by_role("button", name="too dark or blurred").click()
    wait(page, f"page.draw.ready !== {index}")
    until(lambda: served.session.drawings.done.get("3") == "skipped")
    assert served.session.drawings.reasons["3"] == "too dark or blurred"
    until(lambda: "skipped" in page.inner_text("#draw-where"))


def test_a_drawing_outlives_the_page_and_the_server(page, served):
    show(page, served, "4")
    page.keyboard.press("c")
    click(page, 12, 34)
    page.reload()
    enter(page)
    assert page.evaluate("page.draw.drawing.picture.name") == "4"
    (kept,) = drawn(page)
    assert near(kept[2], (12, 34)) and "not saved" in page.inner_text("#draw-line")
    page.context.set_offline(True)  # a server that is killed lets go of its connections
    served.close()
    page.keyboard.press("Enter")
    page.wait_for_selector("#fault:not([hidden])")
    assert "4" not in served.session.drawings.done
    served.start()
    page.context.set_offline(False)
    page.goto(served.links[-1])
    enter(page)
    until(lambda: served.session.drawings.done.get("4") == "drawn")
    with opened_store(served.folder / "labels") as store:
        (given,) = store.given(picture="4")["4"].values()
    assert [shape.geometry for shape in given.shapes.values()] == [kept[2]]
    wait(page, "page.draw.drafts.length === 0")


def test_what_contradicts_itself_comes_back_with_the_reason(page, served):
    show(page, served, "5")
    page.keyboard.press("c")
    page.keyboard.press("1")
    click(page, 20, 20)
    page.get_by_role("button", name="red: not said").click()
    page.get_by_role("button", name="red: is there").click()  # it is not
    page.keyboard.press("Enter")
    page.wait_for_selector("#draw-line:has-text('Not saved')")
    assert page.evaluate("page.draw.drawing.picture.name") == "5" and len(drawn(page)) == 2
    assert "5" not in served.session.drawings.done
    page.get_by_role("button", name="red: is not there").click()
    save(page, served, "5")


def test_masks_are_shown_when_asked_for_and_accepted_as_labels(page, served):
    show(page, served, "6")
    page.keyboard.press("c")
    page.keyboard.press("1")
    click(page, 30, 18)
    page.keyboard.press("0")
    click(page, 5, 40)
    assert page.evaluate("page.draw.pad.mask") is None
    page.keyboard.press("v")
    wait(page, "page.draw.seen")
    click(page, 60, 5)  # on what is wrong: a label as any other, and a mask that knows of it
    wait(page, "page.draw.waits.length > 1 && !page.draw.predicting")
    mark = page.evaluate("page.draw.prediction.mark")
    page.get_by_role("button", name="All of it is right").click()
    wait(page, "page.draw.drawing.shapes.some(one => one.kind === 'accepted')")
    shapes, given = save(page, served, "6")
    (accepted,) = [shape for kind, _, shape in shapes if kind == "accepted"]
    assert accepted["model"] == mark and given.complete == ("full",)
    assert area_pixels(served_shape("accepted", accepted), (64, 48))[18, 30]
    with opened_store(served.folder / "labels") as store:
        (act,) = [e for _, _, e in store.events("drawn") if e.picture == "6"]
    seen = [one["prediction"] for one in act.geometry["shapes"]]
    assert seen == [False, False, True, True] and act.geometry["prediction"]
    until(lambda: served.session.model.full)  # the full fit comes behind


def test_a_correction_takes_an_accepted_mask_back(page, served):
    show(page, served, "6")
    page.keyboard.press("c")
    click(page, 50, 40)
    assert "accepted" not in [kind for kind, *_ in drawn(page)]
    page.keyboard.press("Control+z")
    page.keyboard.press("e")
    drag(page, (30, 18), (31, 18))
    assert "mask" in [kind for kind, *_ in drawn(page)]
    page.evaluate("while (page.draw.drawing.undo()) {}")


def test_a_corrected_mask_is_priced_by_its_strokes_and_keeps_its_models_mark(page, served):
    """Brush and eraser count where they change a model's mask; an own object is an outline."""
    show(page, served, "10")
    runs = {"width": 10, "height": 10, "counts": [0, 100], "model": "probe 0"}
    masks = [("red", {"left": 10, "top": 10, **runs}), ("leaf", {"left": 40, "top": 10, **runs})]
    page.evaluate(
        "(masks) => page.draw.drawing.change(masks.map(([label, geometry]) => "
        "({kind: 'accepted', class: label, geometry})))",
        masks,
    )
    page.evaluate("page.draw.pad.sizeBrush(4)")
    page.keyboard.press("1")
    page.keyboard.press("m")
    drag(page, (18, 17), (43, 17))  # adds to the red one, and takes from the leaf
    page.keyboard.press("e")
    drag(page, (12, 12), (46, 12))  # one stroke through both
    page.keyboard.press("m")
    drag(page, (10, 40), (20, 40))  # another object
    shapes, given = save(page, served, "10")
    told = {label: shape for kind, label, shape in shapes if "model" in shape}
    assert {kind for kind, *_ in shapes} == {"mask"} and {*told} == {"red", "leaf"}
    assert sum(one["corrections"] for one in told.values()) == 2
    areas = {key: area_pixels(served_shape("mask", one), (64, 48)) for key, one in told.items()}
    assert areas["red"][17, 42] and not (areas["red"] & areas["leaf"]).any()
    names = "background", "red", "leaf"
    record = label_record(merged({"": given}), names, names[1:], has_background=True)
    assert record["full"] == {"objects": 1, "classes": 2, "accepted": 2, "corrections": 2}


def test_two_fingers_move_the_photograph_and_draw_nothing(page, served):
    show(page, served, "7")
    page.keyboard.press("c")
    before = page.evaluate("page.draw.pad.view.scale")
    page.evaluate("document.getElementById('pad').setPointerCapture = () => {}")
    x, y = at(page, 30, 20)
    for step in [(11, "down", x, y), (12, "down", x + 50, y), (12, "move", x + 100, y)]:
        page.evaluate(POINTER, [*step, "touch"])
    for one in (11, 12):
        page.evaluate(POINTER, [one, "up", x, y, "touch"])
    assert page.evaluate("page.draw.pad.view.scale") > 1.5 * before and drawn(page) == []
    for kind in ("down", "up"):
        page.evaluate(POINTER, [13, kind, x, y, "touch"])
    assert len(drawn(page)) == 1  # one finger draws
    page.evaluate("page.draw.drawing.undo()")


def test_classes_that_are_renamed_take_drawings_along(page, served):
    show(page, served, "8")
    page.keyboard.press("2")
    click(page, 20, 20)
    rename_class(page, 2, "blade", "blade")
    wait(page, "document.activeElement === document.body")
    ((_, label, _),) = drawn(page)
    assert label == "blade"
    shapes, _ = save(page, served, "8")
    assert [one[1] for one in shapes] == ["blade"]


def test_masks_of_the_page_are_those_of_the_store(page):
    """Runs there and here say the same of any area, and polygons cover the same pixels."""
    rng = np.random.default_rng(1)
    areas = [rng.random((9, 7)) < 0.4 for _ in range(20)]
    runs = [mask_geometry(one, 3, 2) for one in areas]
    code = "(all) => import('/js/raster.js').then(raster => all.map(raster_of))".replace(
        "raster_of", "one => raster.toRuns(raster.ofRuns(one))"
    )
    assert page.evaluate(code, json.loads(json.dumps(runs))) == runs
    rings = rng.uniform(0, 20, (20, 5, 2)).round(2)
    code = "(all) => import('/js/raster.js').then(raster => all.map(ring => raster.toRuns("
    code += "raster.ofPolygon([[ring]], {width: 20, height: 20}))))"
    for ring, found in zip(rings, page.evaluate(code, rings.tolist()), strict=True):
        ours = area_pixels(served_shape("polygon", [[ring.tolist()]]), (20, 20))
        theirs = area_pixels(served_shape("mask", found), (20, 20))
        assert (ours != theirs).sum() <= 2
