-- The ranked and chronological feeds of a snapshot, as one would write them in plain DuckDB SQL.
-- Tables: the staged tables; logs(n, l) and diversity(i, k): the published logarithms; settings: one row.

CREATE TEMP TABLE active AS
SELECT u.id, u.profile_visibility, u.last_seen_at
FROM users u, settings s
WHERE u.created_at < s.as_of AND u.status = 'active';

CREATE TEMP TABLE viewers AS
SELECT id AS viewer FROM active, settings s
WHERE last_seen_at IS NULL OR last_seen_at >= s.as_of - INTERVAL 30 DAY;

CREATE TEMP TABLE friends AS
WITH standing AS (
    SELECT f.user_a_id AS a, f.user_b_id AS b FROM friendships f, settings s
    WHERE f.created_at < s.as_of AND (f.ended_at IS NULL OR f.ended_at > s.as_of)
)
SELECT a AS viewer, b AS other FROM standing UNION SELECT b, a FROM standing;

CREATE TEMP TABLE blocked AS
SELECT blocker_id AS viewer, blocked_id AS other FROM blocks UNION SELECT blocked_id, blocker_id FROM blocks;

CREATE TEMP TABLE muted AS
SELECT m.muter_id AS viewer, m.muted_id AS other, m.scope FROM mutes m, settings s
WHERE m.expires_at IS NULL OR m.expires_at > s.as_of;

CREATE TEMP TABLE members AS
SELECT m.user_id AS viewer, m.group_id FROM memberships m, settings s
WHERE m.joined_at < s.as_of AND (m.left_at IS NULL OR m.left_at > s.as_of);

-- What an activity is: the owner of its object, and the activity that made the object.
CREATE TEMP TABLE owned AS
WITH there AS (SELECT a.* FROM activities a, settings s WHERE a.created_at < s.as_of)
SELECT a.*, o.id AS own_id, o.deleted_at AS own_deleted_at, o.audience AS own_audience,
    o.actor_id AS own_actor_id, o.reply_to_user_id AS own_reply_to, o.group_id AS own_group_id,
    o.mentioned_user_ids AS own_mentioned,
    CASE WHEN a.object_type = 'user' THEN a.object_id ELSE coalesce(o.actor_id, a.object_owner_id) END AS owner_id
FROM there a
LEFT JOIN there o ON o.id = a.object_id AND o.verb = a.object_type AND o.verb IN ('post', 'comment');

CREATE TEMP TABLE shareable AS
SELECT a.*, o.owner_id AS own_owner_id,
    a.created_at >= s.as_of - to_days(s.window_days) AS in_window,
    CASE WHEN a.verb IN ('friend_add', 'group_join')
        THEN concat_ws('|', a.verb, a.actor_id, strftime(a.created_at AT TIME ZONE 'UTC', '%Y-%m-%d'))
        ELSE concat_ws('|', a.verb, a.object_type, a.object_id) END AS own_key
FROM owned a
LEFT JOIN owned o ON o.id = a.own_id, settings s
WHERE a.deleted_at IS NULL AND a.own_deleted_at IS NULL
    AND (a.own_id IS NOT NULL OR a.object_type NOT IN ('post', 'comment'))
    AND a.actor_id IN (SELECT id FROM active)
    AND (a.owner_id IN (SELECT id FROM active)
        OR (a.owner_id IS NULL AND a.object_audience = 'public' AND coalesce(a.own_audience, 'public') = 'public'));

-- Only the window is shown, but a reshare may join an older post's card.
CREATE TEMP TABLE wanted AS
SELECT * FROM shareable
WHERE in_window OR (verb = 'post' AND object_id IN (
    SELECT object_id FROM shareable WHERE in_window AND verb = 'reshare' AND object_type = 'post'));

CREATE TEMP TABLE principals AS
SELECT id, unnest([actor_id, owner_id, reply_to_user_id, own_actor_id, own_owner_id, own_reply_to]) AS person FROM wanted
UNION SELECT id, unnest(mentioned_user_ids) FROM wanted
UNION SELECT id, unnest(own_mentioned) FROM wanted;

