# The minimal complete deployment: users in Postgres and DynamoDB, logs in S3, alarms.

terraform {
  required_version = ">= 1.9"
}

provider "aws" {
  region = "us-east-1"

  default_tags {
    tags = { Project = "auth0-sync" }
  }
}

module "auth0_sync" {
  source    = "../../modules/auth0-sync"
  providers = { aws = aws, aws.source = aws } # Auth0 delivers to the region of the data

  environment = "minimal"
  package_dir = var.package_dir

  auth0  = { log_stream_source_name = var.log_stream_source_name }
  aurora = { min_capacity = 0, max_capacity = 2, performance_insights = false }
  alarms = { emails = [var.email], silence_hours = 24 }
  logs   = { retention_days = 30 }

  encryption = { customer_managed = false }
}

output "shell" {
  description = "Names, ARNs and policies for programs and people."
  value       = module.auth0_sync
}
