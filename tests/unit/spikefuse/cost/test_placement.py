"""Messages and hops under a placement, against a walk over every spike and synapse."""

import pytest
import torch
from torch import Tensor, nn

from spikefuse.cost import count
from spikefuse.cost.placement import Mesh, Placement
from spikefuse.neurons import LIF, LIFParams
from spikefuse.synapses import EventConv2d, EventLinear

MESH = Mesh(3, 2, cores_per_tile=2)


def walk(sent: Tensor, weight: Tensor, source: tuple[int, ...], target: tuple[int, ...]) -> dict:
    """Spikes one at a time, ``sent [T, B, K]`` through ``weight [K, N]``."""

    def core(neuron: int, n: int, cores: tuple[int, ...]) -> int:
        return cores[neuron // -(-n // len(cores))]

    def tile(core: int) -> tuple[int, int]:
        return core // 2 % 3, core // 2 // 3

    found = {"core_messages": 0, "hops_ew": 0, "hops_ns": 0}
    for _, _, i in sent.nonzero().tolist():
        reached = {core(int(j), weight.shape[1], target) for j in weight[i].nonzero()[:, 0]}
        x0, y0 = tile(core(i, weight.shape[0], source))
        for there in reached:
            x1, y1 = tile(there)
            found["core_messages"] += 1
            found["hops_ew"] += abs(x1 - x0)
            found["hops_ns"] += abs(y1 - y0)
    return found


def of(path: object) -> dict:
    return {name: getattr(path, name) for name in ("core_messages", "hops_ew", "hops_ns")}


def spikes(*shape: int) -> Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(4)) < 0.3).float()


def test_linear_synapses_equal_a_walk_over_spikes() -> None:
    torch.manual_seed(0)
    layer, sent = EventLinear(7, 10), spikes(5, 3, 7)
    with torch.no_grad():
        layer.weight[torch.rand(7, 10) < 0.7] = 0  # some cores are reached by few
    cores = {"eye": (0, 11), "hidden": (3, 4, 8)}
    placement = Placement(MESH, cores, {"EventLinear": ("eye", "hidden")})
    path = count(layer, sent, placement=placement).by_path["EventLinear"]
    assert of(path) == walk(sent, layer.weight, cores["eye"], cores["hidden"])
    assert 0 < path.core_messages < 3 * path.spikes_routed
    torch_layer = nn.Linear(7, 10)
    torch_layer.weight = nn.Parameter(layer.weight.detach().T.clone())
    placement = Placement(MESH, cores, {"Linear": ("eye", "hidden")})
    same = count(torch_layer, sent.reshape(-1, 7), placement=placement).by_path["Linear"]
    assert of(same) == of(path)


def test_convolutions_reach_the_cores_of_their_windows() -> None:
    torch.manual_seed(0)
    layer, sent = EventConv2d((2, 5, 4), 3, (3, 3), (1, 1), (1, 1)), spikes(4, 2, 40)
    ones = torch.eye(40)[:, None]
    with torch.no_grad():
        unrolled = layer(ones).reshape(40, -1)  # [K, N]
    cores = {"eye": (0, 2, 5), "maps": (6, 7, 9, 10)}
    placement = Placement(MESH, cores, {"EventConv2d": ("eye", "maps")})
    path = count(layer, sent, placement=placement).by_path["EventConv2d"]
    assert of(path) == walk(sent, unrolled, cores["eye"], cores["maps"])
    assert path.hops_ew > 0


def test_recurrent_spikes_travel_a_step_later() -> None:
    torch.manual_seed(0)
    layer = LIF(6, LIFParams(), 5.0, recurrent=True, recurrent_gain=1.0)
    x = torch.rand(6, 2, 6) * 3
    with torch.no_grad():
        sent = layer(x)[0]
    placement = Placement(MESH, {"n": (1, 4)}, {"LIF.recurrent": ("n", "n")})
    path = count(layer, x, placement=placement).by_path["LIF.recurrent"]
    assert of(path) == walk(sent[:-1], layer.recurrent_weight, (1, 4), (1, 4))
    assert path.core_messages > 0


def test_filling_in_order_and_numbering_by_columns() -> None:
    placement = Placement.in_order(MESH, {"eye": 7, "hidden": 10}, {"a": ("eye", "hidden")}, 4)
    assert placement.cores == {"eye": (0, 1), "hidden": (2, 3, 4)}
    assert Mesh(8, 4, 4, "columns").hops(0, 4 * 5) == (1, 1)
    assert Mesh(8, 4, 4, "rows").hops(0, 4 * 5) == (5, 0)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="columns, rows and cores_per_tile must be at least 1"):
        Mesh(0, 1)
    with pytest.raises(ValueError, match="cores of 'a' must be some of 0 to 11, got"):
        Placement(MESH, {"a": (12,)}, {})
    with pytest.raises(ValueError, match=r"links\['x'\] must name two of \['a'\]"):
        Placement(MESH, {"a": (1,)}, {"x": ("a", "b")})
    with pytest.raises(ValueError, match="mesh must have at least 13 cores, got 12"):
        Placement.in_order(MESH, {"a": 13}, {}, 1)
    placement = Placement(MESH, {"a": (1,)}, {})
    with pytest.raises(ValueError, match="links must name the path 'EventLinear'"):
        count(EventLinear(2, 2), torch.ones(1, 1, 2), placement=placement)
