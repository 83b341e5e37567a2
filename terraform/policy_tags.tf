# Columns that hold personal data carry one of these tags. Who has no right to a tag sees a masked value
# (bigquery.masking), or is refused.
#
# Identifiers that are text are masked by a hash: equal values stay equal, so that joins and the _current
# views, which partition by a record's key, still work. BigQuery hashes text and bytes only; the few
# identifiers of another type (birth_date) carry a tag of their own, whose values are masked by NULL.

locals {
  policy_tags = !var.bigquery.policy_tags ? {} : {
    identifier       = { description = "Text that names a person: names, numbers, addresses.", mask = "SHA256" }
    identifier_other = { description = "What is not text and names a person: dates of birth and death.", mask = "ALWAYS_NULL" }
    sensitive        = { description = "What is known of a person: diagnoses, results, free text; dead letters' payloads.", mask = "ALWAYS_NULL" }
  }
  tag_location = lower(local.bigquery_location)

  # Who sees a tag's values in the clear.
  tag_readers = merge([
    for tag in keys(local.policy_tags) : {
      for member in setunion(var.access.phi_readers, tag == "sensitive" ? var.access.replayers : []) :
      "${tag} ${member}" => { tag = tag, member = member }
    }
  ]...)

  masked_readers = merge([
    for tag in keys(google_bigquery_datapolicy_data_policy.mask) : {
      for member in var.access.analysts : "${tag} ${member}" => { tag = tag, member = member }
    }
  ]...)
}

resource "google_data_catalog_taxonomy" "personal_data" {
  count = var.bigquery.policy_tags ? 1 : 0

  project                = var.project_id
  region                 = local.tag_location
  display_name           = "${local.app}_personal_data"
  description            = "Which columns hold personal data; schemas/ says so by x-phi."
  activated_policy_types = ["FINE_GRAINED_ACCESS_CONTROL"]

  depends_on = [google_project_service.api]
}

resource "google_data_catalog_policy_tag" "personal_data" {
  for_each = local.policy_tags

  taxonomy     = google_data_catalog_taxonomy.personal_data[0].id
  display_name = each.key
  description  = each.value.description
}

resource "google_data_catalog_policy_tag_iam_member" "reader" {
  for_each = local.tag_readers

  policy_tag = google_data_catalog_policy_tag.personal_data[each.value.tag].name
  role       = "roles/datacatalog.categoryFineGrainedReader"
  member     = each.value.member
}

resource "google_bigquery_datapolicy_data_policy" "mask" {
  for_each = var.bigquery.masking ? local.policy_tags : {}

  project          = var.project_id
  location         = local.tag_location
  data_policy_id   = "${local.app}_${each.key}"
  policy_tag       = google_data_catalog_policy_tag.personal_data[each.key].name
  data_policy_type = "DATA_MASKING_POLICY"

  data_masking_policy {
    predefined_expression = each.value.mask
  }
}

resource "google_bigquery_datapolicy_data_policy_iam_member" "analyst" {
  for_each = local.masked_readers

  project        = var.project_id
  location       = local.tag_location
  data_policy_id = google_bigquery_datapolicy_data_policy.mask[each.value.tag].data_policy_id
  role           = "roles/bigquerydatapolicy.maskedReader"
  member         = each.value.member
}
