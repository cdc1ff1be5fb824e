variable "name" {
  description = "Name of the deployment: prefix of the names of the queues, alarms and log groups that the key is for."
  type        = string
}
