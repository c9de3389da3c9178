"""Where each published number comes from: docs/results/provenance.csv, a line a table row.

    python benchmarks/provenance.py
    python benchmarks/provenance.py --page oxford-pet --row boxes --files results/pets/boxes_*.json
    python benchmarks/provenance.py --page equal-hours --files results/study_voc/study.json

Without files every row is taken from the pages of docs/results: its cells, and the command, commit,
seeds and machine of the page's block *Reproduce*. Such a line is marked `source=page`: no file
stands behind it. With --files, which are results of evaluate.py or one study.json of study.py, the
row must hold what the files hold, else nothing is written. It is then marked `source=files`, with
the commits and seeds of the files, and stays so until the page's row changes.
"""

import argparse
import csv
import json
import os
import re
import statistics
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from weakseg.common import UserError, atomic_path, choose, read_json, run_cli
from weakseg.labels.costs import hours
from weakseg.reporting.tables import mean_std

PAGES = Path(__file__).resolve().parent.parent / "docs" / "results"
FILE = "provenance.csv"
CAPTION = re.compile(r"\*\*Table (\d+)\.\*\* ")  # before a table
BLOCK = re.compile(r"\*\*Tables? ([\d, ]+)\*\*")  # of the section Reproduce
ITEM = re.compile(r"- (command|commit|seeds|machine)(?: of (.+?))?: (.+)")
NEEDED = ("commit", "seeds", "machine")
# Arguments in which the runs behind one mean may differ; what they were tested on may not.
OF_A_RUN = ("seed", "run_name", "data_dir", "weak_label_path")


@dataclass(frozen=True)
class Line:
    """One row of one table, and where it comes from.

    row       the first cells, as many as tell the rows of the table apart
    columns   the heads of the other cells, and `value` these cells, joined by " | "
    source    "page", or "files": what `files` hold is what the row says
    """

    page: str
    table: int
    row: str
    columns: str
    value: str
    command: str
    commit: str
    seeds: str
    machine: str
    files: str = ""
    source: str = "page"

    @property
    def key(self) -> tuple[str, int, str]:
        """What tells a line from all others."""
        return self.page, self.table, self.row

    @property
    def place(self) -> str:
        """The row's place in words."""
        return f"{self.page}.md, table {self.table}, row {self.row!r}"


@dataclass(frozen=True)
class Table:
    """A table of a page: its number, the cells of its head, and those of its rows."""

    number: int
    head: list[str]
    rows: list[list[str]]

    def split(self) -> int:
        """Return how many first cells of a row tell it from all others."""
        for count in range(1, len(self.head)):
            if len({tuple(row[:count]) for row in self.rows}) == len(self.rows):
                return count
        raise UserError(f"table {self.number}: two of its rows begin alike; name them apart")


# ---- pages


def cells(line: str) -> list[str]:
    """Return the cells of one line of a Markdown table, without code marks and bold type."""
    parts = line.strip().strip("|").split("|")
    return [part.strip().replace("`", "").replace("**", "") for part in parts]


def tables(text: str, name: str) -> list[Table]:
    """Return the tables of a page; one without a caption `**Table N.**` is a `UserError`."""
    found: list[Table] = []
    number, block = None, []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            block.append(cells(line))
            continue
        if block:
            if number is None:
                raise UserError(f"{name}: a table has no caption; write **Table N.** above it")
            found.append(Table(number, block[0], block[2:]))
            number, block = None, []
        if caption := CAPTION.match(line):
            number = int(caption[1])
    return found


def reproduce(text: str, name: str) -> dict[int, dict[tuple[str, str], str]]:
    """Return {table: {(key, row): words}} of a page's section Reproduce; row "" stands for all."""
    found: dict[int, dict[tuple[str, str], str]] = {}
    current: list[dict[tuple[str, str], str]] = []
    _, _, section = text.partition("\n## Reproduce\n")
    for part in re.split(r"(```bash\n.*?```)", section, flags=re.DOTALL):
        if part.startswith("```bash\n"):
            for facts in current:
                facts["command", ""] = " && ".join(commands(part))
            continue
        for line in re.sub(r"\n +", " ", part).splitlines():  # an item may have several lines
            if block := BLOCK.fullmatch(line):
                numbers = [int(word) for word in block[1].split(",")]
                current = [found.setdefault(number, {}) for number in numbers]
            elif item := ITEM.fullmatch(line):
                for facts in current:
                    row = (item[2] or "").replace("`", "")
                    facts[item[1], row] = item[3].replace("`", "")
    for number, facts in found.items():
        for key in NEEDED:
            if (key, "") not in facts:
                raise UserError(f"{name}: Reproduce, table {number}: has no line '- {key}: ...'")
    return found


def commands(block: str) -> list[str]:
    """Return the commands of a fenced block, continued lines joined, single spaces."""
    lines = re.sub(r"\\\n", " ", block).splitlines()[1:-1]
    return [" ".join(line.split()) for line in lines if line.strip()]


def page_lines(path: Path) -> list[Line]:
    """Return the lines of one page, all with source "page"."""
    text, found = path.read_text(encoding="utf-8"), []
    facts = reproduce(text, path.name)
    for table in tables(text, path.name):
        if table.number not in facts:
            raise UserError(f"{path.name}: Reproduce says nothing of table {table.number}")
        known = facts[table.number]
        count = table.split()
        rows = {" / ".join(row[:count]): row[count:] for row in table.rows}
        for row, rest in rows.items():
            words = {key: known.get((key, row), known.get((key, ""), "")) for key, _ in known}
            found.append(
                Line(
                    page=path.stem,
                    table=table.number,
                    row=row,
                    columns=" | ".join(table.head[count:]),
                    value=" | ".join(rest),
                    **{key: words.get(key, "") for key in ("command", *NEEDED)},
                )
            )
    # A row that the block names and no table has is a slip of the pen.
    named = {row for known in facts.values() for _, row in known if row}
    if lost := named - {line.row for line in found}:
        raise UserError(f"{path.name}: Reproduce names the row {min(lost)!r}, which no table has")
    return found


