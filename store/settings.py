"""Settings: one frozen object, read once from the environment (prefix ``FLOWFORGE_``).

Lives here: every knob of the platform, its default and what it means; groups nest by ``__``
(``FLOWFORGE_FEED__WINDOW_DAYS``). The product groups double as the frozen configs of the pure
functions. Does not belong here: anything that reads a clock, a file of data, or another module
of ours. The defaults are those of the embedded run.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, Literal, Self, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

PREFIX: Final = "FLOWFORGE_"


class Group(BaseModel):
    """A nested group of settings; frozen, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, populate_by_name=True)

    @field_validator("*", mode="before")
    @classmethod
    def _split_lists(cls, value: object, info: ValidationInfo) -> object:
        """Lists arrive from the environment as ``a,b`` or as JSON."""
        field = cls.model_fields[info.field_name or ""]
        if isinstance(value, str) and get_origin(field.annotation) in (list, tuple):
            return json.loads(value) if value.startswith("[") else [v.strip() for v in value.split(",") if v.strip()]
        return value

    def config_hash(self) -> str:
        """Sha256 (hex) of the group's canonical JSON: the config part of a fingerprint."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class SourceSettings(Group):
    """Where the app's Postgres is."""

    url: str | None = Field(None, description="SQLAlchemy URL of the app's Postgres; unset = the embedded server.")
    pg_bin: Path | None = Field(None, description="Folder with initdb, postgres and pg_ctl for the embedded server.")


class SnapshotSettings(Group):
    """How a snapshot is taken (01.4)."""

    workers: int = Field(2, ge=1, le=64, description="Parallel readers that import the exported snapshot.")
    lock_timeout_seconds: float = Field(5.0, gt=0, description="How long the ACCESS SHARE locks are retried.")
    deadline_seconds: float = Field(1800.0, gt=0, description="A snapshot that takes longer is given up.")


class LedgerSettings(Group):
    """The digest delivery ledger."""

    url: str | None = Field(
        None,
        description="SQLAlchemy URL of the ledger; unset = database `flowforge` on the embedded server, which is "
        "started for it where SOURCE__URL names another one.",
    )


class RedisSettings(Group):
    """Optional Redis (digest queue, shared rate limits)."""

    url: str | None = Field(None, description="Redis URL; unset = not used.")


class SmtpSettings(Group):
    """E-mail delivery."""

    url: str | None = Field(None, description="smtp://host:port or smtps://user:password@host:port.")
    from_: str = Field("FlowForge <digest@flowforge.example>", alias="from", description="From header of digests.")


class WebhookSettings(Group):
    """Push delivery."""

    url: str | None = Field(None, description="Endpoint that receives push digests as JSON.")


class PublicSettings(Group):
    """How the outside sees us."""

    base_url: str = Field("http://127.0.0.1:8000", description="Base of every link put into a mail or header.")


class AuthSettings(Group):
    """Bearer token checks (06.2)."""

    issuer: str = Field("flowforge-demo", description="Required `iss` of bearer tokens.")
    audience: str = Field("flowforge", description="Required `aud` of bearer tokens.")
    jwks: str | None = Field(None, description="JWKS file or URL; unset = the demo key in HOME (HS256).")
    jwks_max_age_seconds: int = Field(
        86_400, ge=60, description="Keys of a JWKS that could not be looked at for longer are no longer accepted."
    )


class SecretSettings(Group):
    """Signing keys; from the environment or a 0400 file, never logged."""

    cursor_keys: list[SecretStr] = Field(
        default_factory=list, description="Keys that sign cursors, newest first; unset = a key kept in HOME."
    )
    unsubscribe_keys: list[SecretStr] = Field(
        default_factory=list, description="Keys that sign unsubscribe links, newest first; unset = a key kept in HOME."
    )


