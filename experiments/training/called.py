"""How a network that is not ours is called: its arguments, its state, its answer."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.errors import ConfigError

_STATE = "state"  # the argument through which a network takes back its own state
_ERRORS = (RuntimeError, IndexError, TypeError, ValueError, KeyError, AttributeError)


class Called(nn.Module):
    """Calls a network as it wants to be called, from rest.

    One argument gets the only modality, or the mapping of all; as many arguments as modalities get
    one each. An argument ``state`` gets None, and in a loop the network's second output of the step
    before. Of several outputs the first one counts. Hidden states of snnTorch (``init_hidden``) and
    SpikingJelly are reset before each call.

    Parameters
    ----------
    net : nn.Module
    modalities : tuple of str
    layout : str
    loop : bool
    """

    def __init__(
        self, net: nn.Module, modalities: tuple[str, ...], layout: str, loop: bool
    ) -> None:
        super().__init__()
        self.net, self.modalities, self.layout, self.loop = net, modalities, layout, loop
        parameters = list(inspect.signature(net.forward).parameters.values())
        self._takes_state = any(p.name == _STATE for p in parameters)
        plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        n_plain = sum(p.kind in plain and p.name != _STATE for p in parameters)
        self._each = (
            len(modalities) == 1
            or n_plain >= len(modalities)
            or any(p.kind == inspect.Parameter.VAR_POSITIONAL for p in parameters)
        )

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Class scores ``[T, B, C]``, or ``[B, C]`` of a network that answers once.

        Raises
        ------
        ConfigError
            If the network does not take the inputs; their shapes are named.
        """
        if self.loop:
            found = list(self.steps(inputs))
            with _naming(inputs, self.loop):
                return torch.stack(found)
        self.rest()
        with _naming(inputs, self.loop):
            out = self._call(inputs, None)[0]
            return out.transpose(0, 1) if out.ndim == 3 and self.layout[0] == "B" else out

    def rest(self) -> None:
        """Forget the hidden states of snnTorch's and SpikingJelly's neurons."""
        module: Any
        for module in self.net.modules():
            if getattr(module, "init_hidden", False) and callable(
                getattr(module, "reset_mem", None)
            ):
                module.reset_mem()
            elif type(module).__module__.startswith("spikingjelly.") and hasattr(module, "reset"):
                module.reset()

    def steps(self, inputs: Mapping[str, Tensor]) -> Iterator[Tensor]:
        """Class scores ``[B, C]`` of step after step of a network in a loop.

        Raises
        ------
        ConfigError
            As of a call.
        """
        self.rest()
        state: Any = None
        time_dim = self.layout.index("T")
        by_step = {name: x.unbind(time_dim) for name, x in inputs.items()}
        for t in range(len(next(iter(by_step.values())))):
            with _naming(inputs, self.loop):
                out, state = self._call({name: x[t] for name, x in by_step.items()}, state)
            yield out

    def _call(self, inputs: Mapping[str, Tensor], state: Any) -> tuple[Tensor, Any]:
        """One call: its output and its state."""
        given = tuple(inputs[name] for name in self.modalities) if self._each else (dict(inputs),)
        out = self.net(*given, **({_STATE: state} if self._takes_state else {}))
        first, rest = (out[0], out[1:]) if isinstance(out, tuple) else (out, ())
        if not isinstance(first, Tensor):
            raise TypeError(f"output must be a tensor, got {type(first).__name__}")
        return first, rest[0] if rest else None


@contextmanager
def _naming(inputs: Mapping[str, Tensor], loop: bool) -> Iterator[None]:
    """Errors of a network with the shapes that it was given."""
    try:
        yield
    except _ERRORS as error:
        shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in inputs.items())
        raise ConfigError(
            f"network must take inputs of shape {shapes}{' step by step' * loop}, got "
            f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        ) from error
