// Writes what the installed destinations offer, once, at installation:
//   deno run … catalogue.cjs FOLDER
// reads FOLDER/node_modules and writes FOLDER/catalogue, in the form that catalogue.py documents.
//
// Ids of destinations are those of the package. It has none for actions and fields, so they are made from what
// they belong to: the same on every machine and for every version.
'use strict'
const crypto = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { createRequire } = require('node:module')

const FORMAT = 1
const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
const NO_LOGO = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1 1'/%3E"
const CODE = 'https://github.com/segmentio/action-destinations/tree/main/packages/destination-actions/src/destinations/'
const GUIDE = 'https://segment.com/docs/connections/destinations/catalog/'
const METHODS = { track: 'track', identify: 'identify', page: 'pageview', screen: 'pageview', group: 'group', alias: 'alias' }
const OPTION_TYPES = { text: 'string', integer: 'number', datetime: 'string', object: 'mixed' }

// 22 characters of base58, as the ids of actions and fields look.
function idOf(...parts) {
  const digest = crypto.createHash('sha256').update(parts.join('\0')).digest('hex')
  let number = BigInt('0x' + digest.slice(0, 32))
  let text = ''
  for (let i = 0; i < 22; i++) {
    text = BASE58[Number(number % 58n)] + text
    number /= 58n
  }
  return text
}

const choicesOf = (field) =>
  (field.choices ?? []).map((each) => (typeof each === 'object' ? { label: each.label, value: each.value } : { label: String(each), value: each }))

const isPassword = (field) => field.type === 'password' || field.format === 'password'

function fieldOf(key, field) {
  const properties = Object.entries(field.properties ?? {})
  return {
    key,
    label: field.label ?? key,
    description: field.description ?? '',
    type: isPassword(field) ? 'password' : field.type,
    required: field.required === true,
    requiredIf: field.required !== null && typeof field.required === 'object' ? field.required : undefined,
    default: field.default,
    multiple: field.multiple === true,
    dynamic: field.dynamic === true,
    allowNull: field.allowNull === true,
    hidden: field.unsafe_hidden === true,
    choices: choicesOf(field),
    format: field.format,
    minimum: field.minimum,
    maximum: field.maximum,
    properties: Object.fromEntries(properties.map(([name, inner]) => [name, fieldOf(name, inner)])),
    additionalProperties: field.additionalProperties === true
  }
}

function actionOf(id, slug, action) {
  const keys = action.fields?.batch_keys?.default
  return {
    id: idOf(id, slug),
    slug,
    name: action.title,
    description: action.description ?? '',
    platform: action.platform === 'web' ? 'WEB' : 'CLOUD',
    hidden: action.hidden === true,
    defaultTrigger: action.defaultSubscription ?? null,
    canBatch: typeof action.performBatch === 'function',
    batchKeys: Array.isArray(keys) ? keys : [],
    fields: Object.fromEntries(Object.entries(action.fields ?? {}).map(([key, field]) => [key, fieldOf(key, field)])),
    syncModes: (action.syncMode?.choices ?? []).map((each) => each.value),
    defaultSyncMode: action.syncMode?.default,
    hooks: Object.keys(action.hooks ?? {})
  }
}

// Those that serve audiences name no trigger, and some belong to plugins of the browser that are not in the package.
const presetsOf = (id, definition) =>
  (definition.presets ?? [])
    .filter((each) => each.type === 'automatic' && definition.actions[each.partnerAction])
    .map((each) => ({
      name: each.name,
      actionSlug: each.partnerAction,
      actionId: idOf(id, each.partnerAction),
      trigger: each.subscribe,
      mapping: each.mapping ?? {}
    }))

function definitionOf(id, dir, definition) {
  const own = Object.entries(definition.authentication?.fields ?? {}).map(([key, field]) => fieldOf(key, field))
  const names = new Set(own.map((each) => each.key))
  const ofAudiences = Object.entries(definition.audienceFields ?? {})
    .filter(([key]) => !names.has(key))
    .map(([key, field]) => ({ ...fieldOf(key, field), required: false, requiredIf: undefined }))
  return {
    id,
    slug: definition.slug,
    name: definition.name,
    dir,
    authScheme: definition.authentication?.scheme ?? 'none',
    hasRefresh: typeof definition.authentication?.refreshAccessToken === 'function',
    options: [...own, ...ofAudiences],
    actions: Object.fromEntries(Object.entries(definition.actions).map(([slug, each]) => [slug, actionOf(id, slug, each)])),
    presets: presetsOf(id, definition)
  }
}

