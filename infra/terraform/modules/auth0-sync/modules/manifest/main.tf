# Manifests of the archive on a schedule: rule -> function, which lists, signs, writes, and locks.

module "function" {
  source = "../function"

  name                     = var.name
  description              = "Lists and signs what the archive has of each day."
  package                  = var.function.package
  handler                  = "pipeline.functions.manifest.handler"
  runtime                  = var.function.runtime
  architecture             = var.function.architecture
  memory_mb                = 512
  timeout_seconds          = 900
  log_retention_days       = var.function.log_retention_days
  statements               = var.statements
  kms_key_arn              = var.kms_key_arn
  permissions_boundary_arn = var.permissions_boundary_arn
  environment              = merge(var.function_environment, { POWERTOOLS_SERVICE_NAME = "manifest" })
}

# A day needs one run; the others find what a run left over, and tell the alarm that the function lives.
resource "aws_cloudwatch_event_rule" "this" {
  name                = var.name
  description         = "When to look for days of the archive without a manifest."
  schedule_expression = "rate(1 hour)"
}

resource "aws_lambda_permission" "schedule" {
  function_name = module.function.name
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.this.arn
}

resource "aws_cloudwatch_event_target" "this" {
  rule      = aws_cloudwatch_event_rule.this.name
  target_id = "manifest"
  arn       = module.function.arn

  depends_on = [aws_lambda_permission.schedule]
}
