"""What a reader learns of revocations step by step withholds what it would, had it learnt all at once (06.2)."""

from __future__ import annotations

import copy
import random
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.withholding import MAX_UNREAD, Withholding
from assets.published.digests import digest_list
from assets.published.feed import feed_list
from assets.published.friends import recommendation_list
from assets.published.rows import list_rows
from store.datasets import write_dataset
from store.revocations import Kind, Revocations
from store.serving import Dataset, DatasetInfo
from store.settings import FeedSettings
from store.tailer import Fact, Remembered
from tests.support.feed import examples, run
from tests.support.feed_worlds import fuzzed_world
from tests.support.revocations import LONG_AGO, revoke_something, write_revocations
from tests.support.serving import built_digest, recommendation, table


class Generation:
    """What ``Withholding`` asks of a generation."""

    def __init__(self, as_of):
        self.id, self.as_of = "g", as_of


def datasets_of(world, rng, folder):
    """Feeds of a world, and recommendations and digests made up for its people."""
    activities = world.frames()["staged_activities"]
    people = sorted(user["id"] for user in world.table("users"))
    posts = [a["id"] for a in world.table("activities")] or [1]
    recommended, digests = [], []
    for viewer in people:
        others = [person for person in people if person != viewer]
        for rank, candidate in enumerate(rng.sample(others, min(3, len(others))), start=1):
            named = rng.sample(others, min(2, len(others)))
            recommended.append(recommendation(viewer, rank, candidate, mutual_sample_ids=named))
        for number in (1, 2):
            digest = built_digest(number, viewer)
            names = rng.sample(others, min(2, len(others)))
            digest["groups"][0] |= {"sample_actor_ids": names, "principal_ids": names, "object_id": rng.choice(posts)}
            digests.append(digest)
    items = run(world, FeedSettings()).tables["feed_items"]
    lists = {
        "feed": feed_list(items.lazy(), activities, "ranked"),
        "friend_recommendations": recommendation_list(table("friend_recommendations", recommended)),
        "digests": digest_list(table("digest_history", digests).collect(), activities),
    }
    for name, made in lists.items():
        viewers = made["viewer_id"].unique().sort()
        write_dataset(folder / name, name, list_rows(made, viewers, envelope=None))
        yield Dataset(DatasetInfo(name, "s", world.as_of, False, viewers.len(), 0, "", name), folder / name)


def known(home, entries, since):
    write_revocations(home, entries, since=since)
    fresh = Revocations(home, "required", 10**9)
    fresh.refresh()
    return Withholding(fresh)


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=examples(15, 400))
@given(seed=st.integers(0, 10**9))
def test_what_is_learnt_step_by_step_withholds_what_is_learnt_at_once(seed):
    world, rng = fuzzed_world(seed), random.Random(seed)
    changed = copy.deepcopy(world)
    with tempfile.TemporaryDirectory() as folder:
        home, generation, remembered = Path(folder), Generation(world.as_of), Remembered(overlap=10**12)
        datasets = list(datasets_of(world, rng, home))
        revocations = Revocations(home, "required", 10**9)
        step_by_step = Withholding(revocations)
        for _ in range(rng.randint(1, 2 * MAX_UNREAD)):
            for _ in range(rng.randint(0, 2)):
                fact = revoke_something(changed, rng)
                if fact is not None:
                    remembered.learn(fact, fact.changed_at)
            entries = list(remembered.entries())
            if rng.random() < 0.1:
                entries = rng.sample(entries, len(entries) // 2)  # some are no longer needed
            since = world.as_of + timedelta(days=1) if rng.random() < 0.2 else LONG_AGO  # later: degraded
            at_once = known(home, entries, since)
            revocations.refresh()
            for dataset in datasets:
                for row in rng.sample(range(dataset.rows), dataset.rows * rng.randint(0, 2) // 2):
                    found, expected = (each.of(generation, dataset, row) for each in (step_by_step, at_once))
                    assert (found.places, found.state) == (expected.places, expected.state)


def test_what_nothing_new_touches_is_not_judged_again_and_what_is_touched_is(tmp_path):
    rng = random.Random(1)
    world = next(w for seed in range(50) if len((w := fuzzed_world(seed)).table("users")) > 4)
    _, recommendations, _ = datasets_of(world, rng, tmp_path)
    generation, remembered = Generation(world.as_of), Remembered(overlap=10**12)
    revocations = Revocations(tmp_path, "required", 10**9)
    withholding = Withholding(revocations)
    first, second = (int(recommendations.fragment_keys(0)[place]) for place in (0, 1))

    def learn(kind, subject, other):
        remembered.learn(Fact(kind, subject, other, 0, 10**18), 10**18)
        write_revocations(tmp_path, remembered.entries())
        revocations.refresh()
        return withholding.of(generation, recommendations, 0)

    viewer = recommendations.key(0)
    before = learn(Kind.BLOCKED, viewer, first)
    assert 0 in before.places
    assert learn(Kind.BLOCKED, 10**12, 10**12 + 1) is before
    after = learn(Kind.MUTED, viewer, second)
    assert after is not before
    assert {0, 1} <= after.places


def test_knowing_nothing_and_knowing_something_are_told_apart(tmp_path):
    for entries, is_empty in (([], True), ([Fact(Kind.BLOCKED, 1, 2, 0, 10**18)], False)):
        remembered = Remembered(overlap=10**12)
        for fact in entries:
            remembered.learn(fact, 10**18)
        write_revocations(tmp_path, remembered.entries())
        revocations = Revocations(tmp_path, "required", 10**9)
        revocations.refresh()
        assert revocations.view(LONG_AGO).held.is_empty is is_empty
