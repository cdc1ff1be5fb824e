# Everything that can be switched on, at once. tests/infra/test_permissions.py reads the state of this run: it holds each
# role's rights against the requests that the function's code makes with the environment that is set here.

mock_provider "aws" {
  source = "./tests/mocks"
}

mock_provider "aws" {
  alias  = "source"
  source = "./tests/mocks"

  mock_data "aws_region" {
    defaults = { id = "us-east-1" }
  }
}

override_data {
  target = module.event_bus[0].data.aws_cloudwatch_event_source.this
  values = {
    name  = "aws.partner/auth0.com/acme-5e6f7a8b/auth0.events"
    state = "ACTIVE"
  }
}

override_resource {
  target = module.postgres_sink.module.queue.aws_sqs_queue.this
  values = {
    id  = "https://sqs.eu-central-1.amazonaws.com/123456789012/auth0-sync-test-postgres"
    arn = "arn:aws:sqs:eu-central-1:123456789012:auth0-sync-test-postgres"
  }
}

override_resource {
  target = module.dynamodb_sink.module.queue.aws_sqs_queue.this
  values = {
    id  = "https://sqs.eu-central-1.amazonaws.com/123456789012/auth0-sync-test-dynamodb"
    arn = "arn:aws:sqs:eu-central-1:123456789012:auth0-sync-test-dynamodb"
  }
}

override_resource {
  target = module.refresh[0].module.queue.aws_sqs_queue.this
  values = {
    id  = "https://sqs.eu-central-1.amazonaws.com/123456789012/auth0-sync-test-refresh"
    arn = "arn:aws:sqs:eu-central-1:123456789012:auth0-sync-test-refresh"
  }
}

override_resource {
  target = module.backfill[0].module.queue.aws_sqs_queue.this
  values = {
    id  = "https://sqs.eu-central-1.amazonaws.com/123456789012/auth0-sync-test-backfill"
    arn = "arn:aws:sqs:eu-central-1:123456789012:auth0-sync-test-backfill"
  }
}

