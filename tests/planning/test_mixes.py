"""study.py --mix: hours are shared as asked, and what is done is not done again."""

import contextlib
import io
import json
from pathlib import Path
from unittest.mock import patch

import pytest
from conftest import run
from hypothesis import given
from hypothesis import strategies as st

import evaluate
import study
import train
from weakseg.common import UserError, run_cli
from weakseg.data.synthetic import draw_shapes
from weakseg.labels.label_file import load_labels, save_labels
from weakseg.planning import runner
from weakseg.planning.cell import run_of
from weakseg.planning.grid import Grid
from weakseg.planning.mixes import kinds_bought, name_mix, parse_mix, purchases

PRICES = {"full": 79.0, "boxes": 7.0, "points": 3.3, "tags": 2.0}
SHARES = st.lists(st.floats(0.05, 1), min_size=2, max_size=4)


# ---- what is bought


def price(image, kinds):
    """Return seconds of labels of one image: a look once, and each kind."""
    return 1.5 + sum(PRICES[kind] * (1 + len(image) % 3) for kind in kinds)


@given(SHARES, st.integers(1, 30))
def test_hours_are_shared_as_asked_until_there_is_nothing_left(shares, number):
    mix = dict(zip(PRICES, (share / sum(shares) for share in shares), strict=False))
    order = [str(10**k) for k in range(number)]
    bought = purchases(mix, order, price)
    assert len({(one.image, one.signal) for one in bought}) == len(bought)
    hours, dearest = dict.fromkeys(mix, 0.0), 3 * 79 + 1.5
    before = 0.0
    for one in bought:
        hours[one.signal] += one.spent - before
        before = one.spent
        assert sum(hours.values()) == pytest.approx(one.spent)
        # A kind is ahead of its share by what one image takes at most.
        most = min(hours[kind] / mix[kind] for kind in mix)
        assert all(hours[k] / mix[k] - most <= dearest / 3600 / mix[k] + 1e-9 for k in mix)
    kinds = kinds_bought(bought)
    assert [*kinds] == order[: len(kinds)]
    whole = sum(price(image, several) for image, several in kinds.items())
    assert bought[-1].spent == pytest.approx(whole / 3600)
    # Nobody gets a second kind before everybody has a first.
    first = [one.image for one in bought[: len(order)]]
    assert first == order[: len(first)]
    behind = min(mix, key=lambda kind: hours[kind] / mix[kind])
    assert [*kinds] == order and all(behind in several for several in kinds.values())


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("full boxes:1", "full is not KIND:SHARE"),
        ("full:0.5 boxes:0", "boxes:0 is not KIND:SHARE"),
        ("full:0.5 boxes:0.6", "shares add up to 1"),
        ("full:1", "two kinds or more"),
        ("full:0.5 full:0.5", "names full twice"),
        ("ful:0.5 boxes:0.5", "did you mean full"),
        ("", "two kinds or more"),
    ],
)
def test_a_mix_that_is_none_is_refused_by_its_word(word, message):
    with pytest.raises(UserError, match=message):
        parse_mix(word)


def test_a_mix_has_a_name():
    assert parse_mix("boxes:0.75 full:.25") == {"full": 0.25, "boxes": 0.75}
    assert name_mix(parse_mix("boxes:0.75 full:.25")) == "25 % full + 75 % boxes"


# ---- a study


def call(command, log, *_):
    """Stand for `runner.run_command`, in this process."""
    module, text, code = {"train.py": train, "evaluate.py": evaluate}, io.StringIO(), 0
    chosen = module[Path(command[1]).name]
    with (
        patch("sys.argv", command[1:]),
        contextlib.redirect_stdout(text),
        contextlib.redirect_stderr(text),
    ):
        try:
            run_cli(chosen.main, chosen.parse_args)
        except SystemExit as end:
            code = end.code
    log.write(text.getvalue().encode())
    return code


@pytest.fixture
def flags(pets_dir, pets_labels, tmp_path):
    """A study of masks and a mix, of one budget that buys a part of the images."""
    words = ["--data_dir", pets_dir, "--weak_label_path", pets_labels]
    words += ["--cache_dir", Path(pets_dir).parent / "cache", "--study_dir", tmp_path / "study"]
    words += ["--modes", "full", "--mix", "full:0.25 boxes:0.75", "--budgets", "200s"]
    return [*words, "--seeds", 1, "--jobs", 1]


