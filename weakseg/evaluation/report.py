"""One HTML page of all results and analyses below a folder: no network, pictures inside, values on
hover and focus.
"""

import base64
import io
from pathlib import Path
from statistics import fmean

from weakseg.common import UserError, atomic_path, commit, read_json
from weakseg.evaluation.comparison_text import NOTES, cells, rows
from weakseg.evaluation.pricing import one_schedule
from weakseg.evaluation.results import find_results, in_words, seed_groups, seed_of
from weakseg.evaluation.summary import interval, title
from weakseg.evaluation.svg import cost_chart, forest_chart
from weakseg.labels.costs import hours
from weakseg.reporting.tables import percent

TEMPLATE = Path(__file__).with_name("report.html")
WIDTHS = {"wide": 860, "narrow": 320}  # pixels; the page shows the chart that fits
ANALYSIS = {"a", "b", "classes", "images", "overall", "by_size", "by_tag", "verdict", "examples"}


def data_uri(path, side=None):
    """Return a picture file as a data URI: a JPEG of at most `side` pixels, or as it is."""
    from PIL import Image

    from weakseg.data.image_io import opened

    with opened(path) as image:
        picture = image.convert("RGB")
    if side:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    memory = io.BytesIO()
    picture.save(memory, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(memory.getvalue()).decode()


def find_analyses(folder):
    """Return [(folder, analysis)] of every analysis below a folder."""
    found = [(path.parent, read_json(path)) for path in sorted(folder.rglob("analysis.json"))]
    for path, content in found:
        if not isinstance(content, dict) or not ANALYSIS <= content.keys():
            raise UserError(
                f"{path / 'analysis.json'}: not an analysis of analyze.py; remove it, or run it again"
            )
    return found


def run_view(result, colours):
    """Return what the page shows of a run."""
    found = result["aggregate"]
    supervision = " + ".join(result["supervision"])
    colours.setdefault(supervision, len(colours))
    return {
        "name": result["run"],
        "supervision": supervision,
        "seed": seed_of(result),
        **interval([result]),
        "hours": hours(result["cost"]),
        "images": result["cost"]["images"],
        "accuracy": found["pixel_accuracy"],
        "boundary": found["boundary_f"],
        "iou": found["iou"],
    }


def mark_views(results, colours):
    """Return what the cost chart shows: a mark a run, the seeds of one run together; colours:
    {supervision: index}.
    """
    marks, groups = [], seed_groups(results)
    for group in groups:
        supervision, several = " + ".join(group[0]["supervision"]), len(group) > 1
        marks.append(
            {
                "name": title(group, groups) if several else group[0]["run"],
                **interval(group),
                "supervision": f"{supervision}, mean of {len(group)} seeds"
                if several
                else supervision,
                "hours": fmean(hours(result["cost"]) for result in group),
                "colour": colours[supervision] % 7 + 1,
            }
        )
    return marks


def test_sets(results):
    """Return what the page shows of each test set, and way to predict it: its runs, classes and
    charts.
    """
    groups = {}
    for result in results:
        key = result.get("test_fingerprint", result["fingerprint"]), in_words(result.get("tile"))
        groups.setdefault(key, []).append(result)
    sets = []
    for (_, windows), members in groups.items():
        colours, task = {}, members[0]["task"]
        runs = [run_view(result, colours) for result in members]
        marks = mark_views(members, colours)
        charts = {
            size: cost_chart(marks, width, 420 if size == "wide" else 300)
            for size, width in WIDTHS.items()
        }
        name = f"{task['dataset']}, in {windows}" if members[0].get("tile") else task["dataset"]
        sets.append(
            {
                "dataset": name,
                "classes": task["classes"],
                "images": len(members[0]["images"]),
                "runs": runs,
                "charts": charts,
                "colours": colours,
            }
        )
    return sets


def analysis_view(folder, found):
    """Return what the page shows of an analysis: its table, charts and pictures."""
    table = rows(found)
    sections = {}
    for section, name, estimate in table:
        sections.setdefault(section, []).append([name, *cells(estimate)])
    gallery = [
        {
            **example,
            "pictures": [
                data_uri(folder / "examples" / Path(name).name, 400) for name in example["pictures"]
            ],
        }
        for example in found["examples"]
    ]
    charts = {size: forest_chart(table, width) for size, width in WIDTHS.items()}
    return {
        "a": found["a"],
        "b": found["b"],
        "verdict": found["verdict"],
        "images": found["images"],
        "sections": sections,
        "charts": charts,
        "gallery": gallery,
    }


def render(folder, args):
    """Return the page as text. args: cost_schedule, and where the data lies, as for
    `pricing.one_schedule`
    """
    from jinja2 import Environment, StrictUndefined

    results, schedule = one_schedule(list(find_results(folder).values()), args)
    analyses = find_analyses(folder)
    if not results and not analyses:
        below = [path for path in sorted(folder.glob("*/")) if find_results(path)]
        way_out = f"take {below[0]}" if below else f"run python evaluate.py --results_dir {folder}"
        raise UserError(f"--report {folder}: no result is there; {way_out}")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = percent
    picture = folder / "comparison.png"
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        sets=test_sets(results),
        schedule=schedule,
        analyses=[analysis_view(path, found) for path, found in analyses],
        notes=NOTES,
        comparison=data_uri(picture, 1600) if picture.exists() else None,
        commit=commit(),
    )


def write_report(folder, args):
    """Write `report.html` into a folder of results, as `args` of analyze.py say -> its path."""
    text = render(folder, args)
    path = folder / "report.html"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
