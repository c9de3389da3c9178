"""What requests hold and replies are made of: tables of JSON, numbers, texts, pictures."""

import json
from typing import Any

from werkzeug.wrappers import Request, Response

from weakseg.common import reason
from weakseg.page.access import Refused


def answer(content: dict[str, Any]) -> Response:
    """Return a reply of JSON."""
    return Response(json.dumps(content, allow_nan=False), content_type="application/json")


def failure(status: int, line: str) -> Response:
    """Return a reply that says what is wrong."""
    return Response(json.dumps({"error": line}), status, content_type="application/json")


def picture(content: bytes, kind: str) -> Response:
    """Return a reply of a picture, which the browser may keep, and asks each time if it holds."""
    return Response(content, content_type=kind, headers={"Cache-Control": "private, no-cache"})


def body(request: Request) -> dict[str, Any]:
    """Return the table that a request holds."""
    try:
        given = json.loads(request.get_data())
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"no JSON ({reason(error)})") from error
    if not isinstance(given, dict):
        raise Refused(400, "a table is expected")
    return given


def whole(request: Request, name: str, default: int) -> int:
    """Return a whole number from 0 of the address."""
    word = request.args.get(name, str(default))
    if not (word.isascii() and word.isdecimal() and len(word) < 10):
        raise Refused(400, f"{name} is a whole number")
    return int(word)


def number(given: dict[str, Any], name: str) -> float:
    """Return a number of a table, from 0."""
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise Refused(400, f"{name} is a number from 0")
    return value


def text(given: dict[str, Any], name: str) -> str:
    """Return a text of a table."""
    value = given.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise Refused(400, f"{name} is a text")
    return value


def times(given: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds that an answer took: by the clock, and those of activity by caps."""
    found = given.get("times") or {}
    if not isinstance(found, dict):
        raise Refused(400, "times is a table")
    active = found.get("active") or {}
    return {
        "wall": number({"wall": 0, **found}, "wall"),
        "active": {cap: number({cap: 0, **active}, cap) for cap in ("20", "60", "100")},
    }
