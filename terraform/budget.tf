resource "google_billing_budget" "project" {
  count = var.budget == null ? 0 : 1

  billing_account = var.budget.billing_account
  display_name    = "${local.app} in ${var.project_id}"

  budget_filter {
    projects = ["projects/${data.google_project.this[0].number}"] # By id it would differ at each plan.
  }

  amount {
    specified_amount {
      currency_code = var.budget.currency
      units         = tostring(var.budget.amount)
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1]
    content {
      threshold_percent = threshold_rules.value
    }
  }
  threshold_rules {
    threshold_percent = 1
    spend_basis       = "FORECASTED_SPEND"
  }

  all_updates_rule {
    monitoring_notification_channels = slice(local.notification_channels, 0, min(5, length(local.notification_channels))) # The API takes five.
    enable_project_level_recipients  = true
  }

  depends_on = [google_project_service.api]
}
