# Manifests: signed lists of the archive's objects, a list for each day, with which `auth0-sync verify` finds every change.

locals {
  manifest_name     = "${local.prefix}-manifest"
  manifest_role_arn = "arn:${local.account.partition}:iam::${local.account.id}:role/${local.manifest_name}"
}

module "manifest" {
  source = "./modules/function"
  count  = var.archive.manifest ? 1 : 0

  account                  = local.account
  name                     = local.manifest_name
  description              = "Lists and signs the archive's objects of each day."
  package                  = "${var.package_dir}/manifest.zip"
  handler                  = "pipeline.functions.manifest.handler"
  runtime                  = var.lambda.runtime
  architecture             = var.lambda.architecture
  memory_mb                = 512
  timeout_seconds          = 900
  log_retention_days       = var.logs.retention_days
  kms_key_arn              = local.kms_key_arn
  permissions_boundary_arn = var.access.permissions_boundary_arn
  statements               = module.archive.manifest_statements
  environment = merge(local.function_environment, {
    ARCHIVE_BUCKET       = module.archive.bucket_name
    ARCHIVE_PREFIX       = var.archive.prefix
    ARCHIVE_ERROR_PREFIX = var.archive.error_prefix
    MANIFEST_KEY_ARN     = module.archive.manifest_key_arn
    EXPIRE_AFTER_DAYS    = var.archive.expire_after_days == null ? "" : tostring(var.archive.expire_after_days)
    LOCK_DAYS            = var.archive.lock_days == null ? "" : tostring(var.archive.lock_days)
    SERVICE_NAME         = "manifest"
  })

  # One run a day is enough: the others finish what it left, and send the metric that the alarm manifest-age needs.
  schedule = {
    expression  = "rate(1 hour)"
    description = "Runs the manifest function, which lists and signs closed days of the archive."
  }
}
