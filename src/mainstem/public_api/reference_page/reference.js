// The reference page: reads /openapi.json from this very server, shows it, and tries calls against it.
const METHODS = ['get', 'post', 'put', 'patch', 'delete']
const byId = (id) => document.getElementById(id)

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value)
    else if (value !== undefined) made.setAttribute(name, value)
  }
  made.append(...children.filter((child) => child !== undefined))
  return made
}

const contract = await (await fetch('/openapi.json')).json()

const resolve = (schema) =>
  schema?.$ref ? resolve(contract.components.schemas[schema.$ref.split('/').pop()]) : schema ?? {}

function typeName(schema) {
  const full = resolve(schema)
  if (full.enum) return full.enum.join(' | ')
  if (full.anyOf) return full.anyOf.map(typeName).join(' or ')
  const types = [full.type ?? 'any'].flat()
  return types.map((type) => (type === 'array' ? `array of ${typeName(full.items)}` : type)).join(' or ')
}

function example(schema, depth = 0) {
  const full = resolve(schema)
  if (full['x-default'] !== undefined && typeof full['x-default'] !== 'object') return full['x-default']
  if (full.enum) return full.enum[0]
  if (full.anyOf) return example(full.anyOf[0], depth)
  const type = [full.type].flat()[0]
  if (type === 'object' && full.properties && depth < 4) {
    const names = Object.keys(full.properties)
    const shown = full.required?.length ? names.filter((name) => full.required.includes(name)) : names
    return Object.fromEntries(shown.map((name) => [name, example(full.properties[name], depth + 1)]))
  }
  return { string: '', number: 0, integer: 0, boolean: true, array: [], object: {} }[type] ?? null
}

function fieldRows(schema, prefix = '', depth = 0) {
  const full = resolve(schema)
  return Object.entries(full.properties ?? {}).flatMap(([name, field]) => {
    const inner = resolve(field)
    const nested = inner.items ? resolve(inner.items) : inner
    const path = `${prefix}${name}${inner.items ? '[]' : ''}`
    const mark = full.required?.includes(name) ? element('span', { class: 'required' }, ' required') : undefined
    const row = element('tr', {}, element('td', {}, path, mark), element('td', { class: 'type' }, typeName(field)))
    return [row, ...(depth < 2 && nested.properties ? fieldRows(nested, `${path}.`, depth + 1) : [])]
  })
}

function json(content) {
  return content?.['application/json'] ?? Object.values(content ?? {})[0]
}

function parameterRow(parameter, inputs) {
  const schema = resolve(parameter.schema)
  const names = schema.properties ? Object.keys(schema.properties) : ['']
  return names.map((inner) => {
    const name = inner ? `${parameter.name}.${inner}` : parameter.name
    const input = element('input', { 'aria-label': name, placeholder: typeName(inner ? schema.properties[inner] : schema) })
    inputs.push({ in: parameter.in, name, isList: schema.type === 'array', input })
    const mark = parameter.required ? element('span', { class: 'required' }, ' required') : undefined
    return element('tr', {}, element('td', {}, name, mark), element('td', {}, input))
  })
}

function target(path, inputs) {
  let filled = path
  const query = new URLSearchParams()
  for (const { in: place, name, isList, input } of inputs) {
    const value = input.value.trim()
    if (place === 'path') filled = filled.replace(`{${name}}`, encodeURIComponent(value))
    else if (value && isList) value.split(',').forEach((item, index) => query.append(`${name}.${index}`, item.trim()))
    else if (value) query.append(name, value)
  }
  return query.size ? `${filled}?${query}` : filled
}

