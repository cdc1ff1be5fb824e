terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # The only place for the version: what the tests run on. The root and the modules in here have none of their own.
      version               = "5.100.0"
      configuration_aliases = [aws, aws.source]
    }
  }
}
