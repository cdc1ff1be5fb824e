-- Members invited, joined and removed
-- Members of the tenant (its administrators) and of organizations: invitations, additions, roles and removals, newest first.
-- parameters: since, until=now, since, until=now, limit
-- finding: log_id
SELECT
  "date",
  type,
  description,
  CASE
    WHEN regexp_like(http_path, '^/api/v2/(tenants/|tenant-)') THEN 'tenant'
    ELSE coalesce(organization_id, regexp_extract(http_path, '^/api/v2/organizations/([^/?]+)', 1))
  END AS member_of,
  target_user_ids,
  target_email,
  actor,
  actor_name,
  ip,
  http_method,
  http_path,
  log_id
FROM tenant_logs
WHERE (
    type IN ('organization_member_added', 'si', 'fi')
    OR (
      type = 'sapi'
      AND regexp_like(
        http_path,
        '^/api/v2/(tenants/.*(members|invitations)|tenant-(members|invitations)|organizations/[^/]+/(members|invitations))'
      )
    )
  )
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
ORDER BY "date" DESC, log_id DESC
LIMIT ?
