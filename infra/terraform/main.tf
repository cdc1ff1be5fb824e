# A clone's deployment, which the commands run: the module, with providers and this repository's packages.

module "auth0_sync" {
  source    = "./modules/auth0-sync"
  providers = { aws = aws, aws.source = aws.source }

  name                   = var.name
  environment            = var.environment
  env                    = var.env
  protect_data           = var.protect_data
  auth0                  = var.auth0
  aurora                 = var.aurora
  network                = var.network
  database               = var.database
  database_url           = var.database_url
  migration_database_url = var.migration_database_url
  reader_database_url    = var.reader_database_url
  vpc_config             = var.vpc_config
  migrate_on_apply       = var.migrate_on_apply
  encryption             = var.encryption
  access                 = var.access
  alarms                 = var.alarms
  dashboard              = var.dashboard
  package_dir            = coalesce(var.package_dir, "${path.root}/../../build/packages/lambda")
  lambda                 = var.lambda
  logs                   = var.logs
  sync                   = var.sync
  queues                 = var.queues
  refresh                = var.refresh
  backfill               = var.backfill
  users_table            = var.users_table
  archive                = var.archive
  watch                  = var.watch
  reconcile              = var.reconcile
}
