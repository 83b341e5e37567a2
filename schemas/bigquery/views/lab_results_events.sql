-- dataset: data
-- Every change of lab_results once, tombstones among them.
SELECT * EXCEPT (arrival)
FROM (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY event_id ORDER BY publish_ts, created_ts
  ) AS arrival
  FROM `${project}.${dataset}.lab_results`
)
WHERE arrival = 1
