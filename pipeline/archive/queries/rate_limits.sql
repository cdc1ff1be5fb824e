-- Rate limits reached
-- Requests refused by Auth0's rate limits, and warnings of it, by what was limited, the most first.
-- parameters: since, until=now, since, until=now, limit
-- finding: type, limited, client_id
SELECT
  type,
  coalesce(json_extract_scalar(details, '$.limit.bucket'), description) AS limited,
  client_id,
  min(client_name) AS client_name,
  count(*) AS times,
  count(DISTINCT ip) AS addresses,
  min("date") AS first_seen,
  max("date") AS last_seen
FROM tenant_logs
WHERE (type IN ('api_limit', 'api_limit_warning', 'appi', 'gd_otp_rate_limit_exceed') OR regexp_like(type, '^limit_'))
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
GROUP BY 1, 2, client_id
ORDER BY times DESC, type, limited
LIMIT ?
