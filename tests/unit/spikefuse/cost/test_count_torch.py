"""Torch's layers and functions, against counts by hand and walks over every product."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from spikefuse.cost import count
from spikefuse.cost.count import footprint_bytes
from spikefuse.opcounts import OpCounts


def sparse(*shape: int, density: float = 0.4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    kept = torch.rand(*shape, generator=generator) < density
    return torch.randn(*shape, generator=generator) * kept


def spikes(*shape: int, density: float = 0.3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, generator=generator) < density).float()


def walk_convolution(conv: nn.Module, x: Tensor) -> tuple[int, int, int]:
    """Effective and dense operations, and all weights of non-zero inputs, input by input."""
    weight = conv.weight.detach()
    plain = {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation}
    run = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[x.ndim - 2]
    if isinstance(conv, nn.modules.conv._ConvTransposeNd):
        run = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[x.ndim - 2]
        plain["output_padding"] = conv.output_padding
    effective = dense = unpruned = 0
    for cell in range(x[0].numel()):
        one = torch.zeros(x[:1].shape, dtype=torch.float64)
        one.view(-1)[cell] = 1
        for pruned in (True, False):
            used = (weight != 0).double() if pruned else torch.ones_like(weight).double()
            fan = int(run(one, used, groups=conv.groups, **plain).sum().round())
            n = int((x.flatten(1)[:, cell] != 0).sum())
            if pruned:
                effective += fan * n
            else:
                dense += fan * len(x)
                unpruned += fan * n
    return effective, dense, unpruned


CONVOLUTIONS = {
    "1d": (lambda: nn.Conv1d(2, 3, 3, stride=2, padding=1), (2, 7)),
    "1d same": (lambda: nn.Conv1d(2, 3, 4, padding="same", dilation=2), (2, 9)),
    "2d": (lambda: nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 0), groups=2), (2, 5, 6)),
    "2d dilated": (lambda: nn.Conv2d(2, 2, 3, dilation=2, padding=2), (2, 6, 5)),
    "3d": (lambda: nn.Conv3d(1, 2, 2, padding=1, stride=2), (1, 3, 4, 3)),
    "transposed": (
        lambda: nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1),
        (2, 3, 4),
    ),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_equal_a_walk_over_inputs(name: str) -> None:
    make, shape = CONVOLUTIONS[name]
    torch.manual_seed(1)
    conv = make()
    with torch.no_grad():
        conv.weight[torch.rand_like(conv.weight) < 0.3] = 0
    x = sparse(3, *shape)
    if conv.padding == "same":
        total = conv.dilation[0] * (conv.kernel_size[0] - 1)
        padded = F.pad(x, (total // 2, total - total // 2))
        conv.padding = (0,)
        effective, _, _ = walk_convolution(conv, padded)
        conv.padding = "same"
        assert count(conv, x).totals["effective_macs"] == effective > 0
        return
    effective, dense, unpruned = walk_convolution(conv, x)
    frame = count(conv, x)
    assert frame.totals["effective_macs"] == effective > 0
    assert frame.totals["dense_macs"] == dense > effective
    fired = (x != 0).float()
    event = count(conv, fired, read_as="events").by_path[type(conv).__name__]
    assert (event.effective_acs, event.weight_reads) == (effective, unpruned)
    assert event.kind == "event"
    assert event.spikes_routed == int(fired.sum())
    assert unpruned > effective  # both ways: with the pruned weights and without


def test_circular_padding_reaches_more_windows() -> None:
    conv = nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular")
    x = torch.zeros(1, 1, 5)
    x[0, 0, 0] = 0.5
    assert count(conv, x).totals["effective_macs"] == 3


class Functional(nn.Module):
    """Everything outside of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 4))
        self.register_buffer("mask", (torch.rand(5, 4) < 0.5).float())

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(F.linear(x, self.weight * self.mask))
        scores = torch.einsum("bi,bj->bij", hidden, hidden)
        return torch.matmul(scores, hidden[..., None])


def test_functional_calls_are_not_missed() -> None:
    torch.manual_seed(0)
    model, x = Functional(), sparse(3, 4, density=0.8)
    hidden = F.relu(F.linear(x, model.weight * model.mask)).detach()
    live = (hidden != 0).sum(1)
    linear = int(((x != 0).float() @ (model.mask != 0).float().T).sum())
    counts = count(model, x)
    # The masked weight is made once; einsum has nothing to sum.
    assert set(counts.by_path) == {"Functional:matmul", "Functional:elementwise"}
    outer = int((live**2).sum())
    assert counts.by_path["Functional:elementwise"].effective_macs == outer
    assert counts.totals["effective_macs"] == linear + 2 * outer
    assert counts.totals["dense_macs"] == 3 * (20 + 25 + 25)


