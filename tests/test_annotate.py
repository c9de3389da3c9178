"""annotate.py: what its flags mean, the link that it prints, and what *Finish* leaves behind."""

import json
import re
import shlex
import sys
from types import SimpleNamespace
from unittest.mock import patch
from urllib.request import urlopen

import numpy as np
import pytest
from conftest import ROOT, run
from hypothesis import given, settings
from hypothesis import strategies as st
from page_session import (
    Visitor,
    flags,
    session_in,
    started,
    until,
    write_photographs,
)

import annotate
import labels
import predict
import train
from weakseg.common import UserError
from weakseg.data.image_io import read_mask
from weakseg.labels.store import opened_store
from weakseg.planning import runner
from weakseg.training.run import TrainingRun


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("annotate") / "my_photos"
    return write_photographs(folder, {f"{n}.png": (48, 36) for n in range(12)})


def test_a_folder_and_names_are_enough_and_the_same_command_goes_on(photos, tmp_path):
    first = session_in(tmp_path, photos, "--classes", "cat", "dog")
    assert first.name == "my_photos" and first.may_rename
    assert [*first.log.classes.names] == ["background", "cat", "dog"]
    again = session_in(tmp_path, photos)
    assert again.log.classes == first.log.classes
    same = session_in(tmp_path, photos, "--classes", "cat", "dog")
    assert same.log.classes == first.log.classes
    with pytest.raises(UserError, match="leave it out"):
        session_in(tmp_path, photos, "--classes", "cat", "cow")


def test_a_list_of_classes_beside_the_photographs_counts(photos, tmp_path):
    folder = tmp_path / "listed"
    write_photographs(folder / "images", {"a.png": (20, 20), "b.png": (20, 20)})
    (folder / "classes.txt").write_text("background\nleaf\n")
    session = session_in(tmp_path, folder / "images")
    assert session.name == "listed" and not session.may_rename
    visitor = Visitor(session)
    line = visitor.post("/classes", {"add": "stem"}, status=409)["error"]
    assert "change them there" in line


