variable "pubsub" {
  description = <<-EOT
    - storage_regions: regions where messages may be stored; empty means var.region alone
    - retention_days: how long topics keep messages, for a seek back in time; 1 to 31
    - ack_deadline_seconds: of the pipeline's subscriptions; Dataflow extends it by itself while it works
  EOT
  type = object({
    storage_regions      = optional(list(string), [])
    retention_days       = optional(number, 7)
    ack_deadline_seconds = optional(number, 60)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.pubsub.retention_days >= 1 && var.pubsub.retention_days <= 31
    error_message = "pubsub.retention_days is 1 to 31."
  }
  validation {
    condition     = var.pubsub.ack_deadline_seconds >= 10 && var.pubsub.ack_deadline_seconds <= 600
    error_message = "pubsub.ack_deadline_seconds is 10 to 600."
  }
}

variable "secret_locations" {
  description = "Regions that hold the API keys. Empty replicates them wherever Google sees fit; with kms_keys.secret_manager it means var.region alone."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = !contains(keys(var.kms_keys), "secret_manager") || length(var.secret_locations) <= 1
    error_message = "One key encrypts in one region: with kms_keys.secret_manager, secret_locations has one at most."
  }
}

variable "bigquery" {
  description = <<-EOT
    - location: of the datasets; null means var.region
    - dataset, ops_dataset: names of the records' dataset and of the system's own
    - policy_tags: whether columns with personal data carry policy tags; without them every analyst sees them
    - masking: whether analysts see masked values in such columns; false refuses their query instead
    - time_travel_hours: how far back a table can be read, 48 to 168
  EOT
  type = object({
    location          = optional(string)
    dataset           = optional(string, "healthcare")
    ops_dataset       = optional(string, "healthcare_ops")
    policy_tags       = optional(bool, true)
    masking           = optional(bool, true)
    time_travel_hours = optional(number, 168)
  })
  default  = {}
  nullable = false

  validation {
    condition = (
      can(regex("^[A-Za-z0-9_]+$", var.bigquery.dataset))
      && can(regex("^[A-Za-z0-9_]+$", var.bigquery.ops_dataset))
      && var.bigquery.dataset != var.bigquery.ops_dataset
    )
    error_message = "bigquery.dataset and bigquery.ops_dataset are two names of letters, digits and _."
  }
  validation {
    condition     = var.bigquery.policy_tags || !var.bigquery.masking
    error_message = "Masking works by policy tags: without them, set bigquery.masking = false too."
  }
  validation {
    condition     = var.bigquery.time_travel_hours >= 48 && var.bigquery.time_travel_hours <= 168
    error_message = "bigquery.time_travel_hours is 48 to 168."
  }
}

variable "archive" {
  description = <<-EOT
    The raw archive: every message as it was published, in Avro files.
    - enabled: whether there is one
    - location: of the bucket; null means var.region
    - retention_days: how long nobody can delete or change a file
    - retention_locked: make retention_days final; it can never be shortened or lifted again
    - nearline_after_days, coldline_after_days, delete_after_days: a file's life; the last may be null for ever
    - max_file_minutes: a file is closed after so long, 1 to 10
  EOT
  type = object({
    enabled             = optional(bool, true)
    location            = optional(string)
    retention_days      = optional(number, 30)
    retention_locked    = optional(bool, false)
    nearline_after_days = optional(number, 30)
    coldline_after_days = optional(number, 90)
    delete_after_days   = optional(number, 2555)
    max_file_minutes    = optional(number, 5)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.archive.retention_days >= 1 && var.archive.retention_days <= 36500
    error_message = "archive.retention_days is 1 to 36500."
  }
  validation {
    condition     = var.archive.nearline_after_days < var.archive.coldline_after_days
    error_message = "archive.nearline_after_days is less than archive.coldline_after_days."
  }
  validation {
    condition     = var.archive.delete_after_days == null ? true : var.archive.delete_after_days > max(var.archive.coldline_after_days, var.archive.retention_days)
    error_message = "archive.delete_after_days is more than coldline_after_days and retention_days, or null."
  }
  validation {
    condition     = var.archive.max_file_minutes >= 1 && var.archive.max_file_minutes <= 10
    error_message = "archive.max_file_minutes is 1 to 10."
  }
}
