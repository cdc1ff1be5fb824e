locals {
  tags = merge({
    Project     = "auth0-sync"
    Deployment  = "${var.name}-${var.environment}"
    Environment = var.environment
    Version     = jsondecode(file("${path.module}/modules/auth0-sync/generated.json")).version
  }, var.tags)
}

# Credentials and endpoints come from the environment or the shared AWS configuration, as for any AWS tool.
provider "aws" {
  region            = var.region
  s3_use_path_style = var.s3_use_path_style

  default_tags {
    tags = local.tags
  }
}

# Where Auth0's event sources are.
provider "aws" {
  alias  = "source"
  region = try(coalesce(try(var.auth0.source_region, null), var.region), null)

  default_tags {
    tags = local.tags
  }
}
