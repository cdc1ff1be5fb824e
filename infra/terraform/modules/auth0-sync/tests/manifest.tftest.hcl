# Manifests: on unless switched off, a schedule that may start one function, and a key that signs for it.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

mock_provider "aws" {
  alias           = "source"
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  environment  = "test"
  package_dir  = "tests/packages"
  auth0        = { log_stream_source_name = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs" }
  database_url = "postgresql://writer@db.example.com/app"
}

run "on" {
  command = plan

  assert {
    condition     = output.function_names.manifest == "auth0-sync-test-manifest" && output.manifest_key_arn != null && output.archive_lock_days == null
    error_message = "The function and its key are there without any setting; nothing is locked."
  }

  assert {
    condition     = contains(keys(output.alarm_names), "manifest-errors") && contains(keys(output.alarm_names), "manifest-age")
    error_message = "A function that fails, or does not run, must ring."
  }
}

run "off" {
  command = plan

  variables {
    archive = { manifest = false }
  }

  assert {
    condition     = length(module.manifest) == 0 && output.manifest_key_arn == null && !contains(keys(output.alarm_names), "manifest-age")
    error_message = "There is nothing of it if it is off."
  }
}

run "module" {
  command = plan

  variables {
    name                 = "auth0-sync-test-manifest"
    statements           = []
    function             = { package = "tests/packages/manifest.zip", runtime = "python3.13", architecture = "arm64", log_retention_days = 90 }
    function_environment = { DEPLOYMENT = "auth0-sync-test" }
  }

  module {
    source = "./modules/manifest"
  }

  assert {
    condition     = aws_cloudwatch_event_rule.this.schedule_expression == "rate(1 hour)" && aws_lambda_permission.schedule.source_arn == aws_cloudwatch_event_rule.this.arn && aws_lambda_permission.schedule.principal == "events.amazonaws.com"
    error_message = "The schedule, and no other rule, may start the function."
  }
}
