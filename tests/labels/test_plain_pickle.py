"""Pickles that scripts of people write: NumPy's values become plain ones, and nothing else runs."""

import io
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from weakseg.labels.plain_numpy import STAND_INS
from weakseg.labels.plain_pickle import NotPlain, is_plain, read_plain

KINDS = ("<i8", ">i4", "u1", "<f4", "f8", "f2", "?", "<U3")
PROTOCOLS = st.sampled_from([3, 4, 5])


def read(content):
    return read_plain(io.BytesIO(content))


@given(
    array=st.sampled_from(KINDS).flatmap(
        lambda kind: arrays.arrays(kind, arrays.array_shapes(max_dims=3, max_side=4))
    ),
    turned=st.booleans(),
    protocol=PROTOCOLS,
)
def test_arrays_become_lists_and_their_numbers_pythons_own(array, turned, protocol):
    array = array.T if turned else array
    first = array.ravel()[0]
    value = {"array": array, "number": first, "both": [(array, first)]}
    found = read(pickle.dumps(value, protocol))
    assert is_plain(found) and type(found["number"]) in (int, float, bool, str)
    expected = array.tolist()
    assert repr(found) == repr(
        {"array": expected, "number": first.item(), "both": [(expected, first.item())]}
    )


@pytest.mark.parametrize(
    "value",
    [
        np.array([{"a": 1}], dtype=object),
        np.array(5),
        np.datetime64("2026-01-01"),
        np.complex64(1j),
        np.zeros(2, [("x", "i4")]),
        np.ma.masked_array([1, 2], [True, False]),
        np.random.default_rng(0),
        np.float64,
        np.dtype("i8"),
    ],
)
def test_what_has_no_plain_value_is_refused(value):
    with pytest.raises(NotPlain):
        read(pickle.dumps({"a": value}))


@given(data=st.data())
def test_spoilt_arrays_make_plain_values_or_are_refused(data):
    content = bytearray(pickle.dumps({"a": np.arange(6.0).reshape(2, 3), "b": np.int8(3)}, 4))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    try:
        assert is_plain(read(bytes(content)))
    except NotPlain as error:
        assert "\n" not in str(error)


def test_a_pickle_cant_spoil_what_later_ones_are_read_with():
    """It may set attributes of whatever it was given."""
    for name in STAND_INS:
        module, _, function = name.rpartition(".")
        state = pickle.dumps((None, {"__call__": 1, "order": 2, "__slots__": 3}), 3)[2:-1]
        named = pickle.GLOBAL + f"{module}\n{function}\n".encode()
        spoilt = pickle.PROTO + bytes([3]) + named + state + pickle.BUILD + pickle.STOP
        with pytest.raises(NotPlain):
            read(spoilt)
    assert read(pickle.dumps([np.int64(4), np.ones(2)])) == [4, [1.0, 1.0]]
