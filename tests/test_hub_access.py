"""What is downloaded is tried only where the hub answers; what is there already is found."""

import socket
import time
from contextlib import nullcontext

import pytest

from weakseg import hub_access
from weakseg.common import UserError
from weakseg.hub_access import PATIENCE, is_at_hand, is_reachable, may_give, quick_download
from weakseg.learners.wheels import WHEELS, refuse_out_of_reach


def test_where_no_hub_answers_nothing_is_tried_for_long(monkeypatch):
    """What is there already is still found: only requests are refused."""
    from huggingface_hub import constants

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert is_reachable(url)
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        with quick_download():
            assert not constants.HF_HUB_OFFLINE
    for nowhere in (url, "https://no.such.host.invalid"):
        monkeypatch.setattr(constants, "ENDPOINT", nowhere)
        began = time.monotonic()
        with quick_download():
            assert constants.HF_HUB_OFFLINE
        assert time.monotonic() - began < 2 * PATIENCE and not constants.HF_HUB_OFFLINE


def test_a_model_is_at_hand_from_a_folder_a_download_or_a_hub_that_answers(monkeypatch, tmp_path):
    from huggingface_hub import constants

    stored = []
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache",
        lambda name, file: str(tmp_path / file) if name in stored else None,
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for answers in (False, True):
        monkeypatch.setattr(hub_access, "is_reachable", lambda url, answers=answers: answers)
        assert is_at_hand("owner/model") == answers and is_at_hand(str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # as the user wishes
    assert not is_at_hand("owner/model")
    stored.append("owner/model")
    assert is_at_hand("owner/model")


@pytest.mark.parametrize("left", [[], ["hub/models--timm--resnet18"], ["torch/hub/checkpoints"]])
def test_weights_that_nothing_gives_are_refused_before_anything_is_imported(
    left, monkeypatch, tmp_path
):
    from huggingface_hub import constants

    for name in left:
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for answers in (False, True):
        monkeypatch.setattr(hub_access, "is_reachable", lambda url, answers=answers: answers)
        assert may_give() == (answers or bool(left))
        for encoder in WHEELS:
            refuse_out_of_reach(encoder, "imagenet")
        for weights in ("none", "mine.pth"):
            refuse_out_of_reach("resnet18", weights)
        refused = nullcontext() if may_give() else pytest.raises(UserError, match="resnet18: could")
        with refused:
            refuse_out_of_reach("resnet18", "imagenet")
