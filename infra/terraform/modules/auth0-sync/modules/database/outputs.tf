# Connections need the instances: a cluster without one does not answer.

output "cluster_arn" {
  description = "ARN of the cluster, once it has an instance: for the Data API."
  value       = aws_rds_cluster.this.arn
  depends_on  = [aws_rds_cluster_instance.this]
}

output "endpoint" {
  description = "Host name of the writer, once there is one."
  value       = aws_rds_cluster.this.endpoint
  depends_on  = [aws_rds_cluster_instance.this]
}

output "reader_endpoint" {
  description = "Host name of the readers; the writer's where there are none."
  value       = aws_rds_cluster.this.reader_endpoint
  depends_on  = [aws_rds_cluster_instance.this]
}

output "port" {
  description = "Port of Postgres."
  value       = local.port
}

output "database_name" {
  description = "Name of the database."
  value       = aws_rds_cluster.this.database_name
}

output "cluster_identifier" {
  description = "Identifier of the cluster, as metrics and people name it."
  value       = aws_rds_cluster.this.cluster_identifier
}

output "cluster_resource_id" {
  description = "Id of the cluster in the ARNs of its users (cluster-…)."
  value       = aws_rds_cluster.this.cluster_resource_id
}

output "instance_identifiers" {
  description = "Identifiers of the instances; which one writes changes with a failover."
  value       = aws_rds_cluster_instance.this[*].identifier
}

output "master_secret_arn" {
  description = "ARN of the master user's secret, which RDS manages."
  value       = aws_rds_cluster.this.master_user_secret[0].secret_arn
}

output "query_secret_arn" {
  description = "ARN of the secret of auth0_query, the read-only login for the Data API."
  value       = aws_secretsmanager_secret.query.arn
}

output "function_security_group_id" {
  description = "Security group of the database's clients: it reaches the database, and nothing else."
  value       = aws_security_group.functions.id
}

output "database_security_group_id" {
  description = "Security group of the database, for rules of your own."
  value       = aws_security_group.database.id
}

output "log_group_names" {
  description = "Names of the cluster's log groups, by RDS's name of the log, such as postgresql."
  value       = { for kind, group in aws_cloudwatch_log_group.this : kind => group.name }
}
