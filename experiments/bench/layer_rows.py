"""Rows of whole layers: Linear + LIF with its peak memory, and an event-driven layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from experiments.bench import lif_peers, memory
from experiments.bench.floor import Floor
from experiments.bench.inputs import random_spikes, random_weight
from experiments.bench.lif_peers import ARCTAN, BETA, THRESHOLD
from experiments.bench.linear_lif import Shape, dense_input, make_linear_lif
from experiments.bench.rows import OURS, Contender, Row, Setting
from spikefuse.kernels.fused import fused_event_lif
from spikefuse.kernels.neurons import lif_scan
from spikefuse.kernels.products import event_matmul

_FLOAT = 4


def layer_rows(setting: Setting) -> Iterator[Row]:
    """Linear + LIF on dense input, then an event-driven layer for training and inference."""
    yield from _linear_rows((12, 2, 32) if setting.quick else (500, 16, 512), setting)
    shape = (10, 4, 96) if setting.quick else (100, 32, 2312)
    yield _event_training(shape, setting)
    yield _event_inference(shape, setting)


def _linear_rows(shape: Shape, setting: Setting) -> Iterator[Row]:
    """Time and peak memory of the benchmark of the Open Neuromorphic community."""
    x = dense_input(shape)
    names = [OURS, "torch loop"]
    names += [n for n in ("spikingjelly", "snntorch", "norse") if n in setting.peers]
    expected = make_linear_lif("oracle", x)()
    # Norse has a surrogate of its own: its gradient is checked where the neurons stand alone.
    wanted = {"norse": {"spikes": expected["spikes"]}}
    title = f"Linear({shape[2]}, {shape[2]}) + LIF {list(shape)}"
    facts = {"shape": list(shape), "firing": float(expected["spikes"].mean())}
    contenders = tuple(Contender(n, make_linear_lif(n, x), wanted.get(n)) for n in names)
    # What no LIF can save: the products alone.
    linear_only = Contender("linear only", make_linear_lif("linear only", x), {})
    size = x.numel() * _FLOAT
    yield Row(
        f"{title}, forward + backward",
        (*contenders, linear_only),
        expected,
        ("linear_lif",),
        Floor(2 * size, size, size),
        facts,
    )
    if memory.measurable():
        yield Row(
            f"{title}, peak memory",
            contenders,
            expected,
            ("linear_lif_memory",),
            facts={**facts, "one tensor MiB": size / 2**20},
            unit="MiB",
            sample=lambda rounds: memory.peaks(names, shape, min(rounds, 3)),
        )


def _event_training(shape: Shape, setting: Setting) -> Row:
    """Spikes in, LIF spikes out, gradient of the weight back: the first layer of a network."""
    spikes, gain = random_spikes(shape, 0.02), 3.0
    dense = spikes.to_dense()
    weight = (random_weight(shape[2], 512) * gain).requires_grad_()

    def ours() -> dict[str, Any]:
        out = lif_scan(event_matmul(spikes, weight), BETA, THRESHOLD, surrogate=ARCTAN)[0]
        return _outputs(out)

    def _outputs(out: torch.Tensor) -> dict[str, Any]:
        (gradient,) = torch.autograd.grad(out.sum(), weight)
        return {"spikes": out.detach(), "gradient": gradient}

    contenders = [Contender(OURS, ours)]
    for peer in lif_peers.all_peers(setting.peers - {"norse"})[1:]:

        def run(peer: lif_peers.Peer = peer) -> dict[str, Any]:
            return _outputs(peer.scan(dense @ weight))

        contenders.append(Contender(peer.name, run))
    expected = _outputs(lif_peers.oracle(dense @ weight))
    return Row(
        f"event layer {shape[2]} -> 512 + LIF at 2.0%, forward + backward",
        tuple(contenders),
        expected,
        facts={"shape": list(shape), "firing": float(expected["spikes"].mean())},
    )


def _event_inference(shape: Shape, setting: Setting) -> Row:
    """The same layer without a gradient: synapses, neurons and the list of spikes in one pass."""
    spikes = random_spikes(shape, 0.02)
    dense, weight = spikes.to_dense(), random_weight(shape[2], 512) * 3.0
    contenders = [
        Contender(OURS, lambda: {"spikes": fused_event_lif(spikes, weight, BETA, THRESHOLD)[0]}),
        Contender(
            "spikefuse, not fused",
            lambda: {"spikes": lif_scan(event_matmul(spikes, weight), BETA, THRESHOLD)[0]},
        ),
    ]
    for peer in lif_peers.all_peers(setting.peers)[1:]:

        def run(peer: lif_peers.Peer = peer) -> dict[str, Any]:
            with torch.no_grad():
                return {"spikes": peer.scan((dense @ weight) * peer.gain)}

        contenders.append(Contender(peer.name, run))
    with torch.no_grad():
        expected = lif_peers.oracle(dense @ weight)
    row_bytes = spikes.n_events * 512 * _FLOAT
    return Row(
        f"event layer {shape[2]} -> 512 + LIF at 2.0%, inference",
        tuple(contenders),
        {"spikes": expected},
        floor=Floor(0, row_bytes, 512 << 10),
        facts={
            "shape": list(shape),
            "firing": float(expected.mean()),
            "row_bytes": row_bytes,
        },
    )
