"""The README and docs/: links lead somewhere, commands parse, numbers have their provenance."""

import csv
import re
import shlex
import sys
from fractions import Fraction
from importlib import import_module
from unittest.mock import patch

import pytest
import yaml
from conftest import ROOT

from benchmarks import provenance
from weakseg.common import UserError, write_json
from weakseg.inference.edges import LONGEST
from weakseg.labels.pixels import STROKE_PIXELS
from weakseg.labels.spacing import LEAST, MOST, MOST_OF_MASKS, OF_BOXES, OF_MARKS, WITHOUT_PLACES
from weakseg.pseudo_masks.from_features import SMALL_BOX
from weakseg.training.probe_evidence import MOST_PIXELS
from weakseg.training.probe_options import ProbeOptions

README = ROOT / "README.md"
PAGES = [
    README,
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "weak_labels" / "README.md",
    ROOT / "examples" / "README.md",
]
LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")
PLACEHOLDER = "..."  # a command with it stands for several, and is not checked
NAME = re.compile(r"\$\{?\w+\}?")  # a variable of the shell; the pages' loops count seeds
PICTURES = (".png", ".jpg", ".svg", ".webp")


def title(path):
    return str(path.relative_to(ROOT))


def prose(text):
    """Return a page without its fenced blocks."""
    return "".join(text.split("```")[::2])


