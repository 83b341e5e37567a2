-- dataset: data
-- The newest state of each of plans; what was deleted is left out.
SELECT * EXCEPT (age)
FROM (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY object_id ORDER BY updated_ts DESC, event_id DESC, publish_ts
  ) AS age
  FROM `${project}.${dataset}.plans`
)
WHERE age = 1 AND is_active
