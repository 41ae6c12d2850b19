"""Whether a call needs the dispatcher: a custom operator costs as much as a small kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels import registry
from spikefuse.kernels.launch import simd_works


def tracing() -> bool:
    """Whether a compiler or a function transform watches, so that data must not be looked at."""
    return torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None


def plain(*tensors: Tensor | None) -> bool:
    """Whether every tensor holds data of its own: no fake tensor, no other subclass."""
    return all(type(t) in (Tensor, torch.nn.Parameter) for t in tensors if t is not None)


def wants_grad(*tensors: Tensor | None) -> bool:
    """Whether a backward pass may follow."""
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def nobody_watches(*tensors: Tensor | None) -> bool:
    """Whether no gradient and no tracer needs to see a call with these tensors."""
    return not tracing() and plain(*tensors) and not wants_grad(*tensors)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def simd_refused() -> str | None:
    """Why no kernel built on SIMD intrinsics can run here; torch.compile takes it as it is."""
    return None if simd_works() else "the SIMD kernels do not compile here"


def left_to_us(backend: str | None) -> bool:
    """Whether neither the call nor `registry.use_backend` names a backend."""
    return registry.asked(backend) is None
