# The refresh, if it is on: it may read one secret and send to three queues, and gets events of both streams.
# deployment.tftest.hcl has it off.

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

  variables {
    refresh = {
      auth0_domain = "acme.eu.auth0.com"
      secret_arn   = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:auth0-AbCdEf"
    }
  }

  assert {
    condition     = output.function_names.refresh == "auth0-sync-test-refresh" && keys(output.dlq_urls) == ["dynamodb", "postgres", "refresh"] && keys(output.target_dlq_urls) == ["archive", "dynamodb", "postgres", "refresh"]
    error_message = "The refresh has a function, a queue and its dead-letter queues."
  }

  assert {
    condition     = { for key, rule in local.refresh_rules : key => rule.name } == { for subject in ["user-changes", "user-signals"] : "${subject}-log-stream" => "auth0-sync-test-${subject}-log-stream" }
    error_message = "Logins must not cost a request each, unless asked for."
  }

  assert {
    condition = [for s in local.refresh_statements : "${join(" ", s.actions)} ${join(" ", s.resources)}" if s.resources != [local.kms_key_arn]] == [
      "sqs:SendMessage arn:aws:sqs:eu-central-1:123456789012:auth0-sync-test-dynamodb",
      "sqs:SendMessage arn:aws:sqs:eu-central-1:123456789012:auth0-sync-test-postgres",
      "sqs:SendMessage arn:aws:sqs:eu-central-1:123456789012:auth0-sync-test-refresh",
      "lambda:InvokeFunction arn:aws:lambda:eu-central-1:123456789012:function:auth0-sync-test-sync-dynamodb:refresh arn:aws:lambda:eu-central-1:123456789012:function:auth0-sync-test-sync-postgres:refresh",
      "secretsmanager:GetSecretValue arn:aws:secretsmanager:eu-central-1:123456789012:secret:auth0-AbCdEf",
    ]
    error_message = "Besides reading its queue, the function may send to the sinks' queues and its own, invoke the sinks' functions, and read its secret."
  }

  assert {
    condition = { for s in local.refresh_statements : s.conditions.StringEquals["kms:EncryptionContext:aws:sqs:arn"][0] => join(" ", s.actions) if s.resources == [local.kms_key_arn] } == {
      for name in ["dynamodb", "postgres", "refresh"] : "arn:aws:sqs:eu-central-1:123456789012:auth0-sync-test-${name}" => "kms:Decrypt kms:GenerateDataKey"
    }
    error_message = "The function may encrypt for each queue that it sends to."
  }

  assert {
    condition = tomap(local.refresh_environment) == tomap({
      AUTH0_DOMAIN            = "acme.eu.auth0.com"
      AUTH0_CLIENT_SECRET_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:auth0-AbCdEf"
      REFRESH_QUEUE_URL       = output.queue_urls.refresh
      SINK_QUEUE_URLS         = "${output.queue_urls.dynamodb},${output.queue_urls.postgres}"
      SINK_FUNCTIONS          = "auth0-sync-test-sync-dynamodb:refresh,auth0-sync-test-sync-postgres:refresh"
      REFRESH_RATE            = "1"
      REFRESH_MAX_AGE         = "345600"
      SERVICE_NAME            = "refresh"
    })
    error_message = "The function needs its settings, and no secret among them."
  }

  assert {
    condition     = local.sink_environment.EVENT_SOURCES == "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs" && local.sink_environment.REFRESH_ROLE_ID == module.refresh[0].function_role_id
    error_message = "The sinks must know whose events to believe, and which sender the refresh is."
  }
}

run "on_login_with_a_key_and_both_streams" {
  command = plan

  variables {
    auth0 = {
      log_stream_source_name   = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs"
      event_stream_source_name = "aws.partner/auth0.com/acme-5e6f7a8b/auth0.events"
    }
    refresh = {
      auth0_domain    = "acme.eu.auth0.com"
      secret_arn      = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:auth0-AbCdEf"
      kms_key_arn     = "arn:aws:kms:eu-central-1:123456789012:key/the-secrets"
      on_login        = true
      rate            = 0.5
      max_age_seconds = 3600
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
    condition = { for key, rule in local.refresh_rules : key => "${rule.event_bus_name} ${rule.name}" } == {
      logins-log-stream         = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs auth0-sync-test-logins-log-stream"
      user-changes-log-stream   = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs auth0-sync-test-user-changes-log-stream"
      user-signals-event-stream = "aws.partner/auth0.com/acme-5e6f7a8b/auth0.events auth0-sync-test-user-signals-event-stream"
      user-signals-log-stream   = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs auth0-sync-test-user-signals-log-stream"
    }
    error_message = "The refresh must get the signals of both buses, the changes in logs, and logins where asked for."
  }

  assert {
    condition = [for s in local.refresh_statements : jsonencode(s) if s.resources == ["arn:aws:kms:eu-central-1:123456789012:key/the-secrets"]] == [jsonencode({
      actions   = ["kms:Decrypt"]
      resources = ["arn:aws:kms:eu-central-1:123456789012:key/the-secrets"]
      conditions = { StringEquals = {
        "kms:ViaService"                  = ["secretsmanager.eu-central-1.amazonaws.com"]
        "kms:EncryptionContext:SecretARN" = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:auth0-AbCdEf"]
      } }
    })]
    error_message = "The function may decrypt its secret with the secret's key, through Secrets Manager."
  }

  assert {
    condition     = local.sink_environment.EVENT_SOURCES == "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs,aws.partner/auth0.com/acme-5e6f7a8b/auth0.events"
    error_message = "The sinks must believe both streams."
  }

  assert {
    condition     = local.refresh_environment.REFRESH_RATE == "0.5" && local.refresh_environment.REFRESH_MAX_AGE == "3600"
    error_message = "Rate and age are the function's settings."
  }

  assert {
    condition = output.bus_names == tomap({
      log-stream   = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs"
      event-stream = "aws.partner/auth0.com/acme-5e6f7a8b/auth0.events"
    })
    error_message = "Each stream has its bus."
  }

  assert {
    condition     = output.rule_names.user-changes == { log-stream = "auth0-sync-test-user-changes-log-stream", event-stream = "auth0-sync-test-user-changes-event-stream" }
    error_message = "Both buses carry user changes."
  }

  assert {
    condition     = { for subject, rules in output.rule_names : subject => join(" ", keys(rules)) } == { user-changes = "event-stream log-stream", user-signals = "event-stream log-stream", logins = "log-stream", archive = "event-stream log-stream" }
    error_message = "Both buses are archived and watched for changes and signals; only the Log Stream tells logins."
  }

  assert {
    condition     = { for rule in aws_cloudwatch_event_rule.this : rule.name => rule.event_bus_name if endswith(rule.name, "event-stream") } == { for name in ["auth0-sync-test-user-changes-event-stream", "auth0-sync-test-user-signals-event-stream"] : name => "aws.partner/auth0.com/acme-5e6f7a8b/auth0.events" }
    error_message = "Each rule belongs to its stream's bus."
  }
}
