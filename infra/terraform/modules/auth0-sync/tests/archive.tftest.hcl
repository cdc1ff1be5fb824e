# The archive: everything, byte for byte, one event a line, private, readable by Athena.

mock_provider "aws" {
  source = "./tests/mocks"
}

override_resource {
  target = aws_cloudwatch_event_rule.this["log-stream"]
  values = { arn = "arn:aws:events:eu-central-1:123456789012:rule/logs-bus/archive" }
}

override_resource {
  target = aws_s3_bucket.this
  values = { id = "bucket", arn = "arn:aws:s3:::bucket" }
}

variables {
  account               = { id = "123456789012", partition = "aws", region = "eu-central-1" }
  name                  = "archive"
  bucket_name           = "bucket"
  force_destroy         = false
  bus_names             = { log-stream = "logs-bus" }
  event_sources         = { log-stream = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs" }
  event_pattern         = file("patterns/everything.json")
  queues                = { retention_seconds = 1209600, max_message_bytes = 200000 }
  prefix                = "logs/"
  error_prefix          = "errors/"
  buffering_size_mb     = 64
  buffering_seconds     = 300
  glacier_ir_after_days = null
  expire_after_days     = null
  log_retention_days    = 30
  manifest_role_arn     = null
  object_lock           = false
  database_name         = "auth0_sync_test"
  catalog = {
    input_format   = "org.apache.hadoop.mapred.TextInputFormat"
    output_format  = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
    partition_keys = [{ name = "dt", type = "string", comment = "Day." }]
    parameters     = { "projection.enabled" = "true" }
    tables = {
      lines = {
        description = "Lines."
        serde       = { library = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", parameters = {} }
        columns     = [{ name = "line", type = "string", comment = "The line." }]
      }
    }
    views = {
      tenant_logs = {
        description = "Logs."
        sql         = "-- Why.\nSELECT\n  -- What.\n  line\nFROM lines\n"
        columns = [
          for type in ["varchar", "integer", "boolean", "double", "timestamp(3)", "array(varchar)"] :
          { name = "a_${replace(type, "/[()]/", "")}", type = type, comment = "A column." }
        ]
      }
    }
  }
  first_day             = "2026-01-01"
  athena_workgroup_name = "auth0-sync-test"
  results_expire_days   = 30
  operator_arns         = ["arn:aws:iam::123456789012:role/operator"]
  eraser_arns           = []
  bytes_scanned_cutoff  = 107374182400
}

run "archive" {
  module {
    source = "./modules/archive"
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["log-stream"].event_pattern) == { source = ["aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs"], replay-name = [{ exists = false }] }
    error_message = "The rule must take everything from the stream's source, and no replay: that is in the archive already."
  }

  assert {
    condition = (
      aws_cloudwatch_event_target.firehose["log-stream"].arn == aws_kinesis_firehose_delivery_stream.this.arn &&
      aws_cloudwatch_event_target.firehose["log-stream"].dead_letter_config[0].arn == module.undelivered.arn &&
      aws_cloudwatch_event_target.firehose["log-stream"].retry_policy[0].maximum_event_age_in_seconds == 86400 &&
      aws_cloudwatch_event_target.firehose["log-stream"].retry_policy[0].maximum_retry_attempts == 185
    )
    error_message = "The target needs a retry policy and a dead-letter queue."
  }

  assert {
    condition     = length(aws_cloudwatch_event_target.firehose["log-stream"].input_transformer) == 0
    error_message = "An event must be archived as it came."
  }

  assert {
    condition = one([
      for p in aws_kinesis_firehose_delivery_stream.this.extended_s3_configuration[0].processing_configuration[0].processors :
      one(p.parameters).parameter_value if p.type == "AppendDelimiterToRecord"
    ]) == "\\n"
    error_message = "Firehose must put a newline after each event."
  }

  assert {
    condition = (
      aws_kinesis_firehose_delivery_stream.this.extended_s3_configuration[0].prefix == "logs/dt=!{timestamp:yyyy-MM-dd}/hour=!{timestamp:HH}/" &&
      aws_glue_catalog_table.this["lines"].parameters["storage.location.template"] == "s3://bucket/logs/dt=$${dt}/hour=$${hour}/" &&
      aws_glue_catalog_table.this["lines"].parameters["projection.dt.range"] == "2026-01-01,NOW"
    )
    error_message = "Athena must look where Firehose writes."
  }

  assert {
    condition = base64decode(regex("^/\\* Presto View: (.*) \\*/$", aws_glue_catalog_table.view["tenant_logs"].view_original_text)[0]) == jsonencode({
      originalSql = "SELECT\n  line\nFROM lines"
      catalog     = "awsdatacatalog"
      schema      = "auth0_sync_test"
      columns     = [for column in var.catalog.views.tenant_logs.columns : { name = column.name, type = column.type }]
    })
    error_message = "The view must be one that Athena can read."
  }

  assert {
    condition     = [for c in aws_glue_catalog_table.view["tenant_logs"].storage_descriptor[0].columns : c.type] == ["string", "int", "boolean", "double", "timestamp", "array<string>"]
    error_message = "The view's columns need Hive types in the catalog."
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "The bucket must not be public."
  }

  assert {
    condition = { for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : s.Sid => [s.Effect, s.Principal, s.Action, s.Resource, try(s.Condition, null)] if !endswith(s.Sid, "Manifests") } == {
      TlsOnly  = ["Deny", "*", "s3:*", ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"], { Bool = { "aws:SecureTransport" = "false" } }]
      NoOldTls = ["Deny", "*", "s3:*", ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"], { NumericLessThan = { "s3:TlsVersion" = "1.2" } }]
      OnlyFirehoseWrites = [
        "Deny", "*", ["s3:PutObject"], ["arn:aws:s3:::bucket/logs/*", "arn:aws:s3:::bucket/errors/*"],
        { ArnNotLike = { "aws:PrincipalArn" = ["arn:aws:iam::123456789012:role/archive-firehose"] } },
      ]
      OnlyErasersDelete = ["Deny", "*", ["s3:DeleteObject", "s3:DeleteObjectVersion"], ["arn:aws:s3:::bucket/logs/*"], null]
      OnlyErasersAndOperatorsDeleteErrors = [
        "Deny", "*", ["s3:DeleteObject", "s3:DeleteObjectVersion"], ["arn:aws:s3:::bucket/errors/*"],
        { ArnNotLike = { "aws:PrincipalArn" = ["arn:aws:iam::123456789012:role/operator"] } },
      ]
    }
    error_message = "The bucket must refuse plain HTTP and TLS before 1.2, and everybody but Firehose who writes or deletes what arrived."
  }

  assert {
    condition = (
      one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "AES256" &&
      aws_kinesis_firehose_delivery_stream.this.server_side_encryption[0].enabled &&
      aws_kinesis_firehose_delivery_stream.this.server_side_encryption[0].key_type == "AWS_OWNED_CMK" &&
      aws_athena_workgroup.this.configuration[0].result_configuration[0].encryption_configuration[0].encryption_option == "SSE_S3"
    )
    error_message = "Without a key, everything must be encrypted by AWS's."
  }

  assert {
    condition     = !strcontains(aws_iam_role_policy.firehose.policy, "kms:") && !strcontains(aws_iam_role_policy.events.policy, "kms:")
    error_message = "Without a key, nobody needs a right to one."
  }

  assert {
    condition     = aws_cloudwatch_log_group.firehose.retention_in_days == 30
    error_message = "Logs must not stay for ever."
  }

  assert {
    condition     = !contains(aws_s3_bucket_lifecycle_configuration.this.rule[*].id, "archive")
    error_message = "The archive keeps everything unless told otherwise."
  }

  assert {
    condition     = aws_athena_workgroup.this.configuration[0].enforce_workgroup_configuration && aws_athena_workgroup.this.configuration[0].bytes_scanned_cutoff_per_query == 107374182400
    error_message = "The workgroup must bound what a query may scan."
  }
}

run "manifests" {
  variables {
    manifest_role_arn = "arn:aws:iam::123456789012:role/manifest"
    object_lock       = true
    kms_key_arn       = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }

  module {
    source = "./modules/archive"
  }

  assert {
    condition = { for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : s.Sid => [s.Effect, s.Principal, s.Action, s.Resource, s.Condition] if startswith(s.Sid, "OnlyTheManifest") } == {
      OnlyTheManifestFunctionWritesManifests = ["Deny", "*", ["s3:PutObject", "s3:RestoreObject"], "arn:aws:s3:::bucket/manifests/*", { StringNotEquals = { "aws:PrincipalArn" = var.manifest_role_arn } }]
    }
    error_message = "Only the function's role may write manifests."
  }

  assert {
    condition     = [for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : keys(s) if s.Sid == "NobodyDeletesManifests"] == [["Action", "Effect", "Principal", "Resource", "Sid"]]
    error_message = "Nobody may delete manifests, without a condition."
  }

  assert {
    condition     = aws_kms_key.manifests[0].key_usage == "SIGN_VERIFY" && aws_kms_key.manifests[0].customer_master_key_spec == "ECC_NIST_P256" && aws_kms_key.manifests[0].deletion_window_in_days == 30
    error_message = "The key signs as the function and the verification expect."
  }

  assert {
    condition     = [for s in jsondecode(aws_kms_key.manifests[0].policy).Statement : [s.Action, s.Condition] if s.Effect == "Deny"] == [["kms:Sign", { StringNotEquals = { "aws:PrincipalArn" = var.manifest_role_arn } }]]
    error_message = "The key signs for the function's role only."
  }

  assert {
    condition     = aws_s3_bucket_object_lock_configuration.this[0].object_lock_enabled == "Enabled" && length(aws_s3_bucket_object_lock_configuration.this[0].rule) == 0
    error_message = "Object Lock has no default retention: Firehose and Athena put objects without a checksum."
  }
}

run "without_protection" {
  variables {
    force_destroy = true
  }

  module {
    source = "./modules/archive"
  }

  assert {
    condition     = !strcontains(aws_s3_bucket_policy.this.policy, "NobodyDeletesManifests") && length(aws_kms_key.manifests) == 0 && length(aws_s3_bucket_object_lock_configuration.this) == 0
    error_message = "A bucket that destroy may delete lets it delete the manifests."
  }
}

run "retention" {
  variables {
    glacier_ir_after_days = 90
    expire_after_days     = 400
  }

  module {
    source = "./modules/archive"
  }

  assert {
    condition = one([
      for r in aws_s3_bucket_lifecycle_configuration.this.rule :
      r.filter[0].prefix == "logs/" && one(r.transition).days == 90 && one(r.transition).storage_class == "GLACIER_IR" && r.expiration[0].days == 400 if r.id == "archive"
    ])
    error_message = "The archive's objects must move and expire when told so."
  }

  assert {
    condition     = { for r in aws_s3_bucket_lifecycle_configuration.this.rule : r.filter[0].prefix => r.expiration[0].days if length(r.expiration) > 0 } == { "logs/" = 400, "errors/" = 400, "athena-results/" = 30, "exports/" = 28 }
    error_message = "What Firehose could not write, what Athena answered, and exports of users must expire too."
  }

  assert {
    condition = alltrue([
      for r in aws_s3_bucket_lifecycle_configuration.this.rule : r.noncurrent_version_expiration[0].noncurrent_days == 1 if contains(["athena-results", "exports"], r.id)
    ])
    error_message = "Athena's results and exports must be gone when they expire, without 30 days as old versions."
  }
}

run "both_buses" {
  variables {
    bus_names = { log-stream = "logs-bus", event-stream = "events-bus" }
    event_sources = {
      log-stream   = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs"
      event-stream = "aws.partner/auth0.com/acme-5e6f7a8b/auth0.events"
    }
  }

  override_resource {
    target = aws_cloudwatch_event_rule.this["event-stream"]
    values = { arn = "arn:aws:events:eu-central-1:123456789012:rule/events-bus/archive" }
  }

  module {
    source = "./modules/archive"
  }

  assert {
    condition     = { for stream, target in aws_cloudwatch_event_target.firehose : stream => target.event_bus_name } == { log-stream = "logs-bus", event-stream = "events-bus" }
    error_message = "Every bus must be archived."
  }

  assert {
    condition     = { for stream, rule in aws_cloudwatch_event_rule.this : stream => jsondecode(rule.event_pattern).source } == { for stream, source in var.event_sources : stream => [source] }
    error_message = "Each rule takes its own stream's source."
  }

  assert {
    condition = alltrue([
      for target in aws_cloudwatch_event_target.firehose :
      target.arn == aws_kinesis_firehose_delivery_stream.this.arn &&
      target.dead_letter_config[0].arn == module.undelivered.arn &&
      target.retry_policy[0].maximum_event_age_in_seconds == 86400 &&
      length(target.input_transformer) == 0
    ])
    error_message = "Every target needs a retry policy and a dead-letter queue, and must leave the event as it is."
  }

  assert {
    condition = alltrue([
      for condition in [
        { ArnEquals = { "aws:SourceArn" = local.rule_arns } },
        { ArnEquals = jsondecode(aws_iam_role.events.assume_role_policy).Statement[0].Condition.ArnEquals },
        ] : condition == { ArnEquals = { "aws:SourceArn" = [
          "arn:aws:events:eu-central-1:123456789012:rule/events-bus/archive",
          "arn:aws:events:eu-central-1:123456789012:rule/logs-bus/archive",
      ] } }
    ])
    error_message = "The rules of both buses, and no other, may use the archive's role and its dead-letter queue."
  }
}

run "key" {
  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }

  module {
    source = "./modules/archive"
  }

  assert {
    condition = { for s in jsondecode(output.analyst_policy).Statement : s.Sid => s.Resource } == {
      Ask     = [aws_athena_workgroup.this.arn]
      Bucket  = ["arn:aws:s3:::bucket"]
      Catalog = [for of in ["catalog", "database/auth0_sync_test", "table/auth0_sync_test/*"] : "arn:aws:glue:eu-central-1:123456789012:${of}"]
      Key     = [var.kms_key_arn]
      Read    = ["arn:aws:s3:::bucket/logs/*", "arn:aws:s3:::bucket/athena-results/*"]
      Results = ["arn:aws:s3:::bucket/athena-results/*"]
    }
    error_message = "An analyst reads the archive, writes results and asks in this workgroup, and no more."
  }

  assert {
    condition = {
      for s in jsondecode(output.analyst_policy).Statement : s.Sid => [for action in s.Action : action if !can(regex(":(Get|BatchGet|List|Start|Stop)|^kms:", action))]
      } == {
      Ask = [], Catalog = [], Bucket = [], Read = [], Results = ["s3:AbortMultipartUpload", "s3:PutObject"], Key = []
    }
    error_message = "An analyst must not be able to INSERT INTO a table: that takes PutObject below logs/."
  }

  assert {
    condition = alltrue([
      for key in [
        one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default[0].kms_master_key_id,
        aws_kinesis_firehose_delivery_stream.this.server_side_encryption[0].key_arn,
        aws_athena_workgroup.this.configuration[0].result_configuration[0].encryption_configuration[0].kms_key_arn,
        aws_cloudwatch_log_group.firehose.kms_key_id,
      ] : key == var.kms_key_arn
    ])
    error_message = "The key must encrypt the bucket, what is buffered, query results and the log."
  }

  assert {
    condition = (
      one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" &&
      one(aws_s3_bucket_server_side_encryption_configuration.this.rule).bucket_key_enabled &&
      aws_kinesis_firehose_delivery_stream.this.server_side_encryption[0].key_type == "CUSTOMER_MANAGED_CMK" &&
      aws_athena_workgroup.this.configuration[0].result_configuration[0].encryption_configuration[0].encryption_option == "SSE_KMS"
    )
    error_message = "Each service must be told to use KMS, and S3 to ask it seldom."
  }

  assert {
    condition = { for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : s.Sid => s.Condition if s.Action == "s3:PutObject" } == {
      NoOtherEncryption = {
        Null            = { "s3:x-amz-server-side-encryption" = "false" }
        StringNotEquals = { "s3:x-amz-server-side-encryption" = "aws:kms" }
      }
      NoOtherKey = {
        Null            = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = "false" }
        StringNotEquals = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = var.kms_key_arn }
      }
      NoCallersKey = { Null = { "s3:x-amz-server-side-encryption-customer-algorithm" = "false" } }
    }
    error_message = "Nobody may put an object that another key encrypts; one without a header gets the bucket's key."
  }

  assert {
    condition     = alltrue([for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : s.Effect == "Deny" && s.Principal == "*"])
    error_message = "The bucket's policy must allow nobody anything."
  }

  assert {
    condition = [for s in jsondecode(aws_iam_role_policy.firehose.policy).Statement : s if s.Resource == var.kms_key_arn] == [{
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource = var.kms_key_arn
      Condition = {
        StringEquals = { "kms:ViaService" = "s3.eu-central-1.amazonaws.com" }
        ArnLike      = { "kms:EncryptionContext:aws:s3:arn" = ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"] }
      }
    }]
    error_message = "Firehose may use the key through S3, for its bucket."
  }

  assert {
    condition = jsondecode(aws_iam_role_policy.events.policy).Statement == [
      {
        Effect   = "Allow"
        Action   = ["firehose:PutRecord", "firehose:PutRecordBatch"]
        Resource = "arn:aws:firehose:eu-central-1:123456789012:deliverystream/archive"
      },
      { Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = var.kms_key_arn },
    ]
    error_message = "EventBridge's role needs both rights to the key, without a condition, or Firehose refuses its records."
  }
}

run "erasers" {
  variables {
    eraser_arns = ["arn:aws:iam::123456789012:role/eraser"]
  }

  module {
    source = "./modules/archive"
  }

  assert {
    condition = { for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : s.Sid => s.Condition.ArnNotLike["aws:PrincipalArn"] if can(s.Condition.ArnNotLike) } == {
      OnlyFirehoseWrites                  = ["arn:aws:iam::123456789012:role/archive-firehose", "arn:aws:iam::123456789012:role/eraser"]
      OnlyErasersDelete                   = ["arn:aws:iam::123456789012:role/eraser"]
      OnlyErasersAndOperatorsDeleteErrors = ["arn:aws:iam::123456789012:role/eraser", "arn:aws:iam::123456789012:role/operator"]
      OnlyTheseChangeTheBucket            = ["arn:aws:iam::123456789012:role/eraser", "arn:aws:iam::123456789012:role/operator"]
    }
    error_message = "Erasers delete and rewrite; they and the operators change the bucket."
  }

  assert {
    condition     = contains(one([for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : s.Action if s.Sid == "OnlyTheseChangeTheBucket"]), "s3:PutLifecycleConfiguration")
    error_message = "A lifecycle deletes, too."
  }
}
