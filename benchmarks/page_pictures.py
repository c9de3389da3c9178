r"""The pictures of the page in docs/: a simulated person answers in headless Chromium.

    python benchmarks/page_pictures.py --folder docs

Writes annotate.webp, which moves, annotate_wide.jpg, annotate_narrow.jpg and annotate_draw.jpg. The
photographs are those that ship, and the person fails as people do. Needs Debian's chromium and
playwright.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cv2
import numpy as np
import torch
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.commands import ROOT
from benchmarks.page_sessions import session_of
from benchmarks.page_speed import FLAGS
from weakseg.common import IGNORE, atomic_path
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.person import Person
from weakseg.labels.training_labels import training_ids
from weakseg.page.server import Server
from weakseg.page.session import Session
from weakseg.planning.questions import Question
from weakseg.planning.simulated_asking import Annotator

SLOW = 5  # answers that are seen one by one
AT = (15, 30, 60, 120, 240)  # answers, after which the page is seen again
WIDE, NARROW, SMALL = (1280, 760), (390, 844), (880, 522)
HOLD = 1400  # ms that a picture of AT is seen
DRAWN = 6  # photographs with a few clicks each before the one that is seen


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "docs")
    parser.add_argument("--cache_dir", type=Path, default=ROOT / "data" / ".cache")
    parser.add_argument("--answers", type=int, default=AT[-1], help="(default: %(default)s)")
    parser.add_argument("--img_size", type=int, default=384)
    parser.add_argument("--encoder_weights", default="imagenet")
    return parser.parse_args()


class Visitor:
    """A simulated person at the page: sees the question on show, and presses a key."""

    def __init__(self, page: Page, session: Session) -> None:
        self.page = page
        names = session.photographs.names
        self.annotator = Annotator(session.asker.dataset, names, Person(0, num_classes=2))
        self.frames: list[Image.Image] = []
        self.durations: list[int] = []

    def begin(self) -> None:
        """Click an example of each class, as the page asks for them."""
        for name in ("pet", "something that is none of these"):
            self.wait(f"document.querySelector('#task b')?.textContent === '{name}'")
            is_pet = name == "pet"
            index = self.page.evaluate("page.examples.pictures[page.examples.picture].index")
            mask = self.annotator.dataset.mask(self.annotator.names[index])
            rows, columns = np.nonzero(mask == int(is_pet))
            middle = len(rows) // 2
            box = self.page.locator("#frame .picture").bounding_box()
            assert box is not None
            x = box["x"] + box["width"] * (columns[middle] + 0.5) / mask.shape[1]
            y = box["y"] + box["height"] * (rows[middle] + 0.5) / mask.shape[0]
            self.see(1200)
            self.page.mouse.click(x, y)

    def wait(self, condition: str) -> None:
        """Wait until a condition of the page holds."""
        end = time.monotonic() + 60
        while not self.page.evaluate(f"globalThis.page !== undefined && ({condition})"):
            assert time.monotonic() < end, condition
            time.sleep(0.03)

    def answer(self, is_seen: bool) -> None:
        """Answer the question on show; is_seen: in two frames, the second with its key."""
        self.wait("page.questions.shownAt < performance.now() - 210")
        shown = self.page.evaluate("page.questions.current")
        asked = Question(shown["picture"], (shown["x"], shown["y"]), "", 0)
        (label,) = self.annotator.answers([asked])
        if is_seen:
            self.see(650)
            place = (
                "#more button >> nth=0" if label == IGNORE else f"#keys button >> nth={1 - label}"
            )
            self.page.locator(place).evaluate("row => row.classList.add('pressed')")
            self.see(300)
            self.page.locator(place).evaluate("row => row.classList.remove('pressed')")
        self.page.keyboard.press("Space" if label == IGNORE else f"Digit{label}")

    def see(self, milliseconds: int) -> None:
        """Keep what the page looks like, for so long."""
        self.frames.append(
            picture_of(self.page.screenshot()).resize(SMALL, Image.Resampling.LANCZOS)
        )
        self.durations.append(milliseconds)


def picture_of(content: bytes) -> Image.Image:
    """Return the picture in a PNG of this script's own."""
    return Image.fromarray(cv2.imdecode(np.frombuffer(content, np.uint8), 1)[..., ::-1])


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture as a JPEG."""
    with atomic_path(path) as temporary:
        picture.save(temporary, quality=88)


def shown(args: argparse.Namespace, session: Session, browser: Browser, link: str) -> None:
    """Answer on the page, and write what it looks like."""
    look = browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]})
    page = look.new_page()
    page.goto(link)
    page.wait_for_selector("#frame img", timeout=120_000)
    visitor = Visitor(page, session)
    visitor.begin()
    points = sorted({n for n in AT if n < args.answers} | {args.answers})
    for number in range(1, args.answers + 1):
        visitor.answer(is_seen=number <= SLOW)
        if number in points:
            time.sleep(4)  # masks and the estimate come a moment later
            visitor.wait("page.questions.shownAt < performance.now() - 210")
            visitor.see(HOLD)
    save(picture_of(page.screenshot()), args.folder / "annotate_wide.jpg")
    first, *others = visitor.frames
    more = {"save_all": True, "append_images": others, "duration": visitor.durations, "loop": 0}
    with atomic_path(args.folder / "annotate.webp") as temporary:
        first.save(temporary, "WEBP", quality=60, method=6, **more)
    narrow = browser.new_context(
        viewport={"width": NARROW[0], "height": NARROW[1]},
        color_scheme="dark",
        has_touch=True,
        device_scale_factor=1.5,
    )
    narrow.add_cookies(look.storage_state()["cookies"])  # type: ignore[arg-type]
    page = narrow.new_page()
    page.goto(link.split("?")[0])
    Visitor(page, session).wait("page.questions.shownAt < performance.now() - 1500")
    save(picture_of(page.screenshot()), args.folder / "annotate_narrow.jpg")


def drawn(args: argparse.Namespace, session: Session, browser: Browser, link: str) -> None:
    """Draw on some photographs, and write what the second view looks like."""
    page = browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]}).new_page()
    page.goto(link)
    visitor = Visitor(page, session)
    visitor.wait("page.state !== null")
    page.get_by_role("tab", name="Draw").click()
    for number in range(DRAWN + 1):
        visitor.wait("page.draw.ready !== undefined")
        time.sleep(0.5)
        index = page.evaluate("page.draw.ready")
        mask = visitor.annotator.dataset.mask(session.photographs.names[index])
        for label in (1, 0):
            rows, columns = np.nonzero(mask == label)
            page.keyboard.press(f"Digit{label}")
            for share in (0.2, 0.5, 0.8):
                place = int(share * len(rows))
                click(page, columns[place] + 0.5, rows[place] + 0.5)
        if number < DRAWN:
            page.keyboard.press("Enter")
    page.keyboard.press("KeyV")
    visitor.wait("page.draw.seen")
    time.sleep(30)  # the full fit comes behind
    save(picture_of(page.screenshot()), args.folder / "annotate_draw.jpg")


def click(page: Page, x: float, y: float) -> None:
    """Click on a place of the photograph, in original pixels."""
    box = page.locator("#pad").bounding_box()
    assert box is not None
    left, top = page.evaluate(f"page.draw.pad.view.toScreen({x}, {y})")
    page.mouse.click(box["x"] + left, box["y"] + top)


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    options = DataOptions(data_dir=str(ROOT / "examples" / "pets"), cache_dir=str(args.cache_dir))
    dataset, links = open_dataset(options), list[str]()
    args.folder.mkdir(parents=True, exist_ok=True)
    for see in (shown, drawn):
        with tempfile.TemporaryDirectory() as folder, sync_playwright() as tool:
            own = argparse.Namespace(**{**vars(args), "folder": Path(folder)})
            session = session_of(own, dataset, training_ids(dataset, 0), Path(folder) / "demo")
            server = Server(session, "127.0.0.1", 0, links.append)
            session.start()
            server.start()
            browser = tool.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            try:
                see(args, session, browser, links[-1])
            finally:
                browser.close()
                server.close()
                session.close()
    print(f"{args.folder}: annotate.webp and annotate_{{wide,narrow,draw}}.jpg")


if __name__ == "__main__":
    main(parse_args())
