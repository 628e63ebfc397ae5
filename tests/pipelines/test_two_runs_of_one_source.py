"""Two real runs of one source, a second apart: who nothing happened to keeps the entity tags (06.2)."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from store.generator import generate_world
from store.serving import Generation
from store.source import libpq_url
from store.worlds import load_world
from tests.support.flowforge import flowforge, live
from tests.support.source import run

AS_OF = datetime(2026, 6, 10, 8, 30, tzinfo=UTC)
USERS, DATASETS = 120, ("feed", "feed_chronological", "friend_recommendations", "digests", "entitlements")
LATER = "UPDATE flowforge.world SET as_of = as_of + interval '1 second'"
POST = (
    "INSERT INTO app.activities (id, actor_id, verb, object_type, object_id, object_owner_id, audience,"
    " object_audience, created_at) SELECT 900000000001, {author}, 'post', 'post', 900000000001, {author},"
    " 'public', 'public', as_of - interval '1 minute' FROM flowforge.world"
)
NEAR = """
    WITH near AS (
        SELECT user_a_id AS a, user_b_id AS b FROM app.friendships
        UNION ALL SELECT user_b_id, user_a_id FROM app.friendships)
    SELECT {author} UNION SELECT b FROM near WHERE a = {author}
    UNION SELECT two.b FROM near JOIN near AS two ON two.a = near.b WHERE near.a = {author}"""
AUTHOR = """
    SELECT user_a_id FROM (
        SELECT user_a_id FROM app.friendships UNION ALL SELECT user_b_id FROM app.friendships) AS every
    GROUP BY user_a_id ORDER BY count(*), user_a_id LIMIT 1"""


def tags(home):
    """Entity tag by dataset and user."""
    generation = Generation.open(home / "generations" / live(home))
    found = {}
    for name in DATASETS:
        dataset = generation.dataset(name)
        found |= {(name, dataset.key(row)): dataset.etag(row) for row in range(dataset.rows)}
    return generation.id, found


@pytest.mark.slow
def test_only_who_is_near_a_new_post_gets_new_entity_tags(tmp_path, fresh_database):
    home = tmp_path / "home"
    generate_world(tmp_path / "w", users=USERS, seed=5, as_of=AS_OF)
    load_world(fresh_database, tmp_path / "w", replace=True)
    with psycopg.connect(libpq_url(fresh_database)) as connection:
        ((author,),) = connection.execute(AUTHOR).fetchall()
        near = {user for (user,) in connection.execute(NEAR.format(author=author)).fetchall()}
    seen = []
    for changes in ([], [LATER], [LATER, POST.format(author=author)]):
        run(fresh_database, *changes)
        done = flowforge("run", home=home, FLOWFORGE_SOURCE__URL=fresh_database)
        assert done.returncode == 0, done.stdout + done.stderr
        seen.append(tags(home))
    (first, before), (second, unchanged), (third, after) = seen
    assert len({first, second, third}) == 3
    assert unchanged == before
    changed = {key for key in after if after[key] != before.get(key)}
    assert {name for name, _ in changed} <= {"feed", "feed_chronological"}
    assert changed
    assert {user for _, user in changed} <= near
    assert {user for _, user in after} - near, "somebody is far enough to be spared"
