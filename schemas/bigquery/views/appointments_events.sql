-- dataset: data
-- Every change of appointments once, tombstones among them.
SELECT * EXCEPT (arrival)
FROM (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY event_id ORDER BY publish_ts, created_ts
  ) AS arrival
  FROM `${project}.${dataset}.appointments`
)
WHERE arrival = 1
