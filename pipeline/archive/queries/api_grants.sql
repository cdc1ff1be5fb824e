-- Applications' rights to APIs changed
-- Client grants, scopes and APIs created, changed or deleted, newest first; the Management API's own are marked.
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
  coalesce(
    json_extract_scalar(details, '$.response.body.client_id'),
    json_extract_scalar(details, '$.request.body.client_id')
  ) AS granted_to,
  coalesce(
    json_extract_scalar(details, '$.response.body.audience'),
    json_extract_scalar(details, '$.request.body.audience'),
    json_extract_scalar(details, '$.request.body.identifier')
  ) AS api,
  coalesce(
    json_extract_scalar(details, '$.response.body.audience'),
    json_extract_scalar(details, '$.request.body.audience')
  ) LIKE '%/api/v2/' AS management_api,
  json_format(coalesce(json_extract(details, '$.request.body.scope'), json_extract(details, '$.request.body.scopes'))) AS scopes,
  log_id
FROM tenant_logs
WHERE type = 'sapi'
  AND regexp_like(http_path, '^/api/v2/(client-grants|resource-servers)(/|$)')
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
ORDER BY "date" DESC, log_id DESC
LIMIT ?
