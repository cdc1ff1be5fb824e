variable "name" {
  description = "Name of the table."
  type        = string
}

variable "point_in_time_recovery" {
  description = "Keep continuous backups of the last 35 days."
  type        = bool
}

variable "deletion_protection" {
  description = "Refuse to delete the table."
  type        = bool
}
