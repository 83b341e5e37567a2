-- dataset: data
-- The newest state of each of claims; what was deleted is left out.
SELECT * EXCEPT (age)
FROM (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY claim_id ORDER BY updated_ts DESC, event_id DESC, publish_ts
  ) AS age
  FROM `${project}.${dataset}.claims`
)
WHERE age = 1 AND is_active
