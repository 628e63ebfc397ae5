"""Paging laws while generations come and go between two pages (spec 06.2): against the plain lists."""

from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.settings import RetentionSettings
from tests.support.api import READER, frames, published
from tests.support.serving import AS_OF, feed_item, small_generation, table

FEED = "/v2/me/feed?mode=ranked"
MANY, ONE = (RetentionSettings(generations=n, generation_hours=0) for n in (50, 1))
_minutes = count(1)
kept = st.sets(st.integers(1, 45), min_size=21)
steps = st.lists(st.tuples(st.integers(1, 19), st.none() | kept), min_size=1, max_size=4)
lasting = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with published(tmp_path_factory.mktemp("paging")) as running:
        yield running


def regenerated(api, places, retention):
    """A newer generation in which the reader's feed holds the items of these places; their ids in order."""
    made = frames()
    rows = [feed_item(READER, mode, n) for mode in ("ranked", "chronological") for n in sorted(places)]
    made["feed_items"] = table("feed_items", rows)
    as_of = AS_OF + timedelta(minutes=next(_minutes))
    small_generation(api.settings.home, as_of, frames=made, retention=retention)
    api.refresh()
    return [row["item_id"] for row in rows if row["mode"] == "ranked"]


def ids(page):
    return [item["item_id"] for item in page["data"]]


def beyond(items, last):
    """By value: an item's place decides its score, so its id orders the feed."""
    return [item for item in items if item > last]


@given(first=kept, walk=steps)
@lasting
def test_pages_of_a_kept_generation_make_its_whole_list_whatever_is_published_meanwhile(api, first, walk):
    whole = regenerated(api, first, MANY)
    page = api.read(f"{FEED}&limit=20", READER)
    seen, began = ids(page), page["generation"]
    for limit, places in [*walk, (50, None)]:
        if places is not None:
            regenerated(api, places, MANY)
        if page["next_cursor"] is None:
            break
        page = api.read(f"{FEED}&limit={limit}&cursor={page['next_cursor']}", READER)
        assert page["generation"] == began
        seen += ids(page)
    assert seen == whole[: len(seen)]
    assert page["next_cursor"] is not None or seen == whole


@given(first=kept, walk=steps)
@lasting
def test_pages_continue_by_value_once_their_generation_is_gone(api, first, walk):
    current = regenerated(api, first, ONE)
    page = api.read(f"{FEED}&limit=20", READER)
    assert ids(page) == current[:20]
    for limit, places in walk:
        if page["next_cursor"] is None:
            break
        last = ids(page)[-1]
        if places is not None:
            current = regenerated(api, places, ONE)
            api.app.state.runtime.generations.refresh()
        page = api.read(f"{FEED}&limit={limit}&cursor={page['next_cursor']}", READER)
        assert ids(page) == beyond(current, last)[:limit]
        if not ids(page):
            break
