resource "google_monitoring_notification_channel" "email" {
  for_each = var.monitoring.emails

  project      = var.project_id
  display_name = "Vitalflow: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }

  depends_on = [google_project_service.api]
}

locals {
  notification_channels = concat(
    var.monitoring.notification_channels,
    [for channel in google_monitoring_notification_channel.email : channel.id],
  )
}
