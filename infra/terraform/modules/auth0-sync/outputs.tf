output "deployment" {
  description = "Name and environment: the prefix of every name."
  value       = local.prefix
}

output "region" {
  description = "AWS region of the deployment."
  value       = local.account.region
}

output "bus_names" {
  description = "Names of the event buses, by stream."
  value       = local.bus_names
}

output "rule_names" {
  description = "Names of the rules, by subject and stream."
  value = merge(
    { for subject, rules in local.rules : subject => { for stream, rule in rules : stream => rule.name } },
    { archive = module.archive.rule_names },
  )
}

output "queue_urls" {
  description = "URLs of the queues that the functions read, by sink, and by refresh and backfill if they are on."
  value       = { for name, outputs in local.consumers : name => outputs.queue_url }
}

output "dlq_urls" {
  description = "URLs of the dead-letter queues of the messages that the functions gave up, by sink, and by refresh and backfill if they are on."
  value       = { for name, outputs in local.consumers : name => outputs.failed_queue_url }
}

output "target_dlq_urls" {
  description = "URLs of the dead-letter queues of the events that EventBridge could not deliver, by target."
  value = merge(
    { for name, outputs in local.consumers : name => outputs.undelivered_queue_url if name != "backfill" },
    { archive = module.archive.undelivered_queue_url },
  )
}

output "relay_dlq_urls" {
  description = "URLs of the dead-letter queues, in the source's region, of the events that EventBridge could not forward to the data's, by stream."
  value       = { for stream, relay in module.relay : stream => relay.undelivered_queue_url }
}

output "function_names" {
  description = "Names of the functions."
  value = merge(
    { for name, outputs in local.consumers : "${local.function_prefixes[name]}${name}" => outputs.function_name },
    { migrate = module.migrate.name },
    { for roles in module.roles : "roles" => roles.name },
    { for watch in module.watch : "watch" => watch.function_name },
    { for manifest in module.manifest : "manifest" => manifest.name },
    { for reconcile in module.reconcile : "reconcile" => reconcile.function_name },
  )
}

output "function_network" {
  description = "Subnets and security groups of the functions that use Postgres; null where they are in no VPC."
  value       = local.database_vpc_config
}

output "log_group_names" {
  description = "Names of the log groups, by function, and of the delivery stream's."
  value = merge(
    { for name, outputs in local.consumers : "${local.function_prefixes[name]}${name}" => outputs.log_group_name },
    { migrate = module.migrate.log_group_name, firehose = module.archive.log_group_name },
    { for roles in module.roles : "roles" => roles.log_group_name },
    { for watch in module.watch : "watch" => watch.log_group_name },
    { for manifest in module.manifest : "manifest" => manifest.log_group_name },
    { for reconcile in module.reconcile : "reconcile" => reconcile.log_group_name },
  )
}

output "event_source_mapping_ids" {
  description = "UUIDs of the mappings from queue to function, by sink, and by refresh and backfill if they are on."
  value       = { for name, outputs in local.consumers : name => outputs.event_source_mapping_id }
}

output "users_table" {
  description = "Name of the DynamoDB table of users."
  value       = module.users_table.table_name
}

output "users_table_reader_policy" {
  description = "IAM policy (JSON) for programs that read users from DynamoDB by their id."
  value       = module.users_table.reader_policy
}

output "archive_bucket" {
  description = "Name of the archive's bucket."
  value       = module.archive.bucket_name
}

output "archive_prefix" {
  description = "Prefix of the archive's objects."
  value       = var.archive.prefix
}

output "archive_error_prefix" {
  description = "Prefix of the events that Firehose could not write to the archive."
  value       = var.archive.error_prefix
}

output "archive_lock_days" {
  description = "Days for which Object Lock protects the archive's objects; null if it locks none."
  value       = var.archive.lock_days
}

output "manifest_key_arn" {
  description = "ARN of the key that signs the archive's manifests; null without manifests."
  value       = module.archive.manifest_key_arn
}

output "firehose_name" {
  description = "Name of the delivery stream."
  value       = module.archive.firehose_name
}

output "glue_database" {
  description = "Name of the Glue database."
  value       = module.archive.database_name
}

