"""Where people live: countries, cities and their IANA zones.

Most people live in the countries of ``data/countries.toml``; a few everywhere else tzdata knows a
place (``zone.tab``), and a handful keep their clock on an odd zone (``UTC``, ``Etc/GMT-3`` …), so
that a large world uses every zone there is.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from store.generator.draws import Floats, Ints, pick

ELSEWHERE_SHARE = 0.045
ODD_CLOCK_SHARE = 0.004
_ASIAN, _AFRICAN = frozenset({"CN", "HK", "TW", "MY", "TH", "VN", "MM", "KH", "LA"}), "ng"
_LATIN = frozenset({"PE", "EC", "BO", "PY", "UY", "VE", "GT", "HN", "NI", "CR", "PA", "CU", "DO", "SV", "PR"})


def load(name: str) -> dict[str, Any]:
    """A data file of this package."""
    text = resources.files("store.generator").joinpath("data").joinpath(name).read_text(encoding="utf-8")
    return tomllib.loads(text)


@dataclass(frozen=True)
class Places:
    """Every place of the world, as parallel lists indexed by city."""

    city: tuple[str, ...]
    zone: tuple[str, ...]
    country: tuple[str | None, ...]
    culture: tuple[str, ...]
    locales: tuple[tuple[tuple[str, float], ...], ...]
    weight: Floats

    def settle(self, rng: np.random.Generator, people: int) -> Ints:
        """A city for each person."""
        return pick(rng, self.weight, people)


def _culture_elsewhere(country: str, zone: str) -> str:
    if country in _LATIN:
        return "es"
    if country in _ASIAN:
        return "sea"
    area = zone.split("/", 1)[0]
    return {"Africa": _AFRICAN, "Asia": "ar", "Europe": "nordic"}.get(area, "en")


def _elsewhere() -> list[tuple[str, str, str]]:
    text = resources.files("tzdata").joinpath("zoneinfo").joinpath("zone.tab").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return [(zone.rsplit("/", 1)[-1].replace("_", " "), zone, country) for country, _, zone, *_ in rows]


@cache
def places() -> Places:
    """All places, in a fixed order."""
    rows: list[tuple[str, str, str | None, str, tuple[tuple[str, float], ...], float]] = []
    countries = load("countries.toml")["country"]
    for entry in countries:
        total = sum(weight for _, _, weight in entry["cities"])
        for city, zone, weight in entry["cities"]:
            locales = tuple((k, float(v)) for k, v in entry["locales"].items())
            rows.append((city, zone, entry["code"], entry["culture"], locales, entry["weight"] * weight / total))
    base = sum(row[5] for row in rows)
    named = {row[1] for row in rows}
    rest = [row for row in _elsewhere() if row[1] not in named]
    for city, zone, country in rest:
        culture = _culture_elsewhere(country, zone)
        locale = "es" if culture == "es" else "en"
        rows.append((city, zone, country, culture, ((locale, 1.0),), base * ELSEWHERE_SHARE / len(rest)))
    known = named | {row[1] for row in rest}
    names = resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    odd = [zone for zone in sorted(names) if zone not in known and zone != "Factory"]
    rows += [("Seaside", zone, None, "en", (("en", 1.0),), base * ODD_CLOCK_SHARE / len(odd)) for zone in odd]
    city, zones, country_codes, cultures, locale_sets, weights = zip(*rows, strict=True)
    return Places(city, zones, country_codes, cultures, locale_sets, np.array(weights, np.float64))
