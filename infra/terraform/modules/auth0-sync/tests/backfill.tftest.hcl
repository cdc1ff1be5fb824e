# The backfill: off by default; if on, a queue that only people send to, and an alias of each sink's function.

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

run "off" {
  command = plan

  assert {
    condition     = !contains(keys(output.function_names), "backfill") && keys(output.queue_urls) == ["dynamodb", "postgres"] && length(aws_lambda_alias.backfill) == 0
    error_message = "Until somebody wants it there is no function, no queue that Lambda polls, and no way to the sinks."
  }
}

run "on" {
  command = plan

  variables {
    backfill = {}
    queues   = { visibility_timeout_seconds = 100 }
  }

  assert {
    condition     = output.function_names.backfill == "auth0-sync-test-backfill" && keys(output.dlq_urls) == ["backfill", "dynamodb", "postgres"] && keys(output.target_dlq_urls) == ["archive", "dynamodb", "postgres"]
    error_message = "The backfill has a function, a queue and the function's dead-letter queue; EventBridge sends it nothing."
  }

  assert {
    condition     = { for sink, alias in aws_lambda_alias.backfill : sink => alias.name } == { dynamodb = "backfill", postgres = "backfill" }
    error_message = "Each sink's function has an alias for slices of exports alone."
  }

  assert {
    condition     = local.backfill_queues.visibility_timeout_seconds == null
    error_message = "A slice may take as long as a sink's function, whatever the wait of the sinks' messages."
  }

  assert {
    condition     = contains(keys(output.alarm_names), "failed-messages-backfill") && contains(keys(output.alarm_names), "function-errors-backfill") && !contains(keys(output.alarm_names), "queue-age-backfill") && !contains(keys(output.alarm_names), "poison-backfill")
    error_message = "Slices that were given up are an alarm, but not the time that the others wait."
  }
}