class ApiSettings(Group):
    """The serving layer."""

    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the API listens on; 0 = any free one.")
    workers: int = Field(1, ge=1, le=64, description="Worker processes.")
    rate_user: str = Field("600/60", pattern=r"^\d+/\d+$", description="Requests/seconds of a user token.")
    rate_service: str = Field("6000/60", pattern=r"^\d+/\d+$", description="Requests/seconds of a service token.")
    cors_origins: list[str] = Field(default_factory=list, description="Allowed browser origins; empty = CORS off.")
    max_data_age_seconds: int = Field(10800, gt=0, description="`/readyz` says degraded when data are older.")
    log_format: Literal["text", "json"] = Field("text", description="Log lines of the server, to stderr.")
    log_sample: int = Field(
        100, ge=0, description="Of requests answered below 500 one in so many is logged; 0 = none. Others always."
    )
    live_per_principal: int = Field(10, ge=1, description="Connections to /v2/live of one user to one worker.")
    live_per_worker: int = Field(10_000, ge=1, description="Connections to /v2/live of one worker.")
    live_spread_seconds: float = Field(
        30.0, gt=0, description="Hints of /v2/live are spread over this time; two pings lie in it."
    )
    v1_sunset: date = Field(date(2027, 1, 31), description="Date in the Sunset header of v1.")


class ExplorerSettings(Group):
    """The engineers' page."""

    enabled: bool = Field(False, description="Serve /explorer (scope operations:read).")


RevocationsMode = Literal["required", "best_effort", "off"]


class RevocationSettings(Group):
    """What happened in the source since as_of (06.2)."""

    mode: RevocationsMode | None = Field(
        None,
        description="How reads treat stale revocations: `required` withholds, `best_effort` does not, `off` (refused "
        "with SOURCE__URL) applies none; unset = `required` with SOURCE__URL, else `off`.",
    )
    poll_seconds: float = Field(5.0, gt=0, description="How often the source is tailed.")
    overlap_seconds: float = Field(
        300.0, ge=0, description="How long a transaction of the app may stay open and still be seen by the tailer."
    )
    alert_seconds: float = Field(30.0, gt=0, description="An alert is logged when revocations are older.")
    stale_seconds: float = Field(
        60.0, gt=0, description="With `required`, older revocations withhold what is not public."
    )


class FeedSettings(Group):
    """Feed configuration (03)."""

    window_days: int = Field(14, ge=1, description="The feed's window: [as_of - WINDOW_DAYS, as_of).")
    max_ranked: int = Field(200, ge=1, le=500, description="Items kept of a ranked feed.")
    max_chronological: int = Field(100, ge=1, le=500, description="Items kept of a chronological feed.")
    max_per_actor: int = Field(20, ge=1, description="Items of one lead actor in one feed.")
    reply_rule: Literal["friends", "all"] = Field("friends", description="Whose replies are shown (03.1).")
    half_life_hours: int = Field(24, ge=1, description="Half-life of recency in the ranked score.")


class FriendsSettings(Group):
    """Friend recommendation configuration (02)."""

    k: int = Field(50, ge=1, le=50, description="Recommendations per viewer.")
    sources: tuple[Literal["friends_of_friends", "pagerank", "co_membership", "interaction", "popular"], ...] = Field(
        ("friends_of_friends", "pagerank", "co_membership", "interaction", "popular"),
        description="Candidate sources switched on.",
    )
    ranker: Literal["learned", "fixed_weights"] = Field(
        "learned", description="Ranker: `learned` (trained in the run, used where it is better) or `fixed_weights`."
    )
    learned_max_wedges: int = Field(
        4_000_000_000, ge=0, description="Graphs with more directed two-paths are left to the fixed weights: CPU."
    )
    quality_margin_percent: int = Field(
        10, ge=0, le=100, description="Loss of MAP or recall against the last accepted run that is still accepted."
    )
    exposure_cap: int | None = Field(
        None, ge=1, description="Viewers a candidate outside friends-of-friends is shown to; unset = rule of 02.3."
    )
    experiment_salt: str = Field("flowforge", description="Salt of the viewer's variant.")
    dismissal_days: int = Field(90, ge=0, description="Days a dismissal holds, times its count.")
    dismissal_limit: int = Field(3, ge=1, description="Dismissals after which a pair never returns.")
    unfriended_days: int = Field(180, ge=0, description="Days a former friend is not recommended.")
    impression_days: int = Field(60, ge=1, description="Window in which impressions count.")
    impression_limit: int = Field(10, ge=1, description="Impressions after which a pair is exhausted.")
    keep_candidates: bool = Field(False, description="Keep every viewer's candidates above 50 000 users.")


