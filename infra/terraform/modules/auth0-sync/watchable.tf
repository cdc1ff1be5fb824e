# What the validations of variables.tf need. The commands evaluate both files alone, which takes no provider.

locals {
  # `make generate` writes the file: what Terraform needs to know of the Python side, so that the module reads no other.
  generated = jsondecode(file("${path.module}/generated.json"))

  # The questions that can be watched, by name: the parameters that they take, true where one has to be given.
  watchable = local.generated.watchable
}
