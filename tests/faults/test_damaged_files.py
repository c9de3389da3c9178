"""Files of every kind, damaged in every way: one line, or the outcome of whole files."""

import copy
import functools
import io
import json
import operator
import pickle
import random
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from conftest import run
from outcomes import outcome

import analyze
import evaluate
import study
import train
import weak_label_generator
from scripts import train_active_learning
from weakseg.labels.costs import FILE


@pytest.fixture(scope="module")
def made(pets_dir, pets_labels, tmp_path_factory):
    """A folder with a file of each kind: labels, two runs and what was made of them."""
    root = tmp_path_factory.mktemp("whole")
    shutil.copytree(pets_dir, root / "data")
    where = ["--data_dir", root / "data", "--cache_dir", root / "cache"]
    generate = [*where, "--jobs", 1, "--output_file"]
    run(weak_label_generator, *generate, root / "labels.pkl")
    run(weak_label_generator, *generate, root / "shards", "--shards", 2)
    tiny = ["--encoder_weights", "none", "--img_size", 64, "--device", "cpu"]
    tiny += ["--checkpoint_dir", root / "runs", "--weak_label_path", root / "labels.pkl", *where]
    run(train, "--learner", "probe", "--supervision_mode", "points", *tiny, "--views", 1)
    unet = ["--supervision_mode", "boxes", "--epochs", 1, "--batch_size", 8]
    run(train, *unet, *tiny)
    run(evaluate, "--checkpoint_dir", root / "runs", "--results_dir", root / "results")
    prices = yaml.safe_load(FILE.read_text())["bearman2016"]
    (root / "prices.yaml").write_text(yaml.safe_dump(prices))
    rows = [
        {"mode": mode, "budget": budget, "seed": 0, "run": f"{mode}{budget}", "images": 5}
        | {"everything": False, "hours": budget, "other_hours": budget}
        | {"miou": 50 + 5 * budget, "low": 45.0, "high": 80.0}
        for mode in ("points", "boxes")
        for budget in (1.0, 2.0)
    ]
    (root / "study.json").write_text(
        json.dumps(
            {
                "commit": None,
                "schedule": "bearman2016",
                "other_schedule": "bearman2016",
                "budgets": [1.0, 2.0],
                "all_hours": {"points": 4.0, "boxes": 5.0},
                "image_hours": {"points": 0.1, "boxes": 0.2},
                "rows": rows,
                "selection_hours": {"points": 0.0, "boxes": 0.0},
                "selected_by": None,
                "cells": 4,
                "training": [],
            }
        )
    )
    size = [80, 60]
    clicks = {"cat_1": {"size": size, "points": [{"x": 3, "y": 3, "cls": 1, "rank": 0}]}}
    (root / "clicks.json").write_text(json.dumps(clicks))
    (root / "config.yaml").write_text("seed: 1\ndata: {source: shapes, image_size: 64}\n")
    return root


def commands(root):
    """Return {file: (command, its words)}: who reads which file."""
    data = ["--data_dir", root / "data", "--cache_dir", root / "cache", "--device", "cpu"]
    labels = ["--weak_label_path", root / "labels.pkl"]
    runs = ["--checkpoint_dir", root / "runs"]
    tiny = ["--encoder_weights", "none", "--img_size", 64]
    probe = ["--learner", "probe", "--supervision_mode", "points", "--views", 1, *tiny, *data]
    unet = ["--supervision_mode", "boxes", "--epochs", 1, "--batch_size", 8, *tiny, *data, *runs]
    results = ["--results_dir", root / "results"]
    test = [*runs, *results, "--device", "cpu", "--run_name"]
    masks = ["full" if word == "points" else word for word in probe]
    once = ["--checkpoint_dir", root / "again", "--overwrite"]
    clicked = ["--clicks", root / "clicks.json", "--jobs", 1]
    config = [root / "config.yaml", "--set", f"output_dir_prefix={root / 'al'}"]
    return {
        "labels.pkl": (train, [*probe, *once, *labels]),
        "shards/index.json": (train, [*probe, *once, "--weak_label_path", root / "shards"]),
        "shards/*.parquet": (train, [*probe, *once, "--weak_label_path", root / "shards"]),
        "runs/points/best.pt": (evaluate, [*test, "points"]),
        "runs/points/last.pt": (train, [*probe, *labels, *runs, "--resume"]),
        "runs/boxes/best.pt": (evaluate, [*test, "boxes"]),
        "runs/boxes/last.pt": (train, [*unet, *labels, "--resume"]),
        "runs/boxes/log.jsonl": (train, [*unet, *labels, "--resume"]),
        "results/points.json": (
            analyze,
            ["--a", "points", "--b", "boxes", *results, "--resamples", 100, "--examples", 0],
        ),
        "results/boxes.json": (evaluate, ["--reprice", *results]),
        "results/points/*.png": (
            analyze,
            ["--a", "points", "--b", "boxes", *results, "--resamples", 100, "--examples", 0],
        ),
        "prices.yaml": (
            evaluate,
            ["--reprice", *results, "--cost_schedule", root / "prices.yaml"],
        ),
        "study.json": (study, ["plan", root / "study.json"]),
        "clicks.json": (
            weak_label_generator,
            [*data[:4], *clicked, "--output_file", root / "clicked.pkl"],
        ),
        "config.yaml": (train_active_learning, ["--config", *config, "seed=x"]),
        "data/annotations/trainval.txt": (train, [*probe, *once, *labels]),
        "data/images/*.jpg": (train, [*probe, *once, *labels]),
        "data/annotations/trimaps/*.png": (train, [*masks, *once, *labels]),
        "cache/classes-*.json": (train, [*probe, *once, *labels, "--tag_set", "species"]),
        "cache/features/*/*.npy": (train, [*probe, *once, *labels]),
        "cache/64/*.npy": (train, [*unet, *labels, "--run_name", "other", "--overwrite"]),
    }


