"""A run that is killed, and what is compared when it has gone on."""

import itertools
import json

import torch


def lines(folder):
    """Return the lines of a run's log."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def same(one, other):
    """Whether two nested states hold the same tensors and values."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def killed_after(monkeypatch, module, name, calls):
    """Let the process die, as far as Python can tell, after so many calls of a function."""
    real, count = getattr(module, name), itertools.count(1)

    def wrapped(*args, **options):
        result = real(*args, **options)
        if next(count) == calls:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(module, name, wrapped)
