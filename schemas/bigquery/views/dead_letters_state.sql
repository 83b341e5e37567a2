-- dataset: ops
-- Every failure once, without the payload, and its state: open, replayed or superseded.
-- `replayed`: its event_id is in its table. `superseded`: it was replayed and failed again; the later
-- dead letter stands for it. A dead letter without an event_id held nothing that a table could take:
-- it stays open until its replay fails in turn.
WITH letters AS (
  SELECT
    dead_letter_id, failed_ts, resource, stage, error_code, message, errors, event_id, request_id,
    key_id, message_id, position, publish_ts, schema_version, pipeline_version,
    IFNULL(attempt, 1) AS attempt,
    JSON_VALUE(attributes.replay_of) AS replay_of,
    ROW_NUMBER() OVER (PARTITION BY dead_letter_id ORDER BY failed_ts) AS arrival
  FROM `${project}.${ops_dataset}.dead_letters`
),
loaded AS (
  SELECT 'appointments' AS resource, event_id FROM `${project}.${dataset}.appointments`
  UNION ALL
  SELECT 'claim_events' AS resource, event_id FROM `${project}.${dataset}.claim_events`
  UNION ALL
  SELECT 'claims' AS resource, event_id FROM `${project}.${dataset}.claims`
  UNION ALL
  SELECT 'lab_results' AS resource, event_id FROM `${project}.${dataset}.lab_results`
  UNION ALL
  SELECT 'patients' AS resource, event_id FROM `${project}.${dataset}.patients`
  UNION ALL
  SELECT 'plans' AS resource, event_id FROM `${project}.${dataset}.plans`
  UNION ALL
  SELECT 'audit_log' AS resource, event_id FROM `${project}.${ops_dataset}.audit_log`
),
loaded_events AS (
  SELECT DISTINCT resource, event_id FROM loaded
),
-- What failed again: known by its event_id, or by what it is a replay of. A replay of the archive
-- names the message, whose records keep their position.
last_attempts AS (
  SELECT resource, event_id, MAX(attempt) AS attempt
  FROM letters
  WHERE event_id IS NOT NULL
  GROUP BY resource, event_id
),
replays AS (
  SELECT DISTINCT resource, replay_of FROM letters WHERE replay_of IS NOT NULL
),
replays_of_messages AS (
  SELECT DISTINCT resource, replay_of, position FROM letters WHERE replay_of IS NOT NULL
)
SELECT
  letters.* EXCEPT (arrival),
  CASE
    WHEN loaded_events.event_id IS NOT NULL THEN 'replayed'
    WHEN last_attempts.attempt > letters.attempt THEN 'superseded'
    WHEN replays.replay_of IS NOT NULL THEN 'superseded'
    WHEN replays_of_messages.replay_of IS NOT NULL THEN 'superseded'
    ELSE 'open'
  END AS state
FROM letters
LEFT JOIN loaded_events
  ON loaded_events.resource = letters.resource AND loaded_events.event_id = letters.event_id
LEFT JOIN last_attempts
  ON last_attempts.resource = letters.resource AND last_attempts.event_id = letters.event_id
LEFT JOIN replays
  ON replays.resource = letters.resource AND replays.replay_of = letters.dead_letter_id
LEFT JOIN replays_of_messages
  ON replays_of_messages.resource = letters.resource
  AND replays_of_messages.replay_of = letters.message_id
  AND replays_of_messages.position = letters.position
WHERE letters.arrival = 1
