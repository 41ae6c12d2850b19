"""Frames chosen on validation, and specs of a wanted size."""

from dataclasses import replace

import pytest

from spikefuse.baselines import DENSE_OPERATORS, DenseFusion, capacity_sweep, choose_frames
from spikefuse.baselines.memory import n_parameters
from spikefuse.baselines.selection import scaled, spec_of_size
from spikefuse.models import ModelSpec

FRAME_MS = {"vision": 50.0, "audio": 20.0}


def test_the_best_frames_are_kept_and_of_equals_the_longest() -> None:
    scores = {10.0: 0.8, 20.0: 0.9, 50.0: 0.9, 100.0: 0.7}
    found = choose_frames([{"vision": ms} for ms in scores], lambda f: scores[f["vision"]])
    assert found.frame_ms == {"vision": 50.0}
    assert [score for _, score in found.tried] == list(scores.values())
    with pytest.raises(ValueError, match="got none"):
        choose_frames([], lambda f: 0.0)


@pytest.mark.parametrize("fusion", DENSE_OPERATORS)
def test_a_sweep_has_a_point_with_the_opponents_parameters(fusion: str, spec: ModelSpec) -> None:
    def build(candidate: ModelSpec) -> DenseFusion:
        return DenseFusion(candidate, FRAME_MS, 100.0, fusion)

    # Neither early nor late fusion has all of the widths: their sizes are set apart.
    target = 20_000
    sizes = capacity_sweep(spec, target, build)
    assert [size.factor for size in sizes] == [0.25, 0.5, 1.0, 2.0]
    for size in sizes:
        assert n_parameters(build(size.spec)) == size.n_parameters
        assert abs(size.n_parameters - size.factor * target) <= 0.05 * size.factor * target


def test_kernels_and_the_operator_are_kept(spec: ModelSpec) -> None:
    wide = scaled(spec, 3.0)
    assert [part.encoder.hidden for part in wide.modalities] == [36, 30]
    assert wide.modalities[0].encoder.convs[0] == replace(
        spec.modalities[0].encoder.convs[0], channels=9
    )
    assert (wide.fusion_hidden, wide.fusion, wide.n_classes) == (33, spec.fusion, spec.n_classes)


def test_a_size_that_cannot_be_had_names_the_nearest(spec: ModelSpec) -> None:
    def build(candidate: ModelSpec) -> DenseFusion:
        return DenseFusion(candidate, FRAME_MS, 100.0)

    smallest = n_parameters(build(scaled(spec, 1e-6)))
    with pytest.raises(ValueError, match=f"the nearest has {smallest} parameters"):
        spec_of_size(spec, smallest // 2, build)
    with pytest.raises(ValueError, match="factors must be four or more"):
        capacity_sweep(spec, 1000, build, (0.5, 1.0, 2.0))
