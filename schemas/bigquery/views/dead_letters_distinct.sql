-- dataset: ops
-- Every failure once, without the payload: what an operator looks through before a replay.
SELECT * EXCEPT (payload, arrival)
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY dead_letter_id ORDER BY failed_ts) AS arrival
  FROM `${project}.${ops_dataset}.dead_letters`
)
WHERE arrival = 1
