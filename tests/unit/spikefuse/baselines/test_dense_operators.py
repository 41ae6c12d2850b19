"""Dense operators: by name, against their equations, causal where they read frame after frame."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spikefuse.baselines import (
    DENSE_OPERATORS,
    DENSE_TWINS,
    DenseFusion,
    blank_after,
    build_dense,
)
from spikefuse.baselines.operator import Tokens
from spikefuse.errors import ConfigError
from spikefuse.fusion import OPERATORS

Make = Callable[..., DenseFusion]
FRAME_MS = {"vision": 50.0, "audio": 20.0}
TOKEN_READERS = ("gru", "attention", "latent")


def features(n_batch: int = 4) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(n_batch, n, generator=generator)
        for name, n in (("vision", 7), ("audio", 5))
    }


def tokens(at_ms: list[float]) -> Tokens:
    generator = torch.Generator().manual_seed(1)
    x = {
        name: torch.randn(2, n_frames, n, generator=generator)
        for name, n_frames, n in (("vision", 2, 7), ("audio", 5, 5))
    }
    ends = {"vision": [50.0, 100.0], "audio": [20.0, 40.0, 60.0, 80.0, 100.0]}
    return Tokens(x, ends, at_ms)


def test_every_spiking_operator_has_a_dense_twin() -> None:
    assert set(DENSE_TWINS) == set(OPERATORS)
    assert set(DENSE_TWINS.values()) | {"gru"} == set(DENSE_OPERATORS)


@pytest.mark.parametrize("name", DENSE_OPERATORS)
def test_models_of_every_operator_answer_and_learn(
    name: str, make_dense: Make, frames: dict[str, Tensor]
) -> None:
    model = make_dense(name)
    scores = model(frames)
    assert scores.shape == (2, 5)
    assert not torch.allclose(scores[0], scores[1])
    torch.nn.functional.cross_entropy(scores, torch.tensor([1, 4])).backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # One of two samples may leave a ReLU dead; weights as a whole must not be.
    assert [n for n in still if n.endswith("weight")] == []


@pytest.mark.parametrize("name", DENSE_OPERATORS)
def test_answers_in_time_depend_on_complete_frames_alone(
    name: str, make_dense: Make, frames: dict[str, Tensor]
) -> None:
    model = make_dense(name)
    edited = {k: x.clone() for k, x in frames.items()}
    edited["vision"][:, 2:] += 1.0  # the frame of 50 to 100 ms
    edited["audio"][:, 2:] += 1.0  # frames that end at 60 ms and later
    times_ms = [10.0, 40.0, 50.0, 60.0, 100.0]
    before, after = model.anytime(frames, times_ms), model.anytime(edited, times_ms)
    torch.testing.assert_close(before[:3], after[:3])
    assert not torch.allclose(before[3], after[3])
    torch.testing.assert_close(before[-1], model(frames))


@pytest.mark.parametrize("name", ["early", "concat", "late", "gated", "residual"])
def test_a_growing_window_is_the_model_on_what_there_is(
    name: str, make_dense: Make, frames: dict[str, Tensor]
) -> None:
    model = make_dense(name)
    seen = blank_after(frames, FRAME_MS, 50.0, 100.0)
    torch.testing.assert_close(model.anytime(frames, [50.0])[0], model(seen))


def test_gates_add_up_and_follow_the_bimodal_equation() -> None:
    torch.manual_seed(0)
    layer = build_dense("gated", {"vision": 7, "audio": 5}, 6)
    x = features()
    gates = layer.gates(x)
    torch.testing.assert_close(gates["vision"] + gates["audio"], torch.ones(4, 6))
    both = torch.cat([x["vision"], x["audio"]], 1)
    logit = layer.gate(both)
    z = torch.sigmoid(logit[:, :6] - logit[:, 6:])
    h_v, h_a = (torch.tanh(layer.hidden[name](x[name])) for name in ("vision", "audio"))
    torch.testing.assert_close(layer(x), z * h_v + (1 - z) * h_a)


def test_late_scores_are_the_product_of_calibrated_probabilities() -> None:
    torch.manual_seed(0)
    layer = build_dense("late", {"vision": 7, "audio": 5}, 3)
    layer.set_temperature({"audio": 2.5})
    x = features()
    evidence = layer.evidence(x)
    product = torch.softmax(evidence["vision"], 1) * torch.softmax(evidence["audio"] / 2.5, 1)
    torch.testing.assert_close(layer(x).exp(), product)
    with pytest.raises(ValueError, match="temperature must be positive"):
        layer.set_temperature({"audio": 0.0})


def test_a_silent_residual_branch_changes_nothing() -> None:
    torch.manual_seed(0)
    layer = build_dense("residual", {"vision": 7, "audio": 5}, 6, width=8)
    with torch.no_grad():
        for cross in layer.cross.values():
            cross.weight.zero_()
            cross.bias.fill_(-1.0)
    x = features()
    own = torch.cat([torch.relu(layer.own[name](x[name])) for name in ("vision", "audio")], 1)
    torch.testing.assert_close(layer(x), torch.relu(layer.join(own)))


def test_the_recurrent_layer_equals_torch() -> None:
    torch.manual_seed(0)
    layer = build_dense("gru", {"audio": 5}, 6, width=4)
    own = layer.layers["audio"]
    other = torch.nn.GRU(5, 4, batch_first=True)
    with torch.no_grad():
        other.weight_ih_l0.copy_(own.driven.weight)
        other.bias_ih_l0.copy_(own.driven.bias)
        other.weight_hh_l0.copy_(own.recurrent.weight)
        other.bias_hh_l0.copy_(own.recurrent.bias)
    x = torch.randn(3, 8, 5)
    states = own(x)
    torch.testing.assert_close(states[1:].transpose(0, 1), other(x)[0])
    torch.testing.assert_close(own(x[:, 3:], states[3])[-1], states[-1])


def test_cross_attention_equals_torch_per_pair() -> None:
    torch.manual_seed(0)
    layer = build_dense("attention", {"vision": 7, "audio": 5}, 6, width=8, n_heads=2)
    crossing = layer.cross["audio"]["to_vision"]
    other = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        parts = (crossing.query, crossing.key, crossing.value)
        other.in_proj_weight.copy_(torch.cat([p.weight for p in parts]))
        other.in_proj_bias.copy_(torch.cat([p.bias for p in parts]))
        other.out_proj.weight.copy_(crossing.out.weight)
        other.out_proj.bias.copy_(crossing.out.bias)
    asking, asked, so_far = torch.randn(3, 2, 8), torch.randn(3, 5, 8), torch.randn(3, 2, 8)
    allowed = torch.tensor([[True, True, False, False, False], [True] * 5])
    expected, _ = other(asking, asked, asked, attn_mask=~allowed)
    torch.testing.assert_close(crossing(so_far, asking, asked, allowed), so_far + expected)


def test_a_query_without_keys_reads_nothing() -> None:
    layer = build_dense("attention", {"vision": 7, "audio": 5}, 6)
    attend = layer.cross["audio"]["to_vision"].attend
    query, key = torch.randn(1, 2, 12), torch.randn(1, 3, 12)
    read = attend(query, key, key, torch.tensor([[False] * 3, [True, False, False]]))
    assert not read[0, 0].any()
    torch.testing.assert_close(read[0, 1], key[0, 0])


def test_latents_read_what_plain_attention_reads() -> None:
    torch.manual_seed(0)
    layer = build_dense("latent", {"vision": 7, "audio": 5}, 6, n_latents=3, width=8, n_heads=2)
    key, value = torch.randn(2, 7, 8), torch.randn(2, 7, 8)
    seen = torch.zeros(2, 7, dtype=torch.bool)
    seen[0, [0, 2, 3]] = seen[1] = True
    read = layer.read(layer.queries, key, value, seen)
    for k, visible in enumerate(seen):
        for head in (slice(0, 4), slice(4, 8)):
            logits = layer.queries[:, head] @ key[:, visible, head].transpose(1, 2) / 2
            expected = torch.softmax(logits, 2) @ value[:, visible, head]
            torch.testing.assert_close(read[k, :, :, head], expected)


def test_a_third_modality_adds_one_projection_to_the_latents() -> None:
    two = build_dense("latent", {"vision": 7, "audio": 5}, 6, width=8)
    three = build_dense("latent", {"vision": 7, "audio": 5, "touch": 3}, 6, width=8)
    grown = sum(p.numel() for p in three.parameters()) - sum(p.numel() for p in two.parameters())
    assert grown == (3 * 8 + 8) + 8


@pytest.mark.parametrize("name", TOKEN_READERS)
def test_before_any_frame_answers_do_not_depend_on_the_sample(name: str) -> None:
    torch.manual_seed(0)
    layer = build_dense(name, {"vision": 7, "audio": 5}, 6).eval()
    out = layer(tokens([5.0, 100.0]))
    torch.testing.assert_close(out[0, 0], out[0, 1])
    assert not torch.allclose(out[1, 0], out[1, 1])


def test_wrong_names_options_and_sizes_are_refused(make_dense: Make) -> None:
    with pytest.raises(ConfigError, match="did you mean 'concat'"):
        build_dense("concats", {"a": 1}, 2)
    with pytest.raises(ConfigError, match="options of 'gru' must be among"):
        build_dense("gru", {"a": 1}, 2, heads=3)
    with pytest.raises(ConfigError, match="DENSE_TWINS names"):
        make_dense("qk_attention")
    with pytest.raises(ValueError, match="multiple of n_heads=4, got 6"):
        build_dense("attention", {"a": 1}, 2, width=6)
    with pytest.raises(ValueError, match="n_in must give"):
        build_dense("concat", {}, 2)
