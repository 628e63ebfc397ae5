"""Random small digest worlds, and how they change between runs: one seed, one story."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from random import Random

from tests.support.digests import World

H = timedelta(hours=1)
EPOCHS = (
    datetime(2026, 3, 6, tzinfo=UTC),
    datetime(2026, 10, 30, tzinfo=UTC),
    datetime(2026, 9, 4, tzinfo=UTC),
    datetime(2026, 10, 2, tzinfo=UTC),
    datetime(2011, 12, 28, tzinfo=UTC),
    datetime(1994, 12, 29, tzinfo=UTC),
)
ZONES = (
    "UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Pacific/Apia",
    "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kathmandu", "Mars/Olympus", "europe/berlin", "Africa/Cairo",
)  # fmt: skip
TIMES = (time(0), time(1, 30), time(2, 15), time(2, 30), time(9), time(12, 45), time(23, 45))
CATEGORIES = ("social", "comment", "reaction", "billing", "group")
MODES = ("daily", "daily", "daily", "weekdays", "weekdays", "weekly", "weekly", "off", "immediate")
VERBS = ("reaction", "comment", "reshare", "friend_add", "post", "odd|verb")
HOURS = (1, 2, 3, 4, 5, 5, 6, 6, 11, 24, 30, 80, 200)


class Story:
    """A world of ``people`` readers and writers that moves on from run to run."""

    def __init__(self, seed: int, people: int = 4) -> None:
        self.r = Random(seed)
        self.people = list(range(1, people + 1))
        self.now = self.r.choice(EPOCHS) + self.r.randrange(48) * H
        self.world = World()
        for person in self.people:
            self._person(person)
        for group in (900, 901):
            self.world.group(group, is_private=group == 901)
        self.world.member(901, self.people[0])
        for _ in range(self.r.randrange(4)):
            one, other = self.r.sample(self.people, 2)
            if not any((f["user_a_id"], f["user_b_id"]) == tuple(sorted((one, other)))
                       for f in self.world.tables["staged_friendships"]):  # fmt: skip
                self.world.friends(one, other)
        self.objects = [self._object() for _ in range(6)]
        self.notify(60, 10 * 24)

    def _person(self, person: int) -> None:
        r, w = self.r, self.world
        w.user(person, time_zone=r.choice(ZONES), display_name=f"P{person}")
        for kind in ("daily", "weekdays", "weekly"):
            if r.random() < 0.8:
                quiet = r.random() < 0.4
                w.schedule(
                    person, kind, r.choice(TIMES), week_day=r.choice([None, 1, 3, 5, 6, 7]),
                    quiet_start=r.choice(TIMES) if quiet else None, quiet_end=r.choice(TIMES) if quiet else None,
                    min_groups=r.choice([1, 1, 1, 2]), max_groups=r.choice([1, 2, 10]),
                    enabled_at=self.now - r.choice([1, 30, 90, 900]) * H,
                    paused_until=self.now + r.choice([5, 40]) * H if r.random() < 0.15 else None,
                )  # fmt: skip
        for category in CATEGORIES:
            for channel in ("email", "push"):
                if r.random() < 0.8:
                    w.preference(person, category, r.choice(MODES), channel)

    def _object(self) -> tuple[str, int]:
        r, w = self.r, self.world
        author = r.choice(self.people)
        values = {"audience": r.choice(["public", "public", "public", "friends", "friends", "only_me"]),
                  "group_id": r.choice([None, None, None, 900, 901])}  # fmt: skip
        posts = [a for a in w.tables["staged_activities"] if a["verb"] == "post"]
        if posts and r.random() < 0.4:
            parent = r.choice(posts)
            comment = w.activity(
                author, "comment", object_type="post", object_id=r.choice([parent["id"], 99_999]),
                object_owner_id=r.choice([parent["actor_id"], None]), object_audience=parent["audience"], **values,
            )  # fmt: skip
            return "comment", comment["id"]
        return "post", w.activity(author, object_audience=values["audience"], **values)["id"]

    def notify(self, count: int, hours: int) -> None:
        """``count`` notifications created in the last ``hours`` (late rows appear like this)."""
        r = self.r
        for _ in range(count):
            others = [("user", r.choice(self.people)), ("group", r.choice([900, 900, 902])), (None, None)]
            kind, object_id = r.choice([*self.objects, *others, ("post", 77_777)])
            created = self.now - timedelta(minutes=r.randrange(hours * 60))
            self.world.notification(
                r.choice(self.people), created, category=r.choice(CATEGORIES), verb=r.choice(VERBS),
                actor_id=r.choice([None, *self.people]), object_type=kind, object_id=object_id,
                priority=r.choice(["low", "normal", "normal", "normal", "high", "high", "critical"]),
                dedupe_key=r.choice([None, None, "a", "b", "c"]),
                sent_channels=r.choice([[], [], [], [], ["push"], ["email"]]),
                read_at=created + r.choice([1, 50]) * H if r.random() < 0.2 else None,
            )  # fmt: skip

    def step(self) -> datetime:
        """Time passes, things happen; returns the next ``as_of``."""
        r, w = self.r, self.world
        hours = r.choice(HOURS)
        self.now += hours * H + timedelta(minutes=r.choice([0, 0, 4, 5, 10]))
        self.notify(r.randrange(4, 16), min(hours, 72) + r.choice([0, 0, 60]))
        user = r.choice(w.tables["staged_users"])
        if r.random() < 0.3:
            user["time_zone"] = r.choice(ZONES)
        if r.random() < 0.1:
            user["status"] = r.choice(["active", "active", "deactivated"])
        if w.tables["staged_digest_schedules"] and r.random() < 0.3:
            schedule = r.choice(w.tables["staged_digest_schedules"])
            schedule["local_time"] = r.choice(TIMES)
            schedule["paused_until"] = r.choice([None, None, self.now + 20 * H])
        if w.tables["staged_notification_preferences"] and r.random() < 0.3:
            r.choice(w.tables["staged_notification_preferences"])["mode"] = r.choice(MODES)
        for note in r.sample(w.tables["staged_notifications"], 3):
            note["read_at"] = self.now
        if r.random() < 0.2:
            r.choice(w.tables["staged_notifications"])["deleted_at"] = self.now
        if r.random() < 0.1:
            r.choice(w.tables["staged_activities"])["deleted_at"] = self.now
        self._restrict()
        if r.random() < 0.3:
            w.crossing(r.choice(self.people), self.now - r.randrange(60) * H, f"f{len(w.crossings)}")
        return self.now

    def _restrict(self) -> None:
        r, w = self.r, self.world
        one, other = r.sample(self.people, 2)
        blocks, mutes = w.tables["staged_blocks"], w.tables["staged_mutes"]
        if r.random() < 0.1 and not any((b["blocker_id"], b["blocked_id"]) == (one, other) for b in blocks):
            w.block(one, other)
        elif blocks and r.random() < 0.1:
            blocks.pop()
        if r.random() < 0.15 and not any((m["muter_id"], m["muted_id"]) == (one, other) for m in mutes):
            w.mute(one, other, r.choice(["all", "reshares"]), r.choice([None, self.now + 9 * H]))
