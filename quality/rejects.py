"""Row-level truths of the source: which rows go to rejects, under which rule (07.1).

Every rule is one Polars expression that is true on a bad row. Structural faults (a missing or
retyped column) are not here: they fail the run. Duplicate keys and orphans need more than a row
and are judged by ``assets.staged``; their names are declared here so that there is one list.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from quality.contract import Contract, Rule

NOT_NULL = "is not null"
DUPLICATE_KEY = "key is unique"
ORPHAN = "refers to a row that exists"
TEXT_LIMIT = 1_000_000
"""Characters a text or JSON value may have."""

ENUMS: dict[tuple[str, str], tuple[str, ...]] = {
    ("users", "status"): ("active", "deactivated", "suspended", "deleted"),
    ("users", "profile_visibility"): ("public", "friends", "private"),
    ("users", "friend_list_visibility"): ("public", "friends", "private"),
    ("friend_requests", "status"): ("pending", "accepted", "declined", "cancelled"),
    ("mutes", "scope"): ("all", "reshares"),
    ("groups", "kind"): ("group", "interest", "school", "employer", "place"),
    ("activities", "verb"): ("post", "reshare", "comment", "reaction", "friend_add", "group_join"),
    ("activities", "object_type"): ("post", "comment", "user", "group"),
    ("activities", "audience"): ("public", "friends", "only_me"),
    ("activities", "object_audience"): ("public", "friends", "only_me"),
    ("feed_hides", "object_type"): ("post", "comment", "user", "group"),
    ("notifications", "category"): (
        "social", "mention", "comment", "reaction", "group", "billing", "security", "product"
    ),
    ("notifications", "object_type"): ("post", "comment", "user", "group"),
    ("notifications", "priority"): ("low", "normal", "high", "critical"),
    ("notification_preferences", "category"): (
        "social", "mention", "comment", "reaction", "group", "billing", "security", "product"
    ),
    ("notification_preferences", "channel"): ("email", "push", "in_app"),
    ("notification_preferences", "mode"): ("off", "immediate", "daily", "weekdays", "weekly"),
    ("digest_schedules", "kind"): ("daily", "weekdays", "weekly"),
    ("plan_prices", "interval"): ("month", "quarter", "half_year", "year"),
    ("plan_features", "kind"): ("boolean", "static", "metered"),
    ("plan_features", "reset"): ("month_anniversary", "month_calendar", "never"),
    ("plan_features", "overage"): ("block", "soft"),
    ("meters", "aggregation"): ("sum", "count", "unique_count", "max", "min", "latest"),
    ("subscription_versions", "interval"): ("month", "quarter", "half_year", "year"),
    ("subscription_versions", "status"): ("trialing", "active", "past_due", "paused", "cancelled"),
}  # fmt: skip

REFERENCES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "friend_requests": (("requester_id", "users", "id"), ("addressee_id", "users", "id")),
    "friendships": (("user_a_id", "users", "id"), ("user_b_id", "users", "id")),
    "blocks": (("blocker_id", "users", "id"), ("blocked_id", "users", "id")),
    "mutes": (("muter_id", "users", "id"), ("muted_id", "users", "id")),
    "recommendation_dismissals": (("user_id", "users", "id"), ("candidate_id", "users", "id")),
    "recommendation_impressions": (("user_id", "users", "id"), ("candidate_id", "users", "id")),
    "memberships": (("group_id", "groups", "id"), ("user_id", "users", "id")),
    "activities": (("actor_id", "users", "id"),),
    "feed_hides": (("user_id", "users", "id"),),
    "feed_reads": (("user_id", "users", "id"),),
    "notifications": (("recipient_id", "users", "id"),),
    "notification_preferences": (("user_id", "users", "id"),),
    "digest_schedules": (("user_id", "users", "id"),),
    "plan_prices": (("plan_id", "plans", "id"),),
    "plan_features": (("plan_id", "plans", "id"),),
    "subscription_versions": (("user_id", "users", "id"), ("plan_id", "plans", "id")),
    "grants": (("user_id", "users", "id"),),
}
"""(column, table, column) whose target must exist. ``usage_events`` is not here: its unknown users
and meters are quarantined by the premium product (05 rule 14)."""

MONEY = frozenset({"plans", "plan_prices", "plan_features", "subscription_versions", "grants"})
"""Tables whose rules have a reject budget of 0: a broken one fails premium, and only premium."""

_PAIRS = {
    "friendships": ("user_a_id", "user_b_id"),
    "friend_requests": ("requester_id", "addressee_id"),
    "blocks": ("blocker_id", "blocked_id"),
    "mutes": ("muter_id", "muted_id"),
}
_NOT_NEGATIVE = {
    "plan_prices": ("amount_minor",),
    "plan_features": ("limit_value", "rollover_max"),
    "subscription_versions": ("amount_minor", "quantity", "discount_minor"),
    "grants": ("amount",),
    "recommendation_dismissals": ("dismissal_count",),
    "digest_schedules": ("min_groups", "max_groups"),
}


def row_rules(table: str, contract: Contract, as_of: datetime) -> list[Rule]:
    """The rules of one source table, in the order in which a bad row is named.

    ``contract`` is the staged contract (column names, types, nullability); ``as_of`` the moment of
    reading. A row is rejected under the first rule that it breaks.
    """
    columns = contract.model.to_schema().columns
    is_money = table in MONEY
    rules = [
        Rule(NOT_NULL, name, pl.col(name).is_null(), is_money)
        for name, column in columns.items()
        if not column.nullable
    ]
    rules += [
        Rule(f"is one of {', '.join(labels)}", column, ~pl.col(column).is_in(list(labels)), is_money)
        for (owner, column), labels in ENUMS.items()
        if owner == table
    ]
    rules += [
        Rule("is not negative", name, pl.col(name) < 0, is_money)
        for name, dtype in contract.schema.items()
        if dtype == pl.Int64 and (name == "id" or name.endswith("_id"))
    ]
    if pair := _PAIRS.get(table):
        rules.append(Rule("is not the same user twice", pair[1], pl.col(pair[0]) == pl.col(pair[1])))
    if table == "friendships":
        rules.append(Rule("is ordered user_a_id < user_b_id", "user_a_id", pl.col("user_a_id") > pl.col("user_b_id")))
    if table == "memberships":
        rules.append(Rule("is at least 1", "weight", pl.col("weight") < 1))
    rules += [Rule("is not negative", column, pl.col(column) < 0, is_money) for column in _NOT_NEGATIVE.get(table, ())]
    for name, dtype in contract.schema.items():
        if dtype == pl.String and (table, name) not in ENUMS:  # a label is judged as one of its enum's
            rules.append(Rule("is text without NUL", name, pl.col(name).str.contains("\x00", literal=True), is_money))
            rules.append(
                Rule(f"has at most {TEXT_LIMIT} characters", name, pl.col(name).str.len_chars() > TEXT_LIMIT, is_money)
            )
    if "currency" in contract.schema:
        rules.append(
            Rule("is three capital letters", "currency", ~pl.col("currency").str.contains(r"^[A-Z]{3}$"), True)
        )
    limit = as_of + timedelta(days=1)
    rules += [
        Rule("is not more than a day after the moment of reading", column, pl.col(column) > limit, is_money)
        for column in _EVENT_TIMES.get(table, ())
    ]
    return rules


_EVENT_TIMES = {
    "users": ("created_at",),
    "friend_requests": ("created_at",),
    "friendships": ("created_at",),
    "memberships": ("joined_at",),
    "activities": ("created_at",),
    "notifications": ("created_at",),
    "recommendation_impressions": ("shown_at",),
}
"""When something happened. Ends and validities may lie ahead; blocks and the like count whatever their
time; late usage and subscription facts are premium's to judge."""
