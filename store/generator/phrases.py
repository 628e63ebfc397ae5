"""The template grammar: short texts out of templates, slots and alternatives, many rows at a time.

``[a|b|c]`` is one of several, ``{slot}`` a word of the row (``{thing}``, ``{when}``,
``{name}`` …), everything else stands as written. All rows of one template are rendered together by
Arrow joins. The words are in ``data/texts``; who says what is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from store.generator.columns import Column, array, compute
from store.generator.draws import Ints, mix_below

_TOKEN = re.compile(r"\[([^\]]*)\]|\{([a-z0-9_]+)\}")
_FORBIDDEN = re.compile(r'["\\\x00-\x1f]')

Slots = Mapping[str, Callable[[Ints], Column]]
"""Per slot: row positions in, words out."""


@dataclass(frozen=True)
class Template:
    """A parsed template: literals (str), slots (one-tuples), alternatives (lists of templates)."""

    parts: tuple[str | tuple[str] | list[Template], ...]

    @property
    def slots(self) -> frozenset[str]:
        """The slots it may need."""
        own = {p[0] for p in self.parts if isinstance(p, tuple)}
        return frozenset(own.union(*(t.slots for p in self.parts if isinstance(p, list) for t in p)))


def parse(text: str) -> Template:
    """Parse one template.

    Raises ``ValueError`` on what JSON would have to escape, and on unbalanced brackets.
    """
    if _FORBIDDEN.search(text):
        raise ValueError(f"template needs escaping in JSON: {text!r}")
    parts: list[str | tuple[str] | list[Template]] = []
    end = 0
    for token in _TOKEN.finditer(text):
        if token.start() > end:
            parts.append(text[end : token.start()])
        if token[2]:
            parts.append((token[2],))
        else:
            parts.append([parse(option) for option in token[1].split("|")])
        end = token.end()
    if end < len(text):
        parts.append(text[end:])
    if any(isinstance(p, str) and re.search(r"[\[\]{}]", p) for p in parts):
        raise ValueError(f"unbalanced brackets: {text!r}")
    return Template(tuple(parts))


def render(seed: int, templates: list[Template], which: Ints, keys: Ints, slots: Slots) -> Column:
    """The text of each row: template ``which[i]``, alternatives drawn by ``keys[i]``; "" if -1."""
    order = np.argsort(which, kind="stable")
    ordered = which[order]
    texts, begin = [], 0
    while begin < len(ordered):
        code = int(ordered[begin])
        end = int(np.searchsorted(ordered, code, side="right"))
        texts.append(_render_one(seed, templates, code, order[begin:end], keys, slots))
        begin = end
    if not texts:
        return array([], pa.string())
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return pa.concat_arrays(texts).take(array(back))


def _of(slot: Callable[[Ints], Column], rows: Ints) -> Callable[[Ints], Column]:
    return lambda inner: slot(rows[inner])


def _render_one(seed: int, templates: list[Template], code: int, rows: Ints, keys: Ints, slots: Slots) -> Column:
    if code < 0:
        return array([""], pa.string()).take(array(np.zeros(len(rows), np.int64)))
    pieces: list[Column | str] = []
    for position, part in enumerate(templates[code].parts):
        if isinstance(part, str):
            pieces.append(part)
        elif isinstance(part, tuple):
            pieces.append(slots[part[0]](rows))
        else:
            chosen = mix_below(seed, f"alternative {position}", keys[rows], len(part))
            mine = {name: _of(slots[name], rows) for option in part for name in option.slots}
            pieces.append(render(seed, part, chosen, keys[rows], mine))
    if all(isinstance(piece, str) for piece in pieces):
        whole = "".join(piece for piece in pieces if isinstance(piece, str))
        return array([whole], pa.string()).take(array(np.zeros(len(rows), np.int64)))
    return compute.binary_join_element_wise(*pieces, "")
