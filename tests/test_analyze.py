"""analyze.py on made-up predictions of a drawn data set: signs, zeros, "no evidence", refusals, the
report.
"""

import html
import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import run
from PIL import Image

import analyze
from weakseg.common import UserError, read_json, write_json
from weakseg.data.datasets import Pets
from weakseg.evaluation.groups import group_name
from weakseg.evaluation.results import RESULT_KEYS, mask_name, write_mask
from weakseg.evaluation.scoring import aggregate, score_image
from weakseg.evaluation.statistics import seed_interval

CLASSES = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A drawn data set of 12 + 12 images with cats and dogs as classes, and a folder for
    results.
    """
    from weakseg.data.synthetic import draw_shapes

    root = tmp_path_factory.mktemp("analyze")
    draw_shapes(root / "data", trainval=12, test=12, size=64, seed=3)
    return SimpleNamespace(
        root=root, dataset=Pets(root / "data", ["species"], cache_dir=str(root / "cache"))
    )


def perfect(mask, generator):
    return np.where(mask == 255, 0, mask).astype(np.uint8)


def erring(share, other=0.0):
    """Return a predictor that gives each pixel to the background with chance `share`, to the other
    class `other`.
    """

    def predict(mask, generator):
        chance, right = generator.random(mask.shape), perfect(mask, generator)
        wrong = np.where(right > 0, 3 - right, 0)
        return np.where(chance < share, 0, np.where(chance < share + other, wrong, right)).astype(
            np.uint8
        )

    return predict


def add_run(data, folder, name, predict, seed=0, modes=("points",), **changed):
    """Write a result as evaluate.py does, with the predictions of `predict`."""
    dataset, generator, images = data.dataset, np.random.default_rng([seed, len(modes)]), {}
    for image in dataset.ids("test"):
        mask = predict(dataset.mask(image), generator)
        write_mask(folder / name / mask_name(image), mask, CLASSES)
        images[image] = {
            **score_image(mask, dataset.mask(image), CLASSES),
            "tags": [*dataset.tags(image)],
            "mask": f"{name}/{mask_name(image)}",
        }
    args = {
        "data_dir": str(data.root / "data"),
        "dataset": "auto",
        "classes": ["species"],
        "tag_set": "default",
        "val_fraction": 0.1,
        "split_seed": 0,
        "cache_dir": str(data.root / "cache"),
        "run_name": name,
        "seed": seed,
        "epochs": 1,
        "modes": list(modes),
        "weak_label_path": "nowhere.pkl",
    }
    result = {
        "run": name,
        "supervision": list(modes),
        "aggregate": aggregate(images, 50),
        "images": images,
        "task": {"dataset": "pets", "classes": dataset.class_names, "tag_names": dataset.tag_names},
        "cost": {"images": 10, "seconds": {mode: 100.0 for mode in modes}, "relative": 1.0},
        "epoch": 1,
        "selection": {"by": "val_loss", "seconds": {}},
        "args": args,
        "commit": None,
        "fingerprint": dataset.fingerprint(),
        "test_fingerprint": dataset.test_fingerprint(),
    }
    write_json(folder / f"{name}.json", result | changed)


@pytest.fixture(scope="module")
def results(data):
    """Results of three seeds of a poor mode, three of a better one, and of a perfect run."""
    folder = data.root / "results"
    for seed in range(3):
        add_run(data, folder, f"points_s{seed}", erring(0.4, 0.1), seed)
        add_run(data, folder, f"hybrid_s{seed}", erring(0.2), seed, ("tags", "points"))
    add_run(data, folder, "perfect", perfect, 0, ("full",))
    return folder


POINTS, HYBRID = [f"points_s{seed}" for seed in range(3)], [f"hybrid_s{seed}" for seed in range(3)]


def analysed(results, output, a, b, *more):
    flags = [
        "--results_dir",
        results,
        "--output_dir",
        output,
        "--resamples",
        200,
        "--examples",
        0,
        *more,
    ]
    run(analyze, "--a", *a, "--b", *b, *flags)
    return json.loads((output / "analysis.json").read_text())


def estimates(found):
    """Yield every estimate of an analysis."""
    whole = found["overall"].values()
    parts = [
        part[key]
        for kind in ("by_size", "by_tag")
        for part in found[kind]
        for key in ("miou", "covered")
    ]
    for value in [*whole, *parts]:
        yield from value if isinstance(value, list) else [value]


@pytest.fixture(scope="module")
def there(results, data):
    return analysed(results, data.root / "there", POINTS, HYBRID, "--examples", 1)


def test_the_better_group_is_found_and_all_is_written(there, data, capsys):
    miou = there["overall"]["miou"]
    runs = [[r["miou"] for r in there[key]["runs"]] for key in "ab"]
    assert miou["a"] == pytest.approx(np.mean(runs[0])) and miou["b"] == pytest.approx(
        np.mean(runs[1])
    )
    assert 0 < miou["low"] < miou["difference"] < miou["high"] and miou["p"] < 0.05
    assert there["verdict"].startswith("Tags + points is better than points")
    assert there["overall"]["confused"]["difference"] < 0
    assert {part["name"] for part in there["by_tag"]} == {"cat", "dog"}
    assert sum(part["images"] for part in there["by_size"]) == 12
    text = (data.root / "there" / "analysis.md").read_text()
    assert there["verdict"] in text and "| IoU cat" in text and "errors: boundary" in text
    for name in (
        "failures.png",
        "completeness.png",
        "examples.png",
        *there["examples"][0]["pictures"],
    ):
        assert Image.open(data.root / "there" / name).width > 200


def test_swapping_a_and_b_turns_the_sign_of_everything(there, results, data):
    back = analysed(results, data.root / "back", HYBRID, POINTS)
    for one, two in zip(estimates(there), estimates(back), strict=True):
        assert (one is None) == (two is None)
        if one:
            assert one["difference"] == pytest.approx(-two["difference"], abs=1e-12)
            assert one["low"] is None or one["low"] == pytest.approx(-two["high"], abs=1e-9)
            assert (one["a"], one["b"]) == (two["b"], two["a"])
    assert "is worse than" in back["verdict"]
    assert (back["signed_rank"]["better"], back["signed_rank"]["worse"]) == (
        there["signed_rank"]["worse"],
        there["signed_rank"]["better"],
    )


@pytest.mark.parametrize("group", [POINTS, POINTS[:1], ["perfect"]])
def test_a_group_against_itself_is_exactly_zero(group, results, tmp_path):
    found = analysed(results, tmp_path, group, group, "--examples", 2)
    assert {value["difference"] for value in estimates(found) if value} == {0}
    assert (
        found["verdict"].startswith("There is no evidence of a difference")
        and not found["examples"]
    )
    assert found["signed_rank"] == {"p": 1, "images": 12, "better": 0, "worse": 0}


def test_a_perfect_prediction_has_no_error(results, tmp_path):
    found = analysed(results, tmp_path, ["perfect"], ["points_s0"])
    whole = found["overall"]
    assert whole["miou"]["a"] == whole["covered"]["a"] == whole["right"]["a"] == 1
    assert whole["errors"]["a"] == 0 and {mode["a"] for mode in whole["modes"]} == {0}
    assert "makes no error" in found["verdict"]


def test_one_seed_claims_nothing_of_its_supervision(results, tmp_path):
    found = analysed(results, tmp_path, ["points_s0"], HYBRID)
    assert found["overall"]["miou"]["low"] > 0 and found["overall"]["miou"]["p"] is None
    words = found["verdict"].lower()
    assert words.startswith(
        "this group of 3 runs of tags + points is better than this run of points"
    )
    assert words.count("tags + points") == words.count("3 runs of tags + points") > 2
    assert "One seed says nothing" in found["verdict"]


def test_failure_modes_share_out_the_error(there):
    whole = there["overall"]
    for key in "ab":
        assert sum(share[key] for share in whole["shares"]) == pytest.approx(1)
        assert sum(mode[key] for mode in whole["modes"]) == pytest.approx(whole["errors"][key])
        assert sum(whole[part][key] for part in ("right", "other", "background")) == pytest.approx(
            1
        )
    assert sum(mode["difference"] for mode in whole["modes"]) == pytest.approx(
        whole["errors"]["difference"]
    )


def test_groups_of_unequal_seeds_are_independent(results, data, tmp_path):
    add_run(data, results, "points_s7", erring(0.4, 0.1), 7)
    assert not analysed(results, tmp_path, ["points_s0", "points_s7"], HYBRID[:2])["paired_seeds"]


def test_seeds_may_label_other_numbers_of_images_for_the_same_seconds(results, data, tmp_path):
    for seed, (limit, seconds) in enumerate([(10, 100.0), (9, 95.0), (20, 200.0)]):
        name = f"study_s{seed}"
        add_run(data, tmp_path, name, erring(0.4), seed)
        result = read_json(tmp_path / f"{name}.json")
        result["args"]["train_limit"], result["cost"] = (
            limit,
            {"images": limit, "seconds": {"points": seconds}},
        )
        write_json(tmp_path / f"{name}.json", result)
    names = [tmp_path / f"study_s{seed}.json" for seed in range(3)]
    found = analysed(results, tmp_path, names[:2], HYBRID[:2])
    assert [run["labelled"] for run in found["a"]["runs"]] == [10, 9]
    with pytest.raises(UserError, match="differ in train_limit"):
        analysed(results, tmp_path, names, HYBRID)


def test_two_seeds_groups_of_one_mode_give_no_evidence(results, data, tmp_path):
    for seed in (11, 12, 13):
        add_run(data, results, f"again_s{seed}", erring(0.4, 0.1), seed)
    found = analysed(results, tmp_path, POINTS, [f"again_s{seed}" for seed in (11, 12, 13)])
    both = "points (again_s1) and points (points_s)"
    assert f"There is no evidence of a difference between {both}" in found["verdict"]


def test_runs_are_named_by_file_too_and_only_what_evaluate_wrote_is_needed(results, tmp_path):
    found = analysed(results, tmp_path, [results / "points_s0.json"], ["hybrid_s0"])
    assert found["annotator"]["weak_labels"] is None and not found["examples"]


def test_mistakes_are_one_line_with_a_way_out(results, data, tmp_path):
    def refused(*argv, match):
        with pytest.raises(UserError, match=match) as caught:
            run(analyze, "--results_dir", results, "--checkpoint_dir", tmp_path, *argv)
        assert "\n" not in str(caught.value)

    refused(match="--a and --b")
    refused("--a", "x", "--b", "y", "--report", results, match="--report")
    refused("--a", "nowhere", "--b", "perfect", match=r"nowhere\.json.*evaluate\.py --run_name")
    refused("--a", "points_s0", "points_s0", "--b", "perfect", match="seed 0")
    refused("--a", "points_s0", "hybrid_s1", "--b", "perfect", match="differ in modes")
    refused("--a", "points_s0", "points_s1", "--b", "points_s1", match="both name points_s1")
    refused("--a", "perfect", "--b", "points_s0", "--resamples", 3, match="--resamples")
    refused(
        "--a", "perfect", "--b", "points_s0", "--data_dir", tmp_path, match=re.escape(str(tmp_path))
    )
    (tmp_path / "broken.json").write_text("{")
    refused("--a", tmp_path / "broken.json", "--b", "perfect", match=r"broken\.json.*JSON")
    write_json(
        tmp_path / "old.json", dict.fromkeys(RESULT_KEYS) | {"run": "old", "images": {"x": {}}}
    )
    refused("--a", tmp_path / "old.json", "--b", "perfect", match="lacks .* again")
    add_run(data, tmp_path, "other", perfect, test_fingerprint="another")
    refused("--a", tmp_path / "other.json", "--b", "perfect", match="different test images")
    add_run(data, tmp_path, "torn", perfect)
    first = tmp_path / "torn" / mask_name(data.dataset.ids("test")[0])
    write_mask(first, np.zeros((2, 2), np.uint8), CLASSES)
    refused("--a", tmp_path / "torn.json", "--b", "perfect", match="not a prediction for")
    first.unlink()
    refused("--a", tmp_path / "torn.json", "--b", "perfect", match="no such mask")
    refused("--report", tmp_path / "empty", match="no result is there; run python evaluate.py")
    (tmp_path / "above").mkdir()
    (tmp_path / "above" / "pets").symlink_to(results)
    refused("--report", tmp_path / "above", match="no result is there; take .*pets")
    refused("--a", "perfect", "--b", "points_s0", "--seed", -1, match="--seed -1")


@pytest.mark.parametrize(
    "name", ["a/b", "../../x", "a:b*?", "ä 猫", "%41", ".", "..", "a\nb", "<script>"]
)
def test_a_mask_has_one_file_of_its_own_in_its_folder(name, tmp_path):
    path = tmp_path / mask_name(name)
    write_mask(path, np.eye(3, dtype=np.uint8), 2)
    assert path.resolve().parent == tmp_path.resolve() and "/" not in mask_name(name)
    assert np.array_equal(np.array(Image.open(path)), np.eye(3))
    others = ["a/b", "a%2Fb", "A", "%41", "a:b", "a?b"]
    assert len({mask_name(other) for other in others}) == len(others)


def test_groups_are_named_by_what_their_runs_share():
    def names(*runs):
        return group_name([{"run": name} for name in runs])

    assert (
        names("points_s0", "points_s1") == "points_s"
        and names("one") == "one"
        and names("a", "b") == "a_and_1_more"
    )


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
    evil = "<script>alert(1)</script>\"'&\a\n$"
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
    assert "by the schedule bearman2016" in (tmp_path / "report.html").read_text()
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
        "by the schedule extreme_clicking" in page and page.count("<td>0.02</td>") == 4
    )  # 36 x 2.4 s, of two runs in two tables
    with pytest.raises(UserError, match=r"relative.*in seconds"):
        run(analyze, "--report", tmp_path, "--cost_schedule", "relative")
    with pytest.raises(UserError, match="--cost_schedule"):
        run(analyze, "--a", "x", "--b", "y", "--cost_schedule", "relative")


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
    assert re.search(r"<td[^>]*>&lt;script&gt;alert\(1\)&lt;/script&gt;", page)
    assert re.search(r"<text [^>]*>Boxes \(&lt;script&gt;", page)


def test_the_report_shows_every_run_and_every_verdict(page, reported):
    for name in ("points", "hybrid"):
        aggregate = json.loads((reported / f"{name}.json").read_text())["aggregate"]
        assert f"<td>{100 * aggregate['miou']:.1f}</td>" in page
    verdict = json.loads((reported / "analysis" / "one" / "analysis.json").read_text())["verdict"]
    assert verdict in html.unescape(page)
