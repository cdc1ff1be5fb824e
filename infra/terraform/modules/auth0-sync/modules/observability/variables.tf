variable "name" {
  description = "Name of the deployment: prefix of the names of alarms, topic and dashboard, and value of the functions' metric dimension `deployment` (their variable DEPLOYMENT)."
  type        = string
}

variable "account" {
  description = "AWS account, partition and region of the resources."
  type        = object({ id = string, partition = string, region = string })
}

variable "env" {
  description = "Name by which the commands know the deployment (ENV=…), for the texts of alarms and dashboard."
  type        = string
}

variable "runbook_url" {
  description = "Address of the runbook. Each alarm links to this address, #, and its kind."
  type        = string
}

variable "consumers" {
  description = <<-EOT
    Names of each consumer's queues and function, by sink, and `refresh` if it is on.
    failed_queue: dead-letter queue of the messages that the function gave up.
    service: its SERVICE_NAME, a dimension of its metrics.
  EOT
  type = map(object({
    queue           = string
    failed_queue    = string
    function        = string
    service         = string
    timeout_seconds = number
  }))
  default = {}
}

variable "log_groups" {
  description = "Names of the consumers' log groups, for queries."
  type        = list(string)
  default     = []
}

variable "undelivered_queues" {
  description = "Names of the dead-letter queues of the events that EventBridge could not deliver, by target."
  type        = map(string)
  default     = {}
}

variable "rules" {
  description = <<-EOT
    EventBridge rules, by subject and stream, such as user-changes-log-stream.
    has_target: false for a rule that only counts.
    matches_all: it matches every event of its bus, so that it counts the events that Auth0 sends.
    silence_hours: alarm after so many hours (1 to 24) without a match; null: never.
  EOT
  type = map(object({
    name           = string
    event_bus_name = string
    has_target     = optional(bool, true)
    matches_all    = optional(bool, false)
    silence_hours  = optional(number)
  }))
  default = {}

  validation {
    condition = alltrue([
      for rule in var.rules :
      rule.silence_hours == null || try(rule.silence_hours >= 1 && rule.silence_hours <= 24 && floor(rule.silence_hours) == rule.silence_hours, false)
    ])
    error_message = "silence_hours must be a whole number of 1 to 24: CloudWatch looks back a day at most."
  }
}

variable "deploy_functions" {
  description = "Names of the functions that run on a deployment, such as migrate."
  type        = map(string)
  default     = {}
}

variable "watch_function" {
  description = "Name of the function that asks the archive questions on a schedule; null: there is none."
  type        = string
  default     = null
}

variable "manifest_function" {
  description = "Name of the function that writes the archive's manifests; null: there is none."
  type        = string
  default     = null
}

variable "reconcile_function" {
  description = "Name of the function that compares the stores on a schedule; null: there is none."
  type        = string
  default     = null
}

variable "archive" {
  description = "Name of the delivery stream and of the log group of its errors; null: there is none."
  type = object({
    firehose  = string
    log_group = string
  })
  default = null
}

variable "users_table" {
  description = "Name of the DynamoDB table of users; null: there is none."
  type        = string
  default     = null
}

variable "aurora" {
  description = "The Aurora Serverless v2 cluster and its limits in ACUs; null: the deployment has no cluster."
  type = object({
    cluster_identifier = string
    min_capacity       = number
    max_capacity       = number
  })
  default = null
}

variable "alarms" {
  description = <<-EOT
    topic_arn: SNS topic for alarms; null creates one, with the addresses in `emails` (each must confirm).
    lag_seconds, queue_age_seconds, archive_age_seconds: how far behind is too far.
  EOT
  type = object({
    enabled             = bool
    topic_arn           = string
    emails              = list(string)
    lag_seconds         = number
    queue_age_seconds   = number
    archive_age_seconds = number
  })

  validation {
    condition     = var.alarms.topic_arn == null || length(var.alarms.emails) == 0
    error_message = "alarms.emails are for the topic that is created. Subscribe them to the topic in alarms.topic_arn yourself, or leave that out."
  }
}

variable "dashboard" {
  description = "Create a dashboard."
  type        = bool
}

variable "kms_key_arn" {
  description = "Key that encrypts the topic's messages; its policy must let cloudwatch.amazonaws.com use it. null: a key of AWS."
  type        = string
  default     = null
}
