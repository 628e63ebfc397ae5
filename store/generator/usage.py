"""Usage events of the last 200 days: late, doubled, conflicting and impossible ones among them.

How often a person uses what follows drive and plan. Phones lose their network: events arrive hours
or days late; retries arrive twice; a few disagree with themselves or make no sense (rule 14).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from store.generator.catalog import CAPTIONS, COLLABORATORS, METERS, QUALITY, STORAGE, VIDEO, VIEWERS
from store.generator.clock import DAY, HOUR, MINUTE, SECOND
from store.generator.columns import Column, array, compute, labels, maybe, null_text
from store.generator.draws import Ints, mix, pick, stream
from store.generator.people import People
from store.generator.subscriptions import ACTIVE, Subscriptions
from store.generator.tables import CHUNK, WorldWriter

WINDOW_DAYS = 200
EVENTS_PER_PERSON = 15.6
SOURCES = ("ios", "android", "web", "api")
_KEYS = (*tuple(m[0] for m in METERS), "legacy_uploads")
_UNKNOWN_METER = len(_KEYS) - 1
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def write_usage(world: WorldWriter, seed: int, people: People, subscriptions: Subscriptions) -> None:
    """Write ``usage_events``, a chunk of people at a time."""
    rng = stream(seed, "usage")
    paying = np.zeros(people.count, np.bool_)
    paying[subscriptions.person[subscriptions.subscription[subscriptions.status == ACTIVE]]] = True
    rate = people.drive**0.6 * np.where(paying, 3.0, 1.0)
    span = np.clip((people.clock.as_of - people.created) / (WINDOW_DAYS * DAY), 0.01, 1.0)
    rate *= span * EVENTS_PER_PERSON * people.count / (rate * span).sum()
    # half of the people never touch a premium feature
    tries = rng.random(people.count) < np.where(paying, 0.97, 0.5)
    rate *= np.where(tries, 1.0, 0.0)
    rate *= EVENTS_PER_PERSON * people.count / max(rate.sum(), 1e-9)
    rate = np.minimum(rate, 3_000)
    step = max(1, int(CHUNK / EVENTS_PER_PERSON))
    first = 0
    for begin in range(0, people.count, step):
        who = np.arange(begin, min(begin + step, people.count))
        person = np.repeat(who, rng.poisson(rate[who]))
        first += _write_chunk(world, rng, seed, people, person, first)


def _write_chunk(
    world: WorldWriter, rng: np.random.Generator, seed: int, people: People, person: Ints, first: int
) -> int:
    as_of = people.clock.as_of
    at = _instants(rng, people, person)
    keep = (at < as_of - MINUTE) & (at > people.created[person]) & (at < people.stopped[person])
    person, at = person[keep], at[keep]
    order = np.lexsort((person, at))
    person, at = person[order], at[order]
    n = len(person)
    if not n:
        return 0
    meter = pick(rng, np.array([26, 22, 24, 10, 5, 11, 2.0]), n)
    value = _values(rng, meter, at, as_of)
    subject = rng.integers(0, 12, n) ** 2 % 40 + person % 17
    source = (person % 3 + (rng.random(n) < 0.12)) % 4
    number = np.arange(first, first + n)
    late = (rng.exponential(4, n) * SECOND).astype(np.int64) + 200_000
    offline = rng.random(n) < 0.03
    late = np.where(offline, (rng.exponential(14, n) * HOUR).astype(np.int64) + MINUTE, late)
    late = np.where(rng.random(n) < 0.004, rng.integers(2 * DAY, 34 * DAY, n), late)
    late = np.where(rng.random(n) < 0.0008, rng.integers(36 * DAY, 60 * DAY, n), late)
    ingested = at + late
    fault = np.where(rng.random(n) < 0.0012, rng.integers(1, 9, n), 0)
    rows = np.arange(n)
    twice = rows[rng.random(n) < 0.006]
    clash = rows[rng.random(n) < 0.0006]
    rows = np.concatenate([rows, twice, clash])
    again = np.concatenate([np.zeros(n, np.int64), rng.integers(SECOND, 6 * HOUR, len(twice) + len(clash))])
    value = value[rows] + np.concatenate([np.zeros(n + len(twice), np.int64), np.ones(len(clash), np.int64)])
    arrived = ingested[rows] + again
    seen = arrived < as_of
    return _write_rows(
        world, seed, rows[seen], number, person, at, meter, value[seen], subject, source, arrived[seen], fault, n
    )


def _instants(rng: np.random.Generator, people: People, person: Ints) -> Ints:
    as_of = people.clock.as_of
    begin = np.maximum(as_of - WINDOW_DAYS * DAY, people.created[person])
    # most use features for a while and drift off: an activity spell that ends before as_of for a third
    spell = np.where(person % 3 == 0, 0.35 + 0.6 * ((person * 7919) % 997) / 997, 1.0)
    around = begin + (rng.random(len(person)) * spell * (as_of - begin)).astype(np.int64)
    return people.clock.waking(rng, people.zone[person], people.habit[person], around)


def _values(rng: np.random.Generator, meter: Ints, at: Ints, as_of: int) -> Ints:
    n = len(meter)
    minutes = np.minimum(rng.geometric(0.14, n), 180)
    captions = np.minimum(rng.geometric(0.4, n), 40)
    viewers = np.minimum((rng.pareto(1.6, n) * 4).astype(np.int64) + 1, 4_000)
    storage = 150 + ((WINDOW_DAYS * DAY - (as_of - at)) // DAY) * 8 + rng.integers(0, 900, n)
    quality = 100 - np.minimum(rng.geometric(0.2, n), 70)
    return np.select(
        [meter == VIDEO, meter == CAPTIONS, meter == VIEWERS, meter == STORAGE, meter == QUALITY],
        [minutes, captions, viewers, storage, quality], 1,
    )  # fmt: skip


def _write_rows(
    world: WorldWriter, seed: int, rows: Ints, number: Ints, person: Ints, at: Ints, meter: Ints, value: Ints,
    subject: Ints, source: Ints, arrived: Ints, fault: Ints, n: int,
) -> int:  # fmt: skip
    wrong, m = fault[rows], meter[rows]
    # faults 1-8: unknown person, unknown meter, from the future, no subject, no value, no number, too large, negative
    user = np.where(wrong == 1, person[rows] + 900_000_001, person[rows] + 1)
    key = np.where(wrong == 2, _UNKNOWN_METER, m)
    occurred = np.where(wrong == 3, arrived + 40 * MINUTE, at[rows])
    in_property, needs_subject = m == VIDEO, m == COLLABORATORS
    has_value = ~in_property & ~needs_subject & (m != 0) & (wrong != 5)
    value = np.where(wrong == 7, 2 * 10**15, np.where(wrong == 8, -value, value))
    text = array(value).cast(pa.string())
    said = compute.binary_join_element_wise('{"minutes": ', text, "}", "")
    said = compute.if_else(array(wrong == 6), '{"minutes": "a few"}', said)
    said = compute.if_else(array(in_property & (wrong != 5)), said, "{}")
    guest = compute.binary_join_element_wise("guest-", array(subject[rows] + 1).cast(pa.string()), "")
    is_named = array(needs_subject & (wrong != 4))
    world.write("usage_events", {
        "source": labels(source[rows], SOURCES), "event_id": _hex(mix(seed, "event", number[rows])),
        "ingested_at": arrived, "user_id": user, "meter_key": labels(key, _KEYS), "value": maybe(value, has_value),
        "subject": compute.if_else(is_named, guest, null_text()), "occurred_at": occurred,
        "properties": said,
    })  # fmt: skip
    return n


def _hex(bits: npt.NDArray[np.uint64]) -> Column:
    """Sixteen hex digits per row, built as one buffer."""
    octets = np.ascontiguousarray(bits.astype(">u8")).view(np.uint8).reshape(-1, 8)
    digits = np.empty((len(bits), 16), np.uint8)
    digits[:, 0::2] = _HEX[octets >> 4]
    digits[:, 1::2] = _HEX[octets & 15]
    offsets = np.arange(0, 16 * (len(bits) + 1), 16, dtype=np.int32)
    return pa.StringArray.from_buffers(len(bits), pa.py_buffer(offsets.tobytes()), pa.py_buffer(digits.tobytes()))
