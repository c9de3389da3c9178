"""Convolutions that take over padding give what they gave before."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from weakseg.learners.folding import padding_inside


@given(
    kernel=st.tuples(st.integers(2, 7), st.integers(2, 7)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    groups=st.sampled_from([1, 2, 4]),
    bias=st.booleans(),
)
def test_padding_inside_a_convolution_is_padding_the_map_on_even_sizes(kernel, size, groups, bias):
    from timm.layers import Conv2dSame

    torch.manual_seed(0)
    convolution = Conv2dSame(4, 8, kernel, stride=2, groups=groups, bias=bias).double()
    maps = torch.randn(2, 4, 2 * size[0], 2 * size[1], dtype=torch.float64)
    assert torch.allclose(padding_inside(convolution)(maps), convolution(maps))
