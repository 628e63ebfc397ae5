"""What else stands between two people: requests, blocks, mutes, dismissals, impressions, hides, reads."""

from __future__ import annotations

import numpy as np

from store.generator.activities import Activities
from store.generator.clock import DAY, HOUR, MINUTE
from store.generator.columns import labels, maybe
from store.generator.draws import Bools, Ints, first_of_each, pick, stream
from store.generator.engagement import OBJECTS, V_COMMENT, V_POST
from store.generator.friendships import Friendships
from store.generator.people import NEVER, People
from store.generator.tables import CHUNK, WorldWriter

REQUEST_STATUSES = ("pending", "accepted", "declined", "cancelled")
KEPT_REQUEST_DAYS = 120
"""The app forgets answered requests after this time."""
IMPRESSIONS_PER_PERSON = 2.6


def _strangers(rng: np.random.Generator, people: People, friends: Friendships, count: int) -> tuple[Ints, Ints]:
    """Pairs of people two steps apart who were never friends (a friend's friend, else anybody)."""
    person = pick(rng, people.drive**0.5, count)
    first = friends.of.sample(rng, person)
    other = rng.integers(0, people.count, count)
    if len(friends.a):
        middle = np.where(first >= 0, friends.of.value[first], person)
        second = friends.of.sample(rng, middle)
        other = np.where((first >= 0) & (second >= 0), friends.of.value[second], other)
    keep = (person != other) & ~_were_friends(people, friends, person, other)
    return person[keep], other[keep]


def _were_friends(people: People, friends: Friendships, one: Ints, other: Ints) -> Bools:
    keys = friends.a.astype(np.int64) * people.count + friends.b
    pair = np.minimum(one, other) * people.count + np.maximum(one, other)
    found: Bools = np.isin(pair, keys)
    return found


def _since(rng: np.random.Generator, people: People, one: Ints, other: Ints, days: float) -> Ints:
    """An instant in the last ``days``, when both were there already."""
    as_of = people.clock.as_of
    begin: Ints = np.maximum(as_of - int(days * DAY), np.maximum(people.created[one], people.created[other]))
    return begin + (rng.random(len(one)) * (as_of - MINUTE - begin)).astype(np.int64)


