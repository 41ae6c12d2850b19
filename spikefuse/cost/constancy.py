"""Which tensors stay the same from call to call: parameters, and what is made from them alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from spikefuse.spikes import SpikeBatch


class Constants:
    """Parameters and unchanged buffers of a model, and tensors derived from constants only.

    Work on them is done once, before a network runs, and is not counted.
    """

    def __init__(self, model: nn.Module) -> None:
        self._storages: dict[int, tuple[Tensor, int]] = {}
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.numel() and not tensor.is_sparse:
                self._storages[_storage(tensor)] = (tensor, _version(tensor))
        self._parameters = {_storage(p) for p in model.parameters() if not p.is_sparse}
        self._derived: Any = WeakIdKeyDictionary()

    def is_weight(self, tensor: Tensor) -> bool:
        """Whether it is constant and made from parameters or buffers, not from nothing."""
        if tensor in self._derived and self._derived[tensor][0] == _version(tensor):
            return bool(self._derived[tensor][1])
        return self.holds(tensor)

    def holds(self, tensor: Tensor) -> bool:
        """Whether a tensor is constant."""
        if tensor in self._derived and self._derived[tensor][0] == _version(tensor):
            return True
        if tensor.is_sparse:
            return False
        found = self._storages.get(_storage(tensor))
        if found is None:
            return False
        # A buffer that was written is a state; a parameter that was written has learned.
        return _storage(tensor) in self._parameters or found[1] == _version(found[0])

    def is_parameter(self, tensor: Tensor) -> bool:
        """Whether it is a parameter or a view of one."""
        return not tensor.is_sparse and _storage(tensor) in self._parameters

    def add(self, tensor: Tensor, of: list[Tensor]) -> None:
        """Note that a tensor was made from these constants only."""
        self._derived[tensor] = _version(tensor), any(self.is_weight(t) for t in of)

    def drop(self, tensor: Tensor) -> None:
        """Note that a tensor was overwritten with something that is not constant."""
        self._derived.pop(tensor, None)


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _version(tensor: Tensor) -> int:
    """How often it was written in place; tensors of inference mode do not keep count."""
    return -1 if tensor.is_inference() else int(tensor._version)


def storages_of(value: Any) -> set[int]:
    """Where the dense tensors in nested containers lie."""
    found = (t for t in tensors_in(value) if isinstance(t, Tensor) and not t.is_sparse)
    return {int(t.untyped_storage()._cdata) for t in found}


def tensors_in(value: Any) -> list[Tensor | SpikeBatch]:
    """Every tensor in nested containers."""
    if isinstance(value, Tensor | SpikeBatch):
        return [value]
    if isinstance(value, Mapping):
        return [t for v in value.values() for t in tensors_in(v)]
    if isinstance(value, tuple | list):
        return [t for v in value for t in tensors_in(v)]
    return []
