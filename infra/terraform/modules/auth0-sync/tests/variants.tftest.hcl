# Deployments as a whole: the resources that each must have, and those that it must not.

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
  environment = "test"
  package_dir = "tests/packages"
  auth0       = { log_stream_source_name = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs" }
}

run "minimal" {
  command = plan

  variables {
    aurora = { min_capacity = 0 }
  }

  assert {
    condition     = output.function_names == { sync-postgres = "auth0-sync-test-sync-postgres", sync-dynamodb = "auth0-sync-test-sync-dynamodb", migrate = "auth0-sync-test-migrate", roles = "auth0-sync-test-roles", manifest = "auth0-sync-test-manifest" }
    error_message = "A cluster of ours needs the function that makes its roles."
  }

  assert {
    condition     = local.postgres_sink_environment.PGUSER == "auth0_writer" && local.database_environment.migrator.PGUSER == "auth0_migrator" && local.postgres_sink_environment.PGHOST == "mock.cluster-abc.eu-central-1.rds.amazonaws.com"
    error_message = "The sync signs in as the writer, the migration as the migrator."
  }

  assert {
    condition     = !contains(keys(local.postgres_sink_environment), "DATABASE_URL")
    error_message = "There must be no password."
  }

  assert {
    condition     = local.postgres_sink_environment.SCHEMA_REVISION == "0003" && output.schema_revision == "0003"
    error_message = "The sync's functions must come after the migration."
  }

  assert {
    condition     = length(module.network) == 1 && toset(local.database_vpc_config.subnet_ids) == toset(module.network[0].subnet_ids) && one(local.database_vpc_config.security_group_ids) == module.database[0].function_security_group_id
    error_message = "The functions that use the cluster are in its network."
  }

  assert {
    condition     = output.function_network.security_group_ids == local.database_vpc_config.security_group_ids
    error_message = "Whoever destroys the deployment must know where the functions' network interfaces are."
  }

  assert {
    condition     = aws_lambda_invocation.roles[0].function_name == "auth0-sync-test-roles" && aws_lambda_invocation.migrate[0].function_name == "auth0-sync-test-migrate"
    error_message = "A deployment makes the roles and migrates."
  }

  assert {
    condition     = output.kms_key_arn == "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab" && length(output.alarm_names) > 0 && output.dashboard_name != null && output.alarm_topic_arn != null
    error_message = "Without a word about it there are a key, alarms and a dashboard."
  }

  assert {
    condition     = length(module.reconcile) == 0 && !contains(keys(output.function_names), "reconcile") && !contains(keys(output.alarm_names), "drift")
    error_message = "Nothing compares the stores unless asked for."
  }
}

