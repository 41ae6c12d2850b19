"""What dense models are counted to do, against walks over every product."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spikefuse.baselines import Anytime, DenseFusion, build_dense
from spikefuse.baselines.arithmetic import Attend, GRUGates, LatentRead
from spikefuse.baselines.sparsity import with_zero_skipping, without_skipping
from spikefuse.cost import count

Make = Callable[..., DenseFusion]


def walked_linear(x: Tensor, weight: Tensor) -> int:
    """Products of a linear layer in which neither factor is 0."""
    return sum(
        1
        for row in x.tolist()
        for weights in weight.tolist()
        for value, w in zip(row, weights, strict=True)
        if value and w
    )


def walked_conv(x: Tensor, weight: Tensor, stride: tuple[int, int]) -> int:
    """The same of a convolution without padding."""
    n_out, _, kernel_h, kernel_w = weight.shape
    _, _, height, width = x.shape
    total = 0
    for sample in x:
        for top in range(0, height - kernel_h + 1, stride[0]):
            for left in range(0, width - kernel_w + 1, stride[1]):
                patch = sample[:, top : top + kernel_h, left : left + kernel_w]
                for o in range(n_out):
                    total += int(((patch != 0) & (weight[o] != 0)).sum())
    return total


def test_effective_operations_of_a_relu_network_equal_a_walk(
    make_dense: Make, frames: dict[str, Tensor]
) -> None:
    model = make_dense("concat")
    with torch.no_grad():
        model.encoders["vision"][0].weight[0, 1] = 0.0  # pruned
    counts = count(model, frames)
    walked: dict[str, int] = {}
    features = []
    for name in ("vision", "audio"):
        conv, relu, flatten, _, linear, _, _ = model.encoders[name]
        x = frames[name]
        walked[f"encoders.{name}.0"] = walked_conv(x, conv.weight, conv.stride)
        hidden = flatten(relu(conv(x)))
        walked[f"encoders.{name}.4"] = walked_linear(hidden, linear.weight)
        features.append(torch.relu(linear(hidden)))
    joined = torch.cat(features, 1)
    walked["fusion.join"] = walked_linear(joined, model.fusion.join.weight)
    fused = torch.relu(model.fusion.join(joined))
    walked["readout"] = walked_linear(fused, model.readout.weight)
    counted = {name: path.effective_macs for name, path in counts.by_path.items()}
    assert {k: v for k, v in counted.items() if v} == walked
    assert counts.totals["dense_macs"] > 1.5 * counts.totals["effective_macs"]


def test_hardware_with_and_without_skipping_brackets_the_counts(
    make_dense: Make, frames: dict[str, Tensor]
) -> None:
    counts = count(make_dense("concat"), frames)
    always, skipping = without_skipping(counts), with_zero_skipping(counts)
    assert always.totals["effective_macs"] == counts.totals["dense_macs"]
    assert always.totals["weight_reads"] == counts.totals["weight_reads"]
    assert skipping.totals["weight_reads"] == counts.totals["effective_macs"]
    assert skipping.totals["bytes_moved"] < counts.totals["bytes_moved"]
    silent = {name: torch.zeros_like(x) for name, x in frames.items()}
    first = with_zero_skipping(count(make_dense("concat"), silent)).by_path["encoders.vision.0"]
    assert (first.effective_macs, first.weight_reads) == (0, 0)


def test_attention_is_counted_pair_by_pair() -> None:
    attend = Attend(2)
    allowed = torch.tensor([[False] * 3, [True, False, False], [True, True, True]])
    x = torch.randn(4, 3, 6)
    path = attend.count_paths((x, x, x, allowed), attend(x, x, x, allowed), "shared")[""]
    macs = acs = 0
    for _ in range(4):
        for i in range(3):
            for j in range(3):
                if allowed[i, j]:
                    macs += 6 + 6 + 2  # query with key, weight with value, an exponential a head
                    acs += 2  # into the divisor of each head
            macs += (2 + 6) if allowed[i].any() else 0  # reciprocals, and a product per value
    assert (path.effective_macs, path.effective_acs) == (macs, acs)


def test_later_answers_of_latents_cost_a_division_each() -> None:
    read = LatentRead(2)
    query, tokens = torch.randn(3, 6), torch.randn(1, 5, 6)

    def macs(n_answers: int) -> int:
        seen = torch.ones(n_answers, 5, dtype=torch.bool)
        out = read(query, tokens, tokens, seen)
        return read.count_paths((query, tokens, tokens, seen), out, "shared")[""].effective_macs

    assert macs(1) == 5 * 3 * (6 + 6 + 2) + 3 * (2 + 6)
    assert macs(4) - macs(1) == 3 * 3 * (2 + 6)


def test_recurrent_gates_are_counted_per_unit() -> None:
    gates, h = GRUGates(), torch.zeros(2, 4)
    out = gates(torch.zeros(2, 12), torch.zeros(2, 12), h)
    path = gates.count_paths((torch.zeros(2, 12), torch.zeros(2, 12), h), out, "audio")[""]
    assert (path.effective_macs, path.effective_acs, path.state_writes) == (40, 24, 8)


def test_a_modality_pays_for_its_own_paths(make_dense: Make, frames: dict[str, Tensor]) -> None:
    for name in ("attention", "gru", "gated", "residual", "late"):
        by_path = count(make_dense(name), frames).by_path
        assert {p.modality for k, p in by_path.items() if k.startswith("encoders.audio")} == {
            "audio"
        }
        assert {p.modality for p in by_path.values()} == {"vision", "audio", "shared"}
    crossing = count(make_dense("attention"), frames).by_path["fusion.cross.audio.to_vision.key"]
    assert crossing.modality == "audio"


@pytest.mark.parametrize("name", ["gru", "attention", "latent"])
def test_answers_on_the_way_cost_no_frame_twice(
    name: str, make_dense: Make, frames: dict[str, Tensor]
) -> None:
    model = make_dense(name)
    once = count(Anytime(model, [100.0]), frames).totals["dense_macs"]
    often = count(Anytime(model, [20.0, 40.0, 60.0, 80.0, 100.0]), frames).by_path
    heads = ("fusion.join", "readout", "fusion.read", "fusion:elementwise")  # the last: means
    extra = sum(p.dense_macs for k, p in often.items() if k.endswith(heads))
    rest = sum(p.dense_macs for k, p in often.items() if not k.endswith(heads))
    alone = count(model, frames).by_path
    assert rest == sum(p.dense_macs for k, p in alone.items() if not k.endswith(heads))
    assert rest + extra < 3 * once


def test_an_early_exit_does_not_pay_for_later_frames(
    make_dense: Make, frames: dict[str, Tensor]
) -> None:
    model = make_dense("gru")
    early = count(Anytime(model, [50.0]), frames).by_path["model.encoders.audio.0"].dense_macs
    whole = count(model, frames).by_path["encoders.audio.0"].dense_macs
    assert early * 5 == whole * 2


def test_memory_by_hand(make_dense: Make, frames: dict[str, Tensor]) -> None:
    concat, gru = make_dense("concat"), make_dense("gru", width=8)
    assert concat.state_bytes() == 4 * (4 * 64 + 5 * 9)
    assert gru.state_bytes(word_bytes=1) == 2 * 8
    # The first convolution of the vision encoder: 4 x 8 x 8 in, 3 x 3 x 3 out; one frame of it.
    assert concat.activation_bytes(frames) == 4 * (256 + 27)
    assert gru.activation_bytes(frames) == 4 * (128 + 27)
    attention = make_dense("attention", width=8)
    assert attention.state_bytes() == 4 * (2 * 8 * (2 + 5) + 2 * 8)
    latent = build_dense("latent", {"vision": 7}, 6, n_latents=3, width=8, n_heads=2)
    assert latent.state_words({"vision": 9}) == 3 * (8 + 4)
