# Evidence: a key that signs the manifests of each day, rules for their prefix, and Object Lock.

locals {
  manifest_prefix = "manifests/"

  # Only the manifest function writes there, and nobody deletes, unless destroy may delete the whole bucket.
  manifest_statements = concat(
    [{
      Sid       = "OnlyTheManifestFunctionWritesManifests"
      Effect    = "Deny"
      Principal = "*"
      Action    = ["s3:PutObject", "s3:RestoreObject"]
      Resource  = "${aws_s3_bucket.this.arn}/${local.manifest_prefix}*"
      Condition = { StringNotEquals = { "aws:PrincipalArn" = coalesce(var.manifest_role_arn, "none") } }
    }],
    [for kept in var.force_destroy ? [] : [local.manifest_prefix] : {
      Sid       = "NobodyDeletesManifests"
      Effect    = "Deny"
      Principal = "*"
      Action    = ["s3:BypassGovernanceRetention", "s3:DeleteObject", "s3:DeleteObjectVersion"]
      Resource  = "${aws_s3_bucket.this.arn}/${kept}*"
      Condition = null
    }],
  )
}

locals {
  evidence_arns = [for prefix in [var.prefix, var.error_prefix, local.manifest_prefix] : "${aws_s3_bucket.this.arn}/${prefix}*"]

  manifest_function_statements = concat(
    [
      { actions = ["s3:ListBucketVersions"], resources = [aws_s3_bucket.this.arn], conditions = {} },
      { actions = ["s3:GetObjectVersion"], resources = local.evidence_arns, conditions = {} },
      { actions = ["s3:PutObject"], resources = ["${aws_s3_bucket.this.arn}/${local.manifest_prefix}*"], conditions = {} },
    ],
    [for key in aws_kms_key.manifests[*].arn : { actions = ["kms:Sign", "kms:Verify"], resources = [key], conditions = {} }],
    [for _ in aws_s3_bucket_object_lock_configuration.this : {
      actions    = ["s3:PutObjectRetention"]
      resources  = local.evidence_arns
      conditions = {}
    }],
    [for key in var.kms_key_arn[*] : {
      actions    = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources  = [key]
      conditions = { StringEquals = { "kms:ViaService" = ["s3.${var.account.region}.amazonaws.com"] } }
    }],
  )
}

# Only one role may sign, whatever IAM policies and grants allow. AWS does not renew asymmetric keys.
resource "aws_kms_key" "manifests" {
  count = var.manifest_role_arn == null ? 0 : 1

  description              = "Signs the manifests of ${var.name}."
  key_usage                = "SIGN_VERIFY"
  customer_master_key_spec = "ECC_NIST_P256"
  deletion_window_in_days  = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Iam"
        Effect    = "Allow"
        Principal = { AWS = "arn:${var.account.partition}:iam::${var.account.id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "OnlyTheManifestFunctionSigns"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "kms:Sign"
        Resource  = "*"
        Condition = { StringNotEquals = { "aws:PrincipalArn" = var.manifest_role_arn } }
      },
    ]
  })
}

resource "aws_kms_alias" "manifests" {
  count = length(aws_kms_key.manifests)

  name          = "alias/${var.name}-manifests"
  target_key_id = one(aws_kms_key.manifests[*].key_id)
}

# No default retention: S3 then refuses uploads without Content-MD5 or a checksum ("Object Lock considerations"), AWS does
# not document that Firehose and Athena send one, and it would lock results of queries. The manifest function locks each
# object that it lists. On the bucket itself the argument would replace an existing bucket.
resource "aws_s3_bucket_object_lock_configuration" "this" {
  count = var.object_lock ? 1 : 0

  bucket              = aws_s3_bucket.this.id
  object_lock_enabled = "Enabled"

  depends_on = [aws_s3_bucket_versioning.this]
}