PROBE = ["--", "--img_size", 64, "--encoder_weights", "none", "--device", "cpu", "--rounds", 1]


def test_a_mix_is_a_row_of_its_own_and_is_taken_up_again(flags, tmp_path):
    with patch.object(runner, "run_command", call):
        run(study, *flags, *PROBE)
    folder = tmp_path / "study"
    content = json.loads((folder / "study.json").read_text())
    full, mix = content["rows"]
    assert (full["mode"], mix["mode"]) == ("full", "25 % full + 75 % boxes")
    assert (
        mix["images"] > full["images"]
        and mix["hours"] <= 200 / 3600
        and full["hours"] <= 200 / 3600
    )
    assert content["all_hours"].keys() == content["image_hours"].keys() == {"full", mix["mode"]}
    assert "25 % full + 75 % boxes" in (folder / "table.md").read_text()
    result = json.loads(next((folder / "results" / mix["run"]).glob("*seed0*.json")).read_text())
    assert result["supervision"] == ["full", "boxes"]
    seconds = result["cost"]["seconds"]
    assert seconds["full"] > 0 and seconds["boxes"] > 0
    (path,) = (folder / "labels").glob("*.pkl")
    bought = load_labels(path)["images"].values()
    assert len(bought) == mix["images"] == result["cost"]["images"]
    assert sum("full" in label for label in bought) == result["cost"]["counts"]["full"]["image"]
    assert all(("full" in label) != ("boxes" in label) for label in bought)

    def forbidden(*_):
        raise AssertionError("what is done is done again")

    with patch.object(runner, "run_command", forbidden):
        run(study, *flags, *PROBE)
    assert json.loads((folder / "study.json").read_text())["rows"] == content["rows"]


@pytest.mark.parametrize("masked", [0.5, 1])
def test_a_study_expects_the_fits_that_the_labels_decide(masked, pets_labels, tmp_path):
    """Few images of a person's labels have a mask; what train.py reads says how often it fits."""
    draw_shapes(tmp_path, trainval=8, test=2, size=80, seed=0)
    data = ["--data_dir", tmp_path, "--cache_dir", tmp_path / "cache"]
    content = load_labels(pets_labels) | {"options": {}}
    images, file = content.pop("images"), tmp_path / "people.pkl"
    masks = {path.stem: path for path in (tmp_path / "annotations" / "trimaps").glob("*.png")}
    names = sorted({*images} & {*masks})
    for name in names[int(masked * len(names)) :]:
        masks[name].unlink()
        del images[name]["full"]
    head = {key: value for key, value in content.items() if key != "count"}
    save_labels(file, head, len(names), [(name, images[name]) for name in names])
    words = [*data, "--weak_label_path", file, "--study_dir", tmp_path / "study", "--seeds", 1]
    words += ["--budgets", "9h", "--mix", "full:0.5 points:0.5", "--modes", "full", "full points"]
    with patch("sys.argv", ["study.py", *map(str, words), *map(str, PROBE)]):
        cells = Grid(study.study_of(study.parse_args())).cells
    assert len(cells) == 3
    for cell in cells:
        cell.write_labels()
        decided, *_ = train.read(run_of(cell.words))
        assert cell.identity["epochs_done"] == decided.last_epoch
        assert cell.run.signals == decided.signals
    assert cells[0].mode == "full" and cells[0].run.last_epoch == (1 if masked == 1 else 2)


def test_budgets_that_do_not_buy_each_kind_are_left_out(flags, tmp_path, capsys):
    words = [word if word != "200s" else "20s" for word in flags]
    with pytest.raises(UserError, match="none of them buys a single image of any mode"):
        run(study, *words, *PROBE)
    assert "of 25 % full + 75 % boxes: left out for 1 of 1 seeds" in capsys.readouterr().out


def test_a_budget_beyond_all_images_gives_them_a_second_kind(flags, tmp_path):
    words = [word if word != "200s" else "100h" for word in flags]
    with patch.object(runner, "run_command", call):
        run(study, *words, *PROBE)
    content = json.loads((tmp_path / "study/study.json").read_text())
    mix = content["rows"][1]
    assert mix["everything"]
    (path,) = (tmp_path / "study/labels").glob("*.pkl")
    kinds = [{*label} & {"full", "boxes"} for label in load_labels(path)["images"].values()]
    assert {"full", "boxes"} in kinds
    assert mix["hours"] == pytest.approx(content["all_hours"][mix["mode"]])
