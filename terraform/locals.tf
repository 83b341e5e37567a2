locals {
  app = "vitalflow"

  schemas = startswith(var.schemas_path, "/") ? var.schemas_path : "${path.module}/${var.schemas_path}"

  # The one list: every for_each over resources is over this map of names to titles.
  resources = {
    for file in fileset("${local.schemas}/resources", "*.schema.json") :
    trimsuffix(file, ".schema.json") => jsondecode(file("${local.schemas}/resources/${file}")).title
  }

  # Records that the system writes itself take the same way, from its endpoints and not from outside:
  # they have no service and no key.
  system = {
    for file in fileset("${local.schemas}/system", "*.schema.json") :
    trimsuffix(file, ".schema.json") => jsondecode(file("${local.schemas}/system/${file}")).title
  }

  # Whatever has a topic.
  streams = merge(local.resources, local.system)

  # Cloud Run, network endpoint groups and service accounts take no underscore. Contracts' names have
  # no hyphen, so no two of them meet here; the suffix keeps the name from ending in one.
  service_names = { for name in keys(local.resources) : name => "${replace(name, "_", "-")}-endpoint" }

  # An account id ends at 30 characters, a resource's name at 40.
  account_ids = {
    for name, service in local.service_names :
    name => length(service) <= 30 ? service : "${substr(service, 0, 14)}-${substr(sha1(name), 0, 6)}-endpoint"
  }

  labels = merge(var.labels, { app = local.app })
  resource_labels = {
    for name in keys(local.streams) : name => merge(local.labels, { resource = name })
  }

  endpoints = {
    for name in keys(local.resources) : name => merge(
      var.endpoint,
      { for key, value in try(var.resource_settings[name], {}) : key => value if value != null },
    )
  }
}