def pending_requests(seed: int, people: People, friends: Friendships) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Requests as (asker, asked, status, created, answered), in order of time."""
    rng = stream(seed, "requests")
    as_of = people.clock.as_of
    new = np.flatnonzero(friends.created > as_of - KEPT_REQUEST_DAYS * DAY)
    asker = friends.asker[new]
    asked = friends.a[new] + friends.b[new] - asker
    waited = (rng.exponential(14, len(new)) * HOUR).astype(np.int64) + MINUTE
    floor = np.maximum(people.created[asker], people.created[asked])
    created = np.maximum(friends.created[new] - waited, floor)
    one, other = _strangers(rng, people, friends, int(people.count * 0.55) + 4)
    status = pick(rng, np.array([58, 0, 30, 12.0]), len(one))
    asked_at = _since(rng, people, one, other, 150)
    answered = np.minimum(asked_at + (rng.exponential(40, len(one)) * HOUR).astype(np.int64) + MINUTE, as_of - 1)
    answered = np.where(status == 0, NEVER, np.maximum(answered, asked_at))
    parts = (
        np.concatenate([asker, one]), np.concatenate([asked, other]),
        np.concatenate([np.ones(len(new), np.int64), status]), np.concatenate([created, asked_at]),
        np.concatenate([friends.created[new], answered]),
    )  # fmt: skip
    # one open question per pair
    pair = np.minimum(parts[0], parts[1]) * people.count + np.maximum(parts[0], parts[1])
    keep = first_of_each(pair)
    order = keep[np.argsort(parts[3][keep], kind="stable")]
    return parts[0][order], parts[1][order], parts[2][order], parts[3][order], parts[4][order]


def write_requests(world: WorldWriter, requests: tuple[Ints, Ints, Ints, Ints, Ints]) -> None:
    """Write ``friend_requests``."""
    asker, asked, status, created, answered = requests
    for begin in range(0, len(asker), CHUNK):
        rows = slice(begin, begin + CHUNK)
        world.write("friend_requests", {
            "id": np.arange(begin, begin + len(asker[rows])) + 1, "requester_id": asker[rows] + 1,
            "addressee_id": asked[rows] + 1, "status": labels(status[rows], REQUEST_STATUSES),
            "created_at": created[rows], "responded_at": maybe(answered[rows], answered[rows] < NEVER),
        })  # fmt: skip


def write_blocks_and_mutes(world: WorldWriter, seed: int, people: People, friends: Friendships) -> None:
    """Write ``blocks`` (often after a friendship ended) and ``mutes`` (of friends; many expire)."""
    rng = stream(seed, "blocks and mutes")
    as_of = people.clock.as_of
    ended = np.flatnonzero((friends.ended < NEVER) & (rng.random(len(friends.a)) < 0.16))
    swap = rng.random(len(ended)) < 0.5
    one, other = _strangers(rng, people, friends, int(people.count * 0.02))
    blocker = np.concatenate([np.where(swap, friends.b[ended], friends.a[ended]), one])
    blocked = np.concatenate([np.where(swap, friends.a[ended], friends.b[ended]), other])
    at = np.concatenate([np.minimum(friends.ended[ended] + MINUTE, as_of - 1), _since(rng, people, one, other, 400)])
    keep = first_of_each(blocker * people.count + blocked)
    world.write("blocks", {"blocker_id": blocker[keep] + 1, "blocked_id": blocked[keep] + 1, "created_at": at[keep]})
    live = np.flatnonzero((friends.ended == NEVER) & (rng.random(len(friends.a)) < 0.006))
    swap = rng.random(len(live)) < 0.5
    muter = np.where(swap, friends.b[live], friends.a[live])
    muted = np.where(swap, friends.a[live], friends.b[live])
    created = friends.created[live] + (rng.random(len(live)) * (as_of - MINUTE - friends.created[live])).astype(
        np.int64
    )
    lasts = rng.choice(np.array([1, 7, 30, 30, 90]), len(live)) * DAY
    world.write("mutes", {
        "muter_id": muter + 1, "muted_id": muted + 1,
        "scope": labels((rng.random(len(live)) < 0.35).astype(np.int64), ("all", "reshares")),
        "created_at": created, "expires_at": maybe(created + lasts, rng.random(len(live)) < 0.6),
    })  # fmt: skip


def write_recommendation_history(world: WorldWriter, seed: int, people: People, friends: Friendships) -> None:
    """Write ``recommendation_impressions`` (some pairs again and again) and ``recommendation_dismissals``."""
    rng = stream(seed, "recommendation history")
    one, other = _strangers(rng, people, friends, int(people.count * IMPRESSIONS_PER_PERSON * 0.55))
    times = np.minimum(rng.geometric(0.55, len(one)) + np.where(rng.random(len(one)) < 0.01, 9, 0), 14)
    who, whom = np.repeat(one, times), np.repeat(other, times)
    at = _since(rng, people, who, whom, 75)
    order = np.argsort(at, kind="stable")
    for begin in range(0, len(order), CHUNK):
        rows = order[begin : begin + CHUNK]
        world.write("recommendation_impressions", {
            "id": np.arange(begin, begin + len(rows)) + 1, "user_id": who[rows] + 1, "candidate_id": whom[rows] + 1,
            "shown_at": at[rows],
        })  # fmt: skip
    no = np.flatnonzero(rng.random(len(one)) < 0.045)
    no = no[first_of_each(one[no] * people.count + other[no])]
    world.write("recommendation_dismissals", {
        "user_id": one[no] + 1, "candidate_id": other[no] + 1,
        "dismissed_at": _since(rng, people, one[no], other[no], 200),
        "dismissal_count": pick(rng, np.array([0, 80, 14, 6.0]), len(no)),
    })  # fmt: skip


def write_feed_marks(
    world: WorldWriter, seed: int, people: People, friends: Friendships, activities: Activities
) -> None:
    """Write ``feed_reads`` (a mark soon before the last visit's end) and ``feed_hides`` (friends' posts, comments)."""
    rng = stream(seed, "feed marks")
    reads = np.flatnonzero(people.has_been_seen & (rng.random(people.count) < 0.9))
    mark = people.last_seen[reads] - (rng.exponential(25, len(reads)) * MINUTE).astype(np.int64)
    mark = np.maximum(mark, people.created[reads])
    world.write("feed_reads", {"user_id": reads + 1, "seen_at": mark})
    acts = activities.acts
    rows = np.flatnonzero(np.isin(acts.verb, (V_POST, V_COMMENT)) & (rng.random(len(acts)) < 0.012))
    spot = friends.of.sample(rng, acts.actor[rows])
    rows, spot = rows[spot >= 0], spot[spot >= 0]
    if not len(rows):
        return
    viewer = friends.of.value[spot]
    at = acts.at[rows] + (rng.exponential(12, len(rows)) * HOUR).astype(np.int64) + MINUTE
    keep = at < people.clock.as_of
    world.write("feed_hides", {
        "user_id": viewer[keep] + 1, "object_type": labels(np.where(acts.verb[rows] == V_POST, 0, 1)[keep], OBJECTS),
        "object_id": rows[keep] + 1, "hidden_at": at[keep],
    })  # fmt: skip
