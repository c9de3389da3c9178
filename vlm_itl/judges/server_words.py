"""What a server says, made fit to be kept and shown: its words, and what the user can do."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from weakseg.common import UserError, printable

MOST_LETTERS = 300
CUT_OFF = "the answer was cut off at the limit of its length"
SHORTEST_KEY = 4  # what is shorter keeps no secret, and may be any number or word of an answer
# Sequences by which a terminal is controlled: colours, the title, what stands in the clipboard.
ESCAPES = re.compile(r"\x1b(\[[0-9;?<=>]*[ -/]*[@-~]|[\]PX^_].*?(\x07|\x1b\\|$)|[ -~]?)", re.DOTALL)


def plain_words(text: object, key: str = "", most: int | None = MOST_LETTERS) -> str:
    """Return a text in one line without the key, and without what controls a terminal.

    most: letters of it that are kept; None: all
    """
    text = " ".join(ESCAPES.sub("", str(text)).split())
    if len(key) >= SHORTEST_KEY:
        text = re.sub(rf"(?<![\w-]){re.escape(key)}(?![\w-])", "***", text)
    return printable(text)[:most]


def server_of(url: str, option: str) -> str:
    """Return a server's address without what may be secret in it: a password, a query.

    option: where the user gave it, for the `UserError` that refuses what is no address
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme.lower() not in ("http", "https"):
        raise UserError(f"{option}: must be an address such as http://localhost:8000/v1")
    at = f"{host}:{port}" if port else host
    return f"{parts.scheme.lower()}://{at}{parts.path.rstrip('/')}"


REDIRECTS = (301, 302, 303, 307, 308)
# What the user can do about an HTTP status that no repetition mends.
ADVICE: Mapping[int, str] = {
    401: (
        "the server doesn't take the key; set the environment variable {key_env} "
        "(vlm_itl.vlm_options.api_key_env)"
    ),
    403: "the key in the environment variable {key_env} isn't allowed to use model {model!r}",
    404: (
        "no model {model!r} there; check vlm_itl.vlm_options.model, and that base_url ends as the "
        "server wants (/v1)"
    ),
} | dict.fromkeys(
    REDIRECTS,
    "it sends requests on to {location}, but photographs and the key go to no other server; if "
    "you trust that one, name it in vlm_itl.vlm_options.base_url",
)

# What a server's words are about -> which of `vlm_itl.vlm_options` helps.
HINTS: Mapping[str, str] = {
    r"max_completion_tokens|max_tokens": (
        "set limit_name to the name that the server wants: max_tokens or max_completion_tokens"
    ),
    r"response_format|json_schema|structured|guided|grammar": (
        "set structured to json_object or none"
    ),
    r"temperature": "set temperature to null",
    r"context|too (long|large|many tokens)|maximum.*(length|tokens)|413": (
        "set a smaller image_side, or fewer views"
    ),
    r"image|vision|multimodal": (
        "is it a model that sees pictures? another image_format or fewer views may help too"
    ),
    r"timed out|timeout": "raise timeout",
    r"rate limit|429": "lower concurrency, or raise retries",
    r"connection error": "is the server running, and base_url right?",
}


def with_hint(words: str) -> str:
    """Return the words of a failure, and behind them which option helps, where one is known."""
    for pattern, hint in HINTS.items():
        if re.search(pattern, words, re.IGNORECASE):
            return f"{words} [vlm_itl.vlm_options: {hint}]"
    return words