run "production" {
  command = plan

  variables {
    auth0 = {
      log_stream_source_name   = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs"
      event_stream_source_name = "aws.partner/auth0.com/acme-5e6f7a8b/auth0.events"
      source_region            = "us-east-1"
    }
    aurora    = { readers = 1, client_security_groups = { billing = "sg-billing" } }
    alarms    = { emails = ["oncall@acme.example"] }
    sync      = { history = true }
    reconcile = {}
    refresh = {
      auth0_domain = "acme.eu.auth0.com"
      secret_arn   = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:auth0-AbCdEf"
    }
  }

  override_data {
    target = module.event_bus[0].data.aws_cloudwatch_event_source.this
    values = {
      name  = "aws.partner/auth0.com/acme-5e6f7a8b/auth0.events"
      state = "ACTIVE"
    }
  }

  assert {
    condition     = output.bus_names == tomap({ log-stream = "auth0-sync-test-log-stream", event-stream = "auth0-sync-test-event-stream" })
    error_message = "With sources in another region the rules are on buses of our own."
  }

  assert {
    condition     = output.event_sources == { log-stream = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs", event-stream = "aws.partner/auth0.com/acme-5e6f7a8b/auth0.events" } && output.source_region == "us-east-1"
    error_message = "What Auth0 offers stays where it is."
  }

  assert {
    condition     = keys(output.relay_dlq_urls) == ["event-stream", "log-stream"]
    error_message = "Forwarding is a hop that can drop an event, so it has a dead-letter queue."
  }

  assert {
    condition     = alltrue([for rule in aws_cloudwatch_event_rule.this : startswith(rule.event_bus_name, "auth0-sync-test-")])
    error_message = "Every rule of the data's region is on a bus there."
  }

  assert {
    condition     = length(module.source_observability) == 1
    error_message = "What is in the source's region is watched there."
  }

  assert {
    condition     = contains(keys(output.function_names), "refresh") && keys(output.dlq_urls) == ["dynamodb", "postgres", "refresh"]
    error_message = "With credentials there is a refresh."
  }

  assert {
    condition     = local.postgres_sink_environment.HISTORY == "on"
    error_message = "The function for Postgres must be told to keep history."
  }

  assert {
    condition     = jsondecode(output.database_reader_policy).Statement == [{ Sid = "SignIn", Effect = "Allow", Action = ["rds-db:connect"], Resource = ["arn:aws:rds-db:eu-central-1:123456789012:dbuser:cluster-ABCDEFGHIJKL1234/auth0_reader"] }]
    error_message = "The policy signs in as the reader, to this cluster, and nothing else."
  }

  assert {
    condition     = output.database.security_group_id == module.database[0].database_security_group_id && output.database_client_security_group_id == module.database[0].function_security_group_id && output.users_table_reader_policy == module.users_table.reader_policy
    error_message = "A program finds the groups and the policies in the outputs."
  }

  assert {
    condition     = output.function_names.reconcile == "auth0-sync-test-reconcile" && output.log_group_names.reconcile == "/aws/lambda/auth0-sync-test-reconcile"
    error_message = "The comparison has a function."
  }

  assert {
    condition     = length(setsubtract(["drift", "reconcile-errors", "reconcile-unfinished"], keys(output.alarm_names))) == 0
    error_message = "Drift must ring, and so must a comparison that fails or does not finish."
  }
}

run "options_without_protection" {
  command = plan

  variables {
    database_url        = "postgresql://writer@db.example.com/app"
    reader_database_url = "postgresql://auth0_reader@db.example.com/app"
    protect_data        = false
    reconcile           = {}
    backfill            = {}
    queues              = { visibility_timeout_seconds = 100 }
    watch = {
      questions = { mfa_weakened = {}, accounts_under_attack = { minimum = 20 }, admin_actions = { admin = "auth0|erin" } }
      emails    = ["security@example.com"]
    }
  }

  expect_failures = [check.data_protection]

  assert {
    condition     = nonsensitive(local.database_environment.reader.DATABASE_URL) == "postgresql://auth0_reader@db.example.com/app"
    error_message = "The comparison signs in as a reader."
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

  assert {
    condition     = output.function_names.watch == "auth0-sync-test-watch" && output.watch_topic_arn != null
    error_message = "The watch has a function and a topic."
  }

  assert {
    condition     = contains(keys(output.alarm_names), "watch-errors")
    error_message = "A watch that fails must ring."
  }

  assert {
    condition     = local.migrate_environment.PROTECT_DATA == "off"
    error_message = "Without the protection a migration can be taken back."
  }
}

run "behind_a_pooler_with_keys_of_aws_and_no_manifests" {
  command = plan

  variables {
    encryption             = { customer_managed = false }
    archive                = { manifest = false }
    database_url           = "postgresql://writer:s3cr%25tPASSWORD@db.example.com:5433/app?sslmode=verify-full&sslrootcert=/etc/pki/ca.crt"
    migration_database_url = "postgres://writer:a:b;c=d,e&f!@[2001:db8::1]:5432,db.example.com:5433/app"
  }

  assert {
    condition     = output.database_reader_policy == null && output.database_client_security_group_id == null
    error_message = "A server that is reached by password takes no tokens."
  }

  assert {
    condition     = local.migrate_environment.PROTECT_DATA == "on"
    error_message = "The migration function refuses to take migrations back."
  }

  assert {
    condition     = local.database_environment.writer == tomap({ DATABASE_URL = var.database_url }) && local.database_environment.migrator == tomap({ DATABASE_URL = var.migration_database_url })
    error_message = "The sync goes through the pooler, migrations go past it."
  }

  assert {
    condition     = output.kms_key_arn == null && length(module.key) == 0
    error_message = "There must be no key of ours."
  }

  assert {
    condition     = length(module.manifest) == 0 && output.manifest_key_arn == null && !contains(keys(output.alarm_names), "manifest-age")
    error_message = "There is nothing of it if it is off."
  }
}

run "no_alarms_no_backups_and_no_migration" {
  command = plan

  variables {
    database_url     = "postgresql://writer@db.example.com/app"
    migrate_on_apply = false
    dashboard        = false
    alarms           = { enabled = false }
    users_table      = { point_in_time_recovery = false }
  }

  expect_failures = [check.watched, check.backups]

  assert {
    condition     = length(output.alarm_names) == 0 && output.dashboard_name == null && output.alarm_topic_arn == null
    error_message = "Nothing watches if nothing shall."
  }

  assert {
    condition     = length(aws_lambda_invocation.migrate) == 0 && output.schema_revision == null && !contains(keys(local.postgres_sink_environment), "SCHEMA_REVISION")
    error_message = "Nothing migrates if nothing shall."
  }
}

# The output database is refused, which needs no plan of more than its module. tests/infra/test_variables.py has
# more URLs.
run "a_password_that_is_not_encoded" {
  command = plan

  plan_options {
    target = [module.database]
  }

  variables {
    database_url           = "postgresql://writer:s3cr%tPASSWORD@db.example.com/app"
    migration_database_url = "postgresql://migrator@db.example.com/app"
  }

  expect_failures = [output.database]
}

run "another_kind_of_url" {
  command = plan

  plan_options {
    target = [module.database]
  }

  variables {
    database_url           = "postgresql://writer@db.example.com/app"
    migration_database_url = "mysql://migrator@db.example.com/app"
  }

  expect_failures = [output.database]
}

run "a_writer_is_no_reader" {
  command = plan

  plan_options {
    target = [module.database]
  }

  variables {
    database_url = "postgresql://writer@db.example.com/app"
    reconcile    = {}
  }

  expect_failures = [output.database]
}

run "unknown_certificates" {
  command = plan

  plan_options {
    target = [aws_lambda_invocation.roles]
  }

  variables {
    aurora = {}
  }

  override_data {
    target = data.aws_region.current
    values = { id = "xx-nowhere-1" }
  }

  expect_failures = [aws_lambda_invocation.roles]
}
