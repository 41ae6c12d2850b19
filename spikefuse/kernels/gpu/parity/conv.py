"""Convolution by events and its gradients, against torch's convolution in float64."""

from __future__ import annotations

import torch
from torch.nn import functional

from spikefuse.kernels.conv_geometry import ConvGeometry
from spikefuse.kernels.gpu import compaction, conv
from spikefuse.kernels.gpu.parity.target import (
    Shape,
    Target,
    events_of,
    generator,
    near,
    random_spikes,
    same,
)

# Strides over and under the kernel, uneven padding, channels around a warp.
CASES = [
    ConvGeometry((1, 1, 1), 1, (1, 1), (1, 1), (0, 0)),
    ConvGeometry((2, 7, 9), 5, (3, 3), (1, 1), (1, 1)),
    ConvGeometry((3, 8, 6), 33, (5, 3), (2, 2), (2, 0)),
    ConvGeometry((2, 9, 9), 32, (2, 2), (3, 3), (0, 1)),
    ConvGeometry((1, 6, 5), 40, (4, 4), (1, 2), (3, 2)),
]


def check_conv(target: Target, geometry: ConvGeometry) -> None:
    """Currents, gradient of the taps and gradient of the input at the events' cells."""
    shape = Shape(3, 2, geometry.n_in, geometry.n_out, 0.3)
    random = generator(shape, geometry.n_channels)
    size = (geometry.n_channels, geometry.in_shape[0], *geometry.kernel)
    for graded, dtype in ((False, torch.float32), (True, torch.bfloat16)):
        spikes = random_spikes(shape, random, graded=graded)
        weight = torch.randn(size, generator=random).to(dtype)
        leaves = [spikes.double().requires_grad_(), weight.double().requires_grad_()]
        maps = leaves[0].view(-1, *geometry.in_shape)
        want = functional.conv2d(maps, leaves[1], None, geometry.stride, geometry.padding)
        up = torch.randn(want.shape, generator=random).double()
        dspikes, dweight = torch.autograd.grad(want, leaves, up)
        events = target.put_events(events_of(spikes))
        taps = conv.taps_of(target.put(weight))
        whole = conv.conv_forward(target.launch, events, taps, geometry)
        near("currents", whole, want.flatten(1))
        for lines in (1, 3):
            tiled = conv.conv_forward(target.launch, events, taps, geometry, lines=lines)
            same(f"currents by {lines} lines", tiled, whole.cpu())
        grad = conv.channels_last(target.put(up.float()), geometry)
        columns = compaction.transpose(target.launch, events, geometry.n_in)
        dtaps = conv.conv_tap_gradient(target.launch, columns, grad, geometry)
        near("gradient of the taps", dtaps.permute(3, 0, 1, 2), dweight)
        sites = conv.conv_site_gradient(target.launch, events[0], events[1], taps, grad, geometry)
        near("gradient of the input", sites, dspikes * (spikes != 0))
