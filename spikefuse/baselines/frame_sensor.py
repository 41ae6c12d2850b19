"""The true frame sensor's network: one picture and one spectrogram instead of events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from spikefuse.encoders.spec import ConvSpec, ModalitySpec
from spikefuse.models.spec import ModelSpec

# Of a spectrogram of about 24 bands x 26 frames: the second halves what the first has halved.
SPECTROGRAM_CONVS = (ConvSpec(8, (5, 5), (2, 2)), ConvSpec(16, (3, 3), (2, 2)))


def frame_sensor_spec(spec: ModelSpec, sizes: Mapping[str, tuple[int, int, int]]) -> ModelSpec:
    """The spec of a network on true frames, to be built by `DenseFusion` with one frame a window.

    Widths and fused population are the event model's, to be scaled by `capacity_sweep`; vision
    keeps its convolutions, a spectrogram is read by two of its own over bands and time. Without
    time in the input no delays are needed.

    Parameters
    ----------
    spec : ModelSpec
        Of the event model.
    sizes : mapping of modality to (W, H, P)
        Of the picture (columns, rows, channels) and the spectrogram (frames, bands, 1).

    Raises
    ------
    ValueError
        If a modality of the spec has no size.
    """
    missing = [part.name for part in spec.modalities if part.name not in sizes]
    if missing:
        raise ValueError(f"sizes must hold every modality of the spec, got none for {missing}")
    parts = []
    for part in spec.modalities:
        convs = SPECTROGRAM_CONVS if part.name == "audio" else part.encoder.convs
        encoder = replace(part.encoder, convs=convs, delays_ms=(0.0,), recurrent=False)
        parts.append(ModalitySpec(part.name, sizes[part.name], encoder))
    return replace(spec, modalities=tuple(parts), fusion="concat", fusion_options={})
