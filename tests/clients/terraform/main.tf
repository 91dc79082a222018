# A workspace as code, with each resource and data source of Segment's provider. `changed` makes the second version of it.
terraform {
  required_providers {
    segment = { source = "segmentio/segment" }
  }
}

provider "segment" {}

variable "changed" {
  type    = bool
  default = false
}

variable "prefix" {
  type    = string
  default = "tf"
}

locals {
  word       = var.changed ? "other" : "first"
  javascript = "IqDTy1TpoU"
  postgres   = "55d3d3aea3c"
  database   = "WvlvcGEJsT" # a source that is a PostgreSQL database
  webhook    = "614a3c7d791c91c41bae7599" # Webhook (Actions)
}

data "segment_workspace" "this" {}

data "segment_source_metadata" "javascript" {
  id = local.javascript
}

data "segment_destination_metadata" "webhook" {
  id = local.webhook
}

data "segment_warehouse_metadata" "postgres" {
  id = local.postgres
}

variable "space_id" {
  type = string
}

data "segment_role" "source_admin" {
  id = "1WDUuSF1kN1xis2lp09RVKOsnnL"
}

data "segment_source" "site" {
  id = segment_source.site.id
}

data "segment_destination" "hook" {
  id = segment_destination.hook.id
}

data "segment_warehouse" "store" {
  id = segment_warehouse.store.id
}

data "segment_tracking_plan" "plan" {
  id = segment_tracking_plan.plan.id
}

resource "segment_label" "team" {
  key         = "${var.prefix}-team"
  value       = "growth"
  description = "Who looks after it"
}

resource "segment_label" "plain" {
  key   = "${var.prefix}-plain"
  value = "yes"
}

resource "segment_source" "site" {
  slug    = "${var.prefix}-site"
  name    = "Site ${local.word}"
  enabled = true
  metadata = {
    id = data.segment_source_metadata.javascript.id
  }
  settings = jsonencode(var.changed ? { "website_url" : "https://b.example.com" } : { "website_url" : "https://a.example.com", "apiHost" : "a" })
  labels = var.changed ? [
    { key = segment_label.plain.key, value = segment_label.plain.value },
    ] : [
    { key = segment_label.plain.key, value = segment_label.plain.value },
    { key = segment_label.team.key, value = segment_label.team.value },
  ]
}

resource "segment_source" "bare" {
  slug    = "${var.prefix}-bare"
  enabled = !var.changed
  metadata = {
    id = local.javascript
  }
  settings = jsonencode({})
}

resource "segment_source" "database" {
  slug    = "${var.prefix}-database"
  enabled = true
  metadata = {
    id = local.database
  }
  settings = jsonencode({})
}

resource "segment_destination" "hook" {
  name      = "Hook ${local.word}"
  enabled   = var.changed
  source_id = segment_source.site.id
  metadata = {
    id = data.segment_destination_metadata.webhook.id
  }
  settings = jsonencode({ "sharedSecret" : "s3cret-${local.word}" })
}

resource "segment_destination" "nameless" {
  enabled   = false
  source_id = segment_source.bare.id
  metadata = {
    id = local.webhook
  }
  settings = jsonencode({})
}

resource "segment_destination_filter" "sample" {
  if             = "type = \"identify\""
  destination_id = segment_destination.hook.id
  source_id      = segment_source.site.id
  title          = "Sample ${local.word}"
  enabled        = true
  description    = var.changed ? null : "5 %"
  actions        = [{ type = "SAMPLE", percent = 0.05, path = "userId" }]
}

resource "segment_destination_filter" "drop" {
  if             = "event = \"Secret\""
  destination_id = segment_destination.hook.id
  source_id      = segment_source.site.id
  title          = "Drop"
  enabled        = !var.changed
  actions        = [{ type = "DROP" }]
}

resource "segment_destination_filter" "trim" {
  if             = "all"
  destination_id = segment_destination.hook.id
  source_id      = segment_source.site.id
  title          = "Trim"
  enabled        = true
  actions = [
    { type = "DROP_PROPERTIES", fields = jsonencode({ "properties" : ["card", local.word] }) },
  ]
}

resource "segment_destination_subscription" "send" {
  destination_id = segment_destination.hook.id
  name           = "Send ${local.word}"
  enabled        = true
  action_id      = data.segment_destination_metadata.webhook.actions[0].id
  trigger        = "type = \"track\""
  settings = jsonencode({
    "url" : "https://example.com/${local.word}",
    "data" : { "@path" : "$." },
    "enable_batching" : false,
    "method" : "POST"
  })
}

resource "segment_destination_subscription" "mapped" {
  destination_id    = segment_destination.hook.id
  name              = "From a model"
  enabled           = true
  action_id         = data.segment_destination_metadata.webhook.actions[0].id
  trigger           = "event = \"new\" or event = \"updated\""
  model_id          = segment_reverse_etl_model.people.id
  reverse_etl_schedule = {
    strategy = "SPECIFIC_DAYS"
    config   = jsonencode({ "days" : [0, 3], "hours" : [var.changed ? 2 : 1], "timezone" : "America/Los_Angeles" })
  }
  settings = jsonencode({ "url" : "https://example.com/model", "data" : { "@path" : "$." }, "method" : "POST" })
}

