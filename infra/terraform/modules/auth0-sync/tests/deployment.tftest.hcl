# Assertions about every deployment. Nothing is created: the provider is a mock, so `apply` only fills in ids and ARNs.

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

# Every setting has its default: no refresh, no backfill, no watch, manifests on, and no server of ours where there is
# another.
run "defaults" {
  command = plan

  assert {
    condition     = output.bus_names == tomap({ log-stream = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs" })
    error_message = "Without an Event Stream there is one bus, the Log Stream's."
  }

  assert {
    condition     = output.function_names == { sync-postgres = "auth0-sync-test-sync-postgres", sync-dynamodb = "auth0-sync-test-sync-dynamodb", migrate = "auth0-sync-test-migrate", manifest = "auth0-sync-test-manifest" }
    error_message = "Functions must be named after the deployment."
  }

  assert {
    condition     = toset(keys(output.dlq_urls)) == toset(["postgres", "dynamodb"]) && toset(keys(output.target_dlq_urls)) == toset(["postgres", "dynamodb", "archive"])
    error_message = "Every hop needs a dead-letter queue: both sinks, and each of the three targets."
  }

  assert {
    condition     = output.rule_names.user-signals == { log-stream = "auth0-sync-test-user-signals-log-stream" } && output.rule_names.logins == { log-stream = "auth0-sync-test-logins-log-stream" }
    error_message = "Without the refresh the rules are still there, so that EventBridge counts what is missed."
  }

  assert {
    condition     = output.region == "eu-central-1" && output.users_table == "auth0-sync-test-users" && output.glue_database == "auth0_sync_test"
    error_message = "Outputs must name the region, the users table and the Glue database."
  }

  assert {
    condition     = length(local.refresh_statements) == 0
    error_message = "Without credentials nobody needs rights for them."
  }

  assert {
    condition     = !contains(keys(local.sink_environment), "REFRESH_ROLE_ID") && length(aws_lambda_alias.refresh) == 0
    error_message = "Without a refresh no sender is the refresh, and nobody invokes the sinks' functions by its alias."
  }

  assert {
    condition     = !contains(keys(output.function_names), "refresh") && keys(output.queue_urls) == ["dynamodb", "postgres"]
    error_message = "Without credentials there is no refresh function and no queue that nobody reads."
  }

  assert {
    condition     = alltrue([for subject in ["user-signals", "logins"] : contains(keys(output.rule_names), subject)])
    error_message = "The rules must be there all the same: EventBridge counts what they match."
  }

  assert {
    condition     = output.function_names.manifest == "auth0-sync-test-manifest" && output.manifest_key_arn != null && output.archive_lock_days == null
    error_message = "The function and its key are there without any setting; nothing is locked."
  }

  assert {
    condition     = contains(keys(output.alarm_names), "manifest-errors") && contains(keys(output.alarm_names), "manifest-age")
    error_message = "A function that fails, or does not run, must ring."
  }

  assert {
    condition     = output.database == null && output.function_network == null && length(module.network) == 0 && length(module.database) == 0 && length(aws_lambda_invocation.roles) == 0
    error_message = "With a server of one's own there is no other."
  }

  assert {
    condition     = length(aws_lambda_invocation.migrate) == 1
    error_message = "It is migrated all the same."
  }

  assert {
    condition     = !contains(keys(output.function_names), "backfill") && keys(output.queue_urls) == ["dynamodb", "postgres"] && length(aws_lambda_alias.backfill) == 0
    error_message = "Until somebody wants it there is no function, no queue that Lambda polls, and no way to the sinks."
  }

  assert {
    condition     = local.operator_arns == tolist(["arn:aws:iam::123456789012:role/Deployer", "arn:aws:iam::123456789012:role/*/Deployer"])
    error_message = "The principal that deploys may send, without being named."
  }

  assert {
    condition     = length(module.watch) == 0 && !contains(keys(output.function_names), "watch") && output.watch_topic_arn == null
    error_message = "Without questions there is nothing of the watch."
  }
}

run "iam_authentication_with_existing_buses_and_key" {
  command = plan

  variables {
    auth0        = { log_stream_source_name = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs", create_buses = false }
    encryption   = { key_arn = "arn:aws:kms:eu-central-1:123456789012:key/own" }
    database_url = null
    database = {
      host          = "db.example.com"
      name          = "app"
      writer_user   = "auth0_writer"
      migrator_user = "auth0_migrator"
      resource_id   = "cluster-ABCDEFGHIJKL1234"
    }
  }

  override_data {
    target = module.log_bus.data.aws_cloudwatch_event_bus.this
    values = { name = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs" }
  }

  assert {
    condition     = local.database_environment.writer == tomap({ PGHOST = "db.example.com", PGPORT = "5432", PGDATABASE = "app", PGUSER = "auth0_writer" })
    error_message = "The sync signs in as the writer."
  }

  assert {
    condition     = local.database_statements.migrator == [{ actions = ["rds-db:connect"], resources = ["arn:aws:rds-db:eu-central-1:123456789012:dbuser:cluster-ABCDEFGHIJKL1234/auth0_migrator"] }]
    error_message = "The migration may sign in as the migrator, and as nobody else."
  }

  assert {
    condition     = output.bus_names == tomap({ log-stream = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs" })
    error_message = "An existing bus is used as it is."
  }

  assert {
    condition     = alltrue([for rule in aws_cloudwatch_event_rule.this : jsondecode(rule.event_pattern).source == ["aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs"]])
    error_message = "Whoever made the bus, its rules take the configured source alone."
  }

  assert {
    condition     = output.kms_key_arn == "arn:aws:kms:eu-central-1:123456789012:key/own" && length(module.key) == 0
    error_message = "The key that was given is used, and none made."
  }
}