override_resource {
  target = module.users_table.aws_dynamodb_table.users
  values = { arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/auth0-sync-test-users" }
}

override_resource {
  target = aws_cloudwatch_event_rule.this["user-changes-log-stream"]
  values = { arn = "arn:aws:events:eu-central-1:123456789012:rule/auth0.logs/auth0-sync-test-user-changes-log-stream" }
}

override_resource {
  target = aws_cloudwatch_event_rule.this["user-changes-event-stream"]
  values = { arn = "arn:aws:events:eu-central-1:123456789012:rule/auth0.events/auth0-sync-test-user-changes-event-stream" }
}

override_resource {
  target = aws_cloudwatch_event_rule.this["user-signals-log-stream"]
  values = { arn = "arn:aws:events:eu-central-1:123456789012:rule/auth0.logs/auth0-sync-test-user-signals-log-stream" }
}

override_resource {
  target = aws_cloudwatch_event_rule.this["user-signals-event-stream"]
  values = { arn = "arn:aws:events:eu-central-1:123456789012:rule/auth0.events/auth0-sync-test-user-signals-event-stream" }
}

override_resource {
  target = aws_cloudwatch_event_rule.this["logins-log-stream"]
  values = { arn = "arn:aws:events:eu-central-1:123456789012:rule/auth0.logs/auth0-sync-test-logins-log-stream" }
}

override_resource {
  target = module.archive.aws_cloudwatch_event_rule.this["log-stream"]
  values = { arn = "arn:aws:events:eu-central-1:123456789012:rule/archive/log-stream" }
}

override_resource {
  target = module.archive.aws_cloudwatch_event_rule.this["event-stream"]
  values = { arn = "arn:aws:events:eu-central-1:123456789012:rule/archive/event-stream" }
}

override_resource {
  target = module.relay["log-stream"].aws_cloudwatch_event_rule.this
  values = { arn = "arn:aws:events:us-east-1:123456789012:rule/auth0.logs/auth0-sync-test-log-stream" }
}

override_resource {
  target = module.relay["event-stream"].aws_cloudwatch_event_rule.this
  values = { arn = "arn:aws:events:us-east-1:123456789012:rule/auth0.events/auth0-sync-test-event-stream" }
}

override_resource {
  target = module.relay["log-stream"].aws_cloudwatch_event_bus.this
  values = { arn = "arn:aws:events:eu-central-1:123456789012:event-bus/auth0-sync-test-log-stream" }
}

override_resource {
  target = module.relay["event-stream"].aws_cloudwatch_event_bus.this
  values = { arn = "arn:aws:events:eu-central-1:123456789012:event-bus/auth0-sync-test-event-stream" }
}

override_resource {
  target = module.relay["log-stream"].aws_iam_role.this
  values = { arn = "arn:aws:iam::123456789012:role/auth0-sync-test-log-stream" }
}

override_resource {
  target = module.relay["event-stream"].aws_iam_role.this
  values = { arn = "arn:aws:iam::123456789012:role/auth0-sync-test-event-stream" }
}

override_resource {
  target = module.archive.aws_iam_role.events
  values = { arn = "arn:aws:iam::123456789012:role/auth0-sync-test-archive-events" }
}

override_resource {
  target = module.archive.aws_iam_role.firehose
  values = { arn = "arn:aws:iam::123456789012:role/auth0-sync-test-archive-firehose" }
}

override_resource {
  target = module.archive.aws_kinesis_firehose_delivery_stream.this
  values = { arn = "arn:aws:firehose:eu-central-1:123456789012:deliverystream/auth0-sync-test-archive" }
}

override_resource {
  target = module.archive.aws_s3_bucket.this
  values = { id = "auth0-sync-test-archive-123456789012-eu-central-1", arn = "arn:aws:s3:::auth0-sync-test-archive-123456789012-eu-central-1" }
}

override_resource {
  target = module.postgres_sink.module.function.aws_lambda_function.this
  values = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:auth0-sync-test-sync-postgres" }
}

override_resource {
  target = module.dynamodb_sink.module.function.aws_lambda_function.this
  values = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:auth0-sync-test-sync-dynamodb" }
}

override_resource {
  target = module.archive.aws_athena_workgroup.this
  values = { arn = "arn:aws:athena:eu-central-1:123456789012:workgroup/auth0-sync-test" }
}

override_resource {
  target = module.watch[0].aws_dynamodb_table.told
  values = { arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/auth0-sync-test-watch" }
}

override_resource {
  target = module.watch[0].aws_sns_topic.this
  values = { arn = "arn:aws:sns:eu-central-1:123456789012:auth0-sync-test-watch" }
}

override_resource {
  target = module.watch[0].module.function.aws_cloudwatch_event_rule.schedule
  values = { arn = "arn:aws:events:eu-central-1:123456789012:rule/auth0-sync-test-watch" }
}

override_resource {
  target = module.archive.aws_kms_key.manifests
  values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/the-manifests" }
}

override_resource {
  target = module.manifest[0].aws_cloudwatch_event_rule.schedule
  values = { arn = "arn:aws:events:eu-central-1:123456789012:rule/auth0-sync-test-manifest" }
}

override_resource {
  target = module.reconcile[0].aws_security_group.this
  values = { id = "sg-reconcile" }
}

override_resource {
  target = module.reconcile[0].module.function.aws_cloudwatch_event_rule.schedule
  values = { arn = "arn:aws:events:eu-central-1:123456789012:rule/auth0-sync-test-reconcile" }
}

variables {
  environment = "test"
  package_dir = "tests/packages"
  auth0 = {
    log_stream_source_name   = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs"
    event_stream_source_name = "aws.partner/auth0.com/acme-5e6f7a8b/auth0.events"
    source_region            = "us-east-1"
  }
  aurora = { readers = 1 }
  sync   = { history = true }

  refresh = {
    auth0_domain = "acme.eu.auth0.com"
    secret_arn   = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:auth0-AbCdEf"
    kms_key_arn  = "arn:aws:kms:eu-central-1:123456789012:key/the-secrets"
    on_login     = true
  }

  backfill = {}

  archive   = { lock_days = 30 }
  reconcile = { schedule = "rate(12 hours)" }
  watch     = { questions = { mfa_weakened = {} }, schedule = "rate(2 hours)" }

  access = {
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/auth0-sync-boundary"
    operator_arns            = ["arn:aws:iam::123456789012:user/ada"]
    archive_eraser_arns      = ["arn:aws:iam::123456789012:role/eraser"]
  }
}

run "everything" {
  assert {
    condition     = contains(keys(output.function_names), "refresh")
    error_message = "The refresh must be on."
  }
}
