"""A U-Net whose file is damaged is refused in one line, before anything is predicted or learnt."""

import pytest
import torch
from conftest import run
from hypothesis import given, settings
from hypothesis import strategies as st

import evaluate
import train
from model import NARROW, build_model, model_from, refuse_unfit
from weakseg.common import UserError
from weakseg.learners.checkpoint_file import STATES, damaged
from weakseg.learners.probe_unet import ProbeHead, ProbeUnet

CLASSES, TAGS = 3, 2
CHANNELS = (24, 40, 80, 112, 192, 320)  # of the stages of efficientnet-lite0 that a probe sees


def checkpoint_of(kind):
    """Return the checkpoint of a random network: "plain", "coarse", "linear" or "small" probe."""
    is_probe, is_coarse = kind in ("linear", "small"), kind == "coarse"
    words = {"decoder": NARROW} if is_probe else {}
    model = build_model("efficientnet-lite0", CLASSES, TAGS, "none", coarse=is_coarse, **words)
    if is_probe:
        model = ProbeUnet(model, ProbeHead(CHANNELS, CLASSES, 4 if kind == "small" else 0), 0.1)
    args = {"encoder": "efficientnet-lite0", "coarse_logits": is_coarse, "img_size": 64}
    args["start"] = "probe" if is_probe else None
    task = {"classes": ["a", "b", "c"], "tag_names": ["d", "e"]}
    return {"model": model.state_dict(), "args": args, "task": task}


CHECKPOINTS = {kind: checkpoint_of(kind) for kind in ("plain", "coarse", "linear", "small")}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_a_whole_network_is_taken(kind):
    refuse_unfit("best.pt", CHECKPOINTS[kind])
    assert model_from(CHECKPOINTS[kind]).state_dict().keys() == CHECKPOINTS[kind]["model"].keys()


@settings(max_examples=20, deadline=None)
@given(kind=st.sampled_from([*CHECKPOINTS]), data=st.data())
def test_every_tensor_must_be_there_in_its_shape_and_no_other(kind, data):
    state = CHECKPOINTS[kind]["model"]
    # Names are drawn by their part first, so that small parts are not lost among the encoder's.
    parts = sorted({name.split(".")[0] for name in state})
    part = data.draw(st.sampled_from(parts))
    name = data.draw(st.sampled_from([name for name in state if name.split(".")[0] == part]))
    fault = data.draw(st.sampled_from(["lacks", "more dimensions", "longer", "stranger"]))
    spoilt = {key: value for key, value in state.items() if key != name}
    if fault == "stranger":
        spoilt = state | {"stranger": torch.zeros(2)}
    elif fault == "longer" and state[name].ndim:
        side = data.draw(st.integers(0, state[name].ndim - 1))
        spoilt[name] = torch.cat([state[name]] * 2, side)
    elif fault != "lacks":
        spoilt[name] = state[name][None]
    with pytest.raises(UserError) as caught:
        refuse_unfit("best.pt", CHECKPOINTS[kind] | {"model": spoilt})
    line = str(caught.value)
    assert line.startswith("best.pt: ") and "--overwrite" in line and "\n" not in line
    # The shape of a probe is told by its tensors, so that without one the others do not fit.
    is_told = fault != "lacks" or name.startswith("probe_head.")
    assert f"lacks the tensor {name}," in line or (is_told and "is damaged" in line)


@pytest.fixture(scope="module")
def trained(pets_dir, pets_labels, tmp_path_factory):
    """The words of train.py, and the folder, of one tiny run with a mean teacher."""
    folder = tmp_path_factory.mktemp("run")
    words = "--supervision_mode points --recipe strong --epochs 2 --img_size 64 --batch_size 8"
    words = [*words.split(), "--encoder_weights", "none", "--device", "cpu", "--run_name", "r"]
    words += ["--data_dir", pets_dir, "--weak_label_path", pets_labels]
    words += ["--checkpoint_dir", folder, "--cache_dir", folder / "cache"]
    run(train, *words, "--lambda_teacher", 1)
    return [*words, "--lambda_teacher", 1], folder / "r"


def refused(path, content, module, words):
    """Return the line by which a command refuses a checkpoint, which is put back afterwards."""
    whole = path.read_bytes()
    torch.save(content, path)
    try:
        with pytest.raises(UserError) as caught:
            run(module, *words)
    finally:
        path.write_bytes(whole)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line