def anchors(path):
    """Return the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", prose(path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def links(path):
    """Return (whether it is a picture, target) of each link of a page that is not of the web."""
    found = LINK.findall(prose(path.read_text(encoding="utf-8")))
    return [(bool(mark), target) for mark, target in found if "://" not in target]


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_links_lead_to_a_file_and_a_heading(page):
    for _, target in links(page):
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.is_relative_to(ROOT) and path.exists(), f"{target}: no such file"
        assert not anchor or anchor in anchors(path), f"{target}: no such heading"


def test_every_picture_in_docs_is_shown_and_every_page_is_reached():
    shown = {(page.parent / target).resolve() for page in PAGES for _, target in links(page)}
    there = {path for path in (ROOT / "docs").rglob("*") if path.suffix in PICTURES}
    assert there and there <= shown, f"shown by no page: {sorted(map(title, there - shown))}"
    reached, waiting = set(), [README]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        targets = {(page.parent / target.partition("#")[0]).resolve() for _, target in links(page)}
        waiting += [path for path in targets if path.suffix == ".md" and path not in reached]
    lost = {path for path in PAGES if path.is_relative_to(ROOT / "docs")} - reached
    assert not lost, f"no way from the README to {sorted(map(title, lost))}"


# ---- the README


def test_the_readme_is_short_and_names_no_commit():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    hashes = [word for word in re.findall(r"\b[0-9a-f]{7,40}\b", text) if re.search(r"\d", word)]
    assert not hashes


def test_the_readme_has_three_pictures_and_one_table_whose_rows_are_of_a_results_page():
    text = README.read_text(encoding="utf-8")
    assert sum(picture for picture, _ in links(README)) == 3
    lines = [line for line in text.splitlines() if line.startswith("|")]
    head, _, *rows = map(provenance.cells, lines)
    known = {
        (line.page, line.row): line.value.split(" | ")
        for line in provenance.published()
        if line.table == 1
    }
    for label, *values in rows:
        assert set(values) <= {*known["probe", f"VOC cats and dogs, {label}"]}, label
    assert len(head) == len(rows[0]) and text.count("|---") == len(head)  # one rule: one table


def test_the_citation_is_valid():
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert content["cff-version"] == "1.2.0" and content["license"] == "MIT"
    assert {"message", "title", "authors"} <= content.keys()
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


# ---- commands


def commands(path):
    """Return the words of each `python SCRIPT.py ...` of a page, fenced or in a sentence."""
    text = re.sub(r"\\\n\s*", " ", path.read_text(encoding="utf-8"))
    parts = text.split("```")
    lines = [line.strip().lstrip("!") for block in parts[1::2] for line in block.splitlines()]
    lines += re.findall(r"`(python [^`]+)`", " ".join("".join(parts[::2]).split()))
    found = []
    for line in lines:
        if re.match(r"python \S+\.py\b", line) and PLACEHOLDER not in line:
            found.append(tuple(shlex.split(NAME.sub("0", line), comments=True)[1:]))
    return found


COMMANDS = sorted({(title(page), *words) for page in PAGES for words in commands(page)})


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_of_the_pages_parses(words, monkeypatch):
    _, script, *rest = words
    monkeypatch.chdir(ROOT)
    if script.startswith("benchmarks/"):
        monkeypatch.syspath_prepend(ROOT / "benchmarks")  # where they find each other
    module = import_module(script.removesuffix(".py").replace("/", "."))
    with patch.object(sys, "argv", [script, *rest]):
        module.parse_args()


def test_the_pages_have_commands_of_every_script():
    named = {words[1] for words in COMMANDS}
    scripts = {
        title(path)
        for folder in (ROOT, ROOT / "scripts", ROOT / "benchmarks")
        for path in folder.glob("*.py")
        if "argparse" in path.read_text(encoding="utf-8") or folder.name == "scripts"
    }
    assert scripts <= named | {"benchmarks/plain_labels.py"}, sorted(scripts - named)


def test_the_flags_of_the_probe_have_the_defaults_that_their_table_says():
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `--(\w+)` \| (\S+) \|", text, re.M))
    assert {"rounds", "confidence", "penalty", "pixels", "edges", "views"} <= rows.keys()
    options = vars(ProbeOptions())
    for name, default in rows.items():
        assert default == ("chosen" if options[name] is None else str(options[name])), name


def test_the_page_says_how_many_pixels_a_stroke_gives_and_how_many_are_kept():
    text = " ".join((ROOT / "docs/training.md").read_text(encoding="utf-8").split())
    assert f"a stroke {STROKE_PIXELS} places along it" in text
    assert f"at most {MOST_PIXELS:,} pixels of all images" in text


def test_the_page_says_which_boxes_hold_ellipses():
    text = " ".join((ROOT / "docs/training.md").read_text(encoding="utf-8").split())
    share = Fraction(SMALL_BOX).limit_denominator(999)
    assert f"take less than {share} of its width or of its height, the mask of each box" in text


def test_the_page_says_how_far_labels_let_predictions_look():
    text = " ".join((ROOT / "docs/training.md").read_text(encoding="utf-8").split())
    parts = (MOST_OF_MASKS, OF_BOXES, OF_MARKS, WITHOUT_PLACES, LEAST, MOST)
    masks, boxes, marks, tags, least, most = (Fraction(one).limit_denominator(999) for one in parts)
    assert (
        f"with masks {boxes} of the shorter side of the things they show, but at most {masks} of"
        in text
    )
    assert f"{boxes} of a box's shorter side, {marks} of the way between marks" in text
    assert f"{tags} of the longer side where tags" in text and f"within {least} and {most}" in text
    least = f"{1 / 2 / LONGEST:.3f}"  # half a pixel of the copy of a large photograph
    assert f"below {least} they do not" in text


# ---- provenance


def test_every_row_of_every_table_has_its_line_with_the_same_value():
    written = {line.key: line for line in provenance.read()}
    published = {line.key: line for line in provenance.published()}
    again = "run python benchmarks/provenance.py"
    assert written.keys() == published.keys(), again
    for key, line in published.items():
        assert (written[key].columns, written[key].value) == (line.columns, line.value), again
        assert written[key].source in ("page", "files")
        assert bool(written[key].files) == (written[key].source == "files")
        assert written[key].source == "files" or written[key] == line, again


def test_every_page_of_results_has_tables_and_ends_with_how_to_reproduce_them():
    for path in sorted((ROOT / "docs" / "results").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if path.name != "README.md":
            assert provenance.tables(text, path.name)
            assert re.findall(r"^## (.+)$", text, re.MULTILINE)[-2:] == ["Findings", "Reproduce"]


PAGE = """# A question?

**Table 1.** Test mIoU.

| labels | hours | mIoU |
|---|---:|---:|
| boxes | 1.5 | 80.0 ± 2.0 |
| points | 0.5 | 70.0 |

## Findings

- Boxes.

## Reproduce

**Table 1**

```bash
python train.py --supervision_mode boxes \\
    --seed 0
python evaluate.py
```

