"""Acceptance: a thousand revocations committed under load, none of them shown after the stated staleness (06.2)."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row

from api.auth import demo_token
from api.server import free_port
from store.generator import generate_world
from store.settings import FeedSettings, Settings
from store.source import libpq_url
from store.worlds import load_world, remember
from tests.support.feed import World, frame_of, run
from tests.support.feed_oracle import Oracle
from tests.support.flowforge import ROOT, child_environment
from tests.support.serving import built_digest, recommendation, sample_frames, small_generation, table

STATED_SECONDS = 10.0
STALE_SECONDS = 15
REVOCATIONS = 1000
CLIENTS = 3
TABLES = ("users", "friendships", "blocks", "mutes", "groups", "memberships", "activities", "feed_hides", "feed_reads")
PATHS = ("feed?limit=50", "feed?mode=chronological&limit=50", "feed", "recommendations/friends", "digests")


@dataclass
class Truth:
    """What may be shown, by plain Python over the source's rows."""

    oracle: Oracle
    digests: dict[str, list[dict]]
    barred: set[tuple[int, int]] = field(default_factory=set)

    def violations(self, viewer: int, path: str, page: dict) -> list[dict]:
        if viewer not in self.oracle.active:
            return page["data"]
        judge = self.feed if path.startswith("feed") else self.friend if path.startswith("rec") else self.digest
        return [item for item in page["data"] if not judge(viewer, item)]

    def may_meet(self, viewer: int, other: int) -> bool:
        return other in self.oracle.active and frozenset((viewer, other)) not in self.oracle.blocks

    def feed(self, viewer: int, item: dict) -> bool:
        lead, actors = self.oracle.activities[int(item["lead_activity_id"])], map(int, item["sample_actor_ids"])
        if item["reason"] == "suggested":
            return self.oracle.keeps_rules(lead, viewer)
        return self.oracle.eligible(lead, viewer) and all(
            self.may_meet(viewer, a) and (a == viewer or a in self.oracle.friends[viewer]) for a in actors
        )

    def friend(self, viewer: int, item: dict) -> bool:
        candidate, mutuals = int(item["candidate_id"]), [int(m) for m in item["mutual_sample_ids"]]
        friends = self.oracle.friends
        is_fine = self.may_meet(viewer, candidate) and (viewer, candidate) not in self.barred
        return is_fine and (viewer, candidate, "all") not in self.oracle.mutes and all(
            self.may_meet(one, m) and m in friends[one] for m in mutuals for one in (viewer, candidate)
        )  # fmt: skip

    def digest(self, viewer: int, item: dict) -> bool:
        for group in self.digests[item["digest_id"]]:
            if not all(self.may_meet(viewer, int(a)) for a in group["sample_actor_ids"]):
                return False
            own = self.oracle.activities.get(int(group["object_id"] or 0))
            if group["object_type"] in ("post", "comment") and own is not None and own["deleted_at"] is not None:
                return False
        return True


