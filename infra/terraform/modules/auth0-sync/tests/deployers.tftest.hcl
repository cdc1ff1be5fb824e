# The principal that deploys first may send to the queues, and stays the one that may.

variables {
  account = { id = "123456789012", partition = "aws", region = "eu-central-1" }
}

run "first_deployer" {
  variables {
    caller_arn = "arn:aws:sts::123456789012:assumed-role/Deployer/ada"
  }

  module {
    source = "./modules/deployers"
  }

  assert {
    condition     = output.arns == tolist(["arn:aws:iam::123456789012:role/Deployer", "arn:aws:iam::123456789012:role/*/Deployer"])
    error_message = "The principal that deploys first may send, without being named."
  }
}

run "another_deployer" {
  variables {
    caller_arn = "arn:aws:iam::123456789012:user/eve"
  }

  module {
    source = "./modules/deployers"
  }

  assert {
    condition     = output.arns == tolist(["arn:aws:iam::123456789012:role/Deployer", "arn:aws:iam::123456789012:role/*/Deployer"])
    error_message = "The state keeps the first principal, whoever deploys later."
  }
}
