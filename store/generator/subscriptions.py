"""Subscriptions as their versions: trials, renewals, plan changes, dunning, pauses, churn, corrections.

All subscriptions move together, one step of their life per round: a table of what each is now, and
the version rows each step leaves behind. Some versions are corrected later (``recorded_at`` after
``valid_from``): newer knowledge about the same time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from store.generator.catalog import CURRENCIES, INTERVALS, MONTHS, PRICE_RISE_DAYS, price
from store.generator.clock import DAY, HOUR, MINUTE, SECOND, add_months
from store.generator.columns import labels, maybe
from store.generator.draws import Bools, Ints, pick, stream
from store.generator.people import NEVER, People
from store.generator.tables import CHUNK, WorldWriter

SHARE = 0.17
"""Share of people who ever subscribed."""
STATUSES = ("trialing", "active", "past_due", "paused", "cancelled")
TRIALING, ACTIVE, PAST_DUE, PAUSED, CANCELLED = range(5)
_EURO = frozenset(
    [
        "DE",
        "AT",
        "FR",
        "BE",
        "ES",
        "PT",
        "IT",
        "NL",
        "IE",
        "FI",
        "GR",
        "LU",
        "SK",
        "SI",
        "EE",
        "LV",
        "LT",
        "MT",
        "CY",
        "HR",
    ]
)
TRIAL_DAYS = 14


@dataclass
class Versions:
    """Columns of ``subscription_versions``, grown round by round."""

    subscription: list[Ints] = field(default_factory=list)
    plan: list[Ints] = field(default_factory=list)
    amount: list[Ints] = field(default_factory=list)
    discount: list[Ints] = field(default_factory=list)
    status: list[Ints] = field(default_factory=list)
    paid_until: list[Ints] = field(default_factory=list)
    valid_from: list[Ints] = field(default_factory=list)
    valid_to: list[Ints] = field(default_factory=list)
    recorded: list[Ints] = field(default_factory=list)
    anchor: list[Ints] = field(default_factory=list)


@dataclass(frozen=True)
class Subscriptions:
    """All versions in order of recording (id = position + 1), and each subscription's fixed facts."""

    person: Ints
    currency: Ints
    interval: Ints
    quantity: Ints
    trial_end: Ints
    subscription: Ints
    plan: Ints
    amount: Ints
    discount: Ints
    status: Ints
    paid_until: Ints
    valid_from: Ints
    valid_to: Ints
    recorded: Ints
    anchor: Ints


@dataclass
class _Lives:
    """What each subscription is now; ``at`` is when its present version began."""

    at: Ints
    status: Ints
    plan: Ints
    interval: Ints
    currency: Ints
    discount: Ints
    anchor: Ints
    periods: Ints
    paid_until: Ints
    open: Bools