class Revoker:
    """Commits random revocations; keeps when, and what each means to the oracle."""

    def __init__(self, url: str, truth: Truth) -> None:
        self.url, self.truth, self.rng = libpq_url(url), truth, random.Random(6)
        self.done: list[tuple[float, str, tuple]] = []
        oracle = truth.oracle
        self.people = sorted(oracle.active)
        self.friends = [(a, b) for a in self.people for b in sorted(oracle.friends[a]) if a < b]
        self.acts = [i for i, a in oracle.activities.items() if a["created_at"] >= oracle.start]
        self.members = sorted((g, u) for u, g in oracle.members if g in oracle.private)
        self.requests = 10**9

    def one(self, connection: psycopg.Connection) -> None:
        rng = self.rng
        kind = rng.choices(
            ["block", "unfriend", "delete", "narrow", "leave", "status", "erase", "mute", "hide", "dismiss", "request"],
            [4, 5, 5, 4, 2, 0.15, 0.1, 2, 2, 2, 2],
        )[0]
        a, b = rng.sample(self.people, 2)
        act = rng.choice(self.acts)
        if kind == "block":
            sql, fact = "INSERT INTO app.blocks VALUES (%s, %s, now()) ON CONFLICT DO NOTHING", (a, b)
        elif kind == "unfriend":
            fact = rng.choice(self.friends)
            sql = "UPDATE app.friendships SET ended_at = now() WHERE user_a_id = %s AND user_b_id = %s"
        elif kind == "delete":
            sql, fact = "UPDATE app.activities SET deleted_at = now() WHERE id = %s", (act,)
        elif kind == "narrow":
            sql = "UPDATE app.activities SET audience = 'only_me', updated_at = now() WHERE id = %s"
            fact = (act,)
        elif kind == "leave" and self.members:
            fact = rng.choice(self.members)
            sql = "UPDATE app.memberships SET left_at = now() WHERE group_id = %s AND user_id = %s"
        elif kind == "status":
            sql, fact = "UPDATE app.users SET status = 'suspended', updated_at = now() WHERE id = %s", (a,)
        elif kind == "erase":
            sql, fact = "INSERT INTO app.erasure_requests VALUES (%s, now()) ON CONFLICT DO NOTHING", (a,)
        elif kind == "mute":
            sql, fact = "INSERT INTO app.mutes VALUES (%s, %s, 'all', now(), null) ON CONFLICT DO NOTHING", (a, b)
        elif kind == "hide":
            object_ = self.truth.oracle.activities[act]
            fact = (a, object_["object_type"], object_["object_id"])
            sql = "INSERT INTO app.feed_hides VALUES (%s, %s, %s, now()) ON CONFLICT DO NOTHING"
        elif kind == "dismiss":
            sql = "INSERT INTO app.recommendation_dismissals VALUES (%s, %s, now(), 1) ON CONFLICT DO NOTHING"
            fact = (a, b)
        else:
            kind, self.requests = "request", self.requests + 1
            sql = f"INSERT INTO app.friend_requests VALUES ({self.requests}, %s, %s, 'pending', now(), null)"
            fact = (a, b)
        with connection.transaction():
            connection.execute(sql.encode(), fact)
            if rng.random() < 0.005:
                time.sleep(1.5)  # a long transaction: its time columns are older than its commit
        self.done.append((time.monotonic(), kind, fact))

    def run(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for _ in range(REVOCATIONS):
                self.one(connection)
                time.sleep(0.02)

    def apply(self, kind: str, fact: tuple) -> None:
        truth, oracle = self.truth, self.truth.oracle
        if kind == "block":
            oracle.blocks.add(frozenset(fact))
        elif kind == "unfriend":
            oracle.friends[fact[0]].discard(fact[1])
            oracle.friends[fact[1]].discard(fact[0])
        elif kind == "delete":
            oracle.activities[fact[0]]["deleted_at"] = oracle.as_of
        elif kind == "narrow":
            oracle.activities[fact[0]]["audience"] = "only_me"
        elif kind == "leave":
            oracle.members.discard((fact[1], fact[0]))
        elif kind in ("status", "erase"):
            oracle.active.discard(fact[0])
        elif kind == "mute":
            oracle.mutes.add((*fact, "all"))
        elif kind == "hide":
            oracle.hides.add(fact)
        else:
            truth.barred.add(fact)
            if kind == "request":
                truth.barred.add(fact[::-1])


def publish(home: Path, world: World) -> None:
    """A generation of the world: its real feeds, recommendations and digests made up for everybody."""
    oracle, rng = Oracle(world, FeedSettings()), random.Random(1)
    truth, people = Truth(oracle, {}), sorted(oracle.active)
    posts = [i for i, a in oracle.activities.items() if a["verb"] == "post" and a["deleted_at"] is None]
    recommended, digests = [], []
    for viewer in people:
        others = [p for p in people if p != viewer and p not in oracle.friends[viewer] and truth.may_meet(viewer, p)]
        for rank, candidate in enumerate(rng.sample(others, 15), start=1):
            mutuals = sorted(oracle.friends[viewer] & oracle.friends[candidate] & oracle.active)
            named = [m for m in mutuals if truth.may_meet(viewer, m) and truth.may_meet(candidate, m)][:3]
            row = recommendation(viewer, rank, candidate, mutual_count=len(named), mutual_sample_ids=named)
            recommended.append(row)
        for number in range(1, 6):
            actors = [a for a in rng.sample(people, 3) if truth.may_meet(viewer, a)]
            digest_id = hashlib.sha256(f"{number}|{viewer}".encode()).hexdigest()
            digest = built_digest(number, viewer, digest_id=digest_id)
            digest["groups"][0] |= {
                "sample_actor_ids": actors, "principal_ids": [*actors, viewer],
                "object_id": rng.choice(posts),
            }  # fmt: skip
            digests.append(digest)
    frames = {name: table(name) for name in sample_frames()}
    frames |= {f"staged_{name}": frame_of(f"staged_{name}", world.table(name)).lazy() for name in TABLES}
    frames |= {name: made.lazy() for name, made in run(world).tables.items()}
    frames |= {"friend_recommendations": table("friend_recommendations", recommended)}
    frames |= {"digest_history": table("digest_history", digests)}
    small_generation(home, world.as_of, frames=frames)


def rows_of(url: str) -> dict[str, list[dict]]:
    with psycopg.connect(libpq_url(url), row_factory=dict_row) as connection:
        rows = {name: connection.execute(f"SELECT * FROM app.{name}".encode()).fetchall() for name in TABLES}
    return rows | {"activities": [row | {"body": "{}"} for row in rows["activities"]]}


class Reader(threading.Thread):
    """Reads random people's lists until told to stop; keeps when each request was sent and what came."""

    def __init__(self, base: str, tokens: dict[int, str], seed: int, stop: threading.Event) -> None:
        super().__init__()
        self.base, self.tokens, self.rng, self.stop = base, tokens, random.Random(seed), stop
        self.got: list[tuple[float, int, str, dict]] = []
        self.failed: list[object] = []

    def run(self) -> None:
        people = list(self.tokens)
        with httpx.Client(base_url=self.base, headers={"accept-encoding": "identity"}, timeout=30) as client:
            while not self.stop.is_set():
                viewer, path, sent = self.rng.choice(people), self.rng.choice(PATHS), time.monotonic()
                response = client.get(f"/v2/me/{path}", headers={"authorization": f"Bearer {self.tokens[viewer]}"})
                if response.status_code != 200:
                    self.failed.append((response.status_code, response.text))
                else:
                    self.got.append((sent, viewer, path, response.json()))
                time.sleep(0.01)


def until(condition, seconds=90.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
def test_a_thousand_revocations_under_load_are_honoured_and_not_knowing_withholds(tmp_path, new_database):
    home, url = tmp_path / "home", new_database()
    generate_world(tmp_path / "world", users=200, seed=3)
    loaded = load_world(url, tmp_path / "world", replace=True)
    home.mkdir()
    remember(home, loaded, "test:revocations")
    given = {
        "FLOWFORGE_SOURCE__URL": url,
        "FLOWFORGE_REVOCATIONS__STALE_SECONDS": str(STALE_SECONDS),
        "FLOWFORGE_API__RATE_USER": "1000000/60",
    }
    world = World(as_of=loaded.as_of)
    world.rows.update(rows_of(url))
    publish(home, world)
    port = free_port("127.0.0.1")
    base, environment = f"http://127.0.0.1:{port}", child_environment(home, given)
    serving = [sys.executable, "-m", "pipelines.cli", "serve", "--port", str(port)]
    # in a session of its own: the tailer it starts ends with it, whatever happens here
    server = subprocess.Popen(["timeout", "-k", "5", "400", *serving], cwd=ROOT, env=environment)
    try:
        with httpx.Client(base_url=base, headers={"accept-encoding": "identity"}, timeout=30) as client:
            _under_load(client, base, home, url, world)
            _not_knowing(client, home, url, environment, world)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def _is_up(client, wanted="ok"):
    try:
        reasons = client.get("/readyz").json()["reasons"]
    except httpx.TransportError:
        return False
    return any("revocations" in reason for reason in reasons) == (wanted != "ok")


def _under_load(client, base, home, url, world):
    until(lambda: _is_up(client))
    settings = Settings(home=home)
    truth = Truth(Oracle(world, FeedSettings()), {})
    people = sorted(truth.oracle.active)
    tokens = {user: demo_token(settings, user) for user in people}
    for user in people:
        bearer = {"authorization": f"Bearer {tokens[user]}"}
        for item in client.get("/v2/me/digests?limit=100", headers=bearer).json()["data"]:
            detail = client.get(f"/v2/me/digests/{item['digest_id']}", headers=bearer).json()
            truth.digests[item["digest_id"]] = detail["groups"]
    revoker, stop = Revoker(url, truth), threading.Event()
    readers = [Reader(base, tokens, seed, stop) for seed in range(CLIENTS)]
    for reader in readers:
        reader.start()
    revoker.run()
    time.sleep(STATED_SECONDS + 3)
    stop.set()
    for reader in readers:
        reader.join()
    assert [reader.failed for reader in readers] == [[]] * CLIENTS
    got = sorted((each for reader in readers for each in reader.got), key=lambda each: each[0])
    pending, bad, seen_before = list(reversed(revoker.done)), [], 0
    for sent, viewer, path, page in got:
        assert page["state"] != "degraded"
        while pending and pending[-1][0] + STATED_SECONDS <= sent:
            revoker.apply(*pending.pop()[1:])
        seen_before += len(page["data"])
        bad += [(sent, viewer, path, item) for item in truth.violations(viewer, path, page)]
    assert not pending, "every revocation was in force while somebody still read"
    assert (len(revoker.done), bad[:3]) == (REVOCATIONS, [])
    assert len(got) > 1000
    assert seen_before > 10_000


def _not_knowing(client, home, url, environment, world):
    """Tailer killed, then another one whose source goes away: what is not public is withheld, and `/readyz` tells."""
    os.kill(int((home / "revocations" / "tailer.lock").read_text()), signal.SIGKILL)
    until(lambda: _is_up(client, "degraded"))
    _withheld(client, home, world)
    tailer = subprocess.Popen([sys.executable, "-m", "pipelines.cli", "revocations"], cwd=ROOT, env=environment)
    name = sa.make_url(url).database
    admin = libpq_url(sa.make_url(url).set(database="postgres").render_as_string(hide_password=False))
    try:
        until(lambda: _is_up(client))
        with psycopg.connect(admin, autocommit=True) as connection:
            _rename(connection, name, f"{name}_away")
            until(lambda: _is_up(client, "degraded"))
            _withheld(client, home, world)
            _rename(connection, f"{name}_away", name)
        until(lambda: _is_up(client))
    finally:
        tailer.send_signal(signal.SIGTERM)
        assert tailer.wait(60) == 0


def _rename(connection, before, after):
    for _ in range(100):
        try:
            connection.execute(f"ALTER DATABASE {before} RENAME TO {after}".encode())
        except psycopg.errors.ObjectInUse:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the database was never idle")


def _withheld(client, home, world):
    """Every list says so, and shows nothing but public posts."""
    settings, by_id, shown = Settings(home=home), {a["id"]: a for a in world.table("activities")}, 0
    for user in [u["id"] for u in world.table("users") if u["status"] == "active"][:100]:
        bearer = {"authorization": f"Bearer {demo_token(settings, user)}"}
        for path in PATHS:
            page = client.get(f"/v2/me/{path}", headers=bearer).json()
            if page["state"] == "building":
                continue
            assert page["state"] == "degraded"
            for item in page["data"]:
                assert path.startswith("feed"), item
                lead = by_id[int(item["lead_activity_id"])]
                assert (lead["audience"], lead["object_audience"], lead["group_id"]) == ("public", "public", None)
                shown += 1
    assert shown > 0, "public posts stay"
