"""A stand-in for Apple's GPU: tensors that live on the CPU, say `mps`, and refuse what it refuses.

That device has no float64, and NumPy can't read its memory.
"""

import contextlib
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

MPS = torch.device("mps")


class AppleTensor(torch.Tensor):
    """A tensor on the stand-in; what is computed with it is on it too."""

    device = property(lambda self: MPS)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name == "numpy" or name == "__array__":
            raise TypeError("can't convert mps device type tensor to numpy; use Tensor.cpu()")
        if name == "cpu" or (name == "to" and wants(args[1:], kwargs, "cpu")):
            with torch._C.DisableTorchFunctionSubclass():
                plain = args[0].as_subclass(torch.Tensor)
                return plain if name == "cpu" else func(plain, *args[1:], **kwargs)
        if name == "__deepcopy__":
            copy = args[0].detach().clone().requires_grad_(args[0].requires_grad)
            copy.__dict__ |= args[0].__dict__  # which says whether it is a parameter
            return copy
        args, kwargs = without_device(args), without_device(kwargs)
        result = super().__torch_function__(func, types, args, kwargs)
        return refuse_float64(result)


class Apple(TorchFunctionMode):
    """While it is active, what is made on or moved to `mps` is on the stand-in."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if not wants(args, kwargs, "mps") or getattr(func, "__name__", "") == "_parse_to":
            return func(*args, **kwargs)
        result = func(*without_device(args), **without_device(kwargs))
        if isinstance(result, torch.Tensor):
            result = result.as_subclass(AppleTensor)
        return refuse_float64(result)


def wants(args: Any, kwargs: dict[str, Any], device: str) -> bool:
    """Whether the arguments of a function name a device."""
    values = [*args, *kwargs.values()]
    return any(str(v) == device for v in values if isinstance(v, (str, torch.device)))


def without_device(values: Any) -> Any:
    """Return arguments with the CPU where they name the stand-in."""

    def real(value: Any) -> Any:
        return torch.device("cpu") if isinstance(value, torch.device) or value == "mps" else value

    def known(value: Any) -> bool:
        return isinstance(value, (str, torch.device)) and str(value) == "mps"

    if isinstance(values, dict):
        return {key: real(value) if known(value) else value for key, value in values.items()}
    return tuple(real(value) if known(value) else value for value in values)


def refuse_float64(result: Any) -> Any:
    """Return a result; one of float64 is what Apple's GPU can't hold."""
    for one in result if isinstance(result, (tuple, list)) else [result]:
        if isinstance(one, AppleTensor) and one.dtype in (torch.float64, torch.complex128):
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't "
                "support float64. Please use float32 instead."
            )
    return result


@contextlib.contextmanager
def on_apple(monkeypatch, *modules):
    """Let all that is computed on the accelerator of `modules` be computed on the stand-in."""
    from weakseg.training import distributed

    def make_accelerator(device="auto", amp=None, flag="--device", **options):
        accelerator = usual("cpu", False, flag, **options)
        accelerator.state.device = MPS
        return accelerator

    usual = distributed.make_accelerator
    future = torch.__future__
    before = future.get_overwrite_module_params_on_conversion()
    with monkeypatch.context() as patch:
        for module in (distributed, *modules):
            patch.setattr(module, "make_accelerator", make_accelerator)
        future.set_overwrite_module_params_on_conversion(True)
        try:
            with Apple():
                yield
        finally:
            future.set_overwrite_module_params_on_conversion(before)
            usual("cpu").state.device = torch.device("cpu")  # all accelerators share it
