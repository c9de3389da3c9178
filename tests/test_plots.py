"""Every figure is drawn, nothing in it collides, and what it shows lies where the numbers say."""

import itertools
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plots

# Machado et al., "A physiologically-based model for simulation of color vision deficiency", 2009: linear RGB.
PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]


@pytest.fixture
def sheets(monkeypatch):
    """Collect each sheet that is saved, to measure what stands on it."""
    saved, save = [], plots._Sheet.save
    monkeypatch.setattr(plots._Sheet, "save", lambda sheet, path: (saved.append(sheet), save(sheet, path)))
    return saved


def picture(path):
    image = cv2.imread(str(path))
    assert image is not None and image.shape[2] == 3
    return image[..., ::-1]


def assert_tidy(figure, texts):
    """No two `texts` overlap and none leaves the page."""
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in texts if text.get_text()]
    assert boxes
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    assert not any(first.overlaps(second) for first, second in itertools.combinations(boxes, 2))


def lab_distances(colours, view):
    linear = (colours / 255.0) ** 2.2 @ np.float64(view).T
    lab = cv2.cvtColor(np.clip(linear, 0, 1).astype(np.float32)[None], cv2.COLOR_LRGB2Lab)[0]
    return min(np.linalg.norm(first - second) for first, second in itertools.combinations(lab, 2))


def test_palette_is_distinct_and_keeps_its_order():
    colours = plots.palette(255)
    assert colours.dtype == np.uint8 and len(np.unique(colours, axis=0)) == 255
    assert np.array_equal(plots.palette(21), colours[:21])
    assert lab_distances(plots.palette(21), np.eye(3)) > 25
    assert min(lab_distances(plots.PALETTE, view) for view in (np.eye(3), PROTANOPIA, DEUTERANOPIA)) > 12
    with pytest.raises(ValueError, match="not 256"):
        plots.palette(256)


def test_colourise_and_overlay_show_the_classes():
    mask = np.zeros((20, 30), np.uint8)
    mask[5:15, 5:15], mask[:, 25:] = 1, 255
    colours = plots.colourise(mask)
    assert (colours[mask == 1] == plots.palette(2)[1]).all() and (colours[mask == 255] == plots.IGNORE_COLOUR).all()
    image = np.full((20, 30, 3), 100, np.uint8)
    tinted = plots.overlay(image, mask, alpha=0.5)
    assert tinted.dtype == np.uint8 and (tinted[mask == 0] == 100).all()
    assert (tinted[5, 5:15] == plots.palette(2)[1]).all(), "the outline is drawn at full strength"
    assert np.abs(tinted[10, 10] - (100 + plots.palette(2)[1].astype(float)) / 2).max() <= 0.5
    with pytest.raises(ValueError, match="differ in size"):
        plots.overlay(image, mask.T)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_pareto_is_exactly_the_undominated_runs(runs):
    def dominates(first, second):
        return first != second and first[0] <= second[0] and first[1] >= second[1]

    best = plots.pareto([cost for cost, _ in runs], [miou for _, miou in runs])
    for index, run in enumerate(runs):
        assert (index in best) != any(dominates(other, run) for other in runs)
    assert [runs[index][0] for index in best] == sorted(runs[index][0] for index in best)


def test_pareto_refuses_nan():
    with pytest.raises(ValueError, match="no place"):
        plots.pareto([1.0, 2.0], [50.0, float("nan")])


def runs_of(costs, mious, spread=2.0):
    names = ["tags", "points", "hybrid_tags_points", "scribbles", "boxes", "points_boxes", "scribbles_boxes", "full"]
    return [{"name": name, "cost": cost, "miou": miou, "low": miou - spread, "high": miou + spread}
            for name, cost, miou in zip(names, costs, mious, strict=False)]  # fmt: skip


@pytest.mark.parametrize(
    ("runs", "scale"),
    [
        (runs_of([1, 2, 3, 5, 5, 7, 10, 79], [55, 68, 70, 76.4, 75.9, 78, 79.5, 86.4]), "log"),
        (runs_of([1.9, 2.0, 2.1, 2.2, 2.15, 2.0, 2.05, 2.3], [69.8, 70.1, 70.2, 70.6, 70, 70.4, 70.3, 70.9]), "linear"),
        (runs_of([0, 1, 3, 5, 5, 7, 10, 79], [38, 68, 70, 76, 76, 78, 79, 86]), "linear"),
        (runs_of([3], [55]), "linear"),
        (runs_of([0], [55], spread=0), "linear"),
    ],
)
def test_cost_plot_names_every_run_without_collisions(tmp_path, sheets, runs, scale):
    plots.cost_plot(tmp_path / "cost.png", runs, "hours", reference=38.2)
    axes = sheets[0].figure.axes[0]
    assert axes.get_xscale() == scale
    assert [text.get_text() for text in axes.texts] == [run["name"] for run in runs]
    assert_tidy(sheets[0].figure, [*axes.texts, axes.xaxis.label, axes.yaxis.label, *axes.get_legend().get_texts()])
    assert picture(tmp_path / "cost.png").std() > 5


def test_cost_plot_draws_an_interval_that_misses_the_value(tmp_path):
    run = {"name": "$odd_", "cost": 1.0, "miou": 50.0, "low": 51.0, "high": 52.0}
    plots.cost_plot(tmp_path / "cost.png", [run], "$ per image")
    picture(tmp_path / "cost.png")