async function attempt(method, path, body, output) {
  const headers = { Accept: 'application/json' }
  if (byId('token').value) headers.Authorization = `Bearer ${byId('token').value.trim()}`
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  output.replaceChildren(element('p', { class: 'note' }, 'Calling…'))
  try {
    const reply = await fetch(path, { method: method.toUpperCase(), headers, body })
    const text = await reply.text()
    let shown = text
    try { shown = JSON.stringify(JSON.parse(text), null, 2) } catch { /* shown as it came */ }
    const left = reply.headers.get('x-ratelimit-remaining')
    output.replaceChildren(
      element('p', { class: `status ${reply.ok ? 'good' : 'bad'}` }, `${reply.status} ${reply.statusText}`,
        left === null ? '' : `  ·  ${left} calls left in this window`),
      element('pre', { tabindex: '0' }, shown))
  } catch (error) {
    output.replaceChildren(element('p', { class: 'status bad' }, `No answer: ${error.message}`))
  }
}

function facts(operation) {
  const rate = (operation['x-rate-limit'] ?? []).map((limit) => `${limit.requests} a ${limit.window}`).join(', ')
  const events = (operation['x-audit-events'] ?? []).join(', ')
  return [`stage: ${operation['x-stability']}`, rate && `limit: ${rate}`, events && `audit: ${events}`]
    .filter(Boolean).join('  ·  ')
}

function fill(details, path, method, operation) {
  const inputs = []
  const parameters = operation.parameters ?? []
  const known = new Set(parameters.filter((each) => each.in === 'path').map((each) => each.name))
  const implied = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]).filter((name) => !known.has(name))
    .map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } }))
  const rows = [...implied, ...parameters].flatMap((parameter) => parameterRow(parameter, inputs))
  const bodySchema = json(operation.requestBody?.content)?.schema
  const body = bodySchema && element('textarea', { 'aria-label': 'request body', spellcheck: 'false' })
  if (body) body.value = JSON.stringify(example(bodySchema), null, 2)
  const output = element('div', { 'aria-live': 'polite' })
  const success = Object.entries(operation.responses).find(([status]) => status.startsWith('2'))
  const reply = fieldRows(json(success?.[1].content)?.schema)
  details.append(element('div', { class: 'body' },
    element('p', { class: 'facts' }, facts(operation)),
    rows.length ? element('table', {}, ...rows) : undefined,
    body ? element('h3', {}, 'Body') : undefined, body,
    bodySchema ? element('details', {}, element('summary', {}, 'Fields of the body'), element('table', {}, ...fieldRows(bodySchema))) : undefined,
    element('button', { onclick: () => attempt(method, target(path, inputs), body?.value, output) }, 'Try it'),
    output,
    element('details', {}, element('summary', {}, `Answer ${success?.[0] ?? ''}`), element('table', {}, ...reply))))
}

function shown(path, method, operation) {
  const details = element('details', { id: operation.operationId },
    element('summary', {}, element('span', { class: `method ${method}` }, method.toUpperCase()),
      element('code', {}, path), element('span', {}, operation.operationId)))
  details.addEventListener('toggle', () => { if (details.open && details.children.length === 1) fill(details, path, method, operation) })
  details.dataset.text = `${operation.operationId} ${path} ${operation.tags.join(' ')}`.toLowerCase()
  return details
}

const families = new Map(contract.tags.map((tag) => [tag.name, []]))
for (const [path, methods] of Object.entries(contract.paths))
  for (const method of METHODS)
    if (methods[method]) families.get(methods[method].tags[0]).push([path, method, methods[method]])

byId('operations').replaceChildren(...[...families].map(([name, operations]) =>
  element('section', {}, element('h2', {}, name), ...operations.map((operation) => shown(...operation)))))
byId('contents').replaceChildren(...[...families].flatMap(([name, operations]) => [
  element('h2', {}, name),
  ...operations.map(([, , operation]) => element('a', { href: `#${operation.operationId}` }, operation.operationId))]))

function open() {
  const details = byId(location.hash.slice(1))
  if (details) { details.open = true; details.scrollIntoView() }
}
window.addEventListener('hashchange', open)
byId('find').addEventListener('input', (event) => {
  const wanted = event.target.value.trim().toLowerCase()
  for (const details of document.querySelectorAll('main > section > details'))
    details.hidden = wanted !== '' && !details.dataset.text.includes(wanted)
  for (const section of document.querySelectorAll('main > section'))
    section.hidden = ![...section.querySelectorAll(':scope > details')].some((details) => !details.hidden)
})
open()
