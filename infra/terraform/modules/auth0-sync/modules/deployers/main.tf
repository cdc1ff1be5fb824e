# Keeps the principal of the first deploy, who may send to the queues without being named. If each deploy replaced it, a deploy by
# somebody else would change every queue.

locals {
  # A session is known by its role, whose path its own ARN lacks. Names of roles are unique in an account.
  deployers = (
    can(regex(":assumed-role/", var.caller_arn)) ?
    [for path in ["", "*/"] : "arn:${var.account.partition}:iam::${var.account.id}:role/${path}${split("/", var.caller_arn)[1]}"] :
    [var.caller_arn]
  )
}

resource "terraform_data" "deployers" {
  input = local.deployers

  lifecycle {
    ignore_changes = [input]
  }
}
