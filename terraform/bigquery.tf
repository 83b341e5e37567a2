locals {
  bigquery_location = coalesce(var.bigquery.location, var.region)

  # The two datasets, by the name that the generated files give them.
  dataset_ids = {
    data = google_bigquery_dataset.data.dataset_id
    ops  = google_bigquery_dataset.ops.dataset_id
  }

  # Generated from the contracts, and the system's own.
  tables = {
    for file in fileset("${local.schemas}/bigquery/tables", "*.json") :
    trimsuffix(file, ".json") => jsondecode(file("${local.schemas}/bigquery/tables/${file}"))
  }

  # jsonencode sorts members, so a column's text reads …,"policyTags":{"names":["…"]},"type":"…"}.
  columns = { for name, table in local.tables : name => jsonencode(table.schema.fields) }
  tagged_columns = { for name, json in local.columns : name => (
    var.bigquery.policy_tags
    ? replace(
      replace(
        replace(
          json,
          "/\\$\\{policy_tag_identifier\\}(\"\\]\\},\"type\":\"(?:BYTES|STRING)\")/",
          "${google_data_catalog_policy_tag.personal_data["identifier"].name}$1",
        ),
        "$${policy_tag_identifier}",
        google_data_catalog_policy_tag.personal_data["identifier_other"].name,
      ),
      "$${policy_tag_sensitive}",
      google_data_catalog_policy_tag.personal_data["sensitive"].name,
    )
    : replace(json, "/,\"policyTags\":\\{\"names\":\\[\"[^\"]*\"\\]\\}/", "")
  ) }

  views = {
    for file in fileset("${local.schemas}/bigquery/views", "*.sql") :
    trimsuffix(file, ".sql") => {
      # The first line is `-- dataset: data` or `-- dataset: ops`.
      dataset = regex("^-- dataset: (data|ops)\n", file("${local.schemas}/bigquery/views/${file}"))[0]
      # The second says what the view is for.
      description = try(regex("^[^\n]*\n-- ([^\n]*)\n", file("${local.schemas}/bigquery/views/${file}"))[0], "")
      query = templatefile("${local.schemas}/bigquery/views/${file}", {
        project     = var.project_id
        dataset     = var.bigquery.dataset
        ops_dataset = var.bigquery.ops_dataset
      })
    }
  }

  # Views of the one dataset that read the other need its leave, so that who may query the view need
  # not see the tables. Their dataset gets it as a whole: a list of views would change with each.
  ops_reads_data = anytrue([
    for view in values(local.views) :
    view.dataset == "ops" && strcontains(view.query, "`${var.project_id}.${var.bigquery.dataset}.")
  ])

  readers = {
    data = var.access.analysts
    ops  = setunion(var.access.operators, var.access.replayers)
  }
  # An access list has a member of its own for groups, for users and for everybody else.
  reader_lists = {
    for dataset, members in local.readers : dataset => [
      for member in members : {
        group_by_email = startswith(member, "group:") ? trimprefix(member, "group:") : null
        user_by_email  = can(regex("^(user|serviceAccount):", member)) ? split(":", member)[1] : null
        iam_member     = strcontains(member, "://") ? member : null
      }
    ]
  }
}

# Each dataset's access list is the whole of it. BigQuery's own default would add everybody with a basic
# role on the project: a Viewer could read patients.
resource "google_bigquery_dataset" "data" {
  project                    = var.project_id
  dataset_id                 = var.bigquery.dataset
  location                   = local.bigquery_location
  description                = "Health records as they arrived: a table and two views for each resource."
  labels                     = local.labels
  max_time_travel_hours      = tostring(var.bigquery.time_travel_hours)
  delete_contents_on_destroy = !var.deletion_protection

  access {
    role          = "OWNER"
    special_group = "projectOwners"
  }

  dynamic "access" {
    for_each = local.reader_lists.data
    content {
      role           = "READER"
      group_by_email = access.value.group_by_email
      user_by_email  = access.value.user_by_email
      iam_member     = access.value.iam_member
    }
  }

  dynamic "access" {
    for_each = local.ops_reads_data ? [google_bigquery_dataset.ops.dataset_id] : []
    content {
      dataset {
        target_types = ["VIEWS"]
        dataset {
          project_id = var.project_id
          dataset_id = access.value
        }
      }
    }
  }

  dynamic "default_encryption_configuration" {
    for_each = contains(keys(var.kms_keys), "bigquery") ? [var.kms_keys.bigquery] : []
    content {
      kms_key_name = default_encryption_configuration.value
    }
  }

  depends_on = [google_project_service.api, google_kms_crypto_key_iam_member.agent]
}

resource "google_bigquery_dataset" "ops" {
  project                    = var.project_id
  dataset_id                 = var.bigquery.ops_dataset
  location                   = local.bigquery_location
  description                = "What the system knows of itself: dead letters, and views on them."
  labels                     = local.labels
  max_time_travel_hours      = tostring(var.bigquery.time_travel_hours)
  delete_contents_on_destroy = !var.deletion_protection

  access {
    role          = "OWNER"
    special_group = "projectOwners"
  }

  dynamic "access" {
    for_each = local.reader_lists.ops
    content {
      role           = "READER"
      group_by_email = access.value.group_by_email
      user_by_email  = access.value.user_by_email
      iam_member     = access.value.iam_member
    }
  }

  dynamic "default_encryption_configuration" {
    for_each = contains(keys(var.kms_keys), "bigquery") ? [var.kms_keys.bigquery] : []
    content {
      kms_key_name = default_encryption_configuration.value
    }
  }

  depends_on = [google_project_service.api, google_kms_crypto_key_iam_member.agent]
}

# No partition filter is required: the _current views look at all of a table.
resource "google_bigquery_table" "table" {
  #checkov:skip=CKV_GCP_121:On by default; only examples/minimal, which is there to be destroyed again, turns it off.
  for_each = local.tables

  project             = var.project_id
  dataset_id          = local.dataset_ids[each.value.dataset]
  table_id            = each.value.tableId
  description         = each.value.description
  labels              = lookup(local.resource_labels, each.key, local.labels)
  schema              = local.tagged_columns[each.key]
  clustering          = each.value.clustering.fields
  deletion_protection = var.deletion_protection

  time_partitioning {
    type          = each.value.timePartitioning.type
    field         = each.value.timePartitioning.field
    expiration_ms = try(tonumber(each.value.timePartitioning.expirationMs), null)
  }

  dynamic "encryption_configuration" {
    for_each = contains(keys(var.kms_keys), "bigquery") ? [var.kms_keys.bigquery] : []
    content {
      kms_key_name = encryption_configuration.value
    }
  }
}

resource "google_bigquery_table" "view" {
  #checkov:skip=CKV_GCP_121:A view holds no rows; what it reads is protected.
  #checkov:skip=CKV_GCP_80:A view holds no rows to encrypt; what it reads is encrypted with the key.
  for_each = local.views

  project             = var.project_id
  dataset_id          = local.dataset_ids[each.value.dataset]
  table_id            = each.key
  description         = each.value.description
  labels              = local.labels
  deletion_protection = false # It holds nothing.

  view {
    query          = each.value.query
    use_legacy_sql = false
  }

  # BigQuery checks a view's query when it is made.
  depends_on = [google_bigquery_table.table]
}