class DigestsSettings(Group):
    """Digest configuration (04)."""

    max_per_day: int = Field(2, ge=1, description="Digests sent per channel and day.")
    weekly_budget: int = Field(8, ge=1, description="Digests sent per channel and week.")
    settle_minutes: int = Field(5, ge=0, description="Minutes after due before a digest is settled.")
    late_hours: int = Field(48, ge=0, description="How late a notification may still join the next digest.")
    floor_daily_hours: int = Field(72, ge=1, description="Oldest window start of a daily digest, hours before due.")
    floor_weekdays_hours: int = Field(96, ge=1, description="The same for weekdays.")
    floor_weekly_hours: int = Field(360, ge=1, description="The same for weekly.")
    expire_hours: int = Field(6, ge=1, description="Hours after due at which daily and weekdays digests expire.")
    expire_weekly_hours: int = Field(48, ge=1, description="The same for weekly.")
    gap_hours: int = Field(12, ge=0, description="Least hours between digests of one daily or weekdays stream.")
    gap_weekly_hours: int = Field(72, ge=0, description="The same for weekly.")


class PremiumSettings(Group):
    """Premium metric configuration (05)."""

    reporting_time_zone: str = Field("UTC", description="Zone of days, weeks and months in analyst tables.")
    grace_days: int = Field(14, ge=0, description="Days a past-due subscription keeps its ARR.")
    k_anonymity: int = Field(10, ge=1, description="Groups of fewer distinct users are not published.")
    late_days: int = Field(35, ge=0, description="Days after which a usage event is too old.")
    future_minutes: int = Field(5, ge=0, description="Minutes a usage event may lie in the future.")
    trial_window_days: int = Field(7, ge=0, description="Days after a trial's end in which it may convert.")
    ltv_min_churns: int = Field(30, ge=1, description="Churn events a month needs for an LTV.")
    dominance_percent: int = Field(80, ge=1, le=100, description="A plan one user dominates above this is small.")
    adoption_days: int = Field(28, ge=1, description="Days in which one event counts as adoption.")
    threshold_percents: tuple[int, ...] = Field((80, 100), description="Usage thresholds, percent of the limit.")


class PublishSettings(Group):
    """Publication of generations (06.1)."""

    max_carry_hours: int = Field(72, ge=0, description="Oldest friends and premium products that may be carried.")


class QualitySettings(Group):
    """Reject budgets and drift gates (07.1)."""

    reject_rows: int = Field(5, ge=0, description="Rejected rows per rule that are always tolerated.")
    reject_ppm: int = Field(1000, ge=0, description="Rejected rows per rule and million that are tolerated.")
    drift_rows_percent: int = Field(
        50, ge=1, description="Change of the population (rows of `users` and alike) against the live generation."
    )
    drift_growth_rows: int = Field(
        1000, ge=0, description="Growth is judged from so many live rows on: a young population may double in an hour."
    )


class RetentionSettings(Group):
    """What is kept, and how long."""

    snapshot_hours: int = Field(48, ge=1, description="Every snapshot of the last hours is kept.")
    snapshot_days: int = Field(35, ge=1, description="One snapshot a day is kept for these days.")
    product_days: int = Field(35, ge=1, description="Products are kept for these days.")
    reject_days: int = Field(30, ge=1, description="Rejects are kept for these days.")
    run_days: int = Field(30, ge=1, description="Dagster runs are kept for these days.")
    generations: int = Field(3, ge=1, description="Generations kept at least.")
    generation_hours: int = Field(6, ge=0, description="Every generation of the last hours is kept.")
    erasure_days: int = Field(30, ge=1, description="Days in which an erasure reaches all older files.")


