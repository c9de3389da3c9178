"""Every chart is drawn, nothing in it collides, and the frontier is exactly the undominated
runs.
"""

import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from conftest import assert_tidy, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.reporting import charts
from weakseg.reporting.style import Sheet


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_pareto_is_exactly_the_undominated_runs(runs):
    def dominates(first, second):
        return first != second and first[0] <= second[0] and first[1] >= second[1]

    best = charts.pareto([cost for cost, _ in runs], [miou for _, miou in runs])
    for index, run in enumerate(runs):
        assert (index in best) != any(dominates(other, run) for other in runs)
    assert [runs[index][0] for index in best] == sorted(runs[index][0] for index in best)


def test_pareto_refuses_nan():
    with pytest.raises(ValueError, match="no place"):
        charts.pareto([1.0, 2.0], [50.0, float("nan")])


def runs_of(costs, mious, spread=2.0):
    names = [
        "tags",
        "points",
        "hybrid_tags_points",
        "scribbles",
        "boxes",
        "points_boxes",
        "scribbles_boxes",
        "full",
    ]
    return [
        charts.CostPoint(name, cost, miou, low=miou - spread, high=miou + spread)
        for name, cost, miou in zip(names, costs, mious, strict=False)
    ]


@pytest.mark.parametrize(
    ("runs", "scale"),
    [
        (runs_of([1, 2, 3, 5, 5, 7, 10, 79], [55, 68, 70, 76.4, 75.9, 78, 79.5, 86.4]), "log"),
        (
            runs_of(
                [1.9, 2.0, 2.1, 2.2, 2.15, 2.0, 2.05, 2.3],
                [69.8, 70.1, 70.2, 70.6, 70, 70.4, 70.3, 70.9],
            ),
            "linear",
        ),
        (runs_of([0, 1, 3, 5, 5, 7, 10, 79], [38, 68, 70, 76, 76, 78, 79, 86]), "linear"),
        (runs_of([3], [55]), "linear"),
        (runs_of([0], [55], spread=0), "linear"),
    ],
)
def test_cost_plot_names_every_run_without_collisions(tmp_path, sheets, runs, scale):
    charts.cost_plot(tmp_path / "cost.png", runs, "hours", reference=38.2)
    axes = sheets[0].figure.axes[0]
    assert axes.get_xscale() == scale
    assert [text.get_text() for text in axes.texts] == [run.name for run in runs]
    assert_tidy(
        sheets[0].figure,
        [*axes.texts, axes.xaxis.label, axes.yaxis.label, *axes.get_legend().get_texts()],
    )
    assert picture(tmp_path / "cost.png").std() > 5


def test_names_far_from_their_points_are_joined_to_them_and_cover_no_line(tmp_path, sheets):
    crowd = [
        charts.CostPoint(f"points, strong (run number {n})", 2.0, 70 + 0.02 * n, 69, 71)
        for n in range(12)
    ]
    charts.cost_plot(tmp_path / "cost.png", crowd, "hours", reference=70.5)
    axes = sheets[0].figure.axes[0]
    assert_tidy(sheets[0].figure, axes.texts)
    renderer, level = sheets[0].canvas.get_renderer(), axes.transData.transform((2.0, 70.5))[1]
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert not any(box.y0 < level < box.y1 for box in boxes)
    assert any(line.get_linewidth() == 0.6 for line in axes.lines)


def test_a_sheet_is_svg_for_a_page_and_the_same_each_time():
    points = [charts.CostPoint("<b>&\n\x07$x$", 1.0, 50, 49, 51), *runs_of([2, 3], [60, 70])]
    one, again, other = (
        charts.cost_chart(points, "hours").svg(name, 'A "title" <&>') for name in ("x", "x", "y")
    )
    assert one == again
    root = ElementTree.fromstring(one)
    assert root.tag == "svg" and root.attrib["aria-label"] == 'A "title" <&>'
    ids = [{e.get("id") for e in ElementTree.fromstring(text).iter()} for text in (one, other)]
    assert ids[0] & ids[1] == {None} and len(ids[0]) > 20
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', one))
    assert used and used <= ids[0]
    assert not re.search(r"(https?:)?//[a-z]|<style|<script|<metadata|xmlns", one)
    assert "<b>&??$x$" in [text.text for text in root.iter("text")]


def test_cost_plot_draws_an_interval_that_misses_the_value(tmp_path):
    run = charts.CostPoint("$odd_", cost=1.0, miou=50.0, low=51.0, high=52.0)
    charts.cost_plot(tmp_path / "cost.png", [run], "$ per image")
    picture(tmp_path / "cost.png")


def epoch(number, **changes):
    terms = {"points": 0.5 / number, "tags": 0.2}
    return {
        "epoch": number,
        "loss": 0.5 / number + 0.2,
        "terms": terms,
        "val_loss": 0.4,
        "val_miou": 0.6,
        "weak_val_loss": 0.3,
        "selected": number < 3,
    } | changes


@pytest.mark.parametrize(
    "log",
    [
        [epoch(1)],
        [epoch(1, val_loss=None, val_miou=None, weak_val_loss=None, terms={}, selected=False)],
        [epoch(number, val_miou=0.1 * number if number % 2 else None) for number in range(1, 31)],
    ],
)
def test_loss_curves_mark_the_selected_epoch(tmp_path, sheets, log):
    charts.loss_curves(tmp_path / "loss.png", log)
    figure = sheets[0].figure
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    selected = [entry["epoch"] for entry in log if entry["selected"]]
    assert [name for name in names if name.startswith("selected")] == [
        f"selected: epoch {n}" for n in selected[-1:]
    ]
    assert_tidy(
        figure, [*figure.legends[0].get_texts(), *(axes.xaxis.label for axes in figure.axes)]
    )
    picture(tmp_path / "loss.png")


def test_charts_refuse_what_they_cannot_draw(tmp_path):
    for draw in (
        lambda path: charts.cost_plot(path, [], "hours"),
        lambda path: charts.loss_curves(path, []),
    ):
        with pytest.raises(ValueError):
            draw(tmp_path / "none.png")
    assert not list(tmp_path.iterdir())


def test_drawing_leaves_the_global_matplotlib_state_alone(tmp_path):
    code = (
        "import sys\nfrom weakseg.reporting import charts\n"
        "assert 'matplotlib' not in sys.modules\n"
        "charts.cost_plot(sys.argv[1], [charts.CostPoint('a', 1, 2, 1, 3)], 'hours')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "cost.png"], check=True)


@pytest.mark.parametrize("name", ["$x^", "$\\frac$", "a$b$c", "100 % $_$", "\\alpha", "{", "$$"])
def test_any_name_can_stand_in_a_figure(name, tmp_path):
    points = [charts.CostPoint(name, 1.0, 50, 40, 60), charts.CostPoint("b", 9.0, 60, 55, 65)]
    charts.cost_plot(tmp_path / "cost.png", points, name, 30.0, name)
    assert picture(tmp_path / "cost.png").size
    sheet = Sheet(4, 2, [("#ff0000", name)])
    sheet.save(tmp_path / "legend.png")
    assert name in sheet.svg("chart", name)
