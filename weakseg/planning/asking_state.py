"""A session of questions on disk: one file that a killed session goes on from, bit by bit."""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from weakseg.common import UserError, atomic_path
from weakseg.labels.answers import RANDOM
from weakseg.learners.logistic import LinearHead
from weakseg.learners.probe import Standard
from weakseg.planning.asking import Asking
from weakseg.planning.candidates import RandomQuestions
from weakseg.planning.questions import EXAMPLE, Answer, Question

VERSION = 1
DAMAGE = OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile
HEADS = ("head", "tell")
PARTS = ("weights", "bias")
NUMBERS = ("fits", "penalty", "weight", "chosen_at", "axes_at")


def save_session(path: Path, asking: Asking, key: str, contents: str = "") -> None:
    """Write the state of a session. key, contents: as `load_session` takes them."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        state: dict[str, Any] = state_of(asking)
        state |= {"key": np.array(key), "version": np.array(VERSION)}
        state |= {"contents": np.array(contents)} if contents else {}
        np.savez(file, **state, seal=np.array(seal_of(state)))


def seal_of(state: Mapping[str, np.ndarray]) -> str:
    """Return a digest of the arrays of a session, which tells that nobody edited its file."""
    digest = hashlib.sha256()
    for name in sorted(state):
        array = np.ascontiguousarray(state[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def load_session(path: Path, asking: Asking, key: str, contents: str = "") -> bool:
    """Bring a session to where its file ends -> whether there is one.

    asking: fresh, of the same pictures and options; key: says which these are; contents: what
    their files hold, which those of earlier versions don't say. A file of another session, or one
    that is damaged or was edited, is a `UserError`.
    """
    if not path.exists():
        return False
    try:
        with np.load(path, allow_pickle=False) as file:
            state = {name: file[name] for name in file.files}
        if int(state["version"]) != VERSION or str(state["key"]) != key:
            raise UserError(
                f"{path}: is a session of other pictures, labels or flags; take another folder, or "
                "delete it"
            )
        if str(state.get("contents", contents)) != contents:
            raise UserError(
                f"{path}: is a session on photographs or masks that changed since; restore them, "
                "take another folder, or delete it"
            )
        if "seal" in state and str(state.pop("seal")) != seal_of(state):
            raise ValueError("it was edited")
        restore(asking, state)
    except DAMAGE as error:
        raise UserError(f"{path}: a damaged session ({error}); delete it to begin anew") from error
    return True


def state_of(asking: Asking) -> dict[str, np.ndarray]:
    """Return all that a session is, as arrays without objects."""
    answers = asking.answers
    questions = [row.question for row in answers.rows]
    depth = asking.pool.features.shape[-1]
    state = {
        "picture": np.array([question.picture for question in questions], np.int64),
        "place": np.array([question.place for question in questions], float).reshape(-1, 2),
        "drawn_by": np.array([question.drawn for question in questions], np.str_),
        "fit": np.array([question.fit for question in questions], np.int64),
        "repeated": np.array([question.repeated for question in questions], bool),
        "label": np.array([row.label for row in answers.rows], np.int64),
        "features": np.array(answers.features, np.float16).reshape(-1, depth),
        "joined": asking.random.joined,
        "sought": asking.sought,
        "mean": asking.model.standard.mean,
        "deviation": asking.model.standard.deviation,
        **{name: np.array(getattr(asking.model, name)) for name in NUMBERS},
    }
    for name in HEADS:
        head: LinearHead | None = getattr(asking.model, name)
        if head is not None:
            state |= {f"{name}_weights": head.weights.numpy(), f"{name}_bias": head.bias.numpy()}
    return state


def restore(asking: Asking, state: dict[str, Any]) -> None:
    """Bring a fresh session to a state; one that does not fit raises ValueError or KeyError.

    The session has all pictures, those that joined later too.
    """
    if "joined" in state:
        if state["joined"].shape != (len(asking.pool),):
            raise ValueError(f"{state['joined'].size} pictures, not {len(asking.pool)}")
        asking.random = RandomQuestions(asking.random.seed, asking.pool.sizes, state["joined"])
        asking.model.standard = Standard(state["mean"], state["deviation"])
    columns = (state[name].tolist() for name in ("picture", "drawn_by", "fit", "repeated", "label"))
    rows = zip(*columns, state["place"].tolist(), state["features"], strict=True)
    for picture, drawn, fit, repeated, label, (x, y), features in rows:
        if not 0 <= picture < len(asking.pool):
            raise ValueError(f"a picture number {picture}")
        question = Question(picture, (x, y), drawn, fit, repeated)
        asking.keep(Answer(question, label), features)
    for name in NUMBERS:
        setattr(asking.model, name, state[name].item())
    if "sought" in state:
        if state["sought"].shape != asking.sought.shape:
            raise ValueError(f"{state['sought'].size} classes, not {asking.num_classes}")
        asking.sought = state["sought"]
    # A question that nobody has answered is asked again.
    drawn = [row.question.drawn for row in asking.answers.rows]
    asking.drawn, asking.placed = drawn.count(RANDOM), len(drawn) - drawn.count(EXAMPLE)
    if asking.model.axes_at:
        asking.model.find_axes(asking.answers)
    for name in HEADS:
        if f"{name}_weights" in state:
            weights, bias = (torch.from_numpy(state[f"{name}_{part}"]) for part in PARTS)
            setattr(asking.model, name, LinearHead(weights, bias))
