"""Who is let in, what is taken, and that nothing of the network leads to a file."""

import pytest
from page_session import HOST, Visitor, client_of, session_in, write_photographs
from werkzeug.test import Client

BASE = f"http://{HOST}"
HOSTILE = "<img src=x onerror=alert(1)> & 'quoted'.png"


@pytest.fixture(scope="module")
def visitor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    images = write_photographs(folder / "photos", {HOSTILE: (60, 40), "b/c.png": (30, 50)})
    return Visitor(session_in(folder, images, "--classes", "cat"))


@pytest.fixture
def stranger(visitor):
    return Client(visitor.routes)


def test_a_link_is_good_once_and_its_cookie_is_strict(visitor, stranger):
    access, links = visitor.routes.access, []
    access.announce = links.append
    access.new_link()
    reply = stranger.get("/", query_string={"token": links[0]}, base_url=BASE)
    assert reply.status_code == 303 and reply.headers["Location"] == "/"
    cookie = reply.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert stranger.get("/", base_url=BASE).status_code == 200
    again = Client(visitor.routes).get("/", query_string={"token": links[0]}, base_url=BASE)
    assert again.status_code == 403 and len(links) == 2 and links[1] != links[0]


@pytest.mark.parametrize("path", ["/", "/state", "/picture/0", "/js/main.js", "/page.css"])
def test_without_the_cookie_nothing_is_shown(stranger, path):
    reply = stranger.get(path, base_url=BASE)
    assert reply.status_code == 403 and "terminal" in reply.get_json()["error"]
    wrong = stranger.get(path, query_string={"token": "x"}, base_url=BASE)
    assert wrong.status_code == 403


def test_another_host_is_refused_even_with_the_cookie(visitor):
    for host in ("evil.example", "evil.example:1", "127.0.0.1:2", "127.0.0.1"):
        reply = visitor.client.get("/state", base_url=BASE, headers={"Host": host})
        assert reply.status_code == 421


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"data": "id=1"}, 415),
        ({"data": '{"id": 1}', "content_type": "text/plain"}, 415),
        ({"json": {"id": 1}, "headers": {"Origin": "http://evil.example"}}, 403),
        ({"json": {"id": 1}, "headers": {"Origin": "null"}}, 403),
        ({"json": {"id": 1}, "headers": {"Sec-Fetch-Site": "cross-site"}}, 403),
        ({"json": {"id": 1, "class": "x" * 2**23}}, 413),
        ({"json": [1]}, 400),
        ({"data": "{", "content_type": "application/json"}, 400),
        ({"json": {"id": "1"}}, 400),
        ({"json": {"id": True}}, 400),
        ({"json": {"id": 1, "class": 7}}, 400),
        ({"json": {"id": 1e99}}, 400),
        ({"json": {"id": 99}}, 404),
    ],
)
def test_what_another_site_or_a_mistake_sends_is_refused(visitor, how, status):
    reply = visitor.client.post("/answer", base_url=BASE, **how)
    assert reply.status_code == status and "\n" not in reply.get_json()["error"]
    assert not visitor.session.log.told


@pytest.mark.parametrize(
    "path",
    [
        "/../annotate.py",
        "/js/../server.py",
        "/js/%2e%2e/server.py",
        "/server.py",
        "/picture/../../x",
        "/picture/2",
        "/picture/-1",
        "/picture/0?side=5000",
        "/cutout/0?side=9999",
        "/cutout/0?x=-1",
        "/mask/2",
        "/nowhere",
    ],
)
def test_no_path_leads_out(visitor, path):
    reply = visitor.client.get(path, base_url=BASE)
    assert reply.status_code in (400, 404) and reply.mimetype == "application/json"


def test_replies_may_not_be_framed_or_sniffed(visitor):
    reply = visitor.client.get("/", base_url=BASE)
    policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "'unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert b"onerror" not in reply.data and b"<script>" not in reply.data


def test_pictures_come_by_index_upright_and_as_they_are(visitor):
    listed = visitor.get("/list")["pictures"]
    assert {(one["name"], one["width"], one["height"]) for one in listed} == {
        (HOSTILE.removesuffix(".png"), 60, 40),
        ("b/c", 30, 50),
    }
    for one in listed:
        reply = visitor.get(f"/picture/{one['index']}")
        assert reply.mimetype == "image/png"  # small ones lose no pixel
        assert visitor.get(f"/picture/{one['index']}", side=320).mimetype == "image/jpeg"


def test_a_browser_keeps_no_picture_of_another_start(visitor):
    for path in ("/picture/0", "/cutout/0"):
        reply = visitor.get(path)
        assert reply.headers["Cache-Control"] == "private, no-cache"
        known = {"If-None-Match": reply.headers["ETag"]}
        same = visitor.client.get(path, base_url=BASE, headers=known)
        assert same.status_code == 304 and not same.data
        client, _ = client_of(visitor.session)  # which has started again
        other = client.get(path, base_url=BASE, headers=known)
        assert other.status_code == 200 and other.data == reply.data


def test_a_mask_that_may_not_be_shown_is_nothing(visitor):
    reply = visitor.get("/mask/0")
    assert reply.status_code == 204 and not reply.data


def test_a_cutout_has_the_pixel_in_its_middle(visitor):
    import cv2
    import numpy as np

    index = next(o["index"] for o in visitor.get("/list")["pictures"] if o["width"] == 60)
    pixels = visitor.session.photographs.pixels(index)
    for x, y in [(0, 0), (59, 39), (30, 12)]:
        reply = visitor.get(f"/cutout/{index}", x=x, y=y, side=9)
        square = cv2.imdecode(np.frombuffer(reply.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert square.shape == (9, 9, 3) and (square[4, 4] == pixels[y, x]).all()
    assert not square[:, :1].any() or x >= 4
