"""What an encoder is made of; shared by the spiking model and its dense twin."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ConvSpec:
    """One convolutional layer: output channels and, in (rows, columns), kernel and stride."""

    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]


@dataclass(frozen=True)
class EncoderSpec:
    """Encoder of one modality: convolutions (none = purely linear), then ``hidden`` neurons."""

    convs: tuple[ConvSpec, ...] = ()
    hidden: int = 128
    dropout: float = 0.2


@dataclass(frozen=True)
class ModalitySpec:
    """A modality's name, its sensor size (W, H, P) and its encoder."""

    name: str
    sensor_size: tuple[int, int, int]
    encoder: EncoderSpec

    @property
    def n_inputs(self) -> int:
        """Flat number of addresses."""
        width, height, polarities = self.sensor_size
        return width * height * polarities