- commit: `aaaaaaa`
- commit of points: `bbbbbbb`
- seeds: 0, 1
- machine: two cores
"""


def result(seed, miou, seconds=5400.0, mode="boxes"):
    return {
        "args": {"seed": seed, "run_name": f"{mode}{seed}", "supervision_mode": mode},
        "aggregate": {"miou": miou},
        "cost": {"seconds": {mode: seconds}},
        "commit": f"commit{seed}",
    }


@pytest.fixture
def results(tmp_path):
    """A folder of results with one page, in place of the project's."""
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    return tmp_path


def write(results, *words):
    """Run the script -> the lines of its file, by row."""
    with patch.object(sys, "argv", ["provenance.py", "--folder", str(results), *map(str, words)]):
        provenance.main(provenance.parse_args())
    with (results / "provenance.csv").open(encoding="utf-8", newline="") as file:
        return {row["row"]: row for row in csv.DictReader(file)}


def test_a_row_of_a_page_is_marked_so_with_what_its_block_says(results):
    rows = write(results)
    assert rows["boxes"] | {"machine": ""} == {
        "page": "page",
        "table": "1",
        "row": "boxes",
        "columns": "hours | mIoU",
        "value": "1.5 | 80.0 ± 2.0",
        "command": "python train.py --supervision_mode boxes --seed 0 && python evaluate.py",
        "commit": "aaaaaaa",
        "seeds": "0, 1",
        "machine": "",
        "files": "",
        "source": "page",
    }
    assert rows["points"]["commit"] == "bbbbbbb"


def test_results_stand_behind_a_row_until_it_changes(results):
    files = [results / f"boxes{seed}.json" for seed in (0, 1)]
    for seed, path in enumerate(files):
        write_json(path, result(seed, 0.8 + (seed - 0.5) * 0.0282842712))
    row = write(results, "--page", "page", "--row", "boxes", "--files", *files)["boxes"]
    assert row["source"] == "files" and row["files"] == " ".join(map(str, files))
    assert row["commit"] == "commit0, commit1" and row["seeds"] == "0, 1"
    assert write(results)["boxes"] == row  # a later run keeps them
    (results / "page.md").write_text(PAGE.replace("80.0", "81.0"), encoding="utf-8")
    assert write(results)["boxes"]["source"] == "page"


@pytest.mark.parametrize("miou, seconds", [(0.79, 5400), (0.8, 7200)])
def test_a_row_that_says_something_else_than_its_files_is_refused(results, miou, seconds):
    write_json(results / "one.json", result(0, miou, seconds))
    (results / "page.md").write_text(PAGE.replace("80.0 ± 2.0", "80.0"), encoding="utf-8")
    with pytest.raises(UserError, match=r"page.md, table 1, row 'boxes': the files give"):
        write(results, "--page", "page", "--row", "boxes", "--files", results / "one.json")
    assert not (results / "provenance.csv").exists()


def test_a_study_stands_behind_the_rows_of_its_modes(results):
    text = PAGE.replace("| hours | mIoU |", "| 1 h | 2 h |")
    text = text.replace("| 1.5 | 80.0 ± 2.0 |", "| 79.0 (10) | 80.0 ± 1.4 (20) |")
    (results / "page.md").write_text(text, encoding="utf-8")
    cells = [(1.0, 0, 79.0), (2.0, 0, 79.0), (2.0, 1, 81.0)]
    rows = [{"mode": "boxes", "budget": b, "seed": s, "miou": m} for b, s, m in cells]
    write_json(results / "study.json", {"commit": "ccccccc", "rows": rows})
    found = write(results, "--page", "page", "--files", results / "study.json")
    assert (found["boxes"]["source"], found["points"]["source"]) == ("files", "page")
    assert (found["boxes"]["commit"], found["boxes"]["seeds"]) == ("ccccccc", "0, 1")


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("**Table 1.** Test mIoU.", "Test mIoU.", "no caption"),
        ("- seeds: 0, 1\n", "", "no line '- seeds"),
        ("commit of points", "commit of pints", "the row 'pints'"),
        ("\n**Table 1**\n", "\n**Table 2**\n", "nothing of table 1"),
        ("| points |", "| boxes |", "begin alike"),
    ],
)
def test_a_page_that_leaves_a_row_without_provenance_is_refused(results, old, new, message):
    text = PAGE.replace(old, new).replace("70.0", "80.0 ± 2.0").replace("0.5", "1.5")
    (results / "page.md").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(message)):
        write(results)