CREATE TEMP TABLE required_groups AS
SELECT r.id, r.group_id FROM (
    SELECT id, group_id FROM wanted
    UNION SELECT id, own_group_id FROM wanted
    UNION SELECT id, object_id FROM wanted WHERE object_type = 'group'
) r JOIN groups g ON g.id = r.group_id WHERE g.is_private;

CREATE MACRO may_see(candidates) AS TABLE
SELECT c.viewer, c.id FROM query_table(candidates) c, settings s
WHERE (c.audience = 'public' OR c.viewer = c.actor_id
        OR (c.audience = 'friends' AND EXISTS (
            FROM friends f WHERE f.viewer = c.viewer AND f.other = c.actor_id)))
    AND ((c.object_audience = 'public' AND coalesce(c.own_audience, 'public') = 'public') OR c.viewer = c.owner_id
        OR (c.object_audience IN ('public', 'friends') AND coalesce(c.own_audience, 'public') IN ('public', 'friends')
            AND EXISTS (FROM friends f WHERE f.viewer = c.viewer AND f.other = c.owner_id)))
    AND NOT EXISTS (
        FROM principals p JOIN blocked b ON b.other = p.person WHERE p.id = c.id AND b.viewer = c.viewer)
    AND NOT EXISTS (
        FROM muted m WHERE m.viewer = c.viewer AND m.scope = 'all' AND m.other = c.actor_id)
    AND NOT EXISTS (
        FROM muted m WHERE m.viewer = c.viewer AND m.scope = 'all' AND m.other = c.owner_id)
    AND NOT (c.verb = 'reshare' AND EXISTS (
        FROM muted m WHERE m.viewer = c.viewer AND m.scope = 'reshares' AND m.other = c.actor_id))
    AND (s.reply_rule = 'all' OR c.reply_to_user_id IS NULL OR c.viewer IN (c.actor_id, c.reply_to_user_id)
        OR EXISTS (FROM friends f WHERE f.viewer = c.viewer AND f.other = c.reply_to_user_id))
    AND NOT EXISTS (
        FROM required_groups r WHERE r.id = c.id AND NOT EXISTS (
            FROM members m WHERE m.viewer = c.viewer AND m.group_id = r.group_id))
    AND NOT EXISTS (
        FROM feed_hides h
        WHERE h.user_id = c.viewer AND h.object_type = c.object_type AND h.object_id = c.object_id)
    AND NOT (c.verb = 'comment' AND EXISTS (
        FROM feed_hides h WHERE h.user_id = c.viewer AND h.object_type = 'comment' AND h.object_id = c.id));

CREATE TEMP VIEW near AS
SELECT e.viewer, w.* FROM wanted w
JOIN (SELECT viewer, viewer AS other FROM viewers
      UNION ALL SELECT f.viewer, f.other FROM friends f JOIN viewers USING (viewer)) e ON e.other = w.actor_id;

CREATE TEMP TABLE eligible AS SELECT * FROM may_see('near');

