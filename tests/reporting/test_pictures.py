"""Every picture is drawn, nothing in it collides, and what it shows lies where the numbers say."""

import itertools

import cv2
import numpy as np
import pytest
from conftest import assert_tidy, picture

from weakseg.reporting import pictures, style

# Machado et al., "A physiologically-based model for simulation of color vision deficiency", 2009:
# linear RGB.
PROTANOPIA = [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
]
DEUTERANOPIA = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
]


def lab_distances(colours, view):
    linear = (colours / 255.0) ** 2.2 @ np.float64(view).T
    lab = cv2.cvtColor(np.clip(linear, 0, 1).astype(np.float32)[None], cv2.COLOR_LRGB2Lab)[0]
    return min(np.linalg.norm(first - second) for first, second in itertools.combinations(lab, 2))


def test_palette_is_distinct_and_keeps_its_order():
    colours = style.palette(255)
    assert colours.dtype == np.uint8 and len(np.unique(colours, axis=0)) == 255
    assert np.array_equal(style.palette(21), colours[:21])
    assert lab_distances(style.palette(21), np.eye(3)) > 25
    assert (
        min(lab_distances(style.PALETTE, view) for view in (np.eye(3), PROTANOPIA, DEUTERANOPIA))
        > 12
    )
    with pytest.raises(ValueError, match="not 256"):
        style.palette(256)


def test_colourise_and_overlay_show_the_classes():
    mask = np.zeros((20, 30), np.uint8)
    mask[5:15, 5:15], mask[:, 25:] = 1, 255
    colours = style.colourise(mask)
    assert (colours[mask == 1] == style.palette(2)[1]).all() and (
        colours[mask == 255] == style.IGNORE_COLOUR
    ).all()
    image = np.full((20, 30, 3), 100, np.uint8)
    tinted = pictures.overlay(image, mask, alpha=0.5)
    assert tinted.dtype == np.uint8 and (tinted[mask == 0] == 100).all()
    assert (tinted[5, 5:15] == style.palette(2)[1]).all(), "the outline is drawn at full strength"
    assert np.abs(tinted[10, 10] - (100 + style.palette(2)[1].astype(float)) / 2).max() <= 0.5
    with pytest.raises(ValueError, match="differ in size"):
        pictures.overlay(image, mask.T)
    without = pictures.overlay(image, mask, alpha=0.5, has_background=False)
    assert (without[mask == 0] != image[mask == 0]).any()
    assert np.array_equal(without[mask != 0], tinted[mask != 0])


def rows_of(count, shapes, classes):
    generator = np.random.default_rng(0)
    return [
        {
            "label": f"median, a_photograph_with_quite_a_long_name_{height}",
            "image": generator.integers(0, 256, (height, width, 3), np.uint8),
            "masks": list(
                generator.choice([*range(classes), 255], (count, 32, 32)).astype(np.uint8)
            ),
            "notes": [None, *(f"IoU {40 + index}.0" for index in range(count - 1))][:count],
        }
        for height, width in shapes
    ]


@pytest.mark.parametrize("columns", [1, 2, 8])
def test_comparison_figure_aligns_any_shape(tmp_path, sheets, columns):
    titles = [
        "Input",
        "Ground truth",
        *(f"hybrid_tags_points_boxes_run_number_{n}" for n in range(6)),
    ][:columns]
    rows = rows_of(columns - 1, [(60, 80), (90, 60), (1, 50), (200, 20)], 21)
    pictures.comparison_figure(
        tmp_path / "rows.png", titles, rows, [f"class number {index}" for index in range(21)]
    )
    figure = sheets[0].figure
    assert len(figure.axes) == columns * 4
    legend = [text for legend in figure.legends for text in legend.get_texts()]
    assert len(legend) == (22 if columns > 1 else 0)
    assert_tidy(figure, figure.texts + legend)
    for start in range(0, len(figure.axes), columns):
        assert len({axes.get_position().y0 for axes in figure.axes[start : start + columns]}) == 1
    picture(tmp_path / "rows.png")