class ScheduleSettings(Group):
    """When partitions begin."""

    start: datetime = Field(
        datetime(2026, 1, 1, tzinfo=UTC), description="First partition; a world's home uses its own year."
    )


class AlertSettings(Group):
    """Where alerts go."""

    webhook_url: str | None = Field(None, description="Slack-compatible webhook of run failures.")


class Settings(BaseSettings):
    """Every setting of the platform. Build one with :func:`load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        enable_decoding=False,
        frozen=True,
        extra="ignore",
        validate_default=True,
    )

    home: Path = Field(Path("var"), description="Folder under which everything is written.")
    env: Literal["production", "development", "test"] = Field(
        "development", description="Failpoints work only in `test`; HS256 demo tokens not in `production`."
    )
    failpoint: str | None = Field(None, description="name:kill|raise|sleep, ignored unless ENV=test.")
    source: SourceSettings = SourceSettings()
    snapshot: SnapshotSettings = SnapshotSettings()
    ledger: LedgerSettings = LedgerSettings()
    redis: RedisSettings = RedisSettings()
    smtp: SmtpSettings = SmtpSettings()
    webhook: WebhookSettings = WebhookSettings()
    public: PublicSettings = PublicSettings()
    auth: AuthSettings = AuthSettings()
    secret: SecretSettings = SecretSettings()
    api: ApiSettings = ApiSettings()
    explorer: ExplorerSettings = ExplorerSettings()
    revocations: RevocationSettings = RevocationSettings()
    feed: FeedSettings = FeedSettings()
    friends: FriendsSettings = FriendsSettings()
    digests: DigestsSettings = DigestsSettings()
    premium: PremiumSettings = PremiumSettings()
    publish: PublishSettings = PublishSettings()
    quality: QualitySettings = QualitySettings()
    retention: RetentionSettings = RetentionSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    alert: AlertSettings = AlertSettings()

    @model_validator(mode="after")
    def _live_sources_are_tailed(self) -> Self:
        if self.source.url and self.revocations.mode == "off":
            raise ValueError(
                f"{PREFIX}REVOCATIONS__MODE=off: with {PREFIX}SOURCE__URL people block and delete while their data are "
                "served; use `required` (the default) or `best_effort` (applies what is known, never withholds for age)"
            )
        return self

    @property
    def revocations_mode(self) -> RevocationsMode:
        """How reads treat stale revocations, the default resolved: a source of one's own is live."""
        return self.revocations.mode or ("required" if self.source.url else "off")


class SettingsInvalid(Exception):
    """Settings that cannot be used; the message has a line for each and says where they are documented."""


def load_settings() -> Settings:
    """Read the settings from the environment, with HOME made absolute.

    Raises :class:`SettingsInvalid` naming every wrong setting, its value and the rule.
    """
    try:
        settings = Settings()
    except (ValidationError, SettingsError) as error:
        wrong = [_wrong(found) for found in error.errors()] if isinstance(error, ValidationError) else [str(error)]
        raise SettingsInvalid("\n".join([*wrong, "every setting is in docs/settings.md"])) from error
    return settings.model_copy(update={"home": settings.home.expanduser().resolve()})


def _wrong(found: ErrorDetails) -> str:
    """One line on one wrong setting: its name in the environment, its value unless it may be secret, the rule."""
    rule = found["msg"].removeprefix("Value error, ")
    path = [part.removesuffix("_") for part in found["loc"] if isinstance(part, str)]
    if not path:
        return rule
    name = PREFIX + "__".join(path).upper()
    if found["type"] == "extra_forbidden":
        return f"{name}: there is no such setting"
    is_secret = any(word in name for word in ("SECRET", "URL", "JWKS"))
    value = "" if is_secret else f"={found['input']}"
    return f"{name}{value}: {rule}{_meaning(path)}"


def _meaning(path: list[str]) -> str:
    """What the setting is for, in brackets."""
    group = Settings.model_fields[path[0]].default
    fields = Settings.model_fields if len(path) == 1 else type(group).model_fields
    field = fields.get(path[-1])
    return f" ({field.description.rstrip('.')})" if field is not None and field.description else ""