FAULTS = {
    "nan": lambda tensor: tensor * float("nan"),
    "infinite": lambda tensor: tensor / 0,
    "shape": lambda tensor: tensor[:-1],
    "text": lambda tensor: "text",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_commands_name_the_tensor(fault, trained, tmp_path):
    words, folder = trained
    name = "unet.decoder.blocks.0.conv1.0.weight"
    content = torch.load(folder / "last.pt", weights_only=True)
    content["model"][name] = FAULTS[fault](content["model"][name])
    line = refused(folder / "last.pt", content, train, [*words, "--resume"])
    assert f"is damaged, the tensor {name} " in line
    best = torch.load(folder / "best.pt", weights_only=True) | {"model": content["model"]}
    flags = ["--checkpoint_dir", folder.parent, "--results_dir", tmp_path / "e"]
    assert f"the tensor {name} " in refused(folder / "best.pt", best, evaluate, flags)
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize("part", STATES)
def test_a_resumed_run_has_finite_numbers_in_every_part(part, trained):
    words, folder = trained
    content = torch.load(folder / "last.pt", weights_only=True)

    def spoil(table):
        for key, value in table.items():
            if isinstance(value, dict):
                if spoil(value):
                    return True
            elif torch.is_tensor(value) and value.is_floating_point() and value.ndim:
                table[key] = value * float("nan")
                return True
        return False

    if spoil(content[part]):
        line = refused(folder / "last.pt", content, train, [*words, "--resume"])
        assert "holds something that is no finite number" in line
    else:
        assert part == "criterion"  # of this run without weights of its own


@pytest.mark.parametrize("part", ["teacher", "optimizer"])
def test_what_does_not_fit_the_run_is_refused(part, trained):
    words, folder = trained
    content = torch.load(folder / "last.pt", weights_only=True) | {part: {}, "epoch": 1}
    line = refused(folder / "last.pt", content, train, [*words, "--resume"])
    assert f"is damaged, its {part} does not fit the run" in line


@pytest.mark.parametrize("part", ["criterion", "optimizer", "schedule", "teacher"])
def test_a_run_never_goes_on_without_the_state_of_a_part(part, trained):
    words, folder = trained
    content = torch.load(folder / "last.pt", weights_only=True) | {"epoch": 1}
    del content[part]
    line = refused(folder / "last.pt", content, train, [*words, "--resume"])
    assert f"lacks the state of the {part}" in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": None}, "the entry epoch is None"),
        ({"epoch": "2"}, "the entry epoch is '2'"),
        ({"selected": 1}, "the entry selected is 1"),
        ({"best": "low"}, "the entry best is 'low'"),
        ("epoch", "lacks the entry epoch"),
        ("selected", "lacks the entry selected"),
    ],
)
def test_how_far_a_run_is_must_be_known(change, message, trained):
    words, folder = trained
    content = torch.load(folder / "last.pt", weights_only=True)
    if isinstance(change, str):
        del content[change]
    else:
        content |= change
    assert message in refused(folder / "last.pt", content, train, [*words, "--resume"])


@pytest.mark.parametrize("value", [None, "64", True, -1])
def test_settings_are_of_their_kind(value, trained, tmp_path):
    folder = trained[1]
    best = torch.load(folder / "best.pt", weights_only=True)
    flags = ["--checkpoint_dir", folder.parent, "--results_dir", tmp_path / "e"]
    spoilt = best | {"args": best["args"] | {"img_size": value}}
    line = refused(folder / "best.pt", spoilt, evaluate, flags)
    assert line == str(damaged(folder / "best.pt", f"the setting img_size is {value!r}"))
    del spoilt["args"]["img_size"]
    assert "lacks the setting img_size" in refused(folder / "best.pt", spoilt, evaluate, flags)


@pytest.mark.parametrize("part", ["classes", "run_name"])
def test_names_that_steer_a_terminal_or_lead_out_are_refused(part, trained, tmp_path):
    folder = trained[1]
    best = torch.load(folder / "best.pt", weights_only=True)
    task, args = best["task"] | {"classes": ["a", "b\x1b[2J"]}, best["args"] | {"run_name": "../r"}
    spoilt = best | ({"task": task} if part == "classes" else {"args": args})
    flags = ["--checkpoint_dir", folder.parent, "--results_dir", tmp_path / "e"]
    line = refused(folder / "best.pt", spoilt, evaluate, flags)
    assert "is damaged" in line and line.isprintable()