def attention(x: Tensor, n_heads: int, projections: int) -> int:
    n_batch, n_tokens, width = x.shape
    return n_batch * (projections * n_tokens * width**2 + 2 * n_tokens**2 * width)


@pytest.mark.parametrize("need_weights", [True, False])
def test_attention_is_counted_whole(need_weights: bool) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
            self.out = nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.attend(x, x, x, need_weights=need_weights)[0].mean(1))

    x = torch.randn(1, 5, 8)
    counts = count(Net(), x)
    products = counts.by_path["attend:matmul"].effective_macs + counts.by_path["out"].effective_macs
    assert products == attention(x, 2, 4) + 16 == 1696
    assert counts.by_path["attend:softmax"].dense_macs == 2 * 25


def test_causal_attention_skips_what_is_masked() -> None:
    class Net(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    q, k, v = torch.randn(3, 2, 4, 5, 3).unbind(0)
    path = count(Net(), (q, k, v)).by_path["Net:matmul"]
    assert path.dense_macs == 2 * 4 * 2 * 25 * 3
    assert path.effective_macs == 2 * 4 * (25 + 15) * 3


def test_two_spikes_meet_in_an_and() -> None:
    class SpikeAttention(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return (q @ k.transpose(1, 2)) @ v

    q, k, v = (spikes(2, 4, 6, seed=s) for s in range(3))
    totals = count(SpikeAttention(), (q, k, v), read_as="events").totals
    walked = sum(
        int(q[b, i, c] * k[b, j, c])
        for b in range(2)
        for i in range(4)
        for j in range(4)
        for c in range(6)
    )
    meets = torch.einsum("bic,bjc->bij", q, k)
    second = int(torch.einsum("bij,bjc->", meets, v))
    assert totals["and_ops"] == walked + second > 0
    assert totals["effective_acs"] == totals["effective_macs"] == 0
    mixed = count(SpikeAttention(), (q, torch.randn(2, 4, 6), v), read_as="events").totals
    assert mixed["effective_acs"] > 0
    assert mixed["and_ops"] == 0


def test_ternary_graded_and_many_events_are_classes_of_their_own() -> None:
    layer = nn.Linear(4, 3)
    x = torch.tensor([[1.0, -1.0, 3.0, 0.5]])
    path = count(layer, x, read_as="events").by_path["Linear"]
    assert path.effective_acs == (1 + 1 + 3) * 3
    assert path.signed_acs == 3
    assert path.effective_macs == 3
    ternary = count(layer, torch.tensor([[1.0, -1.0, 0.0, -1.0]])).by_path["Linear"]
    assert (ternary.effective_acs, ternary.signed_acs, ternary.effective_macs) == (9, 6, 0)
    assert count(layer, x, read_as="frames").totals["effective_macs"] == 12
    assert count(layer, x).totals["effective_macs"] == 12  # as in NeuroBench: the whole call


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_are_counted_step_by_step(kind: str) -> None:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = getattr(nn, kind)(8, 16, batch_first=True)
            self.out = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.memory(x)[0][:, -1])

    counts = count(Net(), torch.randn(2, 5, 8))
    assert counts.by_path["memory"].dense_macs == 2 * 5 * gates * 16 * (8 + 16)
    # At the first step the hidden state is zero.
    first = 2 * gates * 16 * 16
    assert counts.by_path["memory"].effective_macs == counts.by_path["memory"].dense_macs - first
    assert counts.by_path["memory"].weight_words == gates * 16 * (8 + 16)
    elementwise = counts.by_path["memory:elementwise"]
    assert elementwise.effective_macs > 0


def test_several_layers_both_ways_and_projections_are_counted() -> None:
    x = torch.randn(2, 3, 4)  # time, batch, inputs
    deep = nn.LSTM(4, 5, num_layers=2, bidirectional=True)
    cells = 3 * 2
    expected = cells * 2 * 20 * (4 + 5) + cells * 2 * 20 * (10 + 5)
    assert count(deep, x, batch_dim=1).by_path["LSTM"].dense_macs == expected
    projected = nn.LSTM(4, 5, proj_size=2)
    expected = cells * (20 * (4 + 2) + 5 * 2)
    assert count(projected, x, batch_dim=1).by_path["LSTM"].dense_macs == expected


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
def test_cells_without_a_state_are_counted(kind: str) -> None:
    gates = {"LSTMCell": 4, "GRUCell": 3, "RNNCell": 1}[kind]
    path = count(getattr(nn, kind)(3, 4), torch.randn(2, 3)).by_path[kind]
    assert path.effective_macs == 2 * gates * 12
    assert path.dense_macs == 2 * gates * (12 + 16)


def test_normalisations_say_what_can_be_folded() -> None:
    folded = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.GroupNorm(1, 2))
    counts = count(folded, torch.randn(2, 1, 5, 5))
    assert counts.by_path["1"].effective_macs == 2 * 2 * 9
    assert counts.by_path["3"].effective_macs == 3 * 2 * 2 * 9
    assert counts.foldable == ("1",)
    alone = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.BatchNorm1d(3))
    assert count(alone, torch.randn(4, 3)).foldable == ()
    assert count(nn.LayerNorm(6), torch.randn(4, 6)).totals["effective_macs"] == 3 * 24


