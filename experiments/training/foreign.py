"""Networks that are not ours as learners: fed, trained, asked and counted as our models are."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from experiments.config import Config
from experiments.loading.batches import batches
from experiments.loading.data import PairedData
from experiments.loading.network import load_network
from experiments.training.called import Called
from experiments.training.learners import Learner, TrainingScores
from spikefuse.baselines.frames import blank_after
from spikefuse.cost.counter import Counter
from spikefuse.cost.messages import ReadAs
from spikefuse.cost.wiring import Wiring, wiring_of
from spikefuse.errors import ConfigError
from spikefuse.events import MultiStream
from spikefuse.models import running_mean
from spikefuse.opcounts import OpCounts

Layout = Literal["TBN", "BTN", "TB...", "BT...", "frames"]


@dataclass(frozen=True)
class Foreign:
    """A network by name, and how it reads our data.

    Parameters
    ----------
    network : str
        ``MODULE:NET``, a network or a function without arguments that makes one.
    name : str
        Of its row; by default ``NET`` in small letters.
    layout : "TBN", "BTN", "TB...", "BT..." or "frames"
        Spikes of flat addresses, of planes (P, H, W) (a cochlea is a plane of one row), or the
        frames of the dense twin, ``[B, F * P, H, W]``.
    loop : bool
        Call it once for every step.
    modality : str, optional
        It reads this one alone.
    weights : Path, optional
        A safetensors file of its parameters.
    read_as : "auto", "events" or "frames", or a mapping of module to one of them
    strict : bool
        Refuse an operation without a counting rule.
    """

    network: str
    name: str = ""
    layout: Layout = "TB..."
    loop: bool = False
    modality: str | None = None
    weights: Path | None = None
    read_as: ReadAs | Mapping[str, ReadAs] = "auto"
    strict: bool = True

    def __post_init__(self) -> None:
        if self.layout not in get_args(Layout):
            raise ConfigError(f"--layout must be one of {get_args(Layout)}, got {self.layout!r}")
        if self.loop and self.layout == "frames":
            raise ConfigError("--loop must go with a layout that has time, got 'frames'")
        name = self.name or self.network.rpartition(":")[2].lower()
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or re.match(r"(snn|dense)(_|$)", name):
            raise ConfigError(
                "--name must be of small letters, digits and _, and not of snn or dense, got "
                f"{name!r}"
            )
        object.__setattr__(self, "name", name)

    def learner(self, config: Config, data: PairedData, seed: int = 0) -> ForeignLearner:
        """The network as a learner on a run's data, asked once; torch is seeded before it is made.

        Raises
        ------
        ConfigError
            If there is no such network, modality or file, the network has no parameters or does not
            take the data, or its scores are of another shape or not finite.
        """
        names = list(data.sensor_sizes)
        if self.modality is not None and self.modality not in names:
            raise ConfigError(f"--modality must be one of {names}, got {self.modality!r}")
        modalities = tuple(names) if self.modality is None else (self.modality,)
        learner = ForeignLearner(
            self.name,
            Called(self._made(seed), modalities, self.layout, self.loop).eval(),
            modalities,
            config.data.dt_ms,
            config.data.duration_ms,
            {m: config.cost.frame_of(m) for m in modalities},
            config.train.mask_padding,
            about=self,
            n_classes=len(data.classes),
            sensor_sizes=data.sensor_sizes,
        )
        (batch,) = batches(data, "validation", list(data.fixed_pairs["validation"][:2]), 2)
        return learner.asked(batch.samples)

    def _made(self, seed: int) -> nn.Module:
        """The network itself, with its weights; none is shared between seeds."""
        torch.manual_seed(seed)
        net = copy.deepcopy(load_network(self.network))
        if self.weights is not None:
            _load(net, self.weights)
        made = {n: p for n, p in net.named_parameters() if not is_lazy(p)}
        if not any(p.numel() for p in made.values()) and len(made) == len([*net.parameters()]):
            raise ConfigError(f"{self.network} must have parameters, got none")
        bad = [n for n, p in made.items() if not bool(torch.isfinite(p).all())]
        if bad:
            raise ConfigError(f"weights of {self.network} must be finite, got others in {bad[0]}")
        return net


@dataclass(frozen=True)
class ForeignLearner(Learner):
    """A network of one's own in the place of one of our models.

    A network that answers at every step is read as ours are: by the mean of its answers so far. One
    that answers once, or at every step from later ones too, is asked again at each window, with
    what came later left out.

    Parameters
    ----------
    about : Foreign
    n_classes : int
    sensor_sizes : mapping of modality to (width, height, polarities)
    answers : "steps", "once" or "ahead"
        At every step; once for all of them; or at every step, but from later ones too.
    wiring : Wiring, optional
        What reaches its layers.
    """

    about: Foreign = field(default_factory=lambda: Foreign("module:net"))
    n_classes: int = 0
    sensor_sizes: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    answers: Literal["steps", "once", "ahead"] = "once"
    wiring: Wiring | None = None

    @property
    def spiking(self) -> bool:
        """Whether it reads events."""
        return self.about.layout != "frames"

    @property
    def has_neurons(self) -> bool:
        """Whether spiking neurons ran in it."""
        return self.wiring is not None and bool(self.wiring.neurons)

    @property
    def kind(self) -> str:
        """As of `Learner`: by what it is made of, whatever it reads."""
        return "spiking" if self.has_neurons else "dense"

    @property
    def by_step(self) -> bool:
        """Whether it answers while its events come."""
        return self.answers == "steps"

    @property
    def stepped(self) -> bool:
        """As of `Learner`."""
        return self.by_step

    @torch.no_grad()
    def asked(self, samples: list[MultiStream]) -> ForeignLearner:
        """The same, once it is known how it answers and what reaches its layers.

        Raises
        ------
        ConfigError
            If it does not take the samples, or its scores are of another shape or not finite.
        """
        called: Any = self.model
        inputs, out = self.inputs(samples), []
        wiring = wiring_of(called.net, inputs, lambda: out.append(self.model(inputs)))
        scores = self.checked(out[0], len(samples))
        if scores.ndim == 2:
            return replace(self, answers="once", wiring=wiring)
        if self.spiking and (self.about.loop or self._is_causal(inputs, scores)):
            return replace(self, answers="steps", wiring=wiring)
        return replace(self, answers="ahead", wiring=wiring)

    def _is_causal(self, inputs: Mapping[str, Tensor], scores: Tensor) -> bool:
        """Whether its first answers stay as they are if there are events everywhere later on."""
        n_first, time_dim = (self.n_steps + 1) // 2, self.about.layout.index("T")
        other = {name: x.clone() for name, x in inputs.items()}
        for x in other.values():
            x.narrow(time_dim, n_first, self.n_steps - n_first).fill_(1.0)
        changed = self.model(other)[:n_first]
        return torch.allclose(changed, scores[:n_first], rtol=1e-4, atol=1e-5)

    def inputs(self, samples: list[MultiStream]) -> dict[str, Tensor]:
        """Spikes in its layout, counts where several share a step; or frames."""
        layout = self.about.layout
        if layout == "frames":
            return self.frames(samples)
        found: dict[str, Tensor] = {}
        for name, spikes in self.events(samples).items():
            dense = spikes.to_dense()
            if layout.endswith("..."):
                width, height, polarities = self.sensor_sizes[name]
                dense = dense.reshape(*dense.shape[:2], polarities, height, width)
            found[name] = dense if layout[0] == "T" else dense.transpose(0, 1)
        return found

    def training_scores(
        self,
        samples: list[MultiStream],
        windows_ms: tuple[float, ...],
        rng: np.random.Generator,
        keep_encoded: bool = True,
    ) -> TrainingScores:
        """As of `Learner`."""
        seen_ms = float(rng.choice(windows_ms)) if windows_ms else self.duration_ms
        inputs = self.inputs(samples)
        out = self.model(inputs)
        if not self.by_step:
            whole = seen_ms >= self.duration_ms
            early = out if whole else self.model(self.until(inputs, seen_ms))
            final, first = (self.final_scores(x, samples) for x in (out, early))
            return TrainingScores(final, first, {})
        evidence = running_mean(out, self._recorded_steps(samples))
        return TrainingScores(evidence[-1], evidence[self._step_before(seen_ms)], {})

    def anytime_scores(self, samples: list[MultiStream], times_ms: list[float]) -> Tensor:
        """As of `Learner`.

        Raises
        ------
        ConfigError
            If the network does not take the inputs, or its scores are of another shape or not
            finite.
        """
        inputs = self.inputs(samples)
        if self.by_step:
            evidence = running_mean(
                self.checked(self.model(inputs), len(samples)), self._recorded_steps(samples)
            )
            return evidence[[self._step_before(t) for t in times_ms]]
        answers = [self.model(self.until(inputs, t)) for t in times_ms]
        return torch.stack(
            [self.final_scores(self.checked(a, len(samples)), samples) for a in answers]
        )

    def final_scores(self, output: Any, samples: list[MultiStream]) -> Tensor:
        """As of `Learner`."""
        final: Tensor = output
        return final if final.ndim == 2 else running_mean(final, self._recorded_steps(samples))[-1]

    def anytime_ms(self, windows_ms: tuple[float, ...]) -> list[float]:
        """Every step of a network that answers at each; else every window, and the end."""
        if self.by_step:
            return [self.dt_ms * (i + 1) for i in range(self.n_steps)]
        return [*[w for w in sorted(windows_ms) if w < self.duration_ms], self.duration_ms]

    def counted(self, samples: list[MultiStream]) -> OpCounts:
        """What the network itself executes for the samples.

        Raises
        ------
        ConfigError
            As of `run_counted`.
        """
        return self.run_counted(samples)[1]

    def run_counted(
        self, samples: list[MultiStream], inputs: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, OpCounts]:
        """As of `Learner`; of these inputs instead of the samples', if there are any.

        Raises
        ------
        ConfigError
            If an operation has no rule, and the counts must be whole.
        """
        with torch.no_grad(), self.counter() as counter:
            output = self.model(self.inputs(samples) if inputs is None else inputs)
        return output, self.counts_of(counter, len(samples))

    def counter(self) -> Counter:
        """A counter of the network itself."""
        about = self.about
        batch_dim = 0 if about.layout == "frames" else about.layout.index("B")
        if about.loop and batch_dim:
            batch_dim -= 1
        called: Any = self.model
        return Counter(called.net, read_as=about.read_as, strict=about.strict, batch_dim=batch_dim)

    def counts_of(self, counter: Counter, n_samples: int) -> OpCounts:
        """What was counted, every layer of neurons behind what drives it.

        Raises
        ------
        ConfigError
            As of `run_counted`.
        """
        try:
            counts = counter.counts(n_samples)
        except ValueError as error:
            raise ConfigError(
                f"{self.about.network} cannot be counted: {error} (--list)"
            ) from error
        return counts if self.wiring is None else self.wiring.sorted(counts)

    def checked(self, scores: Tensor, n_samples: int) -> Tensor:
        """Scores of the right shape, finite.

        Raises
        ------
        ConfigError
            If they are not.
        """
        shapes = ((self.n_steps, n_samples, self.n_classes), (n_samples, self.n_classes))
        if tuple(scores.shape) not in shapes:
            raise ConfigError(
                f"scores of {self.about.network} must be [T, B, C] {shapes[0]} or [B, C] "
                f"{shapes[1]}, got {tuple(scores.shape)}"
            )
        if not bool(torch.isfinite(scores).all()):
            raise ConfigError(f"scores of {self.about.network} must be finite, got others")
        return scores

    def until(self, inputs: Mapping[str, Tensor], seen_ms: float) -> Mapping[str, Tensor]:
        """The inputs with what came after ``seen_ms`` left out."""
        if seen_ms >= self.duration_ms:
            return inputs
        if self.about.layout == "frames":
            return blank_after(inputs, self.frame_ms, seen_ms, self.duration_ms)
        n_seen, time_dim = self._step_before(seen_ms) + 1, self.about.layout.index("T")
        found = {name: x.clone() for name, x in inputs.items()}
        for x in found.values():
            x.narrow(time_dim, n_seen, self.n_steps - n_seen).zero_()
        return found


def _load(net: nn.Module, weights: Path) -> None:
    """Parameters from a safetensors file; nothing else is opened."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not weights.is_file():
        raise ConfigError(f"--weights must be a safetensors file, got {weights}")
    try:
        net.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError, OSError) as error:
        said = str(error).splitlines()
        raise ConfigError(
            f"--weights must be a safetensors file of the network's parameters, got {weights}: "
            f"{(said[1:] or said)[0].strip()}"
        ) from error