output "glue_tables" {
  description = "Names of the tables of all archived events."
  value       = module.archive.table_names
}

output "glue_views" {
  description = "Names of the archive's views, without duplicates, for people to query."
  value       = module.archive.view_names
}

output "analyst_policy" {
  description = "IAM policy (JSON) for people who ask the archive questions, and do nothing else."
  value       = module.archive.analyst_policy
}

output "athena_workgroup" {
  description = "Name of the Athena workgroup."
  value       = module.archive.workgroup_name
}

output "watch_topic_arn" {
  description = "SNS topic of the findings of the watched questions; null without."
  value       = one(module.watch[*].topic_arn)
}

output "source_region" {
  description = "Region of Auth0's event sources."
  value       = coalesce(var.auth0.source_region, local.account.region)
}

output "event_sources" {
  description = "Names of Auth0's partner event sources, which are their buses' names, by stream."
  value       = local.partner_bus_names
}

output "database" {
  description = "The Aurora cluster: host names, port, and the ARNs for the RDS Data API; null with a server of your own."
  value = local.aurora == null ? null : {
    cluster_arn        = local.aurora.cluster_arn
    cluster_identifier = local.aurora.cluster_identifier
    endpoint           = local.aurora.endpoint
    reader_endpoint    = local.aurora.reader_endpoint
    port               = local.aurora.port
    name               = local.aurora.database_name
    security_group_id  = local.aurora.database_security_group_id
  }

  # Not as validations of the variables: Terraform prints the value that a variable's own validation refuses, also of a
  # sensitive one.
  precondition {
    condition     = var.database_url == null || can(regex(local.postgres_url, var.database_url))
    error_message = "database_url must be a URL such as postgresql://USER:PASSWORD@HOST:5432/DATABASE. Percent-encode the special characters of the user and the password: % as %25, @ as %40, / as %2F, ? as %3F, # as %23."
  }

  precondition {
    condition     = var.migration_database_url == null || (var.database_url != null && can(regex(local.postgres_url, var.migration_database_url)))
    error_message = "migration_database_url must be a URL like database_url, with its special characters percent-encoded, and beside it."
  }

  precondition {
    condition = (
      var.reader_database_url == null ? var.reconcile == null || var.database_url == null :
      var.database_url != null && can(regex(local.postgres_url, var.reader_database_url))
    )
    error_message = "reader_database_url must be a URL like database_url, with its special characters percent-encoded, and beside it; reconcile needs it with database_url."
  }
}

output "query_secret_arn" {
  description = "ARN of the secret of auth0_query, the read-only login for the RDS Data API; null with a server of your own."
  value       = local.aurora == null ? null : local.aurora.query_secret_arn
}

output "database_query_policy" {
  description = "IAM policy (JSON) for people who read Postgres through the RDS Data API, as `auth0-sync sql` does; null with a server of your own."
  value       = local.aurora == null ? null : jsonencode({ Version = "2012-10-17", Statement = local.query_statements })
}

output "database_reader_policy" {
  description = "IAM policy (JSON) for programs and people who sign in to Postgres as auth0_reader; null where it takes no IAM tokens."
  value       = local.iam_database == null ? null : jsonencode({ Version = "2012-10-17", Statement = local.reader_statements })
}

output "database_client_security_group_id" {
  description = "Security group that reaches the Aurora cluster and nothing else, for the functions and programs of yours; null with a server of your own."
  value       = local.aurora == null ? null : local.aurora.function_security_group_id
}

output "schema_revision" {
  description = "Revision of the Postgres schema after the last apply that migrated; null if migrate_on_apply is off."
  value       = one([for done in aws_lambda_invocation.migrate : jsondecode(done.result).to])
}

output "kms_key_arn" {
  description = "The customer-managed key; null where AWS's own are used."
  value       = local.kms_key_arn
}

output "alarm_names" {
  description = "Names of the alarms, by kind and resource."
  value       = merge(module.observability.alarm_names, flatten(module.source_observability[*].alarm_names)...)
}

output "alarm_topic_arn" {
  description = "SNS topic of the alarms; null without alarms."
  value       = module.observability.topic_arn
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard; null without."
  value       = module.observability.dashboard_name
}
