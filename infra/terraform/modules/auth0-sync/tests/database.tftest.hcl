# The Aurora cluster: protected, encrypted, reached by the functions only, and by IAM over TLS.

mock_provider "aws" {
  mock_data "aws_rds_engine_version" {
    defaults = { version_actual = "18.3" }
  }

  mock_resource "aws_rds_cluster" {
    defaults = {
      arn                 = "arn:aws:rds:eu-central-1:123456789012:cluster:mock"
      cluster_resource_id = "cluster-ABCDEFGHIJKL1234"
      endpoint            = "auth0-sync-test.cluster-x.eu-central-1.rds.amazonaws.com"
      reader_endpoint     = "auth0-sync-test.cluster-ro-x.eu-central-1.rds.amazonaws.com"
      master_user_secret = [{
        kms_key_id    = "arn:aws:kms:eu-central-1:123456789012:key/mock"
        secret_arn    = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!cluster-mock"
        secret_status = "active"
      }]
    }
  }
}

variables {
  name               = "auth0-sync-test"
  vpc_id             = "vpc-mock"
  subnet_ids         = ["subnet-a", "subnet-b"]
  kms_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/mock"
  protect_data       = true
  log_retention_days = 30
  aurora = {
    engine_version           = null
    database_name            = "auth0"
    min_capacity             = 0.5
    max_capacity             = 4
    seconds_until_auto_pause = 3600
    readers                  = 0
    backup_retention_days    = 14
    performance_insights     = true
  }
}

run "protected" {
  module {
    source = "./modules/database"
  }

  assert {
    condition     = aws_rds_cluster.this.deletion_protection && !aws_rds_cluster.this.skip_final_snapshot && aws_rds_cluster.this.final_snapshot_identifier == "auth0-sync-test-final" && !aws_rds_cluster.this.delete_automated_backups
    error_message = "The cluster refuses to be deleted, and leaves a snapshot and its backups once it may be."
  }

  assert {
    condition     = aws_rds_cluster.this.backup_retention_period == 14 && aws_rds_cluster.this.copy_tags_to_snapshot
    error_message = "It can be restored to any second of 14 days."
  }
}

run "not_protected" {
  module {
    source = "./modules/database"
  }

  variables {
    protect_data = false
  }

  assert {
    condition     = !aws_rds_cluster.this.deletion_protection && aws_rds_cluster.this.skip_final_snapshot && aws_rds_cluster.this.delete_automated_backups
    error_message = "A deployment that comes and goes leaves nothing."
  }

  assert {
    condition     = aws_rds_cluster.this.storage_encrypted && aws_rds_cluster.this.iam_database_authentication_enabled && aws_rds_cluster.this.backup_retention_period == 14
    error_message = "Nothing else is less protected."
  }
}

run "signing_in" {
  module {
    source = "./modules/database"
  }

  assert {
    condition     = aws_rds_cluster.this.iam_database_authentication_enabled && aws_rds_cluster.this.manage_master_user_password && aws_rds_cluster.this.master_password == null && aws_rds_cluster.this.enable_http_endpoint
    error_message = "Functions sign in by IAM; the master user's password is RDS' business, and for the Data API."
  }

  assert {
    condition     = length([for parameter in aws_rds_cluster_parameter_group.this.parameter : parameter if parameter.name == "rds.force_ssl"]) == 0 && aws_rds_cluster.this.db_cluster_parameter_group_name == aws_rds_cluster_parameter_group.this.name
    error_message = "TLS is the engine's default, which must not be set: RDS would not describe it, and every plan would want it."
  }

  assert {
    condition     = alltrue([for instance in aws_rds_cluster_instance.this : instance.publicly_accessible == false])
    error_message = "The instances have no public address."
  }

  assert {
    condition     = output.master_secret_arn == "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!cluster-mock" && output.cluster_resource_id == "cluster-ABCDEFGHIJKL1234" && output.port == 5432
    error_message = "The outputs are the cluster's."
  }
}

run "clients_of_the_user" {
  module {
    source = "./modules/database"
  }

  variables {
    client_security_groups = { billing = "sg-billing", "the search" = "sg-search" }
  }

  assert {
    condition     = { for rule in aws_vpc_security_group_ingress_rule.database_from_clients : rule.description => rule.referenced_security_group_id } == { "Postgres, from billing." = "sg-billing", "Postgres, from the search." = "sg-search" } && alltrue([for rule in aws_vpc_security_group_ingress_rule.database_from_clients : rule.from_port == 5432 && rule.to_port == 5432 && rule.ip_protocol == "tcp" && rule.security_group_id == output.database_security_group_id])
    error_message = "Each group that is named reaches Postgres, and nothing else of the database."
  }
}

