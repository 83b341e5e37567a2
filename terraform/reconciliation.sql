-- Fails if anything that was accepted has not arrived, and says of which resources and how much.
-- A script, since a scheduled query that is a plain SELECT asks for a table to write into.
BEGIN
  SELECT IF(
    COUNT(*) = 0,
    'nothing is missing',
    ERROR(FORMAT(
      'reconciliation_mismatch: %d missing and %d in surplus, in %d minutes of %s',
      SUM(missing), SUM(surplus), COUNT(*), STRING_AGG(DISTINCT resource, ', ')
    ))
  ) AS result
  FROM `${view}`;
END