const optionTypeOf = (field) =>
  field.choices.length ? 'select' : field.multiple ? 'array' : (OPTION_TYPES[field.type] ?? field.type)

const publishedField = (id, slug) => (field, index) => ({
  id: idOf(id, slug, field.key),
  sortOrder: index,
  fieldKey: field.key,
  label: field.label,
  type: field.type.toUpperCase(),
  description: field.description,
  defaultValue: field.default ?? null,
  required: field.required,
  multiple: field.multiple,
  choices: field.choices.length ? field.choices : null,
  dynamic: field.dynamic,
  allowNull: field.allowNull,
  hidden: field.hidden
})

// Any type of event can be mapped; those that the package maps by itself are the ones it is made for.
function methodsOf(definition) {
  const triggers = [...definition.presets.map((each) => each.trigger), ...Object.values(definition.actions).map((each) => each.defaultTrigger)]
  const named = triggers.flatMap((each) => [...(each ?? '').matchAll(/type\s*=\s*"(\w+)"/g)].map((match) => METHODS[match[1]]))
  const made = new Set(named.filter(Boolean))
  return Object.fromEntries(Object.values(METHODS).map((each) => [each, !made.size || made.has(each)]))
}

function metadataOf(definition, description) {
  return {
    id: definition.id,
    name: definition.name,
    slug: definition.slug,
    description: description ?? '',
    logos: { default: NO_LOGO },
    options: definition.options.map((field) => ({
      name: field.key,
      type: optionTypeOf(field),
      required: field.required,
      label: field.label,
      description: field.description,
      ...(field.default === undefined ? {} : { defaultValue: field.default })
    })),
    status: 'PUBLIC',
    previousNames: [definition.name],
    categories: [],
    website: `${GUIDE}${definition.slug}/`,
    components: [{ type: 'SERVER', code: CODE + definition.dir, owner: 'SEGMENT' }],
    supportedFeatures: {
      cloudModeInstances: 'MULTIPLE',
      deviceModeInstances: 'NONE',
      replay: false,
      browserUnbundling: false,
      browserUnbundlingPublic: true
    },
    supportedMethods: methodsOf(definition),
    supportedPlatforms: { browser: true, server: true, mobile: true, warehouse: false, cloudAppObject: false, linkedAudiences: false },
    actions: Object.values(definition.actions).map((action) => ({
      id: action.id,
      slug: action.slug,
      name: action.name,
      description: action.description,
      platform: action.platform,
      hidden: action.hidden,
      defaultTrigger: action.defaultTrigger,
      fields: Object.values(action.fields).map(publishedField(definition.id, action.slug))
    })),
    presets: definition.presets.map((each) => ({ actionId: each.actionId, name: each.name, fields: each.mapping, trigger: each.trigger })),
    contacts: [],
    partnerOwned: false,
    supportedRegions: ['us-west-2', 'eu-west-1'],
    regionEndpoints: ['US', 'EU']
  }
}

function main(folder) {
  const { manifest } = createRequire(path.join(folder, 'package.json'))('@segment/action-destinations')
  const target = path.join(folder, 'catalogue')
  fs.mkdirSync(target, { recursive: true })
  const byName = Object.entries(manifest).sort(([, a], [, b]) => (a.definition.name < b.definition.name ? -1 : 1))
  const index = {}
  for (const [id, { definition: original, directory }] of byName) {
    const definition = definitionOf(id, directory, original)
    const secrets = definition.options.filter((each) => each.type === 'password').map((each) => each.key)
    index[id] = { slug: definition.slug, name: definition.name, dir: directory, secrets }
    const entry = { metadata: metadataOf(definition, original.description), definition }
    fs.writeFileSync(path.join(target, `${id}.json`), JSON.stringify(entry))
  }
  fs.writeFileSync(path.join(target, 'index.json'), JSON.stringify({ format: FORMAT, destinations: index }))
  process.exit(0) // some destinations start timers when they are loaded
}

main(process.argv[2])