run "no_personal_data_in_logs" {
  module {
    source = "./modules/database"
  }

  assert {
    condition     = { for parameter in aws_rds_cluster_parameter_group.this.parameter : parameter.name => parameter.value if startswith(parameter.name, "log_") } == { log_statement = "ddl", log_min_messages = "log", log_min_error_statement = "panic", log_parameter_max_length = "0", log_error_verbosity = "terse" }
    error_message = "Users are parameters of slow statements, and stand in the details of errors."
  }
}

run "encryption" {
  module {
    source = "./modules/database"
  }

  assert {
    condition = aws_rds_cluster.this.storage_encrypted && alltrue([
      for key in concat(
        [aws_rds_cluster.this.kms_key_id, aws_rds_cluster.this.master_user_secret_kms_key_id],
        [for instance in aws_rds_cluster_instance.this : instance.performance_insights_kms_key_id],
        [for group in aws_cloudwatch_log_group.this : group.kms_key_id],
      ) : key == var.kms_key_arn
    ])
    error_message = "Storage, secret, insights and logs have the deployment's key."
  }

  assert {
    condition     = { for kind, group in aws_cloudwatch_log_group.this : group.name => group.retention_in_days } == { "/aws/rds/cluster/auth0-sync-test/postgresql" = 30, "/aws/rds/cluster/auth0-sync-test/iam-db-auth-error" = 30 } && toset(aws_rds_cluster.this.enabled_cloudwatch_logs_exports) == toset(["postgresql", "iam-db-auth-error"])
    error_message = "Exported logs go to groups with a retention."
  }
}

run "keys_of_aws" {
  module {
    source = "./modules/database"
  }

  variables {
    kms_key_arn = null
  }

  assert {
    condition     = aws_rds_cluster.this.storage_encrypted && aws_cloudwatch_log_group.this["postgresql"].kms_key_id == null
    error_message = "Without a key of ours there is still encryption."
  }
}

run "security_groups" {
  module {
    source = "./modules/database"
  }

  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.database_from_functions.security_group_id == aws_security_group.database.id
      && aws_vpc_security_group_ingress_rule.database_from_functions.referenced_security_group_id == aws_security_group.functions.id
      && aws_vpc_security_group_ingress_rule.database_from_functions.cidr_ipv4 == null
      && aws_vpc_security_group_ingress_rule.database_from_functions.from_port == 5432
      && aws_vpc_security_group_ingress_rule.database_from_functions.to_port == 5432
      && aws_vpc_security_group_ingress_rule.database_from_functions.ip_protocol == "tcp"
    )
    error_message = "The database is reached by the functions, on its port."
  }

  assert {
    condition = (
      aws_vpc_security_group_egress_rule.functions_to_database.security_group_id == aws_security_group.functions.id
      && aws_vpc_security_group_egress_rule.functions_to_database.referenced_security_group_id == aws_security_group.database.id
      && aws_vpc_security_group_egress_rule.functions_to_database.cidr_ipv4 == null
      && aws_vpc_security_group_egress_rule.functions_to_database.from_port == 5432
      && aws_vpc_security_group_egress_rule.functions_to_database.to_port == 5432
      && aws_vpc_security_group_egress_rule.functions_to_database.ip_protocol == "tcp"
    )
    error_message = "The functions reach the database, and nothing else."
  }

  assert {
    condition     = aws_rds_cluster.this.vpc_security_group_ids == toset([aws_security_group.database.id]) && output.function_security_group_id == aws_security_group.functions.id && aws_rds_cluster.this.port == 5432
    error_message = "The cluster has the one group, the functions get the other."
  }
}

run "never_pauses" {
  module {
    source = "./modules/database"
  }

  assert {
    condition     = aws_rds_cluster.this.serverlessv2_scaling_configuration[0].min_capacity == 0.5 && aws_rds_cluster.this.serverlessv2_scaling_configuration[0].max_capacity == 4 && aws_rds_cluster.this.serverlessv2_scaling_configuration[0].seconds_until_auto_pause != 3600
    error_message = "Only a cluster that may shrink to nothing can pause: AWS refuses a time to pause otherwise."
  }
}

run "pauses" {
  module {
    source = "./modules/database"
  }

  variables {
    aurora = {
      engine_version           = null
      database_name            = "auth0"
      min_capacity             = 0
      max_capacity             = 1
      seconds_until_auto_pause = 900
      readers                  = 0
      backup_retention_days    = 1
      performance_insights     = false
    }
  }

  assert {
    condition     = aws_rds_cluster.this.serverlessv2_scaling_configuration[0].min_capacity == 0 && aws_rds_cluster.this.serverlessv2_scaling_configuration[0].seconds_until_auto_pause == 900
    error_message = "A cluster of at least 0 pauses after the time that is set."
  }

  assert {
    condition     = aws_rds_cluster_instance.this[0].performance_insights_enabled == false
    error_message = "Insights can be off."
  }
}

