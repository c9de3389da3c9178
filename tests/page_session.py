"""Sessions of the page on tiny pictures, and a browser to look at them."""

import contextlib
import os
import shutil
import sqlite3
import sys
import time
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image
from werkzeug.test import Client

import annotate
from weakseg.common import IGNORE
from weakseg.labels import store_file
from weakseg.page.access import Access
from weakseg.page.server import Routes, Server
from weakseg.planning.questions import Question
from weakseg.planning.simulated_asking import Annotator

HOST = "127.0.0.1:1"
TIMES = {"wall": 2.0, "active": {"20": 2.0, "60": 2.0, "100": 2.0}}
TINY = ["--no_browser", "--img_size", "64", "--encoder_weights", "none"]
NEEDED = "WEAKSEG_NEEDS_BROWSER"  # set where a browser that is missing is a failure
# Without them the browser looks up hosts of its maker at every start.
BROWSER_FLAGS = [
    *["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
    *["--disable-background-networking", "--disable-component-update"],
]


def flags(*words):
    """Return the arguments that annotate.py makes of some words."""
    with patch.object(sys, "argv", ["annotate.py", *map(str, [*words, *TINY])]):
        return annotate.parse_args()


def session_in(folder, images, *words):
    """Return a session whose labels and caches lie in a folder; it is not started."""
    own = ["--labels", folder / "labels", "--cache_dir", folder / "cache"]
    own += ["--checkpoint_dir", folder / "runs", "--output_dir", folder / "masks"]
    return annotate.session_of(flags("--images", images, *own, *words))


def client_of(session):
    """Return (client that was let in, its routes)."""
    links = []
    routes = Routes(session, Access({HOST}, 1, links.append))
    routes.access.new_link()
    client = Client(routes)
    assert client.get("/", query_string={"token": links[0]}, base_url=f"http://{HOST}").status_code
    return client, routes


class Visitor:
    """A simulated person who sees the page's own replies alone."""

    def __init__(self, session, person=None):
        self.session = session
        self.client, self.routes = client_of(session)
        if person:
            names = session.photographs.names
            self.annotator = Annotator(session.asker.dataset, names, person)
        self.last = 0

    def get(self, path, **query):
        reply = self.client.get(path, query_string=query, base_url=f"http://{HOST}")
        return reply.get_json() if reply.mimetype == "application/json" else reply

    def post(self, path, body, status=200):
        reply = self.client.post(path, json=body, base_url=f"http://{HOST}")
        assert reply.status_code == status, reply.get_json()
        return reply.get_json()

    def questions(self):
        """Return the questions that wait; the page asks again where none comes for long."""
        end = time.monotonic() + 120
        while not (found := self.get("/questions", after=self.last)["questions"]):
            assert time.monotonic() < end, "no question comes"
        return found

    def name_of(self, question):
        """Return the class that the person names, None where they can't tell."""
        asked = Question(question["picture"], (question["x"], question["y"]), "", 0)
        (label,) = self.annotator.answers([asked])
        return None if label == IGNORE else self.session.log.classes.names[label]

    def answer(self, question, label, **more):
        body = {"id": question["id"], "class": label, "times": TIMES, **more}
        return self.post("/answer", body)

    def work(self, count):
        """Answer so many questions, in the order in which the page shows them."""
        waiting = []
        for _ in range(count):
            waiting = waiting or self.questions()
            question = waiting.pop(0)
            self.last = question["id"]
            self.answer(question, self.name_of(question))


@contextlib.contextmanager
def started(session):
    """Run a session's threads in the body of the `with`."""
    session.start()
    try:
        yield session
    finally:
        session.close()


def until(condition, seconds=120):
    """Wait until a condition holds; threads behind the page's own get little of a busy machine."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def wait(page, expression):
    """Wait until an expression of the page is true; its policy forbids Playwright's own way."""
    until(lambda: page.evaluate(f"globalThis.page !== undefined && ({expression})"))


def rename_class(page, place, typed, name):
    """Type a new name of the class at a place in the dialog, wait until it has it, and close."""
    page.click("#open-classes")
    field = page.locator("#class-rows input:not([type=color])").nth(place)
    field.fill(typed)
    field.press("Enter")
    wait(page, f"page.state.classes.some(one => one.name === '{name}')")
    page.locator("#classes-dialog .close").click()


def write_photographs(folder, sizes, seed=0):
    """Write photographs of two colours; sizes: {file name: (width, height)}."""
    rng = np.random.default_rng(seed)
    for name, (width, height) in sizes.items():
        pixels = np.full((height, width, 3), (40, 90, 40), np.uint8)
        pixels[height // 4 : height // 2, width // 4 : (3 * width) // 4] = (220, 80, 60)
        pixels = np.clip(pixels + rng.integers(-12, 12, pixels.shape), 0, 255).astype(np.uint8)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


class Served:
    """A session with its server, which can go away and come back at the same address."""

    def __init__(self, folder, images, *words):
        self.folder, self.images, self.words = folder, images, words
        self.port, self.links = 0, []
        self.start()

    def start(self):
        words = [] if self.port else self.words  # the store says them from then on
        self.session = session_in(self.folder, self.images, *words)
        self.server = Server(self.session, "127.0.0.1", self.port, self.links.append)
        self.port = self.server.port
        self.session.start()
        self.server.start()

    def close(self):
        self.server.close()
        self.session.close()

    def told(self):
        return self.session.log.told


@contextlib.contextmanager
def no_room(folder):
    """Let the disk of a store be full, as SQLite sees it."""
    prepare = store_file.prepare
    words = "(time, annotator, source, picture, act) VALUES (0, '', '', '', 'filling')"

    def full(connection, path):
        prepare(connection, path)
        connection.execute("PRAGMA max_page_count = 1")  # no page more than there are
        with pytest.raises(sqlite3.OperationalError, match="full"):
            while True:  # what another thread may have left
                connection.execute(f"INSERT INTO events {words}")

    with patch.object(store_file, "prepare", full):
        yield "full"


@contextlib.contextmanager
def read_only(folder):
    """Let the folder of a store be read-only, for root as well."""
    with patch("os.access", lambda *_: False):
        yield "readonly"


@contextlib.contextmanager
def taken_away(folder):
    """Let a file be where the folder of a store was."""
    away = folder.with_name("away")
    folder.rename(away)
    folder.write_text("")
    try:
        yield "no store"
    finally:
        folder.unlink()
        away.rename(folder)


UNWRITABLE = [no_room, read_only, taken_away]


@contextlib.contextmanager
def browser():
    """Yield headless Chromium; without one the test is skipped, and fails where one is needed."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        missing = "needs Debian's chromium and the package playwright"
        (pytest.fail if os.environ.get(NEEDED) else pytest.skip)(missing)
    with sync_playwright() as tool:
        found = tool.chromium.launch(executable_path=path, args=BROWSER_FLAGS)
        yield found
        found.close()


@contextlib.contextmanager
def opened(chromium, link):
    """Yield a page of a browser at a link; afterwards, what went wrong in it is a failure."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(8000)
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: line.type == "error" and faults.append(line.text))
    page.goto(link)
    yield page
    assert not [line for line in faults if "Failed to load resource" not in line]
    context.close()