KINDS = [*commands(Path("nowhere"))]


def byte_damage(content, generator):
    """Yield damaged versions of any file."""
    yield b""
    yield content[:1]
    for share in (0.1, 0.5, 0.9):
        yield content[: int(share * len(content))]
    yield content[:-1]
    yield content + b"\0" * 9
    yield b"\0" * len(content)
    yield bytes(reversed(content))
    yield generator.randbytes(200)
    for count in (1, 1, 1, 5, 50):
        flipped = bytearray(content)
        for _ in range(count):
            flipped[generator.randrange(len(flipped))] ^= 1 << generator.randrange(8)
        yield bytes(flipped)


VALUES = [None, -1, 0.5, 10**30, "text", "a\x1b[2Jb", [], {}, [[]], True, float("nan")]


def value_damage(content, generator, count):
    """Yield copies of nested values in which one is gone, or is another kind's."""
    places = [*places_in(content)]
    for _ in range(count):
        *above, last = generator.choice(places)
        copied = copy.deepcopy(content)
        within = functools.reduce(operator.getitem, above, copied)
        if generator.random() < 0.3:
            del within[last]
        else:
            within[last] = generator.choice(VALUES)
        yield copied


def places_in(content, path=()):
    """Yield the path to the values of nested dicts and lists; of a long list only to the first."""
    items = [*(content.items() if isinstance(content, dict) else enumerate(content))]
    for key, value in items[:40]:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places_in(value, (*path, key))


def structured_damage(path, generator, count):
    """Yield damaged versions of a file whose format holds values."""
    if path.suffix == ".json":
        for value in value_damage(json.loads(path.read_text()), generator, count):
            yield json.dumps(value).encode()
    elif path.suffix == ".yaml":
        for value in value_damage(yaml.safe_load(path.read_text()), generator, count):
            yield yaml.safe_dump(value).encode()
    elif path.suffix == ".pkl":
        content = path.read_bytes()
        for value in value_damage(pickle.loads(content), generator, count):
            yield pickle.dumps(value)
    elif path.suffix == ".pt":
        for value in value_damage(torch.load(path, weights_only=True), generator, count):
            file = io.BytesIO()
            torch.save(value, file)
            yield file.getvalue()


def state_of(root, but):
    """Return {file: bytes} of what no refusal may touch: labels, runs, results, data."""
    kept = ("data", "runs", "results", "shards")
    files = [path for name in kept for path in (root / name).rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in files if path != but and path.suffix != ".lock"}


def attempts(kind, made, capsys, tried, count):
    """Damage the first file of a kind in many ways, and give its command."""
    module, words = commands(made)[kind]
    path = sorted(made.glob(kind))[0]
    whole, generator = path.read_bytes(), random.Random(kind)
    before = state_of(made, path)
    damages = [*byte_damage(whole, generator), *structured_damage(path, generator, count)]
    try:
        for damaged in damages:
            path.write_bytes(damaged)
            ended = outcome(module, words, capsys)
            assert ended.code in (0, 2), ended
            assert len(ended.errors) == (ended.code == 2), ended
            for line in ended.errors:
                assert line.isprintable() and 15 < len(line) < 900, line
            if ended.code == 2:
                after = state_of(made, path)
                assert {name: after.get(name) for name in before} == before, ended
            else:  # the command has done its work; nothing of it may stay for the next attempt
                restore(before)
    finally:
        restore(before | {path: whole})
    tried(f"damage of {kind}", len(damages))


def restore(files):
    """Put files back as they were."""
    for path, content in files.items():
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_one_line_or_does_no_harm(kind, made, capsys, tried):
    attempts(kind, made, capsys, tried, 20)
