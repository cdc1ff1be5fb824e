# buses -> rules -> Firehose -> S3, and the Glue table and Athena workgroup to read it (athena.tf).

locals {
  sqs_arn           = "arn:${var.account.partition}:sqs:${var.account.region}:${var.account.id}"
  firehose_arn      = "arn:${var.account.partition}:firehose:${var.account.region}:${var.account.id}:deliverystream/${var.name}"
  firehose_role_arn = "arn:${var.account.partition}:iam::${var.account.id}:role/${var.name}-firehose" # the bucket is there first
  results_prefix    = "athena-results/"
  exports_prefix    = "exports/"
  encryption_header = "s3:x-amz-server-side-encryption"
  key_header        = "s3:x-amz-server-side-encryption-aws-kms-key-id"
  rule_arns         = [for stream in sort(keys(aws_cloudwatch_event_rule.this)) : aws_cloudwatch_event_rule.this[stream].arn]
}

# EventBridge. No input transformer: the archive keeps each event as it came.

resource "aws_cloudwatch_event_rule" "this" {
  for_each = var.bus_names

  name           = "${var.name}-${each.key}"
  description    = "Every event to the archive, replayed ones excepted: they are there already."
  event_bus_name = each.value
  event_pattern  = jsonencode(merge(jsondecode(var.event_pattern), { source = [var.event_sources[each.key]] }))
}

resource "aws_cloudwatch_event_target" "firehose" {
  for_each = aws_cloudwatch_event_rule.this

  rule           = each.value.name
  event_bus_name = each.value.event_bus_name
  target_id      = "firehose"
  arn            = aws_kinesis_firehose_delivery_stream.this.arn
  role_arn       = aws_iam_role.events.arn

  # EventBridge's maximum.
  retry_policy {
    maximum_event_age_in_seconds = 86400
    maximum_retry_attempts       = 185
  }

  dead_letter_config {
    arn = module.undelivered.arn
  }

  depends_on = [aws_iam_role_policy.events]
}

module "undelivered" {
  source = "../queue"

  name          = "${var.name}-undelivered"
  sqs_arn       = local.sqs_arn
  rule_arns     = local.rule_arns
  operator_arns = var.operator_arns
  queues        = var.queues
  kms_key_arn   = var.kms_key_arn
}

resource "aws_iam_role" "events" {
  name                 = "${var.name}-events"
  description          = "Lets EventBridge hand events to the delivery stream ${var.name}."
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account.id }
        ArnEquals    = { "aws:SourceArn" = local.rule_arns }
      }
    }]
  })
}

resource "aws_iam_role_policy" "events" {
  name = "firehose"
  role = aws_iam_role.events.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Effect   = "Allow"
        Action   = ["firehose:PutRecord", "firehose:PutRecordBatch"]
        Resource = local.firehose_arn
      }],
      # Firehose requires both of its caller. No condition: AWS does not document the encryption context and service of the
      # request, and a wrong condition would stop the archive.
      [for key in var.kms_key_arn[*] : { Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = key }],
    )
  })
}

# Firehose

resource "aws_kinesis_firehose_delivery_stream" "this" {
  name        = var.name
  destination = "extended_s3"

  # For buffered records. Firehose encrypts and decrypts them by a grant on the key, and takes records only from callers
  # that may use the key themselves: EventBridge's role, and operators who send events again.
  server_side_encryption {
    enabled  = true
    key_type = var.kms_key_arn == null ? "AWS_OWNED_CMK" : "CUSTOMER_MANAGED_CMK"
    key_arn  = var.kms_key_arn
  }

  extended_s3_configuration {
    role_arn            = aws_iam_role.firehose.arn
    bucket_arn          = aws_s3_bucket.this.arn
    prefix              = "${var.prefix}dt=!{timestamp:yyyy-MM-dd}/hour=!{timestamp:HH}/"
    error_output_prefix = "${var.error_prefix}!{firehose:error-output-type}/dt=!{timestamp:yyyy-MM-dd}/"
    buffering_size      = var.buffering_size_mb
    buffering_interval  = var.buffering_seconds
    compression_format  = "GZIP"
    file_extension      = ".json.gz"

    # EventBridge adds no newline, and Athena reads one event per line.
    processing_configuration {
      enabled = true

      processors {
        type = "AppendDelimiterToRecord"

        parameters {
          parameter_name  = "Delimiter"
          parameter_value = "\\n"
        }
      }
    }

    cloudwatch_logging_options {
      enabled         = true
      log_group_name  = aws_cloudwatch_log_group.firehose.name
      log_stream_name = aws_cloudwatch_log_stream.firehose.name
    }
  }

  # The targets' rights come before the stream, which takes a minute: IAM takes seconds to apply a new policy, and
  # EventBridge does not retry denied requests. The bucket's settings are complete before the first object.
  depends_on = [
    aws_iam_role_policy.events,
    aws_iam_role_policy.firehose,
    aws_s3_bucket_policy.this,
    aws_s3_bucket_server_side_encryption_configuration.this,
  ]
}

resource "aws_cloudwatch_log_group" "firehose" {
  #checkov:skip=CKV_AWS_338:How long to keep logs is a setting, logs.retention_days; this one holds errors of delivery, no data
  name              = "/aws/kinesisfirehose/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_cloudwatch_log_stream" "firehose" {
  name           = "S3Delivery"
  log_group_name = aws_cloudwatch_log_group.firehose.name
}

resource "aws_iam_role" "firehose" {
  name                 = "${var.name}-firehose"
  description          = "Lets the delivery stream ${var.name} write to its bucket."
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "firehose.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account.id } }
    }]
  })
}

resource "aws_iam_role_policy" "firehose" {
  name = "s3"
  role = aws_iam_role.firehose.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Effect   = "Allow"
          Action   = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
          Resource = aws_s3_bucket.this.arn
        },
        {
          Effect   = "Allow"
          Action   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
          Resource = ["${aws_s3_bucket.this.arn}/${var.prefix}*", "${aws_s3_bucket.this.arn}/${var.error_prefix}*"]
        },
        {
          Effect   = "Allow"
          Action   = ["logs:PutLogEvents"]
          Resource = "${aws_cloudwatch_log_group.firehose.arn}:*"
        },
      ],
      # S3 names the bucket when it uses the bucket's key, and the object when it does not.
      [for key in var.kms_key_arn[*] : {
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = key
        Condition = {
          StringEquals = { "kms:ViaService" = "s3.${var.account.region}.amazonaws.com" }
          ArnLike      = { "kms:EncryptionContext:aws:s3:arn" = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"] }
        }
      }],
    )
  })
}
