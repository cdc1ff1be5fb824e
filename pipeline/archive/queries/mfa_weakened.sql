-- MFA removed or weakened
-- Factors taken from users, by whom, and changes of the tenant's factors and policies, newest first.
-- parameters: since, until=now, since, until=now, limit
-- finding: log_id
SELECT
  "date",
  type,
  description,
  target_user_id,
  actor,
  actor_name,
  ip,
  http_method,
  http_path,
  json_format(json_extract(details, '$.request.body')) AS request,
  log_id
FROM tenant_logs
WHERE (
    type IN ('gd_unenroll', 'gd_tenant_update')
    OR (
      type = 'my_account_authentication_method_succeeded'
      AND (http_method = 'delete' OR lower(json_extract_scalar(details, '$.operation')) LIKE '%delete%')
    )
    OR (
      type = 'sapi'
      AND (
        regexp_like(http_path, '^/api/v2/guardian/(factors|policies)')
        OR (
          http_method IN ('delete', 'put')
          AND regexp_like(http_path, '/(multifactor|authenticators|authentication-methods|enrollments)(/|$|\?)')
        )
      )
    )
  )
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
ORDER BY "date" DESC, log_id DESC
LIMIT ?
