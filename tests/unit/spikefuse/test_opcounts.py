"""OpCounts: totals add up over paths, parts and samples; an attribute is a mean per sample."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikefuse.opcounts import COUNT_FIELDS, OpCounts, PathCounts

NUMBERS = st.integers(0, 10**12)
# The kind and the modality follow from the name, so that paths of one name can be joined.
KINDS = {"encoder": ("event", "vision"), "cochlea": ("frontend", "audio"), "head": ("dense", "x")}


@st.composite
def paths(draw) -> dict[str, PathCounts]:
    names = draw(st.sets(st.sampled_from(sorted(KINDS))))
    return {
        name: PathCounts(
            **{f: draw(NUMBERS) for f in COUNT_FIELDS},
            weight_words=draw(NUMBERS),
            state_words=draw(NUMBERS),
            kind=KINDS[name][0],
            modality=KINDS[name][1],
        )
        for name in names
    }


COUNTS = st.builds(OpCounts, paths(), st.integers(1, 50))


def test_the_fields_are_the_documented_ones() -> None:
    assert COUNT_FIELDS == (
        "effective_acs",
        "effective_macs",
        "dense_macs",
        "neuron_updates_active",
        "neuron_updates_idle",
        "spikes_fired",
        "spikes_routed",
        "weight_reads",
        "state_reads",
        "state_writes",
        "bytes_moved",
        "signed_acs",
        "and_ops",
        "core_messages",
        "hops_ew",
        "hops_ns",
    )


def test_an_attribute_is_the_mean_and_totals_are_integers() -> None:
    counts = OpCounts(
        {"a": PathCounts(effective_acs=7), "b": PathCounts(effective_acs=3, dense_macs=1)}, 4
    )
    assert counts.effective_acs == 2.5
    assert counts.dense_macs == 0.25
    assert counts.totals["effective_acs"] == 10
    assert all(type(total) is int for total in counts.totals.values())
    assert counts.per_sample()["a"]["effective_acs"] == 1.75
    assert counts.per_sample()["b"]["effective_acs"] == 0.75


@given(a=COUNTS, parts=paths())
def test_addition_joins_parts_of_the_same_samples(a, parts) -> None:
    b = OpCounts(parts, a.n_samples)
    both = a + b
    assert both.n_samples == a.n_samples
    assert set(both.by_path) == set(a.by_path) | set(b.by_path)
    for name in COUNT_FIELDS:
        assert both.totals[name] == a.totals[name] + b.totals[name]
        for path in both.by_path:
            expected = sum(getattr(c.by_path[path], name) for c in (a, b) if path in c.by_path)
            assert getattr(both.by_path[path], name) == expected


@given(parts=st.lists(COUNTS, min_size=1, max_size=4))
def test_concat_joins_samples(parts) -> None:
    whole = OpCounts.concat(iter(parts))
    n_samples = sum(part.n_samples for part in parts)
    assert whole.n_samples == n_samples
    for name in COUNT_FIELDS:
        total = sum(part.totals[name] for part in parts)
        assert whole.totals[name] == total
        assert getattr(whole, name) == total / n_samples
    if len(parts) == 1:
        assert whole == parts[0]


@given(a=paths(), b=paths(), c=paths())
def test_addition_is_associative_and_commutative(a, b, c) -> None:
    x, y, z = (OpCounts(p, 3) for p in (a, b, c))
    assert (x + y) + z == x + (y + z)
    assert x + y == y + x


def test_capacity_is_not_summed() -> None:
    small = PathCounts(weight_words=100, state_words=5)
    large = PathCounts(weight_words=100, state_words=8)
    joined = OpCounts.concat([OpCounts({"a": small}, 1), OpCounts({"a": large}, 1)]).by_path["a"]
    assert (joined.weight_words, joined.state_words) == (100, 8)


def test_errors_say_what_came() -> None:
    one, two = OpCounts({}, 1), OpCounts({}, 2)
    with pytest.raises(ValueError, match=r"n_samples must agree .* got 1 and 2; use OpCounts"):
        one + two
    with pytest.raises(ValueError, match="n_samples must be >= 1, got 0"):
        OpCounts({}, 0)
    with pytest.raises(ValueError, match="parts must hold at least one OpCounts"):
        OpCounts.concat([])
    with pytest.raises(AttributeError, match="OpCounts has no attribute 'flops'"):
        one.flops  # noqa: B018
    clash = OpCounts({"a": PathCounts(effective_macs=1, kind="dense")}, 1)
    with pytest.raises(ValueError, match="paths of one name must agree in kind and modality"):
        OpCounts({"a": PathCounts(effective_acs=1, kind="event")}, 1) + clash


def test_the_mapping_is_copied_and_counts_survive_pickling() -> None:
    by_path = {"a": PathCounts(effective_acs=1)}
    counts = OpCounts(by_path, 1)
    by_path["b"] = PathCounts(effective_acs=5)
    assert counts.effective_acs == 1
    assert pickle.loads(pickle.dumps(counts)) == counts
    assert copy.deepcopy(counts) == counts
