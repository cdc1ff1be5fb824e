# A cluster in a VPC of yours, which your services reach, and events from the region that Auth0 delivers to.

terraform {
  required_version = ">= 1.9"
}

provider "aws" {
  region = "eu-central-1"
}

provider "aws" {
  alias  = "source"
  region = "us-east-1"
}

module "auth0_sync" {
  source    = "../../modules/auth0-sync"
  providers = { aws = aws, aws.source = aws.source }

  environment = "prod"
  package_dir = var.package_dir

  auth0   = { log_stream_source_name = var.log_stream_source_name, source_region = "us-east-1" }
  network = { vpc_id = var.vpc_id, subnet_ids = var.subnet_ids }
  aurora = {
    readers                = 1 # in another availability zone
    client_security_groups = var.client_security_groups
  }
}

output "database" {
  description = "Host name of the database."
  value       = module.auth0_sync.database
}
