"""Recipes: which terms a mode gets, what they see, and what the teacher does."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import run
from hypothesis import given, settings
from hypothesis import strategies as st
from killed_runs import killed_after, lines, same

import data_utils
import losses
import train
from weakseg import common
from weakseg.common import UserError
from weakseg.data.datasets import open_dataset
from weakseg.labels.signals import SIGNALS, parse_modes
from weakseg.labels.targets import View, draw_boxes
from weakseg.labels.training_labels import read_training_labels, training_ids
from weakseg.losses.mean_teacher import allowed_classes, self_label_loss
from weakseg.losses.partial_cross_entropy import partial_cross_entropy
from weakseg.pseudo_masks import from_labels, rounds
from weakseg.training import checkpoints, options, recipes
from weakseg.training.distributed import global_means, make_accelerator
from weakseg.training.mean_teacher import Teacher
from weakseg.training.recipes import LossOptions
from weakseg.training.run import TrainingRun

SIZE = 32
SLOW = pytest.mark.slow
MODES = st.lists(st.sampled_from(list(SIGNALS)), min_size=1, unique=True)


@given(signals=MODES, classes=st.integers(2, 256))
def test_plain_adds_nothing_and_strong_what_the_signals_ask_for(signals, classes):
    assert recipes.usual_weights("plain", signals, classes) == {}
    found = recipes.usual_weights("strong", signals, classes)
    rows = {signal: dict(recipes.STRONG[signal]) for signal in signals}
    for signal in signals if classes > 2 else ():
        rows[signal].update(recipes.STRONG_MANY.get(signal, {}))
    for term in {term for row in recipes.STRONG.values() for term in row}:
        asked = max(row.get(term, 0) for row in rows.values())
        unless = recipes.ADDED_TERMS[term].unless if term in recipes.ADDED_TERMS else ()
        better = [t for t in unless if any(t in recipes.STRONG[signal] for signal in signals)]
        assert found.get(term, 0) == (0 if better else asked)
    assert all(term in signals or recipes.ADDED_TERMS[term].serves(signals) for term in found)


def test_a_teacher_helps_one_class_and_leaves_many_alone():
    weights = [recipes.usual_weights("strong", ("points",), classes) for classes in (2, 3, 21)]
    assert [found["teacher"] for found in weights] == [1, 0, 0]
    assert all({**found, "teacher": 0} == weights[-1] for found in weights)


@given(signals=MODES, classes=st.integers(2, 256))
def test_from_a_probe_its_chances_replace_all_that_is_added_where_there_are_no_masks(
    signals, classes
):
    found = recipes.usual_weights("strong", signals, classes, "probe")
    added = {term for term in found if term in recipes.ADDED_TERMS}
    assert added == (set() if "full" in signals else {"probe"})
    for term in recipes.FROM_PROBE.keys() & {*signals} if added else ():
        assert found[term] == recipes.FROM_PROBE[term]
    assert recipes.usual_weights("plain", signals, classes, "probe") == {}


def views():
    """Any crop of an image of any size, mirrored or not."""
    sizes = st.integers(20, 400)
    corner = st.tuples(st.integers(0, SIZE - 8), st.integers(0, SIZE - 8))

    def view(width, height, corner, w, h, flip):
        left, top = corner
        return View(width, height, SIZE, left, top, min(w, SIZE - left), min(h, SIZE - top), flip)

    return st.builds(
        view, sizes, sizes, corner, st.integers(8, SIZE), st.integers(8, SIZE), st.booleans()
    )


@settings(max_examples=60)
@given(
    view=views(),
    corner=st.tuples(st.floats(0, 0.7), st.floats(0, 0.7)),
    size=st.tuples(*[st.floats(0.1, 0.3)] * 2),
)
def test_padded_boxes_are_where_the_drawn_ones_are(view, corner, size):
    x0, y0 = corner[0] * view.width, corner[1] * view.height
    x1, y1 = x0 + size[0] * view.width, y0 + size[1] * view.height
    annotation = [[x0, y0, x1, y1, 2]]
    found = data_utils.object_boxes(annotation, view)
    for corners in ([x1, y1, x0, y0, 2], [x0, y1, x1, y0, 2]):
        assert np.array_equal(data_utils.object_boxes([corners], view), found)
    assert (
        found.shape == (data_utils.MAX_BOXES, 5)
        and found.dtype == np.float32
        and (found[1:, 4] == -1).all()
    )
    rows, columns = np.nonzero(draw_boxes(annotation, view) == 2)
    if found[0, 4] == -1:
        assert not len(rows)
    elif len(rows):
        left, top, right, bottom, label = found[0]
        assert label == 2
        assert max(left, 0) - 1 <= columns.min() and columns.max() < min(right, SIZE) + 1
        assert max(top, 0) - 1 <= rows.min() and rows.max() < min(bottom, SIZE) + 1
        assert columns.min() < max(left, 0) + 1.5 and rows.min() < max(top, 0) + 1.5


def test_the_largest_boxes_are_kept():
    annotation = [[0, 0, 1 + i % 50, 10, 1] for i in range(50)]
    found = data_utils.object_boxes(annotation, View(60, 60, SIZE))
    areas = (found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1])
    assert (
        (found[:, 4] == 1).all()
        and (np.diff(areas) <= 1e-4).all()
        and areas[0] == pytest.approx(500 * (SIZE / 60) ** 2)
    )


# ---- self-labels


def test_a_certain_teacher_of_one_class_is_a_label():
    torch.manual_seed(0)
    logits, label = torch.randn(2, 3, 4, 4), torch.full((2, 4, 4), 1)
    teacher = torch.nn.functional.one_hot(label, 3).permute(0, 3, 1, 2).float()
    mean = self_label_loss(logits, teacher, torch.ones(2, 4, 4, dtype=torch.bool), 0.8)
    assert mean.value == pytest.approx(partial_cross_entropy(logits, label).value.item(), rel=1e-5)


def test_classes_weigh_the_same_and_unsure_or_labelled_pixels_nothing():
    torch.manual_seed(0)
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    teacher = torch.tensor([0.9, 0.1]).view(1, 2, 1, 1).repeat(1, 1, 4, 4)
    teacher[:, :, 0, 0] = torch.tensor([0.1, 0.9])  # one pixel of class 1
    teacher[:, :, 3] = 0.5  # unsure
    where = torch.ones(1, 4, 4, dtype=torch.bool)
    where[:, 2] = False  # labelled
    mean = self_label_loss(logits, teacher, where, 0.8)
    each = -(teacher * logits.log_softmax(1)).sum(1)[0]
    background = torch.cat([each[0, 1:], each[1]])
    assert (mean.count > 0).tolist() == [True, True]
    assert mean.value.item() == pytest.approx(
        ((each[0, 0] + background.mean()) / 2).item(), rel=1e-5
    )
    mean.value.backward()
    assert (logits.grad[0, :, 2:] == 0).all() and (logits.grad[0, :, :2] != 0).all()


@given(st.integers(0, 2**32 - 1))
def test_self_labels_of_two_processes_are_those_of_one(seed):
    """Each class is normalised over the batch of both, also where one of them sees nothing of
    it.
    """
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, 3, 4, 4, generator=generator, dtype=torch.double, requires_grad=True)
    teacher = (3 * torch.randn(4, 3, 4, 4, generator=generator, dtype=torch.double)).softmax(1)
    where = torch.rand(4, 4, 4, generator=generator) < 0.7
    whole = self_label_loss(logits, teacher, where, 0.6)
    (expected,) = torch.autograd.grad(whole.value, logits)
    halves = [
        self_label_loss(logits[part], teacher[part], where[part], 0.6)
        for part in (slice(1), slice(1, 4))
    ]
    mean = sum(half.count.float() for half in halves) / 2
    both = SimpleNamespace(num_processes=2, reduce=lambda counts, how: mean)
    values = [global_means({"teacher": half}, both)[0]["teacher"] for half in halves]
    assert (sum(values) / 2).item() == pytest.approx(whole.value.item(), rel=1e-5, abs=1e-9)
    (found,) = torch.autograd.grad(sum(values) / 2, logits)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)


def test_a_teacher_that_is_never_sure_gives_zero_and_a_gradient():
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    mean = self_label_loss(
        logits, torch.full((1, 2, 4, 4), 0.5), torch.ones(1, 4, 4, dtype=torch.bool), 0.8
    )
    mean.value.backward()
    assert mean.value == 0 and (logits.grad == 0).all()


# ---- what tags exclude


@given(
    says=st.lists(
        st.lists(st.sampled_from([0.0, 1.0, -1.0]), min_size=4, max_size=4), min_size=1, max_size=3
    ),
    tag_class=st.lists(st.integers(1, 4), min_size=4, max_size=4),
)
def test_a_class_is_out_of_the_question_only_if_all_its_tags_are_absent(says, tag_class):
    allowed = allowed_classes(torch.tensor(says), torch.tensor(tag_class), 5)
    for image, row in zip(says, allowed.tolist(), strict=True):
        for label, found in enumerate(row):
            shown = [tag for tag, of in zip(image, tag_class, strict=True) if of == label]
            assert found == (not shown or any(tag != 0 for tag in shown))


def step(targets, tag_class=(1, 2), open_boxes=False, has_background=True):
    torch.manual_seed(0)
    outputs, teacher = {"seg": torch.randn(2, 3, 4, 4)}, torch.randn(2, 3, 4, 4).softmax(1)
    labels = LossOptions(tag_class, open_boxes=open_boxes, has_background=has_background)
    return losses.Step(outputs, {"targets": targets}, teacher, labels, recipes.AddedOptions())


def test_excluded_classes_give_their_share_to_the_others():
    one = step({"tags": torch.tensor([[1.0, 0.0], [-1.0, 1.0]])})
    found = one.without_absent_classes(one.teacher)
    assert (found[0, 2] == 0).all() and torch.allclose(found[1], one.teacher[1])
    assert torch.allclose(found.sum(1), torch.ones(2, 4, 4))
    assert torch.allclose(found[0, 0] / found[0, 1], one.teacher[0, 0] / one.teacher[0, 1])
    alone = step({"points": torch.full((2, 4, 4), 255)})
    assert alone.without_absent_classes(alone.teacher) is alone.teacher


def test_unlabelled_is_where_no_signal_says_anything():
    points, boxes = torch.full((2, 4, 4), 255), torch.full((2, 4, 4), 255)
    points[0, 0, 0], boxes[1, 2] = 1, 0
    expected = torch.ones(2, 4, 4, dtype=torch.bool)
    expected[0, 0, 0] = expected[1, 2] = False
    assert torch.equal(
        step({"points": points, "boxes": boxes, "tags": torch.zeros(2, 2)}).unlabelled, expected
    )
    boxes[:] = 0
    boxes[0, 2] = 1
    inside = (boxes == 1) & (points == 255)
    assert torch.equal(step({"points": points, "boxes": boxes}, open_boxes=True).unlabelled, inside)
    without = step({"boxes": boxes}, open_boxes=True, has_background=False)
    assert without.unlabelled.all()  # neither the inside nor the outside is known
    assert not step({"points": points, "boxes": boxes}).unlabelled.any()


# ---- the teacher


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2)

    def segment(self, image):
        return self.norm(self.layer(image))


def test_the_teacher_is_the_moving_average_and_comes_back_from_its_state():
    torch.manual_seed(0)
    network, decay = Network(), 0.6
    teacher = Teacher(network, decay)
    expected, image = copy.deepcopy(network.layer.weight.detach()), torch.rand(2, 3, 4, 4)
    for step in range(8):
        with torch.no_grad():
            network.layer.weight += torch.randn_like(network.layer.weight)
        network.segment(image)
        teacher.update(network)
        rate = 1.0 if step == 0 else 1 - min(decay, (1 + step) / (10 + step))
        expected = expected + rate * (network.layer.weight.detach() - expected)
    assert torch.allclose(teacher.average.module.layer.weight, expected, atol=1e-6)
    from contextlib import nullcontext

    before = teacher(image, nullcontext)
    assert not before.requires_grad and torch.allclose(before.sum(1), torch.ones(2, 4, 4))
    other = Teacher(Network(), decay)
    other.load_state_dict(teacher.state_dict())
    assert torch.equal(other(image, nullcontext), before)
    assert torch.equal(
        teacher(image, nullcontext), before
    )  # asking changes nothing, not even batch norm


# ---- in train.py


@pytest.fixture
def flags(pets_dir, pets_labels, tmp_path):
    return [
        "--img_size",
        64,
        "--batch_size",
        8,
        "--encoder_weights",
        "none",
        "--device",
        "cpu",
        "--data_dir",
        pets_dir,
        "--weak_label_path",
        pets_labels,
        "--checkpoint_dir",
        tmp_path,
        "--cache_dir",
        tmp_path / "cache",
    ]


@pytest.mark.parametrize(
    "mode, module, name, calls",
    [
        pytest.param("points", checkpoints, "save_checkpoint", 1, marks=SLOW),
        pytest.param("scribbles", checkpoints, "save_checkpoint", 2, marks=SLOW),
        ("hybrid_boxes_points", checkpoints, "save_checkpoint", 1),
        pytest.param("tags", from_labels, "mask_from_maps", 3, marks=SLOW),
        pytest.param("points", rounds, "mask_from_predictions", 2, marks=SLOW),
        pytest.param("hybrid_tags_points", checkpoints, "save_checkpoint", 3, marks=SLOW),
    ],
)
def test_every_strong_mode_resumes_to_the_same_weights(
    mode, module, name, calls, flags, tmp_path, monkeypatch
):
    strong = [
        "--supervision_mode",
        mode,
        "--recipe",
        "strong",
        "--augment",
        "--epochs",
        3,
        "--run_name",
        "r",
        "--resume",
        "auto",
        *flags,
    ]
    run(train, *strong)
    expected = torch.load(tmp_path / "r" / "last.pt", weights_only=True)
    signals, classes = parse_modes([mode]), len(expected["task"]["classes"])
    weights = recipes.usual_weights("strong", signals, classes)
    assert ("teacher" in expected) == bool(weights.get("teacher")) and expected["epoch"] == 3
    assert {term for term, weight in weights.items() if weight} <= set(
        lines(tmp_path / "r")[-1]["terms"]
    )
    common.remove(tmp_path / "r")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        killed_after(patch, module, name, calls)
        run(train, *strong)
    run(train, *strong)
    found = torch.load(tmp_path / "r" / "last.pt", weights_only=True)
    for part in ("model", "teacher", "optimizer", "criterion", "best"):
        assert same(found.get(part), expected.get(part)), part


def test_everything_that_computes_is_on_the_device_of_the_run(flags):
    args = options.parse_args(
        [*map(str, flags), "--supervision_mode", "scribbles", "--recipe", "strong"]
    )
    strong = TrainingRun.of_flags(vars(args))
    dataset = open_dataset(strong)
    ids = training_ids(dataset, strong.seed)
    accelerator = make_accelerator("cpu")
    accelerator.state.device = torch.device("meta")  # any that is not where tensors are made
    try:
        labels = read_training_labels(
            strong.weak_label_path, dataset, ids, strong.signals, "val_loss", strong.data_dir
        )
        weights = recipes.term_weights("strong", strong.signals, 2, {})
        masks = train.pseudo_mask_rounds(strong, dataset, labels, weights)
        model = train.new_network(strong, dataset)
        training = train.prepare(strong, dataset, labels, weights, masks, accelerator, model)
    finally:
        accelerator.state.device = torch.device("cpu")
    for part in (training.model, training.criterion, training.teacher.average):
        assert {tensor.device.type for tensor in (*part.parameters(), *part.buffers())} <= {"meta"}


def test_strong_tags_have_masks_from_the_first_epoch(flags, tmp_path):
    run(
        train,
        "--supervision_mode",
        "tags",
        "--run_name",
        "r",
        "--recipe",
        "strong",
        "--epochs",
        1,
        *flags,
    )
    line = json.loads((tmp_path / "r" / "log.jsonl").read_text())
    assert line["terms"]["cams"] > 0 and line["selected"]


def test_overwriting_a_run_takes_its_pseudo_masks_along(flags, tmp_path):
    mode = ["--supervision_mode", "tags", "--run_name", "r", *flags]
    run(train, *mode, "--recipe", "strong", "--epochs", 1)
    assert list((tmp_path / "r" / "pseudo_masks" / "cams" / "1").glob("*.png"))
    run(train, *mode, "--epochs", 1, "--overwrite")
    assert not (tmp_path / "r" / "pseudo_masks").exists()


@given(
    weights=st.dictionaries(st.sampled_from(["walk", "cams", "crf"]), st.sampled_from([0.0, 1.0])),
    epochs=st.integers(1, 40),
    share=st.floats(0, 1),
)
def test_each_round_of_masks_comes_once_in_order_and_before_an_epoch_that_uses_it(
    weights, epochs, share
):
    terms = tuple(term for term in rounds.TERMS if weights.get(term))
    unread = dict.fromkeys(("signals", "dataset", "labels", "cache", "new_encoder"))
    plan = rounds.Rounds(Path("r"), terms, epochs, share, **unread)
    made = [(one, epoch) for epoch in range(2 * epochs) for one in plan.due(epoch)]
    when = dict(made)
    assert len(made) == len(when) and max(when.values(), default=0) < epochs
    assert {term for term, number in when if number == 1} == {
        t for t in ("walk", "cams") if weights.get(t)
    }
    for term, number in when:
        assert when[term, 1] == 0
        assert number == 1 or when[term, 2] > when[term, 1]
    assert share < 1 or all(number == 1 for _, number in when)


def test_masks_that_are_gone_are_no_reason_to_train_without_them(flags, tmp_path):
    mode = [
        "--supervision_mode",
        "points",
        "--run_name",
        "r",
        "--recipe",
        "strong",
        "--epochs",
        3,
        *flags,
    ]
    run(train, *mode)
    last = torch.load(tmp_path / "r" / "last.pt", weights_only=True)
    checkpoints.save_checkpoint(tmp_path / "r" / "last.pt", last | {"epoch": 2})
    common.remove(tmp_path / "r" / "pseudo_masks" / "walk" / "2")
    with pytest.raises(
        UserError, match="walk/2: gone since the run made it; start the run anew with --overwrite"
    ):
        run(train, *mode, "--resume")


def test_a_term_without_its_signal_is_refused(flags):
    with pytest.raises(UserError, match="--lambda_projection: this run has no projection loss"):
        run(train, "--supervision_mode", "points", "--lambda_projection", 1, "--epochs", 1, *flags)


def test_flags_override_the_recipe(flags, tmp_path):
    run(
        train,
        "--supervision_mode",
        "boxes",
        "--recipe",
        "strong",
        "--lambda_grabcut",
        0,
        "--lambda_walk",
        0,
        "--lambda_crf",
        0,
        "--run_name",
        "r",
        "--epochs",
        1,
        *flags,
    )
    assert set(lines(tmp_path / "r")[-1]["terms"]) == {"boxes", "projection"}
    assert "teacher" not in torch.load(tmp_path / "r" / "last.pt", weights_only=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 6e4])
def test_terms_stay_finite_in_half_precision(dtype, scale):
    torch.manual_seed(0)
    logits = (torch.randn(2, 3, 16, 16).clamp(-1, 1) * scale).to(dtype).requires_grad_()
    boxes = torch.full((2, data_utils.MAX_BOXES, 5), -1.0)
    boxes[0, 0] = torch.tensor([2.0, 3.0, 11.0, 14.0, 1.0])
    masks = torch.randint(0, 3, (2, 16, 16))
    batch = {
        "image": torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8),
        "targets": {"boxes": masks, "tags": torch.tensor([[1.0, 0.0], [-1.0, 1.0]])},
        "extras": {
            "objects": boxes,
            **dict.fromkeys(("grabcut", "walk", "cams"), masks),
            "probe": torch.rand(2, 3, 8, 8),
        },
    }
    teacher = logits.detach().float().softmax(1)
    one = losses.Step(
        {"seg": logits},
        batch,
        teacher,
        LossOptions((1, 2), open_boxes=True),
        recipes.AddedOptions(),
    )
    for name, loss in losses.ADDED_LOSSES.items():
        value = loss(one).value
        assert torch.isfinite(value), name
        (gradient,) = torch.autograd.grad(value, logits, retain_graph=True)
        assert torch.isfinite(gradient).all(), name
