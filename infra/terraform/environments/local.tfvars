# A deployment that comes and goes: short waits, small buffers, nothing protected from deletion.
# Besides these: log_stream_source_name, database_url, package_dir and lambda_architecture (as TF_VAR_…).

environment       = "local"
protect_data      = false
s3_use_path_style = true

# A message that fails goes to the dead-letter queue after about 40 seconds.
sync_timeout_seconds      = 3
sync_batch_window_seconds = 1
max_receive_count         = 2

archive_buffering_size_mb = 1
archive_buffering_seconds = 5

log_retention_days                 = 1
users_table_point_in_time_recovery = false

# Nobody is woken up, and an emulator's keys keep nothing secret.
encryption = { customer_managed = false }
alarms     = { enabled = false }
dashboard  = false
