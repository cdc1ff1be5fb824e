variable "tenants" {
  description = "Deployments, by name: 1 to 10 lower-case letters and digits."
  type = map(object({
    log_stream_source_name = string
    key_arn                = string
    database = object({
      host        = string
      name        = string
      resource_id = string
    })
  }))
}

variable "package_dir" {
  description = "Directory of the functions' packages, as `auth0-sync package` builds them."
  type        = string
  default     = "../../../../build/packages/lambda"
}
