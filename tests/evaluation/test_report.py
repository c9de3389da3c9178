"""The report of analyze.py: one sound page that needs no network, no script and no mouse."""

import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from conftest import run
from made_results import add_run, analysed, drawn_data, erring, perfect

import analyze
from weakseg.common import UserError, write_json
from weakseg.evaluation.statistics import seed_interval


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A drawn data set, and a folder for results."""
    return drawn_data(tmp_path_factory.mktemp("report"))


class Page(HTMLParser):
    """What a test asks of a page: its tags are closed, its links, texts and tables."""

    VOID = "meta", "img", "br", "link", "input"

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids = [], [], set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if "id" in attributes:
            assert attributes["id"] not in self.ids
            self.ids.add(attributes["id"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def reported(data):
    """A folder of runs, a comparison, a run of a hostile name, a foreign file, and their report."""
    folder = data.root / "reported"
    add_run(data, folder, "points", erring(0.4, 0.1))
    add_run(data, folder, "hybrid", erring(0.1), modes=("tags", "points"))
    analysed(folder, folder / "analysis" / "one", ["points"], ["hybrid"], "--examples", 1)
    evil = "<script>alert(1)<script>\"'&$"
    add_run(data, folder, "plain", erring(0.3), modes=("boxes",), run=evil)
    add_run(data, folder, "boxes", erring(0.2), modes=("boxes",))  # so that charts name the other
    write_json(folder / "notes.json", {"something": "else"})
    run(analyze, "--report", folder)
    return folder


@pytest.fixture(scope="module")
def page(reported):
    return (reported / "report.html").read_text()


def test_the_report_is_one_sound_page_that_needs_nothing_else(page):
    found = Page(page)
    assert not found.open
    assert not [a for a in found.all("script") if "src" in a] and not found.all("link")
    assert {a["src"].split(",")[0] for a in found.all("img")} == {"data:image/jpeg;base64"}
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r"base64,[^\"]+", "", page))
    anchors = {a["href"] for a in found.all("a")}
    assert anchors and all(href[1:] in found.ids for href in anchors)


def test_the_report_can_be_read_without_a_mouse_or_a_picture(page):
    found = Page(page)
    assert all(image["alt"] for image in found.all("img"))
    assert all(head["scope"] in ("col", "row", "rowgroup") for head in found.all("th"))
    charts = found.all("svg")
    assert len(charts) == 2 and all(a["role"] == "img" and a["aria-label"] for a in charts)
    regions = [a for a in found.all("div") if a.get("class") == "scroll"]
    assert all(a["role"] == "region" and a["tabindex"] == "0" and a["aria-label"] for a in regions)
    assert len(regions) == len(charts) + len(found.all("table"))
    assert "prefers-color-scheme: dark" in page and 'name="viewport"' in page


def test_the_hours_are_by_one_schedule(data, tmp_path):
    counts = {"points": {"image": 10, "first_point": 36, "further_point": 0, "absent": 3600}}
    cost = {
        "images": 10,
        "counts": counts,
        "schedule": "bearman2016",
        "seconds": {"points": 3686.4},
        "relative": 2.0,
    }
    chosen = {"by": "val_loss", **cost}
    add_run(data, tmp_path, "points", perfect, cost=cost, selection=chosen)
    run(analyze, "--report", tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "by the schedule bearman2016" in page and page.count("<td>1.02</td>") == 2
    add_run(
        data,
        tmp_path,
        "other",
        perfect,
        cost=cost | {"schedule": "extreme_clicking"},
        selection=chosen,
    )
    with pytest.raises(UserError, match=r"bearman2016 and extreme_clicking.*--cost_schedule"):
        run(analyze, "--report", tmp_path)
    run(analyze, "--report", tmp_path, "--cost_schedule", "extreme_clicking")
    page = (tmp_path / "report.html").read_text()
    assert (
        "by the schedule extreme_clicking" in page and page.count("<td>0.03</td>") == 4
    )  # 36 x 2.4 + 10 x 1.5 s, of two runs in two tables
    with pytest.raises(UserError, match=r"relative.*in seconds"):
        run(analyze, "--report", tmp_path, "--cost_schedule", "relative")
    with pytest.raises(UserError, match="--cost_schedule"):
        run(analyze, "--a", "x", "--b", "y", "--cost_schedule", "relative")


def test_hours_of_older_results_get_the_looks_that_they_lack(data, tmp_path):
    counts = {"points": {"image": 1200, "first_point": 0, "further_point": 0, "absent": 0}}
    cost = {"images": 1200, "counts": counts, "schedule": "extreme_clicking"}
    cost |= {"seconds": {"points": 0.0}, "relative": 2.0}
    add_run(data, tmp_path, "old", perfect, cost=cost, selection={"by": "val_loss", **cost})
    run(analyze, "--report", tmp_path)
    assert (tmp_path / "report.html").read_text().count("<td>0.50</td>") == 2


def test_the_report_draws_the_seeds_of_a_run_as_one_mark(data, tmp_path):
    for seed in (0, 1, 2):
        add_run(data, tmp_path, f"points_seed{seed}", erring(0.1 * (seed + 1)), seed=seed)
    add_run(data, tmp_path, "boxes", erring(0.1), modes=("boxes",))
    run(analyze, "--report", tmp_path)
    page = (tmp_path / "report.html").read_text()
    drawn = re.findall(r"<text [^>]*>(Points|Boxes)</text>", page)
    assert sorted(drawn) == ["Boxes", "Points"]
    values = [
        json.loads(path.read_text())["aggregate"]["miou"] for path in tmp_path.glob("points_*.json")
    ]
    _, low, high = seed_interval(values)
    ends = f"{100 * low:.1f} to {100 * high:.1f}"
    row = rf'<th scope="row">Points</th><td>{100 * np.mean(values):.1f}</td>\s*<td>{ends}</td>'
    assert re.search(rf"{row}\s*<td>0.03</td><td>3</td>", page)
    assert all(
        f'<td class="text">{name}</td>' in page
        for name in ("points_seed0", "points_seed2", "boxes")
    )


def test_what_comes_from_files_is_escaped(page):
    assert "<script" not in page
    assert re.search(r"<td[^>]*>&lt;script&gt;alert\(1\)&lt;script&gt;", page)
    assert re.search(r"<text [^>]*>Boxes \(&lt;script&gt;", page)


def test_the_report_shows_every_run_and_every_verdict(page, reported):
    for name in ("points", "hybrid"):
        aggregate = json.loads((reported / f"{name}.json").read_text())["aggregate"]
        assert f"<td>{100 * aggregate['miou']:.1f}</td>" in page
    verdict = json.loads((reported / "analysis" / "one" / "analysis.json").read_text())["verdict"]
    assert verdict in html.unescape(page)
