-- Applications created or opened up
-- Applications created, deleted, given new secrets, or changed in callbacks, origins, logout addresses or grant types, newest
-- first.
-- parameters: since, until=now, since, until=now, limit
-- finding: log_id
SELECT
  "date",
  description,
  actor,
  actor_name,
  ip,
  http_method,
  http_path,
  coalesce(json_extract_scalar(details, '$.response.body.name'), json_extract_scalar(details, '$.request.body.name')) AS name,
  json_format(json_extract(details, '$.request.body.callbacks')) AS callbacks,
  json_format(json_extract(details, '$.request.body.grant_types')) AS grant_types,
  json_format(coalesce(
    json_extract(details, '$.request.body.allowed_origins'),
    json_extract(details, '$.request.body.web_origins')
  )) AS origins,
  log_id
FROM tenant_logs
WHERE type = 'sapi'
  AND regexp_like(http_path, '^/api/v2/clients(/|$)')
  AND (
    http_method IN ('post', 'delete')
    OR json_extract(details, '$.request.body.callbacks') IS NOT NULL
    OR json_extract(details, '$.request.body.grant_types') IS NOT NULL
    OR json_extract(details, '$.request.body.allowed_origins') IS NOT NULL
    OR json_extract(details, '$.request.body.web_origins') IS NOT NULL
    OR json_extract(details, '$.request.body.allowed_logout_urls') IS NOT NULL
    OR json_extract(details, '$.request.body.token_endpoint_auth_method') IS NOT NULL
  )
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
ORDER BY "date" DESC, log_id DESC
LIMIT ?
