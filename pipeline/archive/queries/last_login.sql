-- The last successful login of a user.
-- parameters: user_id, since
SELECT
  "date",
  connection,
  client_id,
  client_name,
  ip,
  user_agent,
  log_id
FROM tenant_logs
WHERE type IN (
    's', 'scoa', 'sens', 'sdel', 'sede', 'sepft', 'seotpft', 'seoobft', 'sercft', 'sepkotpft', 'sepkoobft', 'sepkrcft',
    'ciba_exchange_succeeded'
  )
  AND user_id = ?
  AND dt >= ?
ORDER BY "date" DESC, log_id DESC
LIMIT 1
