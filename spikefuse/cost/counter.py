"""Counter: follows a model while it runs, and counts what every module and operation does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from spikefuse.cost.constancy import Constants, storages_of, tensors_in
from spikefuse.cost.dispatch_rules import DispatchRules
from spikefuse.cost.foreign_neurons import Watch
from spikefuse.cost.layer_rules import paths_of, traffic_of
from spikefuse.cost.messages import ReadAs, Remembered
from spikefuse.cost.neuron_rules import TELLING, active_updates_of, count_updates
from spikefuse.cost.placement import Placement, Traffic
from spikefuse.cost.roles import SYNAPSES, Frame, Role, roles_of
from spikefuse.cost.torch_layers import TorchLayers, input_of
from spikefuse.encoders.observing import FusedLayer, observing
from spikefuse.kernels.watching import ActiveUpdates
from spikefuse.opcounts import OpCounts, PathCounts
from spikefuse.spikes import SpikeBatch

Output = TypeVar("Output", bound=tuple[Any, ...])


class Counter:
    """Counts what a model does between entering and leaving it as a context.

    Parameters
    ----------
    model : nn.Module
    read_as : "auto", "events" or "frames", or a mapping of module name to one of them
        How layers of other libraries read their inputs, see `spikefuse.cost.count`.
    strict : bool
        Refuse a result that lacks an operation, instead of listing it.
    batch_dim : int
        Which dimension of the first input is the batch.
    placement : Placement, optional
        Where the neurons sit: messages and hops are counted too.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        read_as: ReadAs | Mapping[str, ReadAs] = "auto",
        strict: bool = True,
        batch_dim: int = 0,
        placement: Placement | None = None,
    ) -> None:
        self.model, self.strict, self.batch_dim = model, strict, batch_dim
        self.read_as, self.placement = read_as, placement
        self.paths: dict[str, PathCounts] = {}
        self.uncounted: dict[str, None] = {}
        self.foldable: dict[str, None] = {}
        self.traffic: dict[str, Traffic] = {}
        self._frames: list[Frame] = []
        self._batch = 1
        self._paused = False
        self._stack = ExitStack()
        self._watches: list[Watch] = []
        self._last_synapse: Tensor | None = None
        self._weights: dict[str, dict[Any, int]] = {}
        self._mkldnn = True
        self._mode: _Dispatch | None = None
        self._rules: DispatchRules | None = None  # made when an operation needs them
        self._layers, self._memory = TorchLayers(), Remembered()

    def __enter__(self) -> Counter:
        self._roles = roles_of(self.model, self.read_as)
        self._rules = None
        fast_path = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        self._stack.callback(torch.backends.mha.set_fastpath_enabled, fast_path)
        # Attention as the products it consists of; a fused kernel would hide them.
        self._stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        for module, role in self._roles.items():
            if not role.called:
                continue
            before = module.register_forward_pre_hook(self._before, with_kwargs=True)
            after = module.register_forward_hook(self._after, with_kwargs=True)
            self._stack.callback(before.remove)
            self._stack.callback(after.remove)
            if callable(getattr(module, "infer", None)):
                held = module.__dict__.get("infer")  # its own, if not its class's
                module.__dict__["infer"] = self._followed(module)
                self._stack.callback(_put_back, module, held)
        self._stack.enter_context(observing(self))
        return self

    def __exit__(self, *reason: Any) -> None:
        self._leave()
        self._stack.close()

    def counts(self, n_samples: int) -> OpCounts:
        """What was counted so far, of so many samples.

        Raises
        ------
        ValueError
            If it is strict and an operation has no rule.
        """
        if self.uncounted and self.strict:
            raise ValueError(
                f"every operation must have a counting rule, got none for {list(self.uncounted)}; "
                "count without strict to have them listed instead"
            )
        paths = {name: path.with_bytes() for name, path in self.paths.items()}
        for name, weights in self._weights.items():
            if name in paths:
                paths[name] = replace(paths[name], weight_words=sum(weights.values()))
        for name, traffic in self.traffic.items():
            if self.placement is not None and name in paths:
                routed: dict[str, Any] = {**self.placement.route(name, traffic)}
                paths[name] = replace(paths[name], **routed)
        return OpCounts(paths, n_samples, tuple(self.uncounted), tuple(self.foldable))

    def _leave(self) -> None:
        """Leave every module that is still running, because it raised."""
        while self._frames:
            frame = self._frames.pop()
            frame.show()
            if isinstance(frame.module, nn.LSTM):
                torch._C._set_mkldnn_enabled(self._mkldnn)
        for watch in self._watches:
            watch.undo()
        self._watches.clear()
        if self._mode is not None:
            self._mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self._mode = None
            self._memory.__exit__()

    # Modules.

    def _followed(self, module: nn.Module) -> Callable[..., Any]:
        """The module's ``infer``, followed like a call of the module: it has no hooks."""
        infer: Any = module.infer

        @wraps(infer)
        def run(*args: Any, **kwargs: Any) -> Any:
            self._before(module, args, kwargs)
            output = infer(*args, **kwargs)
            self._after(module, args, kwargs, output)
            return output

        return run

    def run(self, layer: FusedLayer, kernel: Callable[[], Output]) -> Output:
        """Run a fused layer and count what its modules would have done (see `observing`)."""
        if self._paused or not self._frames:
            return kernel()
        self._paused = True
        try:
            with torch._C._DisableTorchDispatch():
                with ActiveUpdates() as updates:
                    output = kernel()
                self._count_fused(layer, output[0], updates.n)
        finally:
            self._paused = False
        return output

    def _count_fused(
        self, layer: FusedLayer, output: SpikeBatch | Tensor, n_active: int | None
    ) -> None:
        """Synapses by their events, neurons by what the kernel has told."""
        for events, outer in zip(layer.events, layer.synapses, strict=True):
            for synapse in outer.modules():
                role = self._roles.get(synapse)
                if role is not None and role.ruled:
                    self._count_by_rule(synapse, role, (events,), None, None)
        role, neuron = self._roles.get(layer.neuron), layer.neuron
        if role is not None and isinstance(neuron, TELLING):
            if n_active is None:
                n_active = active_updates_of(layer, output)
            self._add(role.path, count_updates(neuron, n_active, output, role.modality))

    def _count_by_rule(
        self,
        module: nn.Module,
        role: Role,
        args: tuple[Any, ...],
        output: Any,
        n_active: int | None,
    ) -> None:
        """Count a layer that has a rule."""
        found = paths_of(module, role.path, args, output, role.modality, n_active)
        self._add_all(role.path, found)
        if self.placement is not None:
            for suffix, traffic in traffic_of(module, args, output).items():
                self._note_traffic(role.path + suffix, traffic)

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        role = self._roles.get(module)
        if role is None or self._paused:
            return
        if module is self.model:
            self._leave()  # what an earlier call that raised has left
        if not self._frames:
            self._mode = _Dispatch(self)
            self._mode.__enter__()  # type: ignore[no-untyped-call]
            self._memory.__enter__()
            self._layers.run += 1
            first = next(iter(tensors_in((args, kwargs))), None)
            self._batch = 1 if first is None else first.shape[self.batch_dim % len(first.shape)]
        frame = Frame(module, role, self._batch, role.covered)
        if role.leaf:
            frame.made = set()
        self._frames.append(frame)
        if role.plain and self._read(frame, args, kwargs):
            return
        if role.covered:
            if role.leaf:
                frame.hide()
            if role.tells:
                frame.updates = ActiveUpdates().__enter__()
        elif role.watch is not None:
            frame.covered = self._paused = True
            try:
                with torch._C._DisableTorchDispatch():
                    frame.watch = role.watch(module, args, kwargs, frame.setting)
            finally:
                self._paused = False
            self._watches.append(frame.watch)
            if role.leaf and all(type(t) in (Tensor, nn.Parameter) for t in tensors_in(args)):
                frame.hide()
        elif isinstance(module, nn.LSTM):
            # Step by step in operations that are counted, instead of in one.
            self._mkldnn = torch._C._get_mkldnn_enabled()
            torch._C._set_mkldnn_enabled(False)

    def _after(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        if self._paused or not self._frames:
            return
        if self._frames[-1].module is not module and not any(
            frame.module is module for frame in self._frames
        ):
            return
        while self._frames[-1].module is not module:
            self._frames.pop().show()  # a module that raised, and was caught
        frame = self._frames[-1]
        self._paused = True
        try:
            if frame.unseen is None and (frame.covered or frame.watch is not None):
                with torch._C._DisableTorchDispatch():
                    self._finish(frame, args, kwargs, output)
            else:
                self._finish(frame, args, kwargs, output)
        finally:
            self._paused = False
            frame.show()
            self._frames.pop()
            if isinstance(module, nn.LSTM):
                torch._C._set_mkldnn_enabled(self._mkldnn)
        if not self._frames:
            self._leave()
        if isinstance(module, SYNAPSES):
            self._last_synapse = output if isinstance(output, Tensor) else None
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            if args and args[0] is self._last_synapse and not module.training:
                self.foldable[frame.role.path] = None
            self._last_synapse = None

    def _read(self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Read the input of a plain layer; what is constant is followed by its operations."""
        x = input_of(frame.module, args, kwargs)
        if x is None or self._dispatch_rules().constants.is_weight(x):
            return False
        frame.hide()
        frame.call = self._layers.read(frame.module, x, frame.setting, self.placement is not None)
        return True

    def _finish(
        self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """Count a call that ended by the rule of its module, if it has one."""
        module = frame.module
        if frame.call is not None:
            path, weight = frame.call.path(output.numel(), frame.setting), frame.call.weight
            known = weight.data_ptr(), weight.numel()
            self._note(frame.role.path, path, frame.call.traffic, known)
            self._dispatch_rules().see_product(path, output)
        elif frame.role.ruled:
            n_active = None if frame.updates is None else frame.updates.n
            self._count_by_rule(module, frame.role, args, output, n_active)
        elif frame.watch is not None:
            self._add_all(frame.role.path, frame.watch.done(output))
            frame.watch.undo()
            self._watches.remove(frame.watch)
        elif not frame.covered:
            self._check_seen(frame, args, kwargs, output)

    def _check_seen(
        self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """A module that yields what no operation made works where it cannot be seen."""
        if frame.made is None:
            return
        own = [*frame.module.parameters(), *frame.module.buffers()]
        known = frame.made.union(storages_of((args, kwargs)), storages_of(own))
        if not known.issuperset(storages_of(output)):
            self.uncounted[f"{frame.role.path} ({type(frame.module).__name__})"] = None

    # Operations.

    def operate(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run one operation of torch, and count it unless a module's rule does."""
        if self._paused or not self._frames:
            return func(*args, **kwargs)
        frame = self._frames[-1]
        if frame.covered:
            return func(*args, **kwargs)
        rules = self._dispatch_rules()
        setting, merges = frame.setting, frame.role.merges
        in_place = func._schema.name.endswith("_")
        if in_place:  # its first operand will be gone
            found = rules.count(func, args, kwargs, args[0], setting, merges)
        out = func(*args, **kwargs)
        if not in_place:
            found = rules.count(func, args, kwargs, out, setting, merges)
        # What comes from numpy is lifted, not made.
        if frame.made is not None and func._schema.name != "aten::lift_fresh":
            frame.made.update(storages_of(out))
        if isinstance(found, str):
            if not (found.startswith("spikefuse.") and merges):
                self.uncounted[f"{frame.role.path}: {found}"] = None
        elif found is not None:
            where = self._where(frame, found.family)
            self._note(where, found.path, found.traffic, found.weight)
        return out

    def _dispatch_rules(self) -> DispatchRules:
        """The rules of operations, made when something asks for them."""
        if self._rules is None:
            self._rules = DispatchRules(Constants(self.model))
        return self._rules

    def _note(
        self, where: str, path: PathCounts, traffic: Traffic | None, weight: tuple[Any, int] | None
    ) -> None:
        """What one operation did, by which weight."""
        self._add(where, path)
        self._note_traffic(where, traffic)
        if weight is not None:
            self._weights.setdefault(where, {})[weight[0]] = weight[1]

    def _where(self, frame: Frame, family: str) -> str:
        """The path of an operation: its module, and what it is unless the module is just that."""
        module, path = frame.module, frame.role.path
        plain = type(module).__module__.startswith("torch.nn.") or isinstance(module, SYNAPSES)
        return path if plain and family != "elementwise" and frame.role.leaf else f"{path}:{family}"

    def _note_traffic(self, where: str, traffic: Traffic | None) -> None:
        if self.placement is not None and traffic is not None:
            known = self.traffic.get(where)
            self.traffic[where] = traffic if known is None else known.joined(traffic)

    def _add_all(self, name: str, found: Mapping[str, PathCounts]) -> None:
        for suffix, path in found.items():
            self._add(name + suffix, path)

    def _add(self, where: str, path: PathCounts) -> None:
        known = self.paths.get(where, path)
        if known.kind != path.kind and not (known.is_silent or path.is_silent):
            where = f"{where} ({path.kind})"  # spikes at one call, frames at another
        self.paths[where] = self.paths[where].joined(path) if where in self.paths else path


class _Dispatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands every operation to a counter."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counter = counter

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        if torch.is_inference_mode_enabled():  # composite operations arrive whole
            with self:
                parts = func.decompose(*args, **(kwargs or {}))
            if parts is not NotImplemented:
                return parts
        return self.counter.operate(func, args, kwargs or {})


def _put_back(module: nn.Module, infer: Any) -> None:
    """Leave a module with the ``infer`` it had."""
    del module.__dict__["infer"]
    if infer is not None:
        module.__dict__["infer"] = infer
