-- dataset: ops
-- Minutes in which accepted records are missing, or more arrived than were: none, if all is well.
SELECT *
FROM (
  -- the query of reconciliation
)
WHERE missing > 0 OR surplus > 0
