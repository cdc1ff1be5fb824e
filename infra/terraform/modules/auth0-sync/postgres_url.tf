# tests/infra/test_variables.py evaluates this file alone.

locals {
  # As pipeline/settings.py has it: no special character of the password may be taken for another part of the URL.
  percent_encoded = "%(?:[1-9A-Fa-f][0-9A-Fa-f]|0[1-9A-Fa-f])"
  postgres_host   = "(?:(?:[A-Za-z0-9_.-]|${local.percent_encoded})*|\\[[0-9A-Fa-f:.]+\\])(?::[0-9]+)?"
  postgres_url = join("", [
    "^postgres(?:ql)?://(?:(?:[^%@/?#\\s]|${local.percent_encoded})*@)?${local.postgres_host}(?:,${local.postgres_host})*",
    "(?:/(?:[^%@/?#\\s]|${local.percent_encoded})*)?(?:\\?(?:[^%@?#\\s]|${local.percent_encoded})*)?$",
  ])
}
