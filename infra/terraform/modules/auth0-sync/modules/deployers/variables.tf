variable "account" {
  description = "AWS account and partition."
  type        = object({ id = string, partition = string })
}

variable "caller_arn" {
  description = "ARN of the caller: a user, or a role's session."
  type        = string
}