def rows_of(count, shapes, classes):
    generator = np.random.default_rng(0)
    return [
        {
            "label": f"median, a_photograph_with_quite_a_long_name_{height}",
            "image": generator.integers(0, 256, (height, width, 3), np.uint8),
            "masks": list(generator.choice([*range(classes), 255], (count, 32, 32)).astype(np.uint8)),
            "notes": [None, *(f"IoU {40 + index}.0" for index in range(count - 1))][:count],
        }
        for height, width in shapes
    ]


@pytest.mark.parametrize("columns", [1, 2, 8])
def test_comparison_figure_aligns_any_shape(tmp_path, sheets, columns):
    titles = ["Input", "Ground truth", *(f"hybrid_tags_points_boxes_run_number_{n}" for n in range(6))][:columns]
    rows = rows_of(columns - 1, [(60, 80), (90, 60), (1, 50), (200, 20)], 21)
    plots.comparison_figure(tmp_path / "rows.png", titles, rows, [f"class number {index}" for index in range(21)])
    figure = sheets[0].figure
    assert len(figure.axes) == columns * 4
    legend = [text for legend in figure.legends for text in legend.get_texts()]
    assert len(legend) == (22 if columns > 1 else 0)
    assert_tidy(figure, figure.texts + legend)
    for start in range(0, len(figure.axes), columns):
        assert len({axes.get_position().y0 for axes in figure.axes[start : start + columns]}) == 1
    picture(tmp_path / "rows.png")


def test_figures_refuse_what_they_cannot_draw(tmp_path):
    short = rows_of(1, [(5, 5)], 2)
    for draw in (
        lambda path: plots.comparison_figure(path, ["Input", "Tags", "Points"], short, ["background", "pet"]),
        lambda path: plots.comparison_figure(path, ["Input"], [], ["background", "pet"]),
        lambda path: plots.cost_plot(path, [], "hours"),
        lambda path: plots.loss_curves(path, []),
        lambda path: plots.label_preview(path, []),
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
    colours = plots.palette(5).astype(int)
    annotation = {
        "points": [[0.75 * width, 0.25 * height, 1]],
        "boxes": [[0.2 * width, 0.5 * height, 0.8 * width, 0.9 * height, 3]],
        "scribbles": [{"class": 4, "width": 0.1 * height, "path": [[0.2 * width, 0.2 * height]]}],
    }
    plots.label_preview(tmp_path / "tile.png", [{"title": "", "image": blue, "annotation": annotation}])
    image = picture(tmp_path / "tile.png")
    frame = where(image, [0, 0, 255])
    size = np.tile(frame[2:] - frame[:2], 2)

    def relative(label):
        return (where(image, colours[label]) - np.tile(frame[:2], 2)) / size

    pixel = 2.5 / size.min()
    point = relative(1)
    assert np.allclose((point[:2] + point[2:]) / 2, [0.75, 0.25], atol=pixel)
    assert np.allclose(relative(3), [0.2, 0.5, 0.8, 0.9], atol=pixel)
    dot = relative(4)
    assert np.allclose((dot[:2] + dot[2:]) / 2, [0.2, 0.2], atol=pixel)
    assert dot[3] - dot[1] == pytest.approx(0.1, abs=pixel)


def test_label_preview_takes_any_part_of_an_annotation(tmp_path, sheets):
    image = np.full((30, 40, 3), 90, np.uint8)
    tags = {"present": ["cat"], "absent": [f"class {index}" for index in range(20)]}
    box = {"boxes": [[1, 2, 9, 9, 1]]}
    parts = [{}, {"tags": tags}, {"tags": {"present": ["dog"], "absent": []}}, {"points": [], "scribbles": []}, box]
    tiles = [{"title": "a_long_name_" * 6, "image": image, "annotation": part} for part in parts]
    plots.label_preview(tmp_path / "tiles.png", tiles, ["background", "cat"])
    assert_tidy(sheets[0].figure, sheets[0].figure.texts)
    assert [text.get_text() for text in sheets[0].figure.texts].count("+ dog") == 1


def epoch(number, **changes):
    terms = {"points": 0.5 / number, "tags": 0.2}
    return {"epoch": number, "loss": 0.5 / number + 0.2, "terms": terms, "val_loss": 0.4, "val_miou": 0.6,
            "weak_val_loss": 0.3, "selected": number < 3} | changes  # fmt: skip


@pytest.mark.parametrize(
    "log",
    [
        [epoch(1)],
        [epoch(1, val_loss=None, val_miou=None, weak_val_loss=None, terms={}, selected=False)],
        [epoch(number, val_miou=0.1 * number if number % 2 else None) for number in range(1, 31)],
    ],
)
def test_loss_curves_mark_the_selected_epoch(tmp_path, sheets, log):
    plots.loss_curves(tmp_path / "loss.png", log)
    figure = sheets[0].figure
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    selected = [entry["epoch"] for entry in log if entry["selected"]]
    assert [name for name in names if name.startswith("selected")] == [f"selected: epoch {n}" for n in selected[-1:]]
    assert_tidy(figure, [*figure.legends[0].get_texts(), *(axes.xaxis.label for axes in figure.axes)])
    picture(tmp_path / "loss.png")


def test_drawing_leaves_the_global_matplotlib_state_alone(tmp_path):
    code = (
        "import sys, plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plots.cost_plot(sys.argv[1], [dict(name='a', cost=1, miou=2, low=1, high=3)], 'hours')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "cost.png"], check=True)
