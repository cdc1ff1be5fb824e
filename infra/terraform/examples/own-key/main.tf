# Several tenants in one account, each a deployment with a Postgres server and a key of yours.

terraform {
  required_version = ">= 1.9"
}

provider "aws" {
  region = "eu-central-1"
}

module "auth0_sync" {
  source    = "../../modules/auth0-sync"
  providers = { aws = aws, aws.source = aws } # Auth0 delivers to the region of the data
  for_each  = var.tenants

  environment = each.key
  package_dir = var.package_dir

  auth0      = { log_stream_source_name = each.value.log_stream_source_name }
  database   = each.value.database
  encryption = { key_arn = each.value.key_arn } # docs/security.md has what its policy must allow
}

output "users_tables" {
  description = "Names of the tables of users, by tenant."
  value       = { for tenant, deployment in module.auth0_sync : tenant => deployment.users_table }
}

output "kms_key_arns" {
  description = "The keys, by tenant."
  value       = { for tenant, deployment in module.auth0_sync : tenant => deployment.kms_key_arn }
}
