output "region" {
  description = "AWS region of the deployment."
  value       = data.aws_region.current.id
}

output "bus_names" {
  description = "Names of the event buses, by stream."
  value       = local.bus_names
}

output "rule_names" {
  description = "Names of the rules, by what they match and by stream."
  value = merge(
    { for subject, rules in local.rules : subject => { for stream, rule in rules : stream => rule.name } },
    { archive = module.archive.rule_names },
  )
}

output "queue_urls" {
  description = "URLs of the queues that the sync and the refresh read, by sink, and by refresh if it is on."
  value       = { for name, outputs in local.consumers : name => outputs.queue_url }
}

output "dlq_urls" {
  description = "URLs of the dead-letter queues of what the sync could not store, by sink, and the refresh not fetch."
  value       = { for name, outputs in local.consumers : name => outputs.failed_queue_url }
}

output "target_dlq_urls" {
  description = "URLs of the dead-letter queues of what EventBridge could not deliver, by target."
  value = merge(
    { for name, outputs in local.consumers : name => outputs.undelivered_queue_url },
    { archive = module.archive.undelivered_queue_url },
  )
}

output "function_names" {
  description = "Names of the functions."
  value = merge(
    { for name, outputs in local.consumers : "${local.function_prefixes[name]}${name}" => outputs.function_name },
    { migrate = module.migrate.name },
  )
}

output "log_group_names" {
  description = "Names of the log groups, by function, and of the delivery stream's."
  value = merge(
    { for name, outputs in local.consumers : "${local.function_prefixes[name]}${name}" => outputs.log_group_name },
    { migrate = module.migrate.log_group_name, firehose = module.archive.log_group_name },
  )
}

output "event_source_mapping_ids" {
  description = "UUIDs of the mappings from queue to function, by sink, and by refresh if it is on."
  value       = { for name, outputs in local.consumers : name => outputs.event_source_mapping_id }
}

output "users_table" {
  description = "Name of the DynamoDB table of users."
  value       = module.mirror.table_name
}

output "archive_bucket" {
  description = "Name of the archive's bucket."
  value       = module.archive.bucket_name
}

output "archive_prefix" {
  description = "Prefix of the archive's objects."
  value       = var.archive_prefix
}

output "firehose_name" {
  description = "Name of the delivery stream."
  value       = module.archive.firehose_name
}

output "glue_database" {
  description = "Name of the Glue database."
  value       = module.archive.database_name
}

output "glue_table" {
  description = "Name of the table of all archived events."
  value       = module.archive.table_name
}

output "glue_view" {
  description = "Name of the view of tenant logs without duplicates."
  value       = module.archive.view_name
}

output "athena_workgroup" {
  description = "Name of the Athena workgroup."
  value       = module.archive.workgroup_name
}
