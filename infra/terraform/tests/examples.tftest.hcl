# Each example plans, with the module as others use it: from a configuration of their own, and for several deployments.

mock_provider "aws" {
  source          = "./modules/auth0-sync/tests/mocks"
  override_during = plan
}

mock_provider "aws" {
  alias           = "source"
  source          = "./modules/auth0-sync/tests/mocks"
  override_during = plan
}

variables {
  package_dir            = "modules/auth0-sync/tests/packages"
  log_stream_source_name = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs"
}

run "minimal" {
  command = plan

  module {
    source = "./examples/minimal"
  }

  variables {
    email = "oncall@acme.example"
  }

  assert {
    condition     = output.shell.deployment == "auth0-sync-minimal" && output.shell.kms_key_arn == null && output.shell.database.port == 5432
    error_message = "The least is a deployment with a cluster and keys of AWS."
  }
}

run "own_vpc" {
  command = plan

  module {
    source = "./examples/own-vpc"
  }

  variables {
    vpc_id                 = "vpc-0123456789abcdef0"
    subnet_ids             = ["subnet-1", "subnet-2"]
    client_security_groups = { billing = "sg-billing" }
  }

  assert {
    condition     = output.database.name == "auth0"
    error_message = "The cluster is in the VPC that was given."
  }
}

run "own_key" {
  command = plan

  module {
    source = "./examples/own-key"
  }

  variables {
    tenants = {
      for tenant in ["acme", "zenith"] : tenant => {
        log_stream_source_name = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs"
        key_arn                = "arn:aws:kms:eu-central-1:123456789012:key/${tenant}"
        database               = { host = "${tenant}.example.com", name = "app", resource_id = "cluster-ABCDEFGHIJKL1234" }
      }
    }
  }

  assert {
    condition     = output.users_tables == { acme = "auth0-sync-acme-users", zenith = "auth0-sync-zenith-users" }
    error_message = "Each tenant has a deployment of its own."
  }

  assert {
    condition     = output.kms_key_arns == { for tenant in ["acme", "zenith"] : tenant => "arn:aws:kms:eu-central-1:123456789012:key/${tenant}" }
    error_message = "Each deployment uses the key that it was given."
  }
}

run "dns_firewall" {
  command = plan

  module {
    source = "./examples/dns-firewall"
  }

  variables {
    deployment = "auth0-sync-prod"
    region     = "eu-central-1"
  }

  override_data {
    target = data.aws_rds_cluster.database
    values = {
      endpoint        = "auth0-sync-prod.cluster-abc.eu-central-1.rds.amazonaws.com"
      reader_endpoint = "auth0-sync-prod.cluster-ro-abc.eu-central-1.rds.amazonaws.com"
    }
  }

  assert {
    condition     = length(output.names) == 2 && alltrue([for name in output.names : startswith(name, "auth0-sync-prod.cluster-")])
    error_message = "Only the cluster's endpoints are allowed."
  }
}
