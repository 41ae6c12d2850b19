"""What each operation of torch costs as arithmetic; the names are those of ``torch.ops.aten``.

A product, with or without its sum, is one multiply-accumulate, and so are a quotient and a function
read from a table with interpolation; a sum, difference or comparison is one accumulate. Moving,
selecting, negating and tests of the sign bit (ReLU) are free.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from spikefuse.cost.contractions import Setting, elementwise_product, scaled
from spikefuse.cost.messages import messages_in, on_host
from spikefuse.kernels.tally import count_some, count_spikes
from spikefuse.opcounts import PathCounts
from spikefuse.work import fft_work


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Moving, selecting, making constants; tests of a sign bit; what only tells about a tensor.
FREE = _names(
    """
    view _unsafe_view reshape _reshape_alias expand expand_as permute transpose t movedim
    slice select unsqueeze squeeze cat concat stack split split_with_sizes chunk unbind clone copy
    contiguous detach alias as_strided _to_copy to lift_fresh lift_fresh_copy lift empty
    empty_like empty_strided new_empty new_empty_strided zeros zeros_like new_zeros ones ones_like
    new_ones full full_like new_full arange linspace scalar_tensor eye fill zero index index_select
    index_copy index_fill repeat_interleave masked_scatter take take_along_dim put
    gather scatter masked_fill masked_select where roll flip repeat constant_pad_nd pad
    reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
    replication_pad3d unfold im2col diagonal tril triu narrow slice_scatter select_scatter
    upsample_nearest1d upsample_nearest2d upsample_nearest3d pixel_shuffle pixel_unshuffle
    channel_shuffle relu native_dropout dropout neg abs sign sgn conj _conj real imag view_as_real
    view_as_complex resize set isnan isinf isfinite is_nonzero _local_scalar_dense item
    equal nonzero copy_to positive atleast_1d unsafe_split unsafe_split_with_sizes
    unsafe_chunk block_diag _nested_tensor_size sym_size sym_numel sym_stride is_same_size
    _has_compatible_shallow_copy_type tril_indices triu_indices view_copy detach_copy
    expand_copy permute_copy slice_copy select_copy t_copy transpose_copy unsqueeze_copy
    squeeze_copy split_copy unbind_copy alias_copy as_strided_copy isin record_stream
    is_pinned pin_memory _linalg_check_errors swapaxes ravel flatten unflatten matrix_H mT adjoint
    """
)
_ACCUMULATES = _names(
    """
    add sub rsub gt ge lt le eq ne maximum minimum fmax fmin clamp clamp_min clamp_max hardtanh
    threshold floor ceil round trunc heaviside relu6 hardshrink softshrink
    """
)
_LOGIC = _names(
    "logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not"
)
_FUNCTIONS = _names(
    """
    div true_divide reciprocal exp exp2 expm1 log log1p log2 log10 sqrt rsqrt pow sin cos tan tanh
    sinh cosh asin acos atan atan2 sigmoid silu gelu softplus erf erfc elu celu leaky_relu
    hardswish hardsigmoid mish square hypot remainder fmod prelu _prelu_kernel log_sigmoid_forward
    logit floor_divide frac nan_to_num
    """
)
_TWO_PRODUCTS = _names("addcmul addcdiv lerp")
_SUMS = _names("sum max min amax amin argmax argmin cumsum any all nansum cummax cummin aminmax")
_MEANS = _names("mean")
_SPREADS = _names("var std var_mean std_mean")
_PRODUCTS = _names("prod cumprod norm linalg_vector_norm")
_SCATTERED_SUMS = _names(
    "index_add scatter_add index_put _unsafe_index_put scatter_reduce bincount"
)
_SOFTMAX = _names("_softmax _log_softmax _safe_softmax softmax log_softmax")
_BATCH_NORM = _names(
    """
    native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training
    _batch_norm_no_update _batch_norm_with_update cudnn_batch_norm
    """
)
_GROUP_NORM = _names("native_layer_norm native_group_norm _fused_rms_norm")
_MAX_POOL = _names(
    """
    max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices
    max_pool3d_with_indices
    """
)
_AVERAGE_POOL = _names("avg_pool1d avg_pool2d avg_pool3d")
_ADAPTIVE_POOL = _names(
    """
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d adaptive_avg_pool1d
    adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d
    """
)
_LOOK_UP = _names("embedding")
RANDOM = _names(
    "rand rand_like randn randn_like bernoulli uniform normal randint randint_like randperm"
)
_FFT = _names("_fft_r2c _fft_c2r _fft_c2c")

Rule = Callable[[str, Sequence[Any], dict[str, Any], Tensor, Setting], PathCounts]


def rule_of(name: str) -> tuple[str, Rule] | None:
    """Family of an operation and its rule ``(name, args, kwargs, output, setting)``, if any.

    Parameters
    ----------
    name : str
        Such as ``"add"``; an operation in place has the name of its twin.
    """
    return _RULES.get(name)


def _tensors(args: Sequence[Any]) -> list[Tensor]:
    return [value for value in args if isinstance(value, Tensor)]


def _dense(n: int, setting: Setting, **counts: int) -> PathCounts:
    return PathCounts(dense_macs=n, kind="dense", modality=setting.modality, **counts)


def _accumulate(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, setting: Setting
) -> PathCounts:
    """One accumulate where any operand is not zero; per message where all of them are spikes."""
    del kwargs
    operands = _tensors(args)
    factor = 2 if out.is_complex() else 1
    if name in ("add", "sub") and setting.spiking and len(operands) == 2:
        total = _spikes_of(operands, setting)
        if total is not None:
            return PathCounts(
                effective_acs=total,
                dense_macs=2 * out.numel(),
                spikes_routed=total,
                modality=setting.modality,
            )
    if len(operands) < 2:
        return _dense(out.numel(), setting, effective_acs=factor * out.numel())
    if operands[0].shape == operands[1].shape:
        backend = on_host(operands[0]) or on_host(operands[1])
        some = count_some(operands[0], operands[1], backend=backend)
    else:
        some = int(((operands[0] != 0) | (operands[1] != 0)).sum())
    return _dense(out.numel(), setting, effective_acs=factor * some)


def _spikes_of(operands: Sequence[Tensor], setting: Setting) -> int | None:
    """Spikes in operands of one shape; None if one of them is a frame."""
    if operands[0].shape != operands[1].shape:
        return None
    total = 0
    for x in operands:
        found = None if x.is_complex() else count_spikes(x, setting.read_as, backend=on_host(x))
        if found is None:
            return None
        total += found
    return total


def _multiply(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, setting: Setting
) -> PathCounts:
    """Two spikes meet in an AND, a spike adds the other factor, all else is multiplied."""
    del name
    factors = args[:2]
    if out.is_complex():
        return _dense(out.numel(), setting, effective_macs=4 * out.numel())
    constant = kwargs.get("constant", (False, False))
    spread = [
        torch.as_tensor(f).expand(out.shape) if not isinstance(f, Tensor) else f.expand(out.shape)
        for f in factors
    ]
    fixed = [not isinstance(f, Tensor) or constant[i] for i, f in enumerate(factors)]
    if fixed[1]:
        return scaled(spread[0], spread[1], setting)
    if fixed[0]:
        return scaled(spread[1], spread[0], setting)
    return elementwise_product(spread[0], spread[1], setting)


def _one_bit(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, setting: Setting
) -> PathCounts:
    """A one-bit operation where any operand is not zero."""
    del kwargs
    some = out.new_zeros(out.shape, dtype=torch.bool)
    for operand in _tensors(args):
        some = some | (operand != 0)
    count = out.numel() if name.endswith("not") else int(some.sum())
    return _dense(out.numel(), setting, and_ops=count)


def _each(macs: int, acs: int = 0) -> Rule:
    """So many operations for every element of the output."""

    def rule(
        name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, setting: Setting
    ) -> PathCounts:
        del name, args, kwargs
        n = out.numel()
        return _dense(n, setting, effective_macs=macs * n, effective_acs=acs * n)

    return rule


def _reduce(macs_in: int, acs_in: int, macs_out: int) -> Rule:
    """So many operations for every element of the input, and of the output."""

    def rule(
        name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, setting: Setting
    ) -> PathCounts:
        del name, kwargs
        n = args[0].numel()
        macs = macs_in * n + macs_out * out.numel()
        return _dense(n, setting, effective_macs=macs, effective_acs=acs_in * n)

    return rule


def _scatter(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, setting: Setting
) -> PathCounts:
    """An accumulate, and a word read and written, for every value that is added somewhere."""
    if name in ("index_put", "_unsafe_index_put"):
        added = bool(kwargs.get("accumulate") or (len(args) > 3 and args[3]))
        if not added:
            return _dense(0, setting)
    source = _tensors(args)[-1]
    n = int((source != 0).sum()) if name != "bincount" else source.numel()
    return _dense(
        source.numel(),
        setting,
        effective_acs=n,
        state_reads=n,
        state_writes=n,
        state_words=out.numel() // max(setting.batch, 1),
    )


def _pool(macs_out: int) -> Rule:
    """Comparing or adding all but the first of a window; spikes: one accumulate per window."""

    def rule(
        name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, setting: Setting
    ) -> PathCounts:
        x: Tensor = args[0]
        n_dims = 1 if "1d" in name else 2 if "2d" in name else 3
        adaptive = "adaptive" in name
        if adaptive:
            taps = x.numel() // max(out.numel(), 1)
        else:
            kernel = _spread(args[1], n_dims)
            taps = math.prod(kernel)
        sent = messages_in(x, (0,), setting.read_as) if setting.spiking else None
        if sent is not None and sent.are_spikes and not adaptive:
            stride = _spread(args[2] if len(args) > 2 and args[2] else kernel, n_dims)
            padding = _spread(args[3] if len(args) > 3 else 0, n_dims)
            per_window = _windows(sent.all, kernel, stride, padding)
            return PathCounts(
                effective_acs=per_window,
                dense_macs=out.numel() * taps,
                spikes_routed=sent.total,
                modality=setting.modality,
            )
        del kwargs
        return _dense(
            out.numel() * taps,
            setting,
            effective_acs=out.numel() * (taps - 1),
            effective_macs=macs_out * out.numel(),
            state_reads=x.numel(),
            state_writes=out.numel(),
            state_words=(x.numel() + out.numel()) // max(setting.batch, 1),
        )

    return rule


def _windows(
    sent: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> int:
    """Sum over messages of the number of windows that each falls into."""
    n = len(kernel)
    maps = sent.reshape(-1, 1, *sent.shape[-n:])
    ones = torch.ones(1, 1, *kernel, dtype=torch.float64)
    pooled = torch.ops.aten.convolution(
        maps, ones, None, stride, padding, [1] * n, False, [0] * n, 1
    )
    return int(pooled.sum().round())


def _spread(value: Any, n: int) -> list[int]:
    """One number for each dimension."""
    values = [value] if isinstance(value, int) else list(value)
    return values * n if len(values) == 1 else values


def _batch_norm(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, setting: Setting
) -> PathCounts:
    """Scale and shift by constants; statistics of the batch too where they are taken."""
    del kwargs
    fixed = name == "_native_batch_norm_legit_no_training" or not (len(args) > 5 and args[5])
    n = out.numel()
    if fixed:
        return _dense(n, setting, effective_macs=n)
    return _dense(n, setting, effective_macs=2 * n, effective_acs=2 * n)


def _look_up(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, setting: Setting
) -> PathCounts:
    """Rows of a table are read."""
    del name, kwargs
    return _dense(0, setting, weight_reads=out.numel(), weight_words=args[0].numel())


def _transform(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, setting: Setting
) -> PathCounts:
    """A Fourier transform along each of its dimensions."""
    del kwargs
    x: Tensor = args[0]
    longest = out if name == "_fft_c2r" else x
    counts = _dense(0, setting)
    for i, dim in enumerate(args[1]):
        n = longest.shape[dim]
        real = name != "_fft_c2c" and i == len(args[1]) - 1
        counts = counts.joined(
            fft_work(n, longest.numel() // n, real).path("dense", setting.modality)
        )
    return counts


_RULES: dict[str, tuple[str, Rule]] = {
    **dict.fromkeys(_ACCUMULATES, ("elementwise", _accumulate)),
    "mul": ("elementwise", _multiply),
    **dict.fromkeys(_LOGIC, ("elementwise", _one_bit)),
    **dict.fromkeys(_FUNCTIONS, ("elementwise", _each(1))),
    **dict.fromkeys(_TWO_PRODUCTS, ("elementwise", _each(2))),
    **dict.fromkeys(RANDOM, ("random", _each(1))),
    **dict.fromkeys(_SUMS, ("sum", _reduce(0, 1, 0))),
    **dict.fromkeys(_MEANS, ("sum", _reduce(0, 1, 1))),
    **dict.fromkeys(_SPREADS, ("sum", _reduce(1, 2, 1))),
    **dict.fromkeys(_PRODUCTS, ("sum", _reduce(1, 0, 0))),
    **dict.fromkeys(_SCATTERED_SUMS, ("scatter", _scatter)),
    **dict.fromkeys(_SOFTMAX, ("softmax", _each(2, 2))),
    **dict.fromkeys(_BATCH_NORM, ("norm", _batch_norm)),
    **dict.fromkeys(_GROUP_NORM, ("norm", _each(3, 2))),
    **dict.fromkeys(_MAX_POOL, ("pool", _pool(0))),
    **dict.fromkeys(_AVERAGE_POOL | _ADAPTIVE_POOL, ("pool", _pool(1))),
    **dict.fromkeys(_LOOK_UP, ("look_up", _look_up)),
    **dict.fromkeys(_FFT, ("transform", _transform)),
}
