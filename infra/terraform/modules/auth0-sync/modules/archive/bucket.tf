# The bucket: private, versioned, encrypted, reached by TLS only.

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:CloudTrail's data events of S3 log who reads the archive, as of every bucket of the account; a log bucket would need the same protection as the archive
  #checkov:skip=CKV_AWS_144:A copy in another region moves personal data there, so it is the owner's choice; versioning keeps objects that somebody deletes or overwrites by mistake
  #checkov:skip=CKV2_AWS_62:The deployment has no consumer of new objects; alarms watch Firehose's deliveries
  bucket        = var.bucket_name
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket = aws_s3_bucket.this.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    # One request to KMS for many objects.
    bucket_key_enabled = var.kms_key_arn == null ? null : true

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

locals {
  kept = [for prefix in [var.prefix, var.error_prefix] : "${aws_s3_bucket.this.arn}/${prefix}*"]

  # Nobody changes an archived object, whatever a principal's own policies allow. A bucket's policy binds neither the
  # lifecycle (S3 User Guide, "Expiring objects") nor the account's root user, who can always replace it.
  keep_statements = [
    for statement in [
      {
        Sid      = "OnlyFirehoseWrites"
        Action   = ["s3:PutObject"]
        Resource = local.kept
        but      = concat([local.firehose_role_arn], var.eraser_arns)
      },
      {
        Sid      = "OnlyErasersDelete"
        Action   = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
        Resource = ["${aws_s3_bucket.this.arn}/${var.prefix}*"]
        but      = var.eraser_arns
      },
      # Operators delete the errors that they have sent again.
      {
        Sid      = "OnlyErasersAndOperatorsDeleteErrors"
        Action   = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
        Resource = ["${aws_s3_bucket.this.arn}/${var.error_prefix}*"]
        but      = concat(var.eraser_arns, var.operator_arns)
      },
      {
        Sid = "OnlyTheseChangeTheBucket"
        Action = [
          "s3:BypassGovernanceRetention", "s3:DeleteBucketPolicy", "s3:PutBucketObjectLockConfiguration", "s3:PutBucketPolicy",
          "s3:PutBucketOwnershipControls", "s3:PutBucketPublicAccessBlock", "s3:PutBucketVersioning", "s3:PutEncryptionConfiguration",
          "s3:PutLifecycleConfiguration", "s3:PutReplicationConfiguration",
        ]
        Resource = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
        but      = concat(var.eraser_arns, var.operator_arns)
      },
      ] : {
      for element, value in {
        Sid       = statement.Sid
        Effect    = "Deny"
        Principal = "*"
        Action    = statement.Action
        Resource  = statement.Resource
        Condition = { ArnNotLike = { "aws:PrincipalArn" = statement.but } }
      } : element => value if element != "Condition" || length(statement.but) > 0
    }
    # Without erasers only operators could change the bucket, so this statement needs at least one eraser.
    if statement.Sid != "OnlyTheseChangeTheBucket" || length(var.eraser_arns) > 0
  ]
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        for sid, condition in {
          TlsOnly  = { Bool = { "aws:SecureTransport" = "false" } }
          NoOldTls = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
          } : {
          Sid       = sid
          Effect    = "Deny"
          Principal = "*"
          Action    = "s3:*"
          Resource  = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
          Condition = condition
        }
      ],
      # A request without encryption gets the bucket's; a request with one must name the same. A negated condition is
      # true for a missing header, hence `Null`.
      [
        for sid, condition in {
          NoOtherEncryption = { StringNotEquals = { (local.encryption_header) = "aws:kms" }, Null = { (local.encryption_header) = "false" } }
          NoOtherKey        = { StringNotEquals = { (local.key_header) = var.kms_key_arn }, Null = { (local.key_header) = "false" } }
          NoCallersKey      = { Null = { "s3:x-amz-server-side-encryption-customer-algorithm" = "false" } }
          } : {
          Sid       = sid
          Effect    = "Deny"
          Principal = "*"
          Action    = "s3:PutObject"
          Resource  = "${aws_s3_bucket.this.arn}/*"
          Condition = condition
        } if var.kms_key_arn != null
      ],
      [for statement in local.manifest_statements : { for element, value in statement : element => value if value != null }],
      local.keep_statements,
    )
  })

  # S3 refuses two changes to one bucket's access settings at a time.
  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    id     = "unfinished-uploads-and-old-versions"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }

    noncurrent_version_expiration {
      noncurrent_days = 30
    }
  }

  rule {
    id     = "athena-results"
    status = "Enabled"

    filter {
      prefix = local.results_prefix
    }

    expiration {
      days = var.results_expire_days
    }

    # Expiration turns an object into an old version first.
    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }

  # Exports of users, with the results of loading them. A message about one lives up to 14 days in its queue, and as long in
  # the dead-letter queue.
  rule {
    id     = "exports"
    status = "Enabled"

    filter {
      prefix = local.exports_prefix
    }

    expiration {
      days = 28
    }

    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }

  # Events that Firehose could not write are whole events, too.
  dynamic "rule" {
    for_each = var.glacier_ir_after_days == null && var.expire_after_days == null ? {} : { archive = var.prefix, errors = var.error_prefix }

    content {
      id     = rule.key
      status = "Enabled"

      filter {
        prefix = rule.value
      }

      # S3 moves no object below 128 KB (its default since September 2024, `all_storage_classes_128K`): Glacier would
      # charge for 128 KB, and for each move.
      dynamic "transition" {
        for_each = var.glacier_ir_after_days[*]

        content {
          days          = transition.value
          storage_class = "GLACIER_IR"
        }
      }

      dynamic "expiration" {
        for_each = var.expire_after_days[*]

        content {
          days = expiration.value
        }
      }
    }
  }

  # Rules about old versions need versioning.
  depends_on = [aws_s3_bucket_versioning.this]
}
