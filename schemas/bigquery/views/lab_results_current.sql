-- dataset: data
-- The newest state of each of lab_results; what was deleted is left out.
SELECT * EXCEPT (age)
FROM (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY result_id ORDER BY updated_ts DESC, event_id DESC, publish_ts
  ) AS age
  FROM `${project}.${dataset}.lab_results`
)
WHERE age = 1 AND is_active
