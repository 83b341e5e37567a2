# The names are contract: endpoint and pipeline find topic and subscription by the resource's name.

resource "google_pubsub_topic" "stream" {
  for_each = local.streams

  project                    = var.project_id
  name                       = each.key
  labels                     = local.resource_labels[each.key]
  kms_key_name               = lookup(var.kms_keys, "pubsub", null)
  message_retention_duration = "${var.pubsub.retention_days * 86400}s"

  message_storage_policy {
    allowed_persistence_regions = length(var.pubsub.storage_regions) > 0 ? var.pubsub.storage_regions : [var.region]
  }

  lifecycle {
    precondition {
      condition     = contains(keys(local.tables), each.key)
      error_message = "${each.key} has a contract but no table: run `make generate`."
    }
  }

  depends_on = [google_project_service.api, google_kms_crypto_key_iam_member.agent]
}

# No dead-letter and no retry policy: Dataflow supports neither, and has its own of both.
# https://cloud.google.com/dataflow/docs/concepts/streaming-with-cloud-pubsub#unsupported-features
# No exactly-once delivery and no ordering: they slow Dataflow down, and the views need neither.
resource "google_pubsub_subscription" "pipeline" {
  for_each = local.streams

  project                      = var.project_id
  name                         = "${each.key}-pipeline"
  topic                        = google_pubsub_topic.stream[each.key].id
  labels                       = local.resource_labels[each.key]
  ack_deadline_seconds         = var.pubsub.ack_deadline_seconds
  message_retention_duration   = "604800s" # What waits while the pipeline is away is kept for a week.
  retain_acked_messages        = false
  enable_exactly_once_delivery = false
  enable_message_ordering      = false

  expiration_policy {
    ttl = "" # Never, even if the pipeline is away for a month.
  }
}
