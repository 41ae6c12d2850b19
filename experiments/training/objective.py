"""What a step of training minimises, and how fast each part of the model follows."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from experiments.config import Config
from experiments.loading.batches import Batch
from experiments.training.distil import Teacher
from experiments.training.distributed import ALONE, Group, Share
from experiments.training.learners import Learner
from spikefuse.errors import ConfigError
from spikefuse.models import FusionSNN
from spikefuse.objectives.activity import Activity, measured
from spikefuse.objectives.balance import gradient_norm, ogm_rates
from spikefuse.objectives.heads import UnimodalHeads, unimodal_loss
from spikefuse.objectives.modality_dropout import drop_modalities
from spikefuse.objectives.pruning import shrink


class Objective(nn.Module):
    r"""The loss of a batch, with the readouts and the reference that only training has.

    .. math:: L = \text{CE} + w \, \text{CE}_\text{window} + a \, \overline{\text{CE}^m}
              + c \, \frac{\max(A - A_\text{target}, 0)}{A_0}

    with the unimodal readouts' mean cross-entropy, and the synaptic operations A of a sample over
    those of the first batch, before anything was learned (weights pay for theirs after the step:
    `spikefuse.objectives.pruning`). Balance needs the readouts as well: with
    a = 0 they learn from the encoders' spikes but teach them nothing.

    Parameters
    ----------
    learner : Learner
        Readouts and activity are those of a spiking model; its balance takes two encoders or more.
    config : Config
    n_classes : int
    seed : int
        Of the readouts' weights.
    group : Group
        Processes that share each batch.
    teacher : Teacher, optional
        Whose answers it is to come near, see `spikefuse.objectives.distillation`.

    Raises
    ------
    ConfigError
        If the fusion operator has no encoders to read.
    """

    reference: Tensor

    def __init__(
        self,
        learner: Learner,
        config: Config,
        n_classes: int,
        seed: int,
        group: Group = ALONE,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__()
        self.group, self.teacher = group, teacher
        self.settings, self.windows_ms = config.train, config.cost.windows_ms
        self.epoch_sums: dict[str, float] = {}
        self.n_steps = 0
        self._ramp = 1.0
        self._price, self._prices = 0.0, list[tuple[nn.Parameter, Tensor]]()
        self.heads: UnimodalHeads | None = None
        # float64: a sum of whole numbers that a resumed run must divide by as it was.
        self.register_buffer("reference", torch.zeros((), dtype=torch.float64))
        wanted = self.settings.auxiliary_weight > 0 or self.settings.balance != "none"
        if wanted and isinstance(learner.model, FusionSNN) and len(learner.modalities) > 1:
            spec = learner.model.spec
            if not learner.model.encoders:
                raise ConfigError(
                    "train.auxiliary_weight must be 0 and train.balance none without encoders, got "
                    f"{self.settings.auxiliary_weight} and {self.settings.balance!r} with "
                    f"model.fusion {spec.fusion!r}"
                )
            torch.manual_seed(seed)
            encoders: Any = learner.model.encoders
            n_in = {name: encoders[name].n_out for name in learner.modalities}
            self.heads = UnimodalHeads(n_in, n_classes, spec.readout_tau_ms, spec.dt_ms)

    def set_progress(self, fraction: float) -> None:
        """Say how far training is, 0 to 1: the price of operations rises over its first half.

        At the full price from the start, weights vanish before they could show their worth.
        """
        self._ramp = min(1.0, 2.0 * fraction)

    def groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Parameters for an optimiser: each encoder apart where their rates will differ."""
        encoders = self._encoders(model) if self._balances else {}
        apart = {id(p) for encoder in encoders.values() for p in encoder.parameters()}
        rest = [p for p in [*model.parameters(), *self.parameters()] if id(p) not in apart]
        own = [{"params": [*e.parameters()], "modality": name} for name, e in encoders.items()]
        return [{"params": rest}, *own]

    def step(
        self,
        learner: Learner,
        batch: Batch,
        rng: np.random.Generator,
        drop_rng: np.random.Generator,
    ) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Loss, scores ``[B, C]`` and the encoders' rates (empty: all as they are) of a batch.

        The loss is this process's share of it: summed over the group it is the batch's. Scores and
        rates are the batch's.
        """
        s = self.settings
        samples = batch.samples
        if s.modality_dropout > 0:
            samples = drop_modalities(samples, learner.modalities, s.modality_dropout, drop_rng)
        share = self.group.share(len(samples))
        samples, labels = samples[share.rows], batch.labels[share.rows]
        counts = s.activity_weight > 0 and learner.spiking
        measuring = measured(learner.model, s.activity_prunes) if counts else nullcontext()
        with measuring as activity:
            out = learner.training_scores(samples, self.windows_ms, rng, self.heads is not None)
        if out.spikes_per_neuron is not None:
            spikes = torch.tensor(out.spikes_per_neuron * share.weight, dtype=torch.float64)
            self._note({"train_spikes_per_neuron": self.group.total(spikes).item()})
        loss = cross_entropy(out.final, labels)
        loss = loss + s.window_weight * cross_entropy(out.early, labels)
        if self.teacher is not None:
            loss = loss + self.teacher.loss(out.final, samples)
        rates: dict[str, float] = {}
        if self.heads is not None:
            teaches = s.auxiliary_weight > 0
            encoded = out.encoded if teaches else {k: x.detach() for k, x in out.encoded.items()}
            alone = self.heads(encoded)
            loss = loss + (s.auxiliary_weight if teaches else 1.0) * unimodal_loss(alone, labels)
            if self._balances:
                every = {name: self.group.rows(z, share) for name, z in alone.items()}
                rates = ogm_rates(every, batch.labels, s.balance_strength)
        loss = share.weight * loss
        if activity is not None:
            loss = loss + self._activity_loss(activity, share)
        return loss, self.group.rows(out.final, share), rates

    def _activity_loss(self, activity: Activity, share: Share) -> Tensor:
        """Penalty on the operations of a sample; the prices of weights are kept for the step."""
        counts = float(share.n_own > 0)
        operations = counts * activity.total() / share.n_all
        here = self.group.total(operations).item()
        if not self.reference > 0:
            self.reference.fill_(max(here, 1.0))
        self._note({"train_operations": here})
        target, weight = self.settings.activity_target, self._ramp * self.settings.activity_weight
        self._price = weight / (float(self.reference) * share.n_all) if here > target else 0.0
        self._prices = [(p, self.group.total(counts * price)) for p, price in activity.prices]
        over = operations - share.weight * target if here > target else 0.0 * operations
        return weight * (over / self.reference).float()

    def update(self, optimizer: torch.optim.Optimizer, rates: Mapping[str, float]) -> None:
        """One step of the optimiser, each encoder at its own rate, then weights pay their price."""
        before = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] *= rates.get(group.get("modality", ""), 1.0)
        optimizer.step()
        if self._price > 0:
            shrink(optimizer, self._prices, self._price)
        self._prices = []
        for group, rate in zip(optimizer.param_groups, before, strict=True):
            group["lr"] = rate

    def note_gradients(self, model: nn.Module, rates: Mapping[str, float]) -> None:
        """Take the norms of the encoders' gradients, and their rates, into the epoch's means."""
        encoders = self._encoders(model)
        if len(encoders) > 1:
            norms = {
                f"gradient_norm_{k}": gradient_norm(e.parameters()) for k, e in encoders.items()
            }
            self._note(norms | {f"rate_{name}": rate for name, rate in rates.items()})
        self.n_steps += 1

    def epoch_record(self) -> dict[str, float]:
        """Means over the epoch's steps, and a new start.

        ``gradient_norm_ratio`` is the largest over the smallest of the encoders' mean norms.
        """
        means = {name: total / max(self.n_steps, 1) for name, total in self.epoch_sums.items()}
        norms = [v for name, v in means.items() if name.startswith("gradient_norm_")]
        if norms and min(norms) > 0:
            means["gradient_norm_ratio"] = max(norms) / min(norms)
        self.epoch_sums, self.n_steps = {}, 0
        return means

    @property
    def _balances(self) -> bool:
        return self.heads is not None and self.settings.balance == "ogm"

    def _note(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.epoch_sums[name] = self.epoch_sums.get(name, 0.0) + value

    @staticmethod
    def _encoders(model: nn.Module) -> dict[str, nn.Module]:
        """Encoders of a spiking model by modality."""
        return dict(model.encoders.items()) if isinstance(model, FusionSNN) else {}
