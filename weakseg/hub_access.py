"""Whether the Hugging Face hub answers, so that nobody waits for one that doesn't."""

import contextlib
import os
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

PATIENCE = 2  # seconds in which the hub must answer


@contextlib.contextmanager
def quick_download() -> Iterator[None]:
    """Let what the hub gives be fetched in the body of the `with`, or fail soon.

    The hub's own client tries for a minute where there is no network. What an earlier download left
    is found in any case.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not is_reachable(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def is_at_hand(name: str) -> bool:
    """Return whether a model may be had: a folder's, one that was downloaded, or the hub answers.

    name: of a folder, or a hub id (owner/name)
    """
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if Path(name).is_dir():
        return True
    try:
        is_stored = isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError:  # whoever loads it says why
        return True
    return is_stored or (not constants.HF_HUB_OFFLINE and is_reachable(constants.ENDPOINT))


def may_give() -> bool:
    """Return whether anything may be had: something was downloaded before, or the hub answers."""
    from huggingface_hub import constants

    torch_home = os.environ.get("TORCH_HOME", Path.home() / ".cache/torch")
    before = *Path(constants.HF_HUB_CACHE).glob("models--*"), *Path(torch_home).glob("hub/*")
    return bool(before) or (not constants.HF_HUB_OFFLINE and is_reachable(constants.ENDPOINT))


def is_reachable(url: str) -> bool:
    """Return whether a server answers within `PATIENCE`; behind a proxy it is taken for granted."""
    if urllib.request.getproxies():
        return True
    parts, answered = urlsplit(url), threading.Event()

    def connect() -> None:
        with contextlib.suppress(OSError):
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((parts.hostname, port), PATIENCE).close()
            answered.set()

    attempt = threading.Thread(target=connect, daemon=True)  # looking up a name knows no limit
    attempt.start()
    attempt.join(PATIENCE)
    return answered.is_set()
