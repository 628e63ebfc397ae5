"""Display names and handles, culture by culture. Handles are ASCII, unique, and look chosen."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa

from store.generator.columns import Column, array, compute
from store.generator.draws import Ints, pick, zipf_weights
from store.generator.places import load

_PLAIN = str.maketrans({"ł": "l", "ı": "i", "ß": "ss", "ø": "o", "æ": "ae"})
FAMILY_FIRST = frozenset({"ja"})


@dataclass(frozen=True)
class NamePool:
    """Given and family names of one culture, as shown and in plain letters."""

    given: Column
    given_plain: Column
    family: Column
    family_plain: Column


@dataclass(frozen=True)
class Names:
    """Names of people, one row each."""

    given: Column
    display: Column
    handle: Column
    family: Column


def plain(name: str) -> str:
    """Lower-case ASCII letters of a name; ``display|ascii`` says them itself."""
    shown = name.rsplit("|", maxsplit=1)[-1].lower().translate(_PLAIN)
    letters = unicodedata.normalize("NFKD", shown)
    return "".join(c for c in letters if c.isascii() and c.isalpha())


@cache
def pools() -> dict[str, NamePool]:
    """The name pools by culture."""
    made = {}
    for culture, lists in load("names.toml").items():
        arrays = [
            array([convert(n) for n in lists[part]], pa.string())
            for part in ("given", "family")
            for convert in (lambda n: n.split("|")[0], plain)
        ]
        made[culture] = NamePool(*arrays)
    return made


def _numbered(rng: np.random.Generator, base: Column) -> Column:
    """Make texts unique: the second and later of a kind get a number of their own."""
    codes = base.dictionary_encode().indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    first = np.searchsorted(ordered, ordered, side="left")
    rank = np.empty(len(codes), np.int64)
    rank[order] = np.arange(len(codes)) - first
    shift = rng.integers(0, 97, int(codes.max()) + 1)[codes]
    number = np.where(rank <= 97, (rank * 37 + shift) % 97 + 2, rank + 2)
    suffix = compute.if_else(array(rank == 0), "", array(number).cast(pa.string()))
    return compute.binary_join_element_wise(base, suffix, "")


def make_names(rng: np.random.Generator, cultures: list[str], culture: Ints) -> Names:
    """Names for people whose culture is ``cultures[culture[i]]``."""
    rows, given, display, handle, family = [], [], [], [], []
    for code, name in enumerate(cultures):
        row = np.flatnonzero(culture == code)
        if not len(row):
            continue
        pool = pools()[name]
        g = array(pick(rng, zipf_weights(len(pool.given), 0.35), len(row)))
        f = array(pick(rng, zipf_weights(len(pool.family), 0.45), len(row)))
        shown = (pool.given.take(g), pool.family.take(f))
        if name in FAMILY_FIRST:
            display.append(compute.binary_join_element_wise(shown[1], shown[0], " "))
        else:
            display.append(compute.binary_join_element_wise(*shown, " "))
        rows.append(row)
        given.append(shown[0])
        family.append(shown[1])
        handle.append(_handles(rng, pool.given_plain.take(g), pool.family_plain.take(f)))
    back = array(np.argsort(np.concatenate(rows), kind="stable"))
    joined = [pa.concat_arrays(parts).take(back) for parts in (given, display, handle, family)]
    return Names(joined[0], joined[1], _numbered(rng, joined[2]), joined[3])


def _handles(rng: np.random.Generator, given: Column, family: Column) -> Column:
    initial = compute.utf8_slice_codeunits(given, 0, 1)
    family_initial = compute.utf8_slice_codeunits(family, 0, 1)
    styles = [
        compute.binary_join_element_wise(given, family, "."),
        compute.binary_join_element_wise(given, family, ""),
        compute.binary_join_element_wise(given, family, "_"),
        compute.binary_join_element_wise(initial, family, ""),
        compute.binary_join_element_wise(given, family_initial, "."),
        compute.binary_join_element_wise(family, given, "."),
        compute.binary_join_element_wise(given, family_initial, ""),
    ]
    style = pick(rng, np.array([26, 22, 14, 14, 9, 7, 8.0]), len(given))
    return compute.choose(array(style), *styles)
