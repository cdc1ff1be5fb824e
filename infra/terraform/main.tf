# A clone's deployment, which the commands run: the module, with providers and this repository's packages.

module "auth0_sync" {
  source    = "./modules/auth0-sync"
  providers = { aws = aws, aws.source = aws.source }

  name                               = var.name
  environment                        = var.environment
  source_region                      = var.source_region
  protect_data                       = var.protect_data
  log_stream_source_name             = var.log_stream_source_name
  event_stream_source_name           = var.event_stream_source_name
  create_buses                       = var.create_buses
  aurora                             = var.aurora
  network                            = var.network
  vpc_cidr                           = var.vpc_cidr
  database_client_security_groups    = var.database_client_security_groups
  database_url                       = var.database_url
  migration_database_url             = var.migration_database_url
  database                           = var.database
  vpc_config                         = var.vpc_config
  migrate_on_apply                   = var.migrate_on_apply
  encryption                         = var.encryption
  alarms                             = var.alarms
  env                                = var.env
  runbook_url                        = var.runbook_url
  dashboard                          = var.dashboard
  package_dir                        = coalesce(var.package_dir, "${path.root}/../../build/packages/lambda")
  lambda_runtime                     = var.lambda_runtime
  lambda_architecture                = var.lambda_architecture
  log_level                          = var.log_level
  log_retention_days                 = var.log_retention_days
  migrate_timeout_seconds            = var.migrate_timeout_seconds
  migrate_memory_mb                  = var.migrate_memory_mb
  migrate_reserved_concurrency       = var.migrate_reserved_concurrency
  sync_enabled                       = var.sync_enabled
  history                            = var.history
  clock_tolerance_seconds            = var.clock_tolerance_seconds
  sync_batch_size                    = var.sync_batch_size
  sync_batch_window_seconds          = var.sync_batch_window_seconds
  sync_timeout_seconds               = var.sync_timeout_seconds
  sync_memory_mb                     = var.sync_memory_mb
  sync_maximum_concurrency           = var.sync_maximum_concurrency
  sync_reserved_concurrency          = var.sync_reserved_concurrency
  max_receive_count                  = var.max_receive_count
  queue_retention_seconds            = var.queue_retention_seconds
  queue_max_message_bytes            = var.queue_max_message_bytes
  target_maximum_event_age_seconds   = var.target_maximum_event_age_seconds
  target_maximum_retry_attempts      = var.target_maximum_retry_attempts
  refresh                            = var.refresh
  users_table_point_in_time_recovery = var.users_table_point_in_time_recovery
  archive_prefix                     = var.archive_prefix
  archive_error_prefix               = var.archive_error_prefix
  archive_buffering_size_mb          = var.archive_buffering_size_mb
  archive_buffering_seconds          = var.archive_buffering_seconds
  archive_glacier_ir_after_days      = var.archive_glacier_ir_after_days
  archive_expire_after_days          = var.archive_expire_after_days
  archive_first_day                  = var.archive_first_day
  athena_results_expire_after_days   = var.athena_results_expire_after_days
  athena_bytes_scanned_cutoff        = var.athena_bytes_scanned_cutoff
  watch                              = var.watch
}
