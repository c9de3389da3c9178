"""analyze.py on made-up predictions of a drawn data set: signs, zeros, "no evidence", refusals."""

import re

import numpy as np
import pytest
from conftest import run
from made_results import CLASSES, add_run, analysed, drawn_data, erring, perfect, smallest_result
from PIL import Image

import analyze
from weakseg.common import UserError, read_json, write_json
from weakseg.evaluation.results import RESULT_KEYS, mask_name
from weakseg.reporting.pictures import write_mask


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A drawn data set, and a folder for results."""
    return drawn_data(tmp_path_factory.mktemp("analyze"))


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
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "analysis.md").write_text("mine")
    theirs = ["--a", "perfect", "--b", "points_s0", "--output_dir", tmp_path / "theirs"]
    refused(*theirs, match="analysis.md: is there, and analyze.py did not write it; take another")
    report = results / "report.html"
    report.write_text("mine")
    refused("--report", results, match="report.html: is there, .*move it")
    report.unlink()
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
    refused("--a", tmp_path / "old.json", "--b", "perfect", match="must be .* again")
    write_json(tmp_path / "older.json", smallest_result())
    refused("--a", tmp_path / "older.json", "--b", "perfect", match="lacks .* again")
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
