-- dataset: ops
-- Minutes in which accepted records are missing, or more arrived than were: none, if all is well.
SELECT *
FROM (
  -- Whether what was accepted has arrived: by resource, key id and minute, over the last 7 days.
  -- accepted = loaded + dead_lettered + in_flight + missing, where nothing is in surplus.
  --
  -- Repeats of a request (same Idempotency-Key) count as one, by their repeat_id: they have the same
  -- event ids, and Dataflow may drop the messages of either. A repeat whose sender died before its
  -- audit event is recognized by the event ids that begin its messages.
  WITH requests AS (
    SELECT
      resource,
      request_id,
      MIN(created_by) AS key_id,
      MIN(repeat_id) AS repeat_id,
      MAX(accepted) AS accepted,
      MIN(created_ts) AS first_ts,
      MAX(IF(accepted > 0, created_ts, NULL)) AS last_ts
    FROM `${project}.${ops_dataset}.audit_log`
    -- A day more than is shown, for what is repeated around the edge.
    WHERE created_ts >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 8 DAY)
      AND repeat_id IS NOT NULL
    GROUP BY resource, request_id
  ),
  arrivals AS (
    SELECT
      'appointments' AS resource,
      request_id,
      created_by AS key_id,
      event_id,
      created_ts AS ts,
      1 AS loaded
    FROM `${project}.${dataset}.appointments`
    WHERE created_ts >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 8 DAY)
    UNION ALL
    SELECT
      'claim_events' AS resource,
      request_id,
      created_by AS key_id,
      event_id,
      created_ts AS ts,
      1 AS loaded
    FROM `${project}.${dataset}.claim_events`
    WHERE created_ts >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 8 DAY)
    UNION ALL
    SELECT
      'claims' AS resource,
      request_id,
      created_by AS key_id,
      event_id,
      created_ts AS ts,
      1 AS loaded
    FROM `${project}.${dataset}.claims`
    WHERE created_ts >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 8 DAY)
    UNION ALL
    SELECT
      'lab_results' AS resource,
      request_id,
      created_by AS key_id,
      event_id,
      created_ts AS ts,
      1 AS loaded
    FROM `${project}.${dataset}.lab_results`
    WHERE created_ts >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 8 DAY)
    UNION ALL
    SELECT
      'patients' AS resource,
      request_id,
      created_by AS key_id,
      event_id,
      created_ts AS ts,
      1 AS loaded
    FROM `${project}.${dataset}.patients`
    WHERE created_ts >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 8 DAY)
    UNION ALL
    SELECT
      'plans' AS resource,
      request_id,
      created_by AS key_id,
      event_id,
      created_ts AS ts,
      1 AS loaded
    FROM `${project}.${dataset}.plans`
    WHERE created_ts >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 8 DAY)
    UNION ALL
    SELECT
      resource,
      request_id,
      key_id,
      IFNULL(event_id, dead_letter_id) AS event_id,
      IFNULL(publish_ts, failed_ts) AS ts,
      0 AS loaded
    FROM `${project}.${ops_dataset}.dead_letters`
    WHERE failed_ts >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 8 DAY)
      AND resource <> 'audit_log'
  ),
  -- The group of each request: its repeat_id; of those without an audit event that of their repeat.
  first_events AS (
    SELECT DISTINCT log.resource, log.repeat_id, first_event_id
    FROM `${project}.${ops_dataset}.audit_log` AS log, UNNEST(log.first_event_ids) AS first_event_id
    WHERE log.created_ts >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 8 DAY)
      AND log.repeat_id <> log.request_id
  ),
  members AS (
    SELECT resource, request_id, repeat_id FROM requests
    UNION DISTINCT
    SELECT arrivals.resource, arrivals.request_id, first_events.repeat_id
    FROM first_events
    JOIN arrivals
      ON arrivals.resource = first_events.resource
      AND arrivals.event_id = first_events.first_event_id
  ),
  -- Every event of a group once: loaded, if it ever was.
  events AS (
    SELECT
      arrivals.resource,
      COALESCE(members.repeat_id, arrivals.request_id, arrivals.event_id) AS repeat_id,
      arrivals.event_id,
      MIN(arrivals.key_id) AS key_id,
      MIN(arrivals.ts) AS ts,
      MAX(arrivals.loaded) AS loaded
    FROM arrivals
    LEFT JOIN members
      ON members.resource = arrivals.resource AND members.request_id = arrivals.request_id
    GROUP BY 1, 2, 3
  ),
  parts AS (
    SELECT
      resource, repeat_id, key_id, first_ts, last_ts, CAST(NULL AS TIMESTAMP) AS arrival_ts,
      accepted, 0 AS loaded, 0 AS dead_lettered
    FROM requests
    UNION ALL
    SELECT
      resource, repeat_id, MIN(key_id), NULL, NULL, MIN(ts),
      0, SUM(loaded), SUM(1 - loaded)
    FROM events
    GROUP BY resource, repeat_id
  ),
  sums AS (
    SELECT
      resource,
      repeat_id,
      IFNULL(MIN(key_id), 'unknown') AS key_id,
      IFNULL(MIN(first_ts), MIN(arrival_ts)) AS first_ts,
      -- What is in flight for longer counts as missing.
      MAX(last_ts) > TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 15 MINUTE) AS is_young,
      MAX(accepted) AS accepted,
      MAX(loaded) AS loaded,
      MAX(dead_lettered) AS dead_lettered
    FROM parts
    GROUP BY resource, repeat_id
  ),
  shares AS (
    SELECT
      *,
      GREATEST(accepted - loaded - dead_lettered, 0) AS due,
      GREATEST(loaded + dead_lettered - accepted, 0) AS excess
    FROM sums
  )
  SELECT
    resource,
    key_id,
    TIMESTAMP_TRUNC(first_ts, MINUTE) AS minute,
    SUM(accepted) AS accepted,
    SUM(IF(accepted > 0, loaded, 0)) AS loaded,
    SUM(IF(accepted > 0, dead_lettered, 0)) AS dead_lettered,
    SUM(IF(is_young, due, 0)) AS in_flight,
    SUM(IF(is_young, 0, due)) AS missing,
    -- More than was accepted: an Idempotency-Key that was used for two bodies, or a forgery.
    SUM(IF(accepted > 0, excess, 0)) AS surplus,
    -- Published, but never answered 202: the answer was 5xx, or its sender died, or it came
    -- past the endpoint.
    SUM(IF(accepted > 0, 0, excess)) AS unconfirmed
  FROM shares
  WHERE first_ts >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 7 DAY)
    AND accepted + loaded + dead_lettered > 0
  GROUP BY resource, key_id, minute
)
WHERE missing > 0 OR surplus > 0
