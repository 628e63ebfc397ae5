"""Friend recommendations by brute force: plain Python over all pairs, from the spec alone."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from assets.friends.product import friends
from quality.registry import REGISTRY
from store.settings import FriendsSettings
from tests.support.friends import AS_OF, DEFAULTS, Rows


class Oracle:
    """Everything the product owes, recomputed pair by pair."""

    def __init__(self, rows: Rows, config: FriendsSettings, as_of: datetime = AS_OF) -> None:
        self.as_of, self.config = as_of, config
        self.tables = {
            table: [{**dict.fromkeys(REGISTRY[table].schema), **DEFAULTS[table], **r} for r in rows.get(table, [])]
            for table in friends.inputs
        }
        self.people = {
            u["id"]: u for u in self.tables["staged_users"] if u["status"] == "active" and u["created_at"] < as_of
        }
        self.viewers = sorted(i for i, u in self.people.items() if u["wants_recommendations"])
        self.friends: dict[int, set[int]] = {i: set() for i in self.people}
        self.ended: set[tuple[int, int]] = set()
        for f in self.tables["staged_friendships"]:
            a, b = f["user_a_id"], f["user_b_id"]
            if a == b or a not in self.people or b not in self.people or f["created_at"] >= as_of:
                continue
            if f["ended_at"] is None or f["ended_at"] > as_of:
                self.friends[a].add(b)
                self.friends[b].add(a)
            elif as_of < f["ended_at"] + timedelta(days=config.unfriended_days):
                self.ended |= {(a, b), (b, a)}
        self.blocks = set()
        for block in self.tables["staged_blocks"]:
            self.blocks |= {(block["blocker_id"], block["blocked_id"]), (block["blocked_id"], block["blocker_id"])}
        self.groups = {g["id"]: g for g in self.tables["staged_groups"] if g["created_at"] < as_of}
        self.members: dict[int, set[int]] = defaultdict(set)
        self.belongs: set[tuple[int, int]] = set()
        for m in self.tables["staged_memberships"]:
            if m["joined_at"] < as_of and (m["left_at"] is None or m["left_at"] > as_of):
                self.belongs.add((m["group_id"], m["user_id"]))
                if m["group_id"] in self.groups and m["user_id"] in self.people:
                    self.members[m["group_id"]].add(m["user_id"])
        self.impressions: dict[tuple[int, int], int] = defaultdict(int)
        for i in self.tables["staged_recommendation_impressions"]:
            if as_of - timedelta(days=config.impression_days) <= i["shown_at"] < as_of:
                self.impressions[i["user_id"], i["candidate_id"]] += 1

    # ---- filters -------------------------------------------------------------------------------

    def first_reason(self, v: int, c: int) -> str | None:
        """The first filter that holds for the pair."""
        config, as_of = self.config, self.as_of
        for r in self.tables["staged_friend_requests"]:
            is_open = r["status"] == "pending" or (r["responded_at"] is not None and r["responded_at"] > as_of)
            if {r["requester_id"], r["addressee_id"]} == {v, c} and r["created_at"] < as_of and is_open:
                return "request_pending"
        if (v, c) in self.blocks:
            return "blocked"
        for m in self.tables["staged_mutes"]:
            in_force = m["expires_at"] is None or m["expires_at"] > as_of
            if (m["muter_id"], m["muted_id"], m["scope"]) == (v, c, "all") and in_force:
                return "muted"
        for d in self.tables["staged_recommendation_dismissals"]:
            if (d["user_id"], d["candidate_id"]) == (v, c):
                until = d["dismissed_at"] + timedelta(days=config.dismissal_days) * d["dismissal_count"]
                if d["dismissal_count"] >= config.dismissal_limit or as_of < until:
                    return "dismissed"
        if (v, c) in self.ended:
            return "unfriended"
        who = self.people[c]
        if who["profile_visibility"] == "private":
            return "candidate_private"
        if not who["is_discoverable"]:
            return "candidate_not_discoverable"
        if not who["wants_recommendations"]:
            return "opted_out"
        return "impressions_exhausted" if self.impressions[v, c] >= config.impression_limit else None

    @cached_property
    def eligible(self) -> dict[int, list[int]]:
        """Per viewer the candidates that no filter removes."""
        return {v: [c for c in self._possible(v) if self.first_reason(v, c) is None] for v in self.viewers}

    def _possible(self, v: int) -> list[int]:
        return [c for c in sorted(self.people) if c != v and c not in self.friends[v]]

    def filter_counts(self) -> dict[str, int]:
        """Pairs by first reason, of those that have one."""
        found: dict[str, int] = defaultdict(int)
        for v in self.viewers:
            for c in self._possible(v):
                if reason := self.first_reason(v, c):
                    found[reason] += 1
        return dict(found)

    # ---- features ------------------------------------------------------------------------------

    def mutuals(self, v: int, c: int) -> list[int]:
        return sorted(self.friends[v] & self.friends[c])

    def adamic_adar(self, v: int, c: int) -> int:
        return sum(math.floor(10**6 / math.log(len(self.friends[x]))) for x in self.mutuals(v, c))

    def nameable(self, v: int, c: int) -> list[int]:
        """Mutual friends that may be named, in their order."""
        is_private = {i for i, u in self.people.items() if u["friend_list_visibility"] == "private"}
        found = [
            x for x in self.mutuals(v, c)
            if x not in is_private and c not in is_private and (x, v) not in self.blocks and (x, c) not in self.blocks
        ]  # fmt: skip
        return sorted(found, key=lambda x: (len(self.friends[x]), x))

    def hidden(self, v: int, c: int) -> int | None:
        """The single mutual friend that may not be named."""
        mutuals = self.mutuals(v, c)
        return mutuals[0] if len(mutuals) == 1 and not self.nameable(v, c) else None

    def mutual_count(self, v: int, c: int) -> int:
        return 0 if self.hidden(v, c) is not None else len(self.mutuals(v, c))

    def shared(self, v: int, c: int) -> list[int]:
        """Shared groups that may be told, ascending."""
        return [g for g in sorted(self.members) if {v, c} <= self.members[g] and self.groups[g]["kind"] != "place"]

    def common_groups(self, v: int, c: int) -> list[int]:
        """Common groups of every kind."""
        return [g for g, members in self.members.items() if {v, c} <= members]

    def context(self, v: int, c: int) -> int:
        sizes = [len(m) for m in self.members.values() if {v, c} <= m]
        return sum(math.floor(10**6 / math.log(n)) for n in sizes)

    @cached_property
    def acts(self) -> list[dict[str, Any]]:
        """Undeleted activities of 90 days, with owner and own activity."""
        own = {(a["verb"], a["id"]): a for a in self.tables["staged_activities"] if a["created_at"] < self.as_of}
        found = []
        for a in self.tables["staged_activities"]:
            mine = own.get((a["object_type"], a["object_id"])) if a["object_type"] in ("post", "comment") else None
            in_window = self.as_of - timedelta(days=90) <= a["created_at"] < self.as_of
            if not in_window or a["deleted_at"] is not None or (mine and mine["deleted_at"] is not None):
                continue
            owner = a["object_id"] if a["object_type"] == "user" else mine["actor_id"] if mine else a["object_owner_id"]
            targets = {a["reply_to_user_id"], *a["mentioned_user_ids"]}
            if a["verb"] in ("comment", "reaction", "reshare"):
                targets.add(owner)
            found.append({**a, "owner": owner, "own": mine, "targets": targets - {a["actor_id"], None}})
        return found

    def between(self, v: int, c: int) -> list[dict[str, Any]]:
        return [a for a in self.acts if (a["actor_id"] == v and c in a["targets"]) or
                (a["actor_id"] == c and v in a["targets"])]  # fmt: skip

    def may_read(self, v: int, a: dict[str, Any]) -> bool:
        """Whether the viewer, no friend of the actor, may read the activity."""
        own, owner = a["own"], a["owner"]
        if a["object_type"] in ("post", "comment") and own is None:
            return False
        if owner is not None and owner not in self.people:
            return False
        if a["audience"] != "public":
            return False
        for audience in [a["object_audience"], *([own["audience"]] if own else [])]:
            is_friend = owner in self.people and v in self.friends[owner]
            if not (audience == "public" or owner == v or (audience == "friends" and is_friend)):
                return False
        places = [a["group_id"], own["group_id"] if own else None]
        places.append(a["object_id"] if a["object_type"] == "group" else None)
        known = {g["id"]: g for g in self.tables["staged_groups"]}
        for place in places:
            is_open = place is None or (place in known and not known[place]["is_private"])
            if not is_open and (place, v) not in self.belongs:
                return False
        named = {a["actor_id"], owner, a["reply_to_user_id"], *a["mentioned_user_ids"]}
        if own:
            named |= {own["actor_id"], own["reply_to_user_id"], *own["mentioned_user_ids"]}
        return not any((v, person) in self.blocks for person in named)

    def distance(self, v: int, c: int, without: int | None) -> int:
        """Edges of the shortest path that avoids a person; 99 where there is none."""
        seen, layer, steps = {v}, {v}, 0
        while layer:
            if c in layer:
                return steps
            layer = {y for x in layer for y in self.friends[x] if y != without} - seen
            seen |= layer
            steps += 1
        return 99

    def pagerank(self, v: int) -> dict[int, int]:
        """Micro-mass of the truncated walk, by person beyond friends of friends."""
        near = {v} | self.friends[v] | {z for x in self.friends[v] for z in self.friends[x]}
        mass, total = {v: 10**12}, defaultdict(int)
        for step in range(1, 5):
            arrived: dict[int, int] = defaultdict(int)
            for x, amount in mass.items():
                for y in self.friends[x]:
                    arrived[y] += amount * 85 // (100 * len(self.friends[x]))
            mass = arrived
            for y, amount in mass.items() if step > 2 else ():
                total[y] += amount
        return {y: amount // 10**6 for y, amount in total.items() if y not in near and amount > 0}

    # ---- reasons, scores, selection ------------------------------------------------------------

    def same_country(self, v: int, c: int) -> bool:
        return self.people[v]["country"] is not None and self.people[v]["country"] == self.people[c]["country"]

    def reason(self, v: int, c: int) -> str:
        """The strongest true reason that reveals nothing."""
        if self.mutual_count(v, c):
            return "mutual_friends"
        kinds = {self.groups[g]["kind"] for g in self.shared(v, c)}
        for kind in ("school", "employer", "group", "interest"):
            if kind in kinds:
                return f"shared_{kind}"
        if any(a["actor_id"] == v or self.may_read(v, a) for a in self.between(v, c)):
            return "interaction"
        if self.distance(v, c, self.hidden(v, c)) <= 4:
            return "extended_network"
        return "popular_in_country" if self.same_country(v, c) and self.friends[c] else "suggested"

    def popular(self, v: int, c: int) -> int:
        return 500 * self.same_country(v, c) + min(len(self.friends[c]), 400)

    def decayed(self, score: int, v: int, c: int) -> int:
        for _ in range(self.impressions[v, c]):
            score = score * 9 // 10
        return score

    def cap(self) -> int:
        seen = [u for u in self.people.values() if u["profile_visibility"] != "private"]
        fine = [u for u in seen if u["is_discoverable"] and u["wants_recommendations"]]
        share = math.ceil(2 * self.config.k * len(self.viewers) / max(len(fine), 1))
        return self.config.exposure_cap or max(50, math.ceil(len(self.people) / 200), share)

    def recommendations(self, variant: Mapping[int, str]) -> dict[int, list[dict[str, Any]]]:
        """Per viewer the rows in order: candidate_id, score, sources and all that is published."""
        on, k = self.config.sources, self.config.k
        pairs = []
        for v in self.viewers:
            near = [c for c in self.eligible[v] if self.mutuals(v, c)]
            is_short = "friends_of_friends" not in on or len(near) < k
            walked = self.pagerank(v) if "pagerank" in on and is_short else {}
            for c in self.eligible[v]:
                true = self._true_sources(v, c, walked)
                drawn = [s for s in true if s in on and (is_short or s == "friends_of_friends")]
                is_listed = bool(drawn) or (is_short and "popular" in on and self.impressions[v, c] > 0)
                if not is_listed and not (is_short and "popular" in on):
                    continue
                score = self._score(v, c, walked.get(c, 0), variant[v]) if is_listed else self.popular(v, c)
                listed_near = is_listed and bool(self.mutuals(v, c))
                recorded = [s for s in true if s in on]
                if not is_listed or not recorded:
                    recorded.append("popular")
                pairs.append((-score, v, -self.mutual_count(v, c) if is_listed else 0, c, listed_near, recorded))
        found: dict[int, list[dict[str, Any]]] = {v: [] for v in self.viewers}
        used: dict[int, int] = defaultdict(int)
        for negative, v, _, c, is_near, recorded in sorted(pairs):
            if len(found[v]) == k or (not is_near and used[c] >= self.cap()):
                continue
            used[c] += not is_near
            found[v].append(self._row(v, c, -negative, recorded))
        for rows in found.values():
            rows.sort(key=lambda r: (-r["score"], -r["mutual_count"], r["candidate_id"]))
        return found

    def _true_sources(self, v: int, c: int, walked: Mapping[int, int]) -> list[str]:
        found = {
            "co_membership": self.context(v, c) > 0,
            "friends_of_friends": bool(self.mutuals(v, c)),
            "interaction": bool(self.between(v, c)),
            "pagerank": c in walked,
        }
        return [name for name, is_true in found.items() if is_true]

    def _score(self, v: int, c: int, walked: int, variant: str) -> int:
        trust = {"control": 100, "network": 400}[variant]
        signal = self.context(v, c) + 500_000 * len(self.between(v, c)) + trust * walked
        score = 1000 + 9000 * signal // (signal + 10**6) if signal else self.popular(v, c)
        return self.decayed(self.adamic_adar(v, c) if self.mutuals(v, c) else score, v, c)

    def _row(self, v: int, c: int, score: int, recorded: Iterable[str]) -> dict[str, Any]:
        return {
            "viewer_id": v, "candidate_id": c, "score": score, "reason_code": self.reason(v, c),
            "mutual_count": self.mutual_count(v, c), "mutual_sample_ids": self.nameable(v, c)[:3],
            "shared_group_count": len(self.shared(v, c)), "shared_group_ids": self.shared(v, c)[:3],
            "sources": sorted(recorded),
        }  # fmt: skip
