-- Gaps and delays of the stream itself
-- Times without any log for longer than so many minutes, and logs that came later than that after they happened, the longest
-- first. A quiet night is a gap as well: compare with your traffic.
-- parameters: since, until=now, since, until=now, minutes=60, since, until=now, since, until=now, minutes=60, limit
-- finding: kind, began
SELECT
  kind,
  began,
  ended,
  date_diff('minute', began, ended) AS minutes,
  logs
FROM (
  SELECT 'gap' AS kind, before AS began, delivered_at AS ended, 0 AS logs
  FROM (
    SELECT delivered_at, lag(delivered_at) OVER (ORDER BY delivered_at) AS before
    FROM tenant_logs
    WHERE dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
      AND dt || 'T' || hour BETWEEN ? AND ?
  ) AS arrivals
  WHERE date_diff('minute', before, delivered_at) >= ?
  UNION ALL
  SELECT 'late' AS kind, min("date") AS began, max(delivered_at) AS ended, count(*) AS logs
  FROM tenant_logs
  WHERE dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
    AND dt || 'T' || hour BETWEEN ? AND ?
    AND date_diff('minute', "date", delivered_at) >= ?
  GROUP BY date_trunc('hour', delivered_at)
) AS found
ORDER BY minutes DESC, began
LIMIT ?
