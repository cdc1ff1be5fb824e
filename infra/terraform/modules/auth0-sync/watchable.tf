# Values for the validations of variables.tf. The commands evaluate these two files alone, without a provider.

locals {
  # `make generate` writes this file from the Python code, so that the module reads nothing outside its directory.
  generated = jsondecode(file("${path.module}/generated.json"))

  # The questions that can be watched, by name: their parameters, true if required.
  watchable = local.generated.watchable
}
