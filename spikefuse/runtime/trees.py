"""States of any make as named tensors and back, without pickle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor


def flattened(value: Any, name: str, into: dict[str, Tensor]) -> Any:
    """Put the tensors of a state into ``into``; what is left is its shape, of plain values.

    Parameters
    ----------
    value : Tensor, None, number, mapping, or list or tuple (named or not) of such
    name : str
        Of a tensor in it: this, then where it is.
    into : dict
        Written.

    Returns
    -------
    Plain values for a JSON file.

    Raises
    ------
    ValueError
        If the state holds something else.
    """
    if isinstance(value, Tensor):
        into[name] = value.detach().contiguous()
        return "tensor"
    if value is None or isinstance(value, bool | int | float):
        return {"value": value}
    if isinstance(value, Mapping):
        return {"items": [[key, flattened(x, f"{name}.{key}", into)] for key, x in value.items()]}
    if isinstance(value, list | tuple):
        return {"parts": [flattened(x, f"{name}.{i}", into) for i, x in enumerate(value)]}
    raise ValueError(f"{name} must be tensors in tuples, lists or mappings, got {type(value)}")


def filled(
    shape: Any, name: str, tensors: Mapping[str, Tensor], example: Callable[[], Any] | None = None
) -> Any:
    """The state again; ``example`` gives one of its kind, from which named tuples have their class.

    Parameters
    ----------
    shape : what `flattened` returned
    name : str
    tensors : mapping
    example : function, optional
        Called only where the state is no bare tensor or None.

    Raises
    ------
    ValueError
        If a tensor is missing or the kinds do not agree.
    """
    if shape == "tensor":
        if name not in tensors:
            raise ValueError(f"the snapshot must hold {name!r}, got {sorted(tensors)}")
        return tensors[name].clone()
    if "value" in shape:
        return shape["value"]
    like = None if example is None else example()
    if "items" in shape:
        known = dict(like) if isinstance(like, Mapping) else {}
        keys = {str(key): key for key in known}
        return {
            keys.get(str(key), key): filled(
                part, f"{name}.{key}", tensors, _held(known.get(keys.get(str(key), key)))
            )
            for key, part in shape["items"]
        }
    parts = shape["parts"]
    if not isinstance(like, list | tuple) or len(like) != len(parts):
        raise ValueError(f"{name} must hold {len(parts)} parts as the model's own, got {like!r}")
    found = [
        filled(part, f"{name}.{i}", tensors, _held(x))
        for i, (part, x) in enumerate(zip(parts, like, strict=True))
    ]
    return type(like)(*found) if hasattr(like, "_fields") else type(like)(found)


def _held(value: Any) -> Callable[[], Any]:
    return lambda: value
