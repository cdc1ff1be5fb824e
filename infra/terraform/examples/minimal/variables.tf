variable "log_stream_source_name" {
  description = "Name of the Log Stream's event source, as Auth0 shows it: aws.partner/auth0.com/<tenant>-<id>/auth0.logs."
  type        = string
}

variable "email" {
  description = "E-mail addresses that get the alarms; each must confirm."
  type        = string
}

variable "package_dir" {
  description = "Directory of the functions' packages, as `auth0-sync package` builds them."
  type        = string
  default     = "../../../../build/packages/lambda"
}
