-- dataset: ops
-- Every change of audit_log once, tombstones among them.
SELECT * EXCEPT (arrival)
FROM (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY event_id ORDER BY publish_ts, created_ts
  ) AS arrival
  FROM `${project}.${ops_dataset}.audit_log`
)
WHERE arrival = 1