run "readers" {
  module {
    source = "./modules/database"
  }

  variables {
    aurora = {
      engine_version           = null
      database_name            = "auth0"
      min_capacity             = 0.5
      max_capacity             = 4
      seconds_until_auto_pause = 3600
      readers                  = 2
      backup_retention_days    = 14
      performance_insights     = true
    }
  }

  assert {
    condition     = output.instance_identifiers == ["auth0-sync-test-1", "auth0-sync-test-2", "auth0-sync-test-3"] && alltrue([for instance in aws_rds_cluster_instance.this : instance.instance_class == "db.serverless" && instance.promotion_tier <= 1])
    error_message = "Beside the writer there are two readers, as large as it."
  }
}

run "new_cluster" {
  module {
    source = "./modules/database"
  }

  assert {
    condition     = aws_rds_cluster.this.engine_version == "18.3" && aws_rds_cluster_instance.this[0].auto_minor_version_upgrade
    error_message = "It has the default minor version of 18, which AWS raises."
  }

  assert {
    condition     = data.aws_rds_engine_version.default[0].version == "18" && data.aws_rds_engine_version.default[0].default_only
    error_message = "The default minor version is what RDS takes \"18\" for."
  }

  assert {
    condition     = can(regex("^\\d+\\.\\d+$", aws_rds_cluster.this.engine_version))
    error_message = "The provider gets a full version always."
  }

  assert {
    condition     = aws_rds_cluster_parameter_group.this.family == "aurora-postgresql18" && aws_rds_cluster_parameter_group.this.name == "auth0-sync-test-aurora-postgresql18"
    error_message = "The parameters are of the major version."
  }
}

run "raised_by_aws" {
  module {
    source = "./modules/database"
  }

  override_data {
    target = data.aws_rds_clusters.named
    values = { cluster_identifiers = ["auth0-sync-test"] }
  }

  override_data {
    target = data.aws_rds_cluster.running
    values = { engine_version = "17.9" }
  }

  assert {
    condition     = aws_rds_cluster.this.engine_version == "17.9" && aws_rds_cluster_instance.this[0].auto_minor_version_upgrade && length(data.aws_rds_engine_version.default) == 0
    error_message = "A cluster keeps what AWS has made of it, and its major version."
  }

  assert {
    condition     = aws_rds_cluster_parameter_group.this.family == "aurora-postgresql17"
    error_message = "The parameters are of the version that runs."
  }
}

run "another_major_version" {
  module {
    source = "./modules/database"
  }

  variables {
    aurora = {
      engine_version           = "18"
      database_name            = "auth0"
      min_capacity             = 0.5
      max_capacity             = 4
      seconds_until_auto_pause = 3600
      readers                  = 0
      backup_retention_days    = 14
      performance_insights     = true
    }
  }

  override_data {
    target = data.aws_rds_clusters.named
    values = { cluster_identifiers = ["auth0-sync-test"] }
  }

  override_data {
    target = data.aws_rds_cluster.running
    values = { engine_version = "17.9" }
  }

  assert {
    condition     = aws_rds_cluster.this.engine_version == "18.3" && aws_rds_cluster_parameter_group.this.family == "aurora-postgresql18"
    error_message = "It is asked for by the variable, and goes to the default minor version."
  }
}

run "stays_at_a_minor_version" {
  module {
    source = "./modules/database"
  }

  variables {
    aurora = {
      engine_version           = "16.9"
      database_name            = "auth0"
      min_capacity             = 0.5
      max_capacity             = 4
      seconds_until_auto_pause = 3600
      readers                  = 0
      backup_retention_days    = 14
      performance_insights     = true
    }
  }

  override_data {
    target = data.aws_rds_clusters.named
    values = { cluster_identifiers = ["auth0-sync-test"] }
  }

  override_data {
    target = data.aws_rds_cluster.running
    values = { engine_version = "16.8" }
  }

  assert {
    condition     = aws_rds_cluster.this.engine_version == "16.9" && aws_rds_cluster_instance.this[0].auto_minor_version_upgrade == false && aws_rds_cluster_parameter_group.this.family == "aurora-postgresql16"
    error_message = "With a minor version, AWS leaves it: every plan would want it back."
  }

  assert {
    condition     = one([for parameter in aws_rds_cluster_parameter_group.this.parameter : parameter.value if parameter.name == "rds.force_ssl"]) == "1"
    error_message = "Version 16 accepts connections without TLS unless it is told not to."
  }
}
