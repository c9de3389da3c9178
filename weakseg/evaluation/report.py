"""One HTML page of all results and analyses below a folder, with its charts and pictures inside."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from weakseg.common import UserError, atomic_path, commit, read_json
from weakseg.evaluation.comparison_figures import forest_chart
from weakseg.evaluation.comparison_text import NOTES, estimate_cells, table_rows
from weakseg.evaluation.groups import seed_groups, seed_of, supervision_words, title
from weakseg.evaluation.pricing import by_one_schedule
from weakseg.evaluation.results import Result, find_results, test_sets, window_words
from weakseg.evaluation.summary import cost_point, has_price
from weakseg.labels.costs import hours
from weakseg.own_files import refuse_to_replace
from weakseg.reporting.charts import cost_chart
from weakseg.reporting.tables import percent

TEMPLATE = Path(__file__).with_name("report.html")
TITLE = "<title>Segmentation from weak labels: results</title>"  # of the page
ANALYSIS = {"a", "b", "classes", "images", "overall", "by_size", "by_tag", "verdict", "examples"}
EXAMPLE_SIDE, COMPARISON_SIDE = 400, 1600  # pixels of pictures in the page


def write_report(folder: Path, schedule: str | None = None) -> Path:
    """Write `report.html` into a folder of results, and return its path.

    schedule: name or file of the prices of its hours; None for those that the results state
    """
    text = render(folder, schedule)
    path = folder / "report.html"
    if path.exists() and TITLE not in path.read_text(encoding="utf-8", errors="replace"):
        refuse_to_replace(folder, [path.name], "analyze.py", "move it")
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def render(folder: Path, schedule: str | None = None) -> str:
    """Return the page as text; its parameters are those of `write_report`."""
    from jinja2 import Environment, StrictUndefined

    results, prices = by_one_schedule(list(find_results(folder).values()), schedule)
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
        sets=set_views(results),
        schedule=prices,
        analyses=[analysis_view(n, *analysis) for n, analysis in enumerate(analyses, 1)],
        notes=NOTES,
        comparison=data_uri(picture, COMPARISON_SIDE) if picture.exists() else None,
        commit=commit(),
    )


def find_analyses(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return (folder, content) of every analysis below a folder."""
    analyses = [(path.parent, read_json(path)) for path in sorted(folder.rglob("analysis.json"))]
    for path, content in analyses:
        if not isinstance(content, dict) or not content.keys() >= ANALYSIS:
            raise UserError(
                f"{path / 'analysis.json'}: not an analysis of analyze.py; "
                "remove it, or run it again"
            )
    return analyses


def set_views(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return what the page shows of each test set, and each way to predict it in windows."""
    tested_alike: dict[tuple[Any, ...], list[Result]] = {}
    for result, (sizes, contents) in zip(results, test_sets(results), strict=True):
        images = sizes or result["fingerprint"], contents
        windows = window_words(result.get("tile"))
        tested_alike.setdefault((*images, windows), []).append(result)
    return [set_view(index, runs) for index, runs in enumerate(tested_alike.values(), 1)]


def set_view(index: int, results: Sequence[Result]) -> dict[str, Any]:
    """Return what the page shows of one test set: its runs, and a chart of their groups of seeds.

    index: number of the set on the page
    """
    from markupsafe import Markup

    task, tile, groups = results[0]["task"], results[0].get("tile"), seed_groups(results)
    points = [cost_point(title(group, groups), group, "seconds") for group in groups]
    priced = [point for point, group in zip(points, groups, strict=True) if has_price(group[0])]
    words = "Test mIoU over hours of annotation, one mark a run, its seeds together"
    chart = cost_chart(priced, "hours").svg(f"set{index}", words) if priced else ""
    return {
        "dataset": task["dataset"] + (f", in {window_words(tile)}" if tile else ""),
        "classes": task["classes"],
        "images": len(results[0]["images"]),
        "runs": [run_view(result) for result in results],
        "groups": [
            {
                "point": point,
                "seeds": len(group),
                "hours": point.cost if has_price(group[0]) else None,
            }
            for point, group in zip(points, groups, strict=True)
        ],
        "chart": Markup(chart),  # the texts in it are escaped
    }


def run_view(result: Result) -> dict[str, Any]:
    """Return what the page shows of a run."""
    metrics = result["aggregate"]
    low, high = metrics["miou_interval"]
    return {
        "labels": supervision_words(result),
        "name": result["run"],
        "seed": seed_of(result),
        "miou": metrics["miou"],
        "low": low,
        "high": high,
        "hours": hours(result["cost"]) if has_price(result) else None,
        "images": result["cost"]["images"],
        "accuracy": metrics["pixel_accuracy"],
        "boundary": metrics["boundary_f"],
        "iou": metrics["iou"],
    }


def analysis_view(index: int, folder: Path, analysis: dict[str, Any]) -> dict[str, Any]:
    """Return what the page shows of an analysis: its table, its chart and its pictures.

    index: number of the analysis on the page
    """
    from markupsafe import Markup

    rows = table_rows(analysis)
    sections: dict[str, list[list[str]]] = {}
    for section, name, estimate in rows:
        sections.setdefault(section, []).append([name, *estimate_cells(estimate)])
    gallery = [
        example | {"pictures": [example_picture(folder, name) for name in example["pictures"]]}
        for example in analysis["examples"]
    ]
    a, b = analysis["a"], analysis["b"]
    words = f"Differences, {b['title']} minus {a['title']}, with 95 % intervals"
    return {
        "a": a,
        "b": b,
        "verdict": analysis["verdict"],
        "images": analysis["images"],
        "sections": sections,
        "chart": Markup(forest_chart(rows).svg(f"analysis{index}", words)),
        "gallery": gallery,
    }


def example_picture(folder: Path, name: str) -> str:
    """Return a picture of an analysis' folder as a data URI; no other file can be named."""
    return data_uri(folder / "examples" / Path(name).name, EXAMPLE_SIDE)


def data_uri(path: Path, side: int) -> str:
    """Return a picture file as the data URI of a JPEG whose sides have at most `side` pixels."""
    from PIL import Image

    from weakseg.data.image_io import read_image

    picture = read_image(path)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    memory = io.BytesIO()
    picture.save(memory, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(memory.getvalue()).decode()