def make_subscriptions(seed: int, people: People) -> Subscriptions:
    """Live through all subscriptions until ``as_of``."""
    rng = stream(seed, "subscriptions")
    as_of = people.clock.as_of
    person = np.flatnonzero(rng.random(people.count) < np.minimum(0.8, SHARE * people.drive**0.35))
    # a few come back with a second subscription
    again = person[rng.random(len(person)) < 0.05]
    person = np.concatenate([person, again])
    begin = people.created[person] + (rng.beta(1.1, 2.2, len(person)) * (as_of - people.created[person])).astype(int)
    is_second = np.arange(len(person)) >= len(person) - len(again)
    begin = np.where(is_second, as_of - (rng.random(len(person)) * 200 * DAY).astype(np.int64), begin)
    keep = (begin < as_of - HOUR) & (begin < people.stopped[person]) & (begin >= people.created[person])
    person, begin = person[keep], begin[keep]
    n = len(person)
    country = [people.countries[c] for c in people.country[person]]
    currency = np.array([0 if c in _EURO else 2 if c == "GB" else 1 for c in country], np.int64)
    interval = pick(rng, np.array([70, 6, 3, 21.0]), n)
    new_price = begin >= as_of - PRICE_RISE_DAYS * DAY
    plan = np.where(rng.random(n) < 0.74, 2, 4) + new_price
    trials = rng.random(n) < 0.5
    trial_end = np.where(trials, begin + TRIAL_DAYS * DAY, NEVER)
    anchor = np.where(trials, trial_end, begin)
    quantity = np.where(rng.random(n) < 0.04, rng.integers(2, 12, n), 1)
    discount = np.where(rng.random(n) < 0.12, price(plan, currency, interval) * quantity // 5, 0)
    lives = _Lives(begin, np.where(trials, TRIALING, ACTIVE), plan, interval, currency, discount, anchor,
                   np.zeros(n, np.int64), np.where(trials, trial_end, begin), np.ones(n, np.bool_))  # fmt: skip
    versions = Versions()
    for _ in range(120):
        if not lives.open.any():
            break
        _step(rng, lives, versions, trial_end, as_of)
    return _settle(rng, people, versions, person, lives, quantity, trial_end)


def _step(rng: np.random.Generator, lives: _Lives, versions: Versions, trial_end: Ints, as_of: int) -> None:
    """One version of every open subscription: how long it held, and what came after."""
    rows = np.flatnonzero(lives.open)
    n = len(rows)
    status, at = lives.status[rows], lives.at[rows]
    months = MONTHS[lives.interval[rows]]
    is_trial, is_active = status == TRIALING, status == ACTIVE
    period_end = add_months(lives.anchor[rows], (lives.periods[rows] + 1) * months)
    end = np.select(
        [is_trial, is_active, status == PAST_DUE, status == PAUSED],
        [trial_end[rows], period_end, at + (rng.gamma(2.0, 4.0, n) * DAY).astype(np.int64) + HOUR,
         at + (rng.integers(20, 75, n) * DAY)], NEVER,
    )  # fmt: skip
    paid_until = np.select([is_trial, is_active], [trial_end[rows], period_end], lives.paid_until[rows])
    draw = rng.random(n)
    # a mid-period goodbye: the cancelled version begins then, what is paid stays paid
    leaves = (is_active & (draw < 0.03 + 0.015 * months)) | (is_trial & (draw < 0.34))
    early = at + ((0.1 + 0.85 * rng.random(n)) * np.minimum(end - at, 400 * DAY)).astype(np.int64)
    # a plan change in the middle of a period, mostly upwards
    moves = is_active & ~leaves & (draw > 0.965)
    end = np.where(leaves | moves, early, end)
    over = np.where(end < as_of, end, NEVER)
    amount = price(lives.plan[rows], lives.currency[rows], lives.interval[rows])
    for name, values in (
        ("subscription", rows), ("plan", lives.plan[rows]), ("amount", amount), ("discount", lives.discount[rows]),
        ("status", status), ("paid_until", paid_until), ("valid_from", at), ("valid_to", over),
        ("recorded", at + rng.integers(1, 90, n) * SECOND), ("anchor", lives.anchor[rows]),
    ):  # fmt: skip
        getattr(versions, name).append(values)
    second = rng.random(n)
    after = np.select(
        [leaves, is_trial, is_active & moves, is_active, status == PAST_DUE, status == PAUSED],
        [CANCELLED, np.where(second < 0.94, ACTIVE, PAST_DUE), ACTIVE,
         np.where(second < 0.955, ACTIVE, np.where(second < 0.988, PAST_DUE, PAUSED)),
         np.where(second < 0.62, ACTIVE, CANCELLED), ACTIVE], CANCELLED,
    )  # fmt: skip
    renewed = is_active & ~leaves & ~moves
    lives.periods[rows] += renewed
    restart = (status == PAUSED) & (after == ACTIVE)
    lives.anchor[rows] = np.where(restart, end, lives.anchor[rows])
    lives.periods[rows] = np.where(restart, 0, lives.periods[rows])
    lives.paid_until[rows] = paid_until
    up = rng.random(n) < 0.68
    other = np.where(lives.plan[rows] <= 3, 4, 2) + (np.minimum(over, as_of) >= as_of - PRICE_RISE_DAYS * DAY)
    upward = other > lives.plan[rows]
    lives.plan[rows] = np.where(moves & (up == upward), other, lives.plan[rows])
    lives.discount[rows] = np.where(renewed & (second > 0.6), 0, lives.discount[rows])
    cap = price(lives.plan[rows], lives.currency[rows], lives.interval[rows])
    lives.discount[rows] = np.minimum(lives.discount[rows], cap)
    lives.status[rows] = after
    lives.at[rows] = end
    lives.open[rows] = (over < NEVER) & (status != CANCELLED)


def _settle(
    rng: np.random.Generator, people: People, versions: Versions, person: Ints, lives: _Lives, quantity: Ints,
    trial_end: Ints,
) -> Subscriptions:  # fmt: skip
    empty = np.empty(0, np.int64)
    names = Versions.__dataclass_fields__
    v = {name: np.concatenate(getattr(versions, name)) if len(person) else empty for name in names}
    as_of = people.clock.as_of
    late = v["recorded"] + (rng.exponential(12, len(v["plan"])) * DAY).astype(np.int64) + HOUR
    fix = np.flatnonzero((rng.random(len(late)) < 0.012) & (late < as_of) & np.isin(v["status"], (ACTIVE, PAST_DUE)))
    fixed = {name: values[fix] for name, values in v.items()}
    fixed["recorded"] = late[fix]
    fixed["discount"] = np.where(rng.random(len(fix)) < 0.7, fixed["amount"] // 4, 0)
    fixed["status"] = np.where(rng.random(len(fix)) < 0.85, fixed["status"], ACTIVE)
    v = {name: np.concatenate([values, fixed[name]]) for name, values in v.items()}
    # deactivated people's last versions stand as they are: money does not stop with the account
    order = np.lexsort((v["subscription"], v["valid_from"], v["recorded"]))
    order = order[v["recorded"][order] < as_of + MINUTE]
    return Subscriptions(person, lives.currency, lives.interval, quantity, trial_end,
                         **{name: values[order] for name, values in v.items()})  # fmt: skip


def write_subscriptions(world: WorldWriter, subs: Subscriptions) -> None:
    """Write ``subscription_versions``."""
    for begin in range(0, len(subs.subscription), CHUNK):
        rows = np.arange(begin, min(begin + CHUNK, len(subs.subscription)))
        line = subs.subscription[rows]
        to, trial = subs.valid_to[rows], subs.trial_end[line]
        world.write("subscription_versions", {
            "id": rows + 1, "subscription_id": line + 1, "user_id": subs.person[line] + 1, "plan_id": subs.plan[rows],
            "amount_minor": subs.amount[rows], "currency": labels(subs.currency[line], CURRENCIES),
            "interval": labels(subs.interval[line], INTERVALS), "quantity": subs.quantity[line],
            "discount_minor": subs.discount[rows], "status": labels(subs.status[rows], STATUSES),
            "anchor_at": subs.anchor[rows], "trial_end": maybe(trial, trial < NEVER),
            "paid_until": subs.paid_until[rows], "valid_from": subs.valid_from[rows],
            "valid_to": maybe(to, to < NEVER), "recorded_at": subs.recorded[rows],
        })  # fmt: skip


def write_grants(world: WorldWriter, seed: int, people: People) -> None:
    """Write ``grants``: referral thanks, goodwill after an outage; some expire, a few were taken back."""
    rng = stream(seed, "grants")
    as_of = people.clock.as_of
    person = np.flatnonzero(rng.random(people.count) < 0.06)
    n = len(person)
    if not n:
        return
    begin = np.maximum(people.created[person], as_of - (rng.random(n) * 150 * DAY).astype(np.int64) - DAY)
    order = np.lexsort((person, begin))
    person, begin = person[order], begin[order]
    feature = pick(rng, np.array([40, 35, 25.0]), n)
    amount = np.array([10, 30, 20])[feature] * rng.integers(1, 4, n)
    lasts = rng.choice(np.array([30, 60, 90, 365]), n) * DAY
    voided = begin + (rng.random(n) * 20 * DAY).astype(np.int64)
    world.write("grants", {
        "id": np.arange(1, n + 1), "user_id": person + 1,
        "feature_key": labels(feature, ("exports", "video", "ai_captions")),
        "amount": amount, "priority": rng.choice(np.array([0, 10, 10, 20]), n), "effective_at": begin,
        "expires_at": maybe(begin + lasts, rng.random(n) < 0.8),
        "voided_at": maybe(voided, (rng.random(n) < 0.03) & (voided < as_of)),
    })  # fmt: skip
