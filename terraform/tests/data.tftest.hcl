# Tables, views and buckets.

mock_provider "google" {}
mock_provider "google-beta" {}

override_resource {
  target          = google_data_catalog_policy_tag.personal_data["identifier"]
  override_during = plan
  values          = { name = "projects/demo-project/locations/europe-west3/taxonomies/1/policyTags/11" }
}
override_resource {
  target          = google_data_catalog_policy_tag.personal_data["identifier_other"]
  override_during = plan
  values          = { name = "projects/demo-project/locations/europe-west3/taxonomies/1/policyTags/12" }
}
override_resource {
  target          = google_data_catalog_policy_tag.personal_data["sensitive"]
  override_during = plan
  values          = { name = "projects/demo-project/locations/europe-west3/taxonomies/1/policyTags/13" }
}

variables {
  project_id = "demo-project"
  region     = "europe-west3"
}

run "by_default" {
  command = plan

  assert {
    condition     = length(google_bigquery_table.table) == length(fileset("../schemas/bigquery/tables", "*.json")) && length(setsubtract(keys(local.resources), keys(google_bigquery_table.table))) == 0
    error_message = "A generated table is missing."
  }
  assert {
    condition     = alltrue([for table in google_bigquery_table.table : contains(["HOUR", "DAY", "MONTH", "YEAR"], table.time_partitioning[0].type) && table.time_partitioning[0].field != null])
    error_message = "Every table is partitioned by a column of its own."
  }
  assert {
    condition     = alltrue([for table in google_bigquery_table.table : length(table.clustering) > 0 && length(table.description) > 0 && table.deletion_protection])
    error_message = "Every table is clustered, described and safe from destroy."
  }
  assert {
    condition     = alltrue([for name in keys(local.resources) : google_bigquery_table.table[name].time_partitioning[0].expiration_ms > 0 && google_bigquery_table.table[name].dataset_id == "healthcare"])
    error_message = "A resource's partitions expire as its contract says."
  }
  assert {
    condition     = google_bigquery_table.table["dead_letters"].dataset_id == "healthcare_ops"
    error_message = "Dead letters are the system's own."
  }
  assert {
    condition     = !anytrue([for table in google_bigquery_table.table : strcontains(table.schema, "$${")])
    error_message = "A placeholder was left in a schema."
  }
  assert {
    condition = {
      for column in jsondecode(google_bigquery_table.table["patients"].schema) :
      column.name => regex("[0-9]+$", column.policyTags.names[0]) if contains(["patient_id", "birth_date", "additional_fields"], column.name)
    } == { patient_id = "11", birth_date = "12", additional_fields = "13" }
    error_message = "Text that identifies can be hashed; a date and what is sensitive cannot."
  }
  assert {
    condition     = one([for column in jsondecode(google_bigquery_table.table["dead_letters"].schema) : regex("[0-9]+$", column.policyTags.names[0]) if column.name == "payload"]) == "13"
    error_message = "A dead letter's payload is for those who may see what is sensitive."
  }
  assert {
    condition = {
      for tag, policy in google_bigquery_datapolicy_data_policy.mask : tag => policy.data_masking_policy[0].predefined_expression
    } == { identifier = "SHA256", identifier_other = "ALWAYS_NULL", sensitive = "ALWAYS_NULL" }
    error_message = "Joins and the _current views need identifiers whose equal values stay equal."
  }
  assert {
    condition = alltrue([
      for bucket in [google_storage_bucket.archive[0], google_storage_bucket.dataflow] :
      bucket.uniform_bucket_level_access && bucket.public_access_prevention == "enforced" && length(bucket.lifecycle_rule) >= 3
    ])
    error_message = "A bucket could be opened to the public, or keeps everything for ever."
  }
  assert {
    condition     = google_storage_bucket.archive[0].retention_policy[0].retention_period == 30 * 86400 && !google_storage_bucket.archive[0].force_destroy && !google_storage_bucket.archive[0].retention_policy[0].is_locked
    error_message = "The archive is not kept as declared."
  }
}

run "otherwise" {
  command = plan
  variables {
    bigquery = { dataset = "records", ops_dataset = "records_ops", policy_tags = false, masking = false }
    archive  = { enabled = false }
  }

  assert {
    condition     = !anytrue([for table in google_bigquery_table.table : strcontains(table.schema, "policyTags")]) && length(google_data_catalog_taxonomy.personal_data) == 0
    error_message = "Without policy tags no column has one."
  }
  assert {
    condition     = alltrue([for name, table in google_bigquery_table.table : length(jsondecode(table.schema)) == length(local.tables[name].schema.fields)])
    error_message = "A column went with its tag."
  }
  assert {
    condition     = length(google_bigquery_table.view) == length(fileset("../schemas/bigquery/views", "*.sql")) && alltrue([for name in keys(local.resources) : contains(keys(google_bigquery_table.view), "${name}_current")])
    error_message = "A generated view is missing."
  }
  assert {
    condition     = alltrue([for view in google_bigquery_table.view : !strcontains(view.view[0].query, "$${") && !view.view[0].use_legacy_sql])
    error_message = "A placeholder was left in a view."
  }
  assert {
    condition     = strcontains(google_bigquery_table.view["patients_current"].view[0].query, "`demo-project.records.patients`") && google_bigquery_table.view["dead_letters_by_code"].dataset_id == "records_ops"
    error_message = "A view reads, or lies in, another dataset than it should."
  }
  assert {
    condition     = length(google_pubsub_subscription.archive) == 0 && length(google_storage_bucket.archive) == 0
    error_message = "An archive was made that nobody asked for."
  }
}
