variable "account" {
  description = "AWS account and partition."
  type        = object({ id = string, partition = string })
}

variable "caller_arn" {
  description = "Who deploys: the ARN of a user, or of a role's session."
  type        = string
}
