# A deployment that comes and goes: short waits, small buffers, nothing protected from deletion.
# Besides these: auth0, database_url, package_dir and lambda (as TF_VAR_…).

environment       = "local"
protect_data      = false
s3_use_path_style = true

# A message that fails goes to the dead-letter queue after about 40 seconds. A busy machine takes seconds to start a function.
sync   = { timeout_seconds = 20 }
queues = { max_receive_count = 2, visibility_timeout_seconds = 20 }

archive = { buffering_size_mb = 1, buffering_seconds = 5 }

logs        = { retention_days = 1 }
users_table = { point_in_time_recovery = false }

# Nobody is woken up, and an emulator's keys keep nothing secret.
encryption = { customer_managed = false }
alarms     = { enabled = false }
dashboard  = false
