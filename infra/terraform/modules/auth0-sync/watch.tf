# Watch: asks the archive questions on a schedule, and sends new findings to a topic. Off without questions.

module "watch" {
  source = "./modules/watch"
  count  = var.watch == null ? 0 : 1

  account                  = local.account
  name                     = "${local.prefix}-watch"
  questions                = var.watch.questions
  schedule                 = var.watch.schedule
  window_days              = var.watch.window_days
  topic                    = { arn = var.watch.topic_arn, kms_key_arn = var.watch.topic_kms_key_arn, emails = var.watch.emails }
  permissions_boundary_arn = var.access.permissions_boundary_arn
  ask_statements           = module.archive.ask_statements
  kms_key_arn              = local.kms_key_arn

  function = {
    package            = "${var.package_dir}/watch.zip"
    runtime            = var.lambda.runtime
    architecture       = var.lambda.architecture
    log_retention_days = var.logs.retention_days
  }
  function_environment = merge(local.function_environment, {
    ATHENA_DATABASE  = module.archive.database_name
    ATHENA_WORKGROUP = module.archive.workgroup_name
    ENV              = local.env
  })
}
