-- dataset: ops
-- How much fails, of what and why, by day.
SELECT
  DATE(failed_ts) AS day,
  resource,
  stage,
  error_code,
  COUNT(DISTINCT dead_letter_id) AS dead_letters,
  MIN(failed_ts) AS first_ts,
  MAX(failed_ts) AS last_ts
FROM `${project}.${ops_dataset}.dead_letters`
GROUP BY day, resource, stage, error_code