def test_pictures_refuse_what_they_cannot_draw(tmp_path):
    short = rows_of(1, [(5, 5)], 2)
    for draw in (
        lambda path: pictures.comparison_figure(
            path, ["Input", "Tags", "Points"], short, ["background", "pet"]
        ),
        lambda path: pictures.comparison_figure(path, ["Input"], [], ["background", "pet"]),
        lambda path: pictures.label_preview(path, []),
    ):
        with pytest.raises(ValueError):
            draw(tmp_path / "none.png")
    assert not list(tmp_path.iterdir())


def where(image, colour, tolerance=12):
    """Bounds (x0, y0, x1, y1) of the pixels of about that colour, in pixels of the figure."""
    rows, columns = np.nonzero((np.abs(image.astype(int) - colour) <= tolerance).all(-1))
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)


@pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 30), (1000, 800)])
def test_label_preview_puts_labels_where_their_coordinates_say(tmp_path, width, height):
    blue = np.zeros((height, width, 3), np.uint8)
    blue[..., 2] = 255
    colours = style.palette(5).astype(int)
    annotation = {
        "points": [[0.75 * width, 0.25 * height, 1]],
        "boxes": [[0.2 * width, 0.5 * height, 0.8 * width, 0.9 * height, 3]],
        "scribbles": [{"class": 4, "width": 0.1 * height, "path": [[0.2 * width, 0.2 * height]]}],
        "pixels": [{"x": 0.4 * width, "y": 0.25 * height, "class": 2, "drawn": "random", "fit": 0}],
    }
    pictures.label_preview(
        tmp_path / "tile.png", [{"title": "", "image": blue, "annotation": annotation}]
    )
    image = picture(tmp_path / "tile.png")
    frame = where(image, [0, 0, 255])
    size = np.tile(frame[2:] - frame[:2], 2)

    def relative(label):
        return (where(image, colours[label]) - np.tile(frame[:2], 2)) / size

    pixel = 2.5 / size.min()
    point = relative(1)
    assert np.allclose((point[:2] + point[2:]) / 2, [0.75, 0.25], atol=pixel)
    cross = relative(2)
    assert np.allclose((cross[:2] + cross[2:]) / 2, [0.4, 0.25], atol=pixel)
    assert np.allclose(relative(3), [0.2, 0.5, 0.8, 0.9], atol=pixel)
    dot = relative(4)
    assert np.allclose((dot[:2] + dot[2:]) / 2, [0.2, 0.2], atol=pixel)
    assert dot[3] - dot[1] == pytest.approx(0.1, abs=pixel)


def test_a_stroke_without_a_place_is_not_drawn(tmp_path):
    image = np.full((30, 40, 3), 90, np.uint8)
    strokes = [{"class": 2, "width": 3, "path": [[5, 5], [20, 20]]}]
    for name, more in (("with", [{"class": 1, "width": 3, "path": []}]), ("without", [])):
        tile = {"title": "", "image": image, "annotation": {"scribbles": more + strokes}}
        pictures.label_preview(tmp_path / f"{name}.png", [tile])
    assert np.array_equal(picture(tmp_path / "with.png"), picture(tmp_path / "without.png"))


def test_label_preview_takes_any_part_of_an_annotation(tmp_path, sheets):
    image = np.full((30, 40, 3), 90, np.uint8)
    tags = {"present": ["cat"], "absent": [f"class {index}" for index in range(20)]}
    box = {"boxes": [[1, 2, 9, 9, 1]]}
    parts = [
        {},
        {"tags": tags},
        {"tags": {"present": ["dog"], "absent": []}},
        {"points": [], "scribbles": []},
        box,
    ]
    tiles = [{"title": "a_long_name_" * 6, "image": image, "annotation": part} for part in parts]
    pictures.label_preview(tmp_path / "tiles.png", tiles, ["background", "cat"])
    assert_tidy(sheets[0].figure, sheets[0].figure.texts)
    assert [text.get_text() for text in sheets[0].figure.texts].count("+ dog") == 1