resource "segment_reverse_etl_model" "people" {
  source_id               = segment_source.database.id
  name                    = "People ${local.word}"
  enabled                 = true
  description             = var.changed ? " " : "Everybody"
  query                   = "SELECT id, email FROM people"
  query_identifier_column = "id"
}

resource "segment_function" "source" {
  code          = "async function onRequest(request, settings) { Segment.track({ userId: 'u', event: '${local.word}' }) }"
  display_name  = "Source function"
  resource_type = "SOURCE"
  description   = "Takes webhooks"
  settings = [
    { name = "apiKey", label = "API key", type = "STRING", description = "the key", required = false, sensitive = false },
  ]
}

resource "segment_function" "destination" {
  code          = "async function onTrack(event, settings) { /* ${local.word} */ }"
  display_name  = "Destination function"
  resource_type = "DESTINATION"
  settings      = []
}

resource "segment_function" "insert" {
  code          = "async function onTrack(event, settings) { return event }"
  display_name  = "Insert function"
  resource_type = "INSERT_DESTINATION"
  settings = [
    { name = "region", label = "Region", type = "STRING", description = "where", required = false, sensitive = false },
  ]
}

resource "segment_insert_function_instance" "insert" {
  integration_id = segment_destination.hook.id
  function_id    = segment_function.insert.id
  name           = "Insert ${local.word}"
  enabled        = true
  settings       = jsonencode({ "region" : local.word })
}

resource "segment_tracking_plan" "plan" {
  name        = "Plan ${local.word}"
  type        = "LIVE"
  description = var.changed ? null : "What we send"
  rules = concat([
    {
      key     = "Order Completed"
      type    = "TRACK"
      version = 1
      json_schema = jsonencode({
        "type" : "object",
        "properties" : { "context" : {}, "traits" : {}, "properties" : { "type" : "object", "required" : ["total"] } }
      })
    }
    ], var.changed ? [
    { key = "Order Refunded", type = "TRACK", version = 1, json_schema = jsonencode({ "type" : "object" }) },
  ] : [])
}

resource "segment_source_tracking_plan_connection" "connection" {
  source_id        = segment_source.site.id
  tracking_plan_id = segment_tracking_plan.plan.id
  schema_settings = {
    forwarding_violations_to = segment_source.bare.id
    track = {
      allow_unplanned_events           = true
      allow_unplanned_event_properties = true
      allow_event_on_violations        = var.changed
      allow_properties_on_violations   = true
      common_event_on_violations       = "ALLOW"
    }
    identify = {
      allow_traits_on_violations = false
      allow_unplanned_traits     = false
      common_event_on_violations = "ALLOW"
    }
    group = {
      allow_traits_on_violations = true
      allow_unplanned_traits     = true
      common_event_on_violations = "ALLOW"
    }
  }
}

resource "segment_transformation" "rename" {
  source_id        = segment_source.site.id
  name             = "Rename ${local.word}"
  enabled          = true
  if               = "event = 'Bad Event'"
  new_event_name   = "Good Event"
  property_renames = var.changed ? [] : [{ old_name = "old-name", new_name = "new-name" }]
  property_value_transformations = [
    { property_paths = ["properties.some-property", "context.some-property"], property_value = "value" },
  ]
  fql_defined_properties = []
}

resource "segment_warehouse" "store" {
  name    = "Store ${local.word}"
  enabled = !var.changed
  metadata = {
    id = data.segment_warehouse_metadata.postgres.id
  }
  settings = jsonencode({
    "hostname" : "127.0.0.1", "port" : "5432", "database" : "store", "username" : local.word, "password" : "s3cret"
  })
}

resource "segment_source_warehouse_connection" "site" {
  source_id    = segment_source.site.id
  warehouse_id = segment_warehouse.store.id
}

resource "segment_profiles_warehouse" "profiles" {
  space_id    = var.space_id
  metadata_id = local.postgres
  name        = "Profiles ${local.word}"
  enabled     = true
  schema_name = "people"
  settings = jsonencode({
    "hostname" : "127.0.0.1", "port" : "5432", "database" : "profiles", "username" : local.word, "password" : "s3cret"
  })
}

resource "segment_user" "invited" {
  email = "${var.prefix}.invited@example.com"
  permissions = [
    {
      role_id = data.segment_role.source_admin.id
      resources = [
        {
          id     = var.changed ? segment_source.site.id : data.segment_workspace.this.id
          type   = var.changed ? "SOURCE" : "WORKSPACE"
          labels = []
        }
      ]
    }
  ]
}

resource "segment_user_group" "growth" {
  name = "Growth ${local.word}"
  permissions = [
    {
      role_id = data.segment_role.source_admin.id
      resources = [
        {
          id     = data.segment_workspace.this.id
          type   = "WORKSPACE"
          labels = [{ key = segment_label.team.key, value = segment_label.team.value }]
        }
      ]
    }
  ]
  members = var.changed ? [] : [segment_user.invited.email]
}
