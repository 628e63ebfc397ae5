"""Arrow columns by the handful: the few ways in which this package makes them.

The stubs' generics cannot follow arrays whose type is known only at run time, so ``Column``,
``array`` and ``compute`` are untyped here, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from store.generator.draws import Bools, Ints

Column: TypeAlias = Any
"""A ``pyarrow.Array``."""
array: Any = pa.array
compute: Any = pyarrow.compute


def null_text() -> Column:
    """The text that is not there."""
    return pa.scalar(None, pa.string())


def labels(codes: npt.NDArray[Any], names: Sequence[str]) -> Column:
    """Text of small integer codes."""
    return array(list(names), pa.string()).take(array(codes))


def maybe(values: npt.NDArray[Any], is_there: Bools) -> Column:
    """Values where ``is_there``, null elsewhere."""
    return array(values, mask=~is_there)


def constant(text: str, rows: int) -> Column:
    """One text on every row."""
    return array([text], pa.string()).take(array(np.zeros(rows, np.int64)))


def lists(values: Column, counts: Ints) -> Column:
    """A list column: the next ``counts[i]`` of ``values`` on row i."""
    offsets = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=offsets[1:])
    return pa.ListArray.from_arrays(array(offsets), values)
