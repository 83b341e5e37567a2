-- dataset: data
-- Every change of claim_events once, tombstones among them.
SELECT * EXCEPT (arrival)
FROM (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY event_id ORDER BY publish_ts, created_ts
  ) AS arrival
  FROM `${project}.${dataset}.claim_events`
)
WHERE arrival = 1
