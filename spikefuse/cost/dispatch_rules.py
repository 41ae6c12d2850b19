"""DispatchRules: one operation of torch, as it ran, to what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from spikefuse.cost.constancy import Constants
from spikefuse.cost.contractions import (
    Convolution,
    Setting,
    activation_product,
    convolution_fans,
    driven_by,
    synapses,
    weighted_product,
)
from spikefuse.cost.messages import messages_in
from spikefuse.cost.operations import FREE, RANDOM, rule_of
from spikefuse.cost.placement import Traffic
from spikefuse.opcounts import PathCounts

# Operations of ours that move events; their arithmetic is that of the modules that call them.
_OURS_FREE = frozenset({"compact", "expand", "bin_events"})
_PRODUCTS = frozenset({"mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "vdot", "addbmm"})
# Other shapes of the same values.
_SHAPES = frozenset(
    {"view", "_unsafe_view", "_reshape_alias", "unsqueeze", "squeeze", "permute", "transpose", "t",
     "clone", "detach", "alias"}
)  # fmt: skip
_WITH_SUMMAND = frozenset({"addmm", "baddbmm", "addmv", "addbmm"})


@dataclass(frozen=True)
class Found:
    """What one operation cost.

    Parameters
    ----------
    family : str
        What kind of operation it is.
    path : PathCounts
    traffic : Traffic, optional
        Of a product with weights.
    weight : (anything that tells weights apart, number of words), optional
        Of a product with weights.
    is_product : bool
        Whether it multiplies matrices or convolves.
    """

    family: str
    path: PathCounts
    traffic: Traffic | None = None
    weight: tuple[Any, int] | None = None
    is_product: bool = False


class DispatchRules:
    """Counts operations, given which tensors are constant.

    Parameters
    ----------
    constants : Constants
    """

    def __init__(self, constants: Constants) -> None:
        self.constants = constants
        self._currents: Any = WeakIdKeyDictionary()

    def see_product(self, path: PathCounts, output: Any) -> None:
        """Note what spikes made by way of weights.

        Two such currents are one product of the spikes side by side, so their sum is made by the
        accumulates that are counted already.
        """
        if path.kind == "event" and isinstance(output, Tensor):
            self._add_current(output)

    def _add_current(self, current: Tensor, n_writes: int = 0) -> None:
        """Note a current that is still to be written so often."""
        version = -1 if current.is_inference() else current._version + n_writes
        self._currents[current] = version

    def _is_sum_of_currents(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> bool:
        """Whether an operation adds what several synapses send to the same neurons."""
        if name not in ("add", "sub") or kwargs.get("alpha", 1) != 1 or len(args) != 2:
            return False
        return all(self._is_current(x) and x.shape == out.shape for x in args)

    def _is_current(self, x: Any) -> bool:
        """Whether it is a current, and was not written since."""
        if not isinstance(x, Tensor) or x not in self._currents:
            return False
        return bool(self._currents[x] == (-1 if x.is_inference() else x._version))

    def count(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        out: Any,
        setting: Setting,
        products_only: bool,
    ) -> Found | str | None:
        """The cost of one call: None if it is free, the name of the operation if it has no rule."""
        space, name = op_name(func)
        tensors = _flat(args) + _flat(tuple(kwargs.values()))
        if space == "prim" or (space == "spikefuse" and name in _OURS_FREE):
            return None
        is_product = name in _PRODUCTS or name == "convolution"
        holds = self.constants.is_weight if is_product else self.constants.holds
        if name not in RANDOM and all(holds(t) for t in tensors):
            for same in _flat((out,)):
                self.constants.add(same, tensors)
            return None
        if func._schema.is_mutable and isinstance(args[0], Tensor):
            self.constants.drop(args[0])
        if space != "aten":
            return f"{space}.{name}"
        if self._is_sum_of_currents(name, args, kwargs, out):
            self._add_current(out, int(func._schema.is_mutable))
            return None
        if name in _SHAPES and self._is_current(args[0]):
            self._add_current(out)
        if name in FREE and not (name == "abs" and tensors[0].is_complex()):
            return None
        if is_product:
            made = (
                self._convolution(args, out, setting)
                if name == "convolution"
                else self._product(name, args, setting)
            )
            self.see_product(made.path, out)
            return made
        if products_only and rule_of(name) is not None:
            return None
        if name == "abs":
            return Found(
                "elementwise",
                PathCounts(
                    effective_macs=3 * tensors[0].numel(), kind="dense", modality=setting.modality
                ),
            )
        found = rule_of(name)
        if found is None:
            return name
        family, rule = found
        first = next(iter(_flat((out,))), None)
        if first is None:
            return name
        if name == "mul":
            fixed = [isinstance(f, Tensor) and self.constants.holds(f) for f in args[:2]]
            kwargs = {"constant": tuple(fixed)}
        try:
            return Found(family, rule(name, args, kwargs, first, setting))
        except ValueError as error:  # a transform of odd length, for one
            return f"{name} ({error})"

    def _product(self, name: str, args: tuple[Any, ...], setting: Setting) -> Found:
        """Products of matrices and vectors, as ``[..., M, K] @ [..., K, N]``."""
        a, b = args[1:3] if name in _WITH_SUMMAND else args[:2]
        left, right = self.constants.is_weight(a), self.constants.is_weight(b)
        a = a[None] if a.ndim == 1 else a
        b = b[:, None] if b.ndim == 1 else b
        if not left and not right:
            return Found("matmul", activation_product(a, b, setting), is_product=True)
        x, weight = (a, b) if right else (b.transpose(-1, -2), a.transpose(-1, -2))
        sent, path = weighted_product(x, weight, setting)
        traffic = Traffic(sent.all, weight) if sent.all.ndim == 1 else None
        return Found("matmul", path, traffic, self._identity(weight), True)

    def _convolution(self, args: tuple[Any, ...], out: Tensor, setting: Setting) -> Found:
        """A convolution by weights; by activations it counts as one by weights."""
        x, weight, _, *rest = args
        options = Convolution(*rest)
        sent = messages_in(x, (0,), setting.read_as)
        fans = convolution_fans(options, x.shape[1:], weight)
        sizes = x.numel(), out.numel(), weight.numel()
        path = synapses(driven_by(sent, fans), fans.n_every, sizes, x.shape[0], setting)
        traffic = Traffic(sent.all, weight, options)
        return Found("conv", path, traffic, self._identity(weight), True)

    def _identity(self, weight: Tensor) -> tuple[Any, int]:
        """What tells this weight from others, and its words."""
        if self.constants.is_parameter(weight):
            return weight.data_ptr(), weight.numel()
        return tuple(weight.shape), weight.numel()


def op_name(func: Any) -> tuple[str, str]:
    """Namespace and name of an operation; in place it has the name of its twin."""
    space, name = func._schema.name.split("::")
    return space, name[:-1] if name.endswith("_") and not name.endswith("__") else name


def _flat(values: tuple[Any, ...]) -> list[Tensor]:
    """Tensors among arguments, and in lists of them."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, tuple | list):
            found += [v for v in value if isinstance(v, Tensor)]
    return found
