r"""How long from a key to the next question? Keys are pressed in headless Chromium.

    python benchmarks/page_speed.py --images my_photos --classes cat dog --keys 1000 --pictures 1000

Nothing is read beforehand: the first keys fall into the time in which the page reads the
photographs. What is measured is the time from the key's own moment to the first frame in which the
next question is shown and its photograph is decoded. Needs Debian's chromium and the package
playwright.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from playwright.sync_api import sync_playwright

from benchmarks.commands import ROOT
from weakseg.data.folder_files import is_picture

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True, help="folder of the photographs")
    parser.add_argument("--classes", nargs="+", required=True, help="of which keys are pressed")
    parser.add_argument("--keys", type=int, default=1000, help="(default: %(default)s)")
    parser.add_argument("--every", type=float, default=0.8, help="seconds (default: %(default)s)")
    parser.add_argument("--pictures", type=int, help="the first so many (default: all)")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        found = sorted(filter(is_picture, args.images.iterdir()))
        for path in found[: args.pictures]:
            shutil.copy(path, images)
        words = ["--images", images, "--classes", *args.classes, "--labels", f"{folder}/labels"]
        words += ["--cache_dir", f"{folder}/cache", "--no_browser"]
        command = [sys.executable, ROOT / "annotate.py", *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                link = next(line for line in server.stdout if line.startswith("open ")).split()[1]
                waits = measured(link, args)
            finally:
                server.terminate()
    print(
        f"{len(waits)} keys: median {statistics.median(waits):.0f} ms, "
        f"99 % {sorted(waits)[int(0.99 * len(waits))]:.0f} ms, worst {max(waits):.0f} ms"
    )


def measured(link: str, args: argparse.Namespace) -> list[float]:
    """Return the milliseconds from each key to the next question."""
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page()
        page.goto(link)
        page.wait_for_selector("#frame img", timeout=120_000)
        page.keyboard.press("Enter")
        page.wait_for_selector("#frame .ring", state="attached", timeout=120_000)
        for number in range(args.keys):
            time.sleep(args.every)
            page.keyboard.press(f"Digit{number % (len(args.classes) + 1)}")
        time.sleep(1)
        waits: list[float] = page.evaluate("page.questions.waits")
        browser.close()
    return waits


if __name__ == "__main__":
    main(parse_args())