-- Affinity: activities between two people, and what an object was given.
CREATE TEMP TABLE affinity AS
WITH recent AS (
    SELECT o.* FROM owned o, settings s
    WHERE o.deleted_at IS NULL
        AND o.created_at >= date_trunc('month', s.as_of AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - INTERVAL 90 DAY
), between_two AS (
    SELECT id, actor_id AS a, owner_id AS b FROM recent WHERE verb IN ('reaction', 'comment')
    UNION SELECT id, actor_id, unnest(mentioned_user_ids) FROM recent
), both_ways AS (
    SELECT a, b FROM between_two WHERE a <> b UNION ALL SELECT b, a FROM between_two WHERE a <> b
)
SELECT a AS viewer, b AS other, count(*) AS n FROM both_ways GROUP BY a, b;

CREATE TEMP TABLE engagement AS
SELECT object_type, object_id, count(DISTINCT actor_id) FILTER (verb = 'reaction')
    + 2 * count(DISTINCT actor_id) FILTER (verb = 'comment')
    + 3 * count(DISTINCT actor_id) FILTER (verb = 'reshare') AS engaged
FROM owned
WHERE deleted_at IS NULL AND verb IN ('reaction', 'comment', 'reshare') AND actor_id IN (SELECT id FROM active)
GROUP BY object_type, object_id;

-- Cards of the ranked mode.
CREATE TEMP TABLE dealt AS
SELECT e.viewer, w.id, w.actor_id, w.created_at, w.object_type, w.object_id,
    CASE WHEN p.id IS NOT NULL THEN 'post' ELSE w.verb END AS verb,
    CASE WHEN p.id IS NOT NULL THEN 'post|post|' || w.object_id ELSE w.own_key END AS key
FROM eligible e
JOIN wanted w ON w.id = e.id AND w.in_window
LEFT JOIN eligible p ON p.viewer = e.viewer AND p.id = w.own_id AND w.verb = 'reshare' AND w.object_type = 'post';

CREATE TEMP TABLE cards AS
WITH actors AS (
    SELECT viewer, key, actor_id, max(created_at) AS latest, min(created_at) AS earliest FROM dealt GROUP BY ALL
), counted AS (
    SELECT a.viewer, a.key, count(*) AS actor_count, min(a.earliest) AS first_activity_at,
        list(a.actor_id ORDER BY coalesce(f.n, 0) DESC, a.latest DESC, a.actor_id)[1:3] AS sample_actor_ids
    FROM actors a LEFT JOIN affinity f ON f.viewer = a.viewer AND f.other = a.actor_id
    GROUP BY a.viewer, a.key
), leads AS (
    SELECT * FROM dealt
    QUALIFY row_number() OVER (PARTITION BY viewer, key ORDER BY created_at DESC, id) = 1
)
SELECT l.viewer, l.verb, l.object_type, l.object_id, l.id AS lead_activity_id, l.actor_id AS lead_actor_id,
    l.created_at AS last_activity_at, c.actor_count, c.first_activity_at, c.sample_actor_ids,
    left(sha256(l.key), 16) AS item_id
FROM leads l JOIN counted c USING (viewer, key);

CREATE MACRO scored(some_cards) AS TABLE
WITH placed AS (
    SELECT c.*, row_number() OVER (
        PARTITION BY viewer, lead_actor_id ORDER BY last_activity_at DESC, item_id) - 1 AS i
    FROM query_table(some_cards) c
), kept AS (SELECT p.* FROM placed p, settings s WHERE p.i < s.max_per_actor)
SELECT k.*,
    CASE k.verb WHEN 'post' THEN 2000000 WHEN 'reshare' THEN 1500000 WHEN 'comment' THEN 1000000
        WHEN 'friend_add' THEN 1000000 WHEN 'group_join' THEN 500000 ELSE 0 END AS k_verb,
    epoch_us(k.last_activity_at) // (s.half_life_hours * 3600) AS k_time,
    CASE WHEN k.verb IN ('friend_add', 'group_join') THEN 0 ELSE le.l END AS k_engagement,
    la.l AS k_affinity,
    d.k AS k_diversity,
    k_verb + k_time + k_engagement + k_affinity + k_diversity AS score
FROM kept k
CROSS JOIN settings s
LEFT JOIN engagement e ON e.object_type = k.object_type AND e.object_id = k.object_id
LEFT JOIN affinity f ON f.viewer = k.viewer AND f.other = k.lead_actor_id
JOIN logs le ON le.n = coalesce(e.engaged, 0)
JOIN logs la ON la.n = least(15, coalesce(f.n, 0))
JOIN diversity d ON d.i = k.i;

CREATE TEMP TABLE ranked AS
SELECT r.*, row_number() OVER (
    PARTITION BY viewer ORDER BY score DESC, last_activity_at DESC, item_id) AS position
FROM scored('cards') r, settings s
QUALIFY position <= s.max_ranked;

-- Suggestions for short feeds: public posts of people at distance two.
CREATE TEMP TABLE short AS
SELECT v.viewer, count(r.viewer) AS filled FROM viewers v LEFT JOIN ranked r USING (viewer)
GROUP BY v.viewer HAVING filled < 10;

CREATE TEMP VIEW distant AS
SELECT t.viewer, w.*
FROM (SELECT DISTINCT a.viewer, b.other FROM short
      JOIN friends a USING (viewer) JOIN friends b ON b.viewer = a.other
      WHERE b.other <> a.viewer
          AND NOT EXISTS (FROM friends f WHERE f.viewer = a.viewer AND f.other = b.other)) t
JOIN active p ON p.id = t.other AND p.profile_visibility = 'public'
JOIN wanted w ON w.actor_id = t.other
WHERE w.in_window AND w.verb = 'post' AND w.audience = 'public' AND w.object_audience = 'public'
    AND coalesce(w.own_audience, 'public') = 'public';

CREATE TEMP TABLE suggested_cards AS
SELECT e.viewer, 'post' AS verb, w.object_type, w.object_id, w.id AS lead_activity_id, w.actor_id AS lead_actor_id,
    w.created_at AS last_activity_at, 1 AS actor_count, w.created_at AS first_activity_at,
    [w.actor_id] AS sample_actor_ids, left(sha256(w.own_key), 16) AS item_id
FROM may_see('distant') e JOIN wanted w USING (id);

CREATE TEMP TABLE suggested AS
SELECT r.*, f.filled + row_number() OVER (
    PARTITION BY viewer ORDER BY score DESC, last_activity_at DESC, item_id) AS position
FROM scored('suggested_cards') r JOIN short f USING (viewer), settings s
QUALIFY position <= least(10, s.max_ranked);

CREATE TEMP TABLE chronological AS
WITH placed AS (
    SELECT e.viewer, w.verb, w.object_type, w.object_id, w.id AS lead_activity_id, w.actor_id AS lead_actor_id,
        w.created_at AS last_activity_at, left(sha256('activity|' || w.id), 16) AS item_id
    FROM eligible e JOIN wanted w ON w.id = e.id
    WHERE w.in_window AND w.verb IN ('post', 'comment', 'reshare')
    QUALIFY row_number() OVER (
        PARTITION BY e.viewer, w.actor_id ORDER BY w.created_at DESC, item_id) <= (SELECT max_per_actor FROM settings)
)
SELECT p.*, row_number() OVER (
    PARTITION BY viewer ORDER BY last_activity_at DESC, lead_activity_id) AS position
FROM placed p, settings s
QUALIFY position <= s.max_chronological;

CREATE TEMP TABLE feed_items AS
WITH items AS (
    SELECT viewer, 'ranked' AS mode, position, item_id, verb, object_type, object_id, lead_activity_id, lead_actor_id,
        actor_count, sample_actor_ids, first_activity_at, last_activity_at,
        score, k_verb, k_time, k_engagement, k_affinity, k_diversity,
        CASE WHEN lead_actor_id = viewer THEN 'own' ELSE 'friend' END AS reason
    FROM ranked
    UNION ALL
    SELECT viewer, 'ranked', position, item_id, verb, object_type, object_id, lead_activity_id, lead_actor_id,
        actor_count, sample_actor_ids, first_activity_at, last_activity_at,
        score, k_verb, k_time, k_engagement, k_affinity, k_diversity, 'suggested'
    FROM suggested
    UNION ALL
    SELECT viewer, 'chronological', position, item_id, verb, object_type, object_id, lead_activity_id, lead_actor_id,
        1, [lead_actor_id], last_activity_at, last_activity_at, 0, 0, 0, 0, 0, 0,
        CASE WHEN lead_actor_id = viewer THEN 'own' ELSE 'friend' END
    FROM chronological
)
SELECT i.viewer AS viewer_id, i.mode, i.position, i.item_id, i.verb, i.object_type, i.object_id,
    o.owner_id AS object_owner_id, i.lead_activity_id, i.lead_actor_id, i.actor_count::BIGINT AS actor_count,
    i.sample_actor_ids, i.actor_count::BIGINT - len(i.sample_actor_ids) AS other_count,
    i.first_activity_at, i.last_activity_at, i.score::BIGINT AS score, i.k_verb::BIGINT AS k_verb,
    i.k_time::BIGINT AS k_time, i.k_engagement::BIGINT AS k_engagement, i.k_affinity::BIGINT AS k_affinity,
    i.k_diversity::BIGINT AS k_diversity, i.reason,
    coalesce(i.last_activity_at > r.seen_at, true) AS is_unseen
FROM items i
JOIN wanted o ON o.id = i.lead_activity_id
LEFT JOIN (SELECT r.* FROM feed_reads r, settings s WHERE r.seen_at < s.as_of) r ON r.user_id = i.viewer
ORDER BY viewer_id, mode, position;