def published(folder: Path = PAGES) -> list[Line]:
    """Return the lines of all pages, in the order of their names."""
    return [line for path in sorted(folder.glob("*.md")) for line in page_lines(path)]


# ---- result files


def from_results(line: Line, results: Mapping[str, Mapping[str, Any]]) -> Line:
    """Return a line with results of evaluate.py behind it, having checked its cells.

    Results that differ in their seed alone are one mean. Each must be a cell of the row, and the
    hours its cell under `hours`.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for result in results.values():
        rest = {key: value for key, value in result["args"].items() if key not in OF_A_RUN}
        rest["test_fingerprint"] = result.get("test_fingerprint")
        groups.setdefault(json.dumps(rest, sort_keys=True), []).append(result)
    values = line.value.split(" | ")
    for group in groups.values():
        expect(line, mean_std([100 * result["aggregate"]["miou"] for result in group]), values)
    if "hours" in line.columns.split(" | "):
        spent = statistics.mean(hours(result["cost"]) for result in results.values())
        expect(line, f"{spent:.1f}", [values[line.columns.split(" | ").index("hours")]])
    commits = sorted({str(result["commit"]) for result in results.values()})
    seeds = sorted({int(result["args"].get("seed", 0)) for result in results.values()})
    return replace(
        line,
        commit=", ".join(commits),
        seeds=", ".join(map(str, seeds)),
        files=" ".join(results),
        source="files",
    )


def from_study(line: Line, path: str, study: Mapping[str, Any]) -> Line | None:
    """Return a line with a study.json behind it; None where the study has no such kind of label.

    Each budget's mean and standard deviation must begin a cell of the row.
    """
    wanted = {word.strip() for word in line.row.partition("(")[0].split("+")}
    rows = [row for row in study["rows"] if set(re.findall(r"\w+", row["mode"])) == wanted]
    if not rows:
        return None
    for budget in sorted({row["budget"] for row in rows}):
        scores = [row["miou"] for row in rows if row["budget"] == budget]
        expect(line, mean_std(scores), [v.partition(" (")[0] for v in line.value.split(" | ")])
    seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in rows}))
    return replace(line, commit=str(study["commit"]), seeds=seeds, files=path, source="files")


def expect(line: Line, text: str, values: Iterable[str]) -> None:
    """Refuse a row that lacks what its files hold."""
    if text not in values:
        raise UserError(f"{line.place}: the files give {text}, the page has {line.value}")


def with_files(lines: list[Line], args: argparse.Namespace) -> list[Line]:
    """Return the lines, those that --page, --table and --row name with the given files behind."""
    chosen = [line for line in lines if (line.page, line.table) == (args.page, args.table)]
    if args.row is not None:
        choose([args.row], [line.row for line in chosen], "--row")
        chosen = [line for line in chosen if line.row == args.row]
    contents = {name: read_json(name) for name in args.files}
    new: list[Line | None]
    if len(contents) == 1 and "rows" in next(iter(contents.values())):
        new = [from_study(line, *pair) for line in chosen for pair in contents.items()]
    else:
        if foreign := [name for name, found in contents.items() if "aggregate" not in found]:
            raise UserError(f"{foreign[0]}: is no result of evaluate.py, nor one study.json alone")
        if len(chosen) != 1:
            raise UserError(f"--row: result files are of one row; {args.page} has {len(chosen)}")
        new = [from_results(chosen[0], contents)]
    found = {line.key: line for line in new if line is not None}
    if not found:
        raise UserError(f"--files: hold nothing of table {args.table} of {args.page}")
    return [found.get(line.key, line) for line in lines]


# ---- the file


def read(folder: Path = PAGES) -> list[Line]:
    """Return the lines of a folder's provenance.csv; none where there is no such file."""
    path = folder / FILE
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [Line(table=int(row.pop("table")), **row) for row in rows]


def write(lines: Iterable[Line], folder: Path) -> None:
    """Write a folder's provenance.csv, atomically."""
    with (
        atomic_path(folder / FILE) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, [field.name for field in fields(Line)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(line) for line in lines)


def kept(lines: Iterable[Line], before: Iterable[Line]) -> list[Line]:
    """Return the pages' lines, where a row is as it was with the files that stood behind it."""
    proven = {(line.key, line.value): line for line in before if line.source == "files"}
    return [proven.get((line.key, line.value), line) for line in lines]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--page", metavar="NAME", help="page of the rows, without .md")
    parser.add_argument("--table", type=int, default=1, help="its table (default: %(default)s)")
    parser.add_argument("--row", help="as the CSV names it (default: all that a study.json has)")
    parser.add_argument(
        "--files", nargs="+", metavar="JSON", help="results of evaluate.py, or a study.json"
    )
    parser.add_argument(
        "--folder", type=Path, default=PAGES, help="of the pages (default: docs/results)"
    )
    args = parser.parse_args()
    if bool(args.page) != bool(args.files):
        parser.error("--page and --files belong together")
    return args


def main(args: argparse.Namespace) -> None:
    lines = kept(published(args.folder), read(args.folder))
    if args.files:
        choose([args.page], sorted({line.page for line in lines}), "--page")
        lines = with_files(lines, args)
    write(lines, args.folder)
    proven = sum(line.source == "files" for line in lines)
    path = os.path.relpath(args.folder / FILE)
    print(f"{path}: {len(lines)} rows, {proven} of them from result files")


if __name__ == "__main__":
    run_cli(main, parse_args)