def test_the_demo_opens_on_the_photographs_that_ship(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with patch.object(sys, "argv", ["annotate.py", "--demo", "--encoder_weights", "none"]):
        session = annotate.session_of(annotate.parse_args())
    assert session.name == "demo" and len(session.photographs) >= 90
    assert [*session.log.classes.names] == ["background", "pet"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--port", 99999], "--port 99999"),
        (["--annotator", "a/b"], "--annotator"),
        (["--classes", "background", "cat"], "is added by itself"),
        (["--classes", "cat", "--no_background"], "two classes"),
    ],
)
def test_flags_that_mean_nothing_are_refused(photos, words, line):
    with pytest.raises(UserError) as caught:
        annotate.main(flags("--images", photos, *words))
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_photographs_and_classes_must_be_there(photos, tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        annotate.main(flags("--images", tmp_path / "nowhere"))
    with pytest.raises(UserError, match="--classes cat dog"):
        session_in(tmp_path, photos)
    write_photographs(tmp_path / "bad", {"a.png": (20, 20)})
    (tmp_path / "bad" / "a.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="no photograph can be read"):
        session_in(tmp_path, tmp_path / "bad", "--classes", "cat")


def test_the_command_prints_a_link_that_opens_once_and_ends_by_ctrl_c(photos, tmp_path, capsys):
    words = ["--images", photos, "--classes", "cat", "--labels", tmp_path / "labels"]
    words += ["--cache_dir", tmp_path / "cache", "--port", "0"]
    shown = []

    def wait(_):
        link = re.search(r"open (\S+)", capsys.readouterr().out)[1]
        with pytest.raises(OSError, match="403"):
            urlopen(link.split("?")[0])
        with pytest.raises(OSError, match="403"):
            urlopen(link)  # its cookie does not come back with the redirect
        shown.append(link)
        raise KeyboardInterrupt

    with patch("annotate.time.sleep", wait), pytest.raises(KeyboardInterrupt):
        annotate.main(flags(*words))
    assert shown[0].startswith("http://127.0.0.1:") and "?token=" in shown[0]


def test_a_port_that_is_taken_is_said_to_be(photos, tmp_path):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port}: can't be listened at"):
            annotate.free_port("127.0.0.1", port)
        with patch("annotate.PORT", port):
            assert annotate.free_port("127.0.0.1", None) == 0


def call(command, log, *_):
    """Stand for `runner.run_command`, in this process."""
    script, *words = [str(word) for word in command[1:]]
    module = train if script.endswith("train.py") else predict
    run(module, *words, "--device", "cpu")
    return 0


def parsed_run(words):
    """Return what train.py is asked for by the words of a command line, checked."""
    with patch.object(sys, "argv", ["train.py", *words]):
        return TrainingRun.of_flags(vars(train.parse_args()))


@given(
    st.integers(64, 2000),
    st.sampled_from(["efficientnet-lite0", "tu-vit_small_patch14_dinov2", "efficientnet-lite1"]),
)
@settings(max_examples=10, deadline=None)
def test_the_u_net_that_goes_on_is_one_whatever_the_probe_saw(size, encoder):
    args = SimpleNamespace(img_size=size, encoder=encoder, encoder_weights="none")
    words = ["--supervision_mode", "any", "--labels", "labels/mine", "--data_dir", "photographs"]
    unet = parsed_run([*words, *annotate.unet_words(args)])
    assert abs(unet.img_size - size) <= 16 and unet.encoder.startswith("efficientnet-lite")


def test_finish_leaves_a_run_its_card_masks_and_commands(photos, tmp_path, monkeypatch):
    session = session_in(tmp_path, photos, "--classes", "red")
    visitor = Visitor(session)
    monkeypatch.setattr(runner, "run_command", call)
    with started(session):
        visitor.post("/begin", {})
        for _ in range(16):
            question = visitor.questions()[0]
            pixels = session.photographs.pixels(question["picture"])
            is_red = pixels[int(question["y"]), int(question["x"]), 0] > 120
            visitor.answer(question, "red" if is_red else "background")
        visitor.post("/finish", {})
        until(lambda: visitor.get("/state")["finish"]["state"] in ("done", "failed"), 60)
        state = visitor.get("/state")["finish"]
    assert state["state"] == "done", state
    card = (tmp_path / "runs" / "my_photos" / "card.md").read_text()
    assert "16 answers" in card and "python predict.py" in card
    assert len(state["commands"]) == 3
    unet = parsed_run(shlex.split(state["commands"][1])[2:])
    assert (unet.checkpoint_dir, unet.img_size) == (str(tmp_path / "runs"), 64)
    masks = sorted((tmp_path / "masks" / "masks").glob("*.png"))
    assert len(masks) == 12
    hits = []
    for path in masks:
        index = session.photographs.index[path.stem]
        hits.append(np.mean(read_mask(path) == (session.photographs.pixels(index)[..., 0] > 120)))
    assert np.mean(hits) > 0.7

    # The store goes out as any other does.
    words = ["export", "--labels", tmp_path / "labels", "--format", "weakseg"]
    with patch.object(
        sys, "argv", ["labels.py", *map(str, words), "--output", f"{tmp_path}/a.json"]
    ):
        labels.main(labels.parse_args())
    pictures = json.loads((tmp_path / "a.json").read_text())["pictures"]
    with opened_store(tmp_path / "labels") as store:
        told = [e for _, _, e in store.events("answered") if e.geometry["way"] == "first"]
    assert sum(len(one["shapes"]) for one in pictures) == len(told) == 16


def test_a_finish_that_fails_says_why(photos, tmp_path, monkeypatch):
    session = session_in(tmp_path, photos, "--classes", "red")

    def fail(command, log, *_):
        log.write(b"error: --encoder: is gone; mend it\n")
        return 2

    monkeypatch.setattr(runner, "run_command", fail)
    session.finish()
    until(lambda: session.finishing.stage != "running")
    assert session.finishing.state()["state"] == "failed"
    assert session.finishing.state()["line"] == "--encoder: is gone; mend it"


def test_its_docstring_has_the_commands_of_the_docs():
    text = (ROOT / "docs" / "annotating.md").read_text(encoding="utf-8")
    assert "python annotate.py --images my_photos --classes cat dog" in text
    assert "python annotate.py --images my_photos --classes cat dog" in (annotate.__doc__ or "")


def test_one_folder_is_open_once(tmp_path):
    with annotate.opened_once(tmp_path / "labels"):
        with pytest.raises(UserError, match="is open in another"):
            with annotate.opened_once(tmp_path / "labels"):
                pass
    with annotate.opened_once(tmp_path / "labels"):
        pass


def test_photographs_may_come_and_go_between_two_days(tmp_path):
    folder = tmp_path / "photos"
    write_photographs(folder, {f"{n}.png": (40, 30) for n in range(12)})
    session = session_in(tmp_path, folder, "--classes", "red")
    visitor = Visitor(session)
    with started(session):
        visitor.post("/begin", {})
        for label in ("red", "background", "red"):
            visitor.answer(visitor.questions()[0], label)
        open_now = {session.log.asked[n].picture for n in session.log.open}
    gone = [*dict.fromkeys([session.log.told[0].asked.picture, *open_now])][:2]
    for name in gone:
        (folder / f"{name}.png").unlink()
    write_photographs(folder, {f"new{n}.png": (40, 30) for n in range(4)})
    session = session_in(tmp_path, folder)
    visitor = Visitor(session)
    with started(session):
        question = visitor.questions()[0]
        visitor.answer(question, "red")
        until(lambda: session.asker.joined == 12 - len({*gone}) + 4)
        kept = [one for one in session.log.told if one.asked.picture not in gone]
        until(lambda: session.asker.asking is not None)
        assert len(session.asker.asking.answers) == len(kept)
        assert {one["picture"] for one in visitor.get("/told")["told"]} == {
            session.photographs.index[one.asked.picture] for one in kept
        }
