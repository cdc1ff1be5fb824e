output "bucket_name" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.id
}

output "firehose_name" {
  description = "Name of the delivery stream."
  value       = aws_kinesis_firehose_delivery_stream.this.name
}

output "rule_names" {
  description = "Names of the rules that feed the delivery stream, by stream."
  value       = { for stream, rule in aws_cloudwatch_event_rule.this : stream => rule.name }
}

output "undelivered_queue_url" {
  description = "URL of the dead-letter queue of the events that EventBridge could not send to the delivery stream."
  value       = module.undelivered.url
}

output "log_group_name" {
  description = "Name of the log group of delivery errors."
  value       = aws_cloudwatch_log_group.firehose.name
}

output "database_name" {
  description = "Name of the Glue database."
  value       = aws_glue_catalog_database.this.name
}

output "table_names" {
  description = "Names of the tables over the archive's objects."
  value       = sort([for table in aws_glue_catalog_table.this : table.name])
}

output "view_names" {
  description = "Names of the views, for people to query."
  value       = sort([for view in aws_glue_catalog_table.view : view.name])
}

output "workgroup_name" {
  description = "Name of the Athena workgroup."
  value       = aws_athena_workgroup.this.name
}

output "analyst_policy" {
  description = "IAM policy (JSON) for people who ask questions: rights on the workgroup, the catalog, the archive's objects and results."
  value       = jsonencode({ Version = "2012-10-17", Statement = local.analyst_statements })
}

output "manifest_key_arn" {
  description = "ARN of the key that signs the manifests; null without manifests."
  value       = one(aws_kms_key.manifests[*].arn)
}

output "manifest_statements" {
  description = "Rights that the manifest function needs, as statements of the function module."
  value       = local.manifest_function_statements

  # It locks objects once Object Lock is on.
  depends_on = [
    aws_s3_bucket_object_lock_configuration.this,
    aws_s3_bucket_policy.this,
    aws_s3_bucket_server_side_encryption_configuration.this,
  ]
}

output "ask_statements" {
  description = "Rights that a function needs to ask questions, as statements of the function module."
  value       = local.ask_statements

  # The first query writes results.
  depends_on = [aws_s3_bucket_policy.this, aws_s3_bucket_server_side_encryption_configuration.this]
}

output "load_statements" {
  description = "Rights that a function needs to load exports of users, as statements of the function module."
  value = concat(
    [
      { actions = ["s3:GetObject"], resources = ["${aws_s3_bucket.this.arn}/${local.exports_prefix}*"], conditions = {} },
      { actions = ["s3:PutObject"], resources = ["${aws_s3_bucket.this.arn}/${local.exports_prefix}*/results/*"], conditions = {} },
    ],
    [for key in var.kms_key_arn[*] : {
      actions    = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources  = [key]
      conditions = { StringEquals = { "kms:ViaService" = ["s3.${var.account.region}.amazonaws.com"] } }
    }],
  )

  depends_on = [aws_s3_bucket_policy.this, aws_s3_bucket_server_side_encryption_configuration.this]
}