def test_pooling_compares_and_adds() -> None:
    x = torch.randn(2, 3, 4, 4)
    largest = count(nn.MaxPool2d(2), x).by_path["MaxPool2d"]
    assert (largest.effective_acs, largest.effective_macs) == (2 * 3 * 4 * 3, 0)
    mean = count(nn.AvgPool2d(2), x).by_path["AvgPool2d"]
    assert (mean.effective_acs, mean.effective_macs) == (2 * 3 * 4 * 3, 24)
    whole = count(nn.AdaptiveAvgPool2d(1), x).totals
    assert whole["effective_acs"] >= 2 * 3 * 15
    fired = spikes(1, 1, 5, 5, seed=3)
    event = count(nn.AvgPool2d(3, stride=1), fired, read_as="events").by_path["AvgPool2d"]
    windows = F.unfold(fired, 3).sum()
    assert event.effective_acs == int(windows) > 0


def test_what_cannot_be_counted_is_named() -> None:
    class Strange(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.inv(x)

    class Hidden(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.from_numpy(x.numpy() @ x.numpy())

    x = torch.eye(3)[None]
    with pytest.raises(ValueError, match=r"got none for \['0: linalg_inv_ex'\]"):
        count(nn.Sequential(Strange()), x)
    listed = count(nn.Sequential(Strange()), x, strict=False)
    assert listed.uncounted == ("0: linalg_inv_ex",)
    with pytest.raises(ValueError, match=r"got none for \['0 \(Hidden\)'\]"):
        count(nn.Sequential(Hidden()), torch.eye(3))
    joined = OpCounts.concat([listed, count(nn.Linear(3, 1), torch.ones(1, 3))])
    assert joined.uncounted == listed.uncounted


def test_a_spectrogram_is_counted_by_its_transforms() -> None:
    class Spectrogram(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("window", torch.hann_window(16))

        def forward(self, wave: Tensor) -> Tensor:
            found = torch.stft(wave, 16, 8, window=self.window, center=False, return_complex=True)
            return found.abs()

    paths = count(Spectrogram(), torch.randn(2, 40)).by_path
    n_frames = 2 * 4
    # 8 complex points: 12 butterflies of 4 products, and 4 pairs untangled by 4 each.
    assert paths["Spectrogram:transform"].effective_macs == n_frames * (12 * 4 + 4 * 4)
    assert paths["Spectrogram:elementwise"].effective_macs == n_frames * (
        15 + 3 * 9
    )  # the window begins with a zero


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 3))
def test_batches_and_layers_add_up_in_any_order(seed: int, n: int, m: int) -> None:
    torch.manual_seed(seed)
    first, second = nn.Linear(6, 5), nn.Linear(5, 3)
    net = nn.Sequential(first, nn.ReLU(), second)
    x = sparse(n + m, 6, seed=seed)
    whole = count(net, x, read_as="frames")
    parts = OpCounts.concat([count(net, part, read_as="frames") for part in (x[:n], x[n:])])
    assert whole.totals == parts.totals
    hidden = net[:2](x)
    by_layer = count(first, x, read_as="frames").totals
    for name, value in count(second, hidden.detach(), read_as="frames").totals.items():
        by_layer[name] += value
    assert whole.totals == by_layer
    assert count(net, x[torch.randperm(n + m)], read_as="frames").totals == whole.totals
    silent = count(net[:1], torch.zeros(2, 6), read_as="events").totals
    assert {name for name, value in silent.items() if value} == {"dense_macs"}


def test_counts_above_the_exact_floats_are_exact() -> None:
    layer = nn.Linear(4096, 4099)
    nn.init.ones_(layer.weight)  # of so many random ones, some are zero
    counts = count(layer, torch.ones(3, 4096))
    assert counts.totals["dense_macs"] == 3 * 4096 * 4099 > 2**24
    assert counts.totals["effective_acs"] == 3 * 4096 * 4099


def test_the_footprint_is_what_is_held() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    assert footprint_bytes(net) == 4 * (6 + 2 + 4 * 2) + 8
    assert math.isclose(footprint_bytes(net.half()), 2 * 16 + 8)
