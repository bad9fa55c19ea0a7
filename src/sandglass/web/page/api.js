// The page of the API, written from openapi.json: what can be asked, and what the answers hold.
const $ = (id) => document.getElementById(id);

function make(tag, text, name) {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  if (name) element.className = name;
  return element;
}

// A type in words: number, [number, number], list of PoseAnswer, ...
function kind(schema) {
  if (schema.anyOf) return schema.anyOf.filter((one) => one.type !== "null").map(kind).join(" or ");
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.contentSchema) return `JSON text: ${kind(schema.contentSchema)}`;
  if (schema.prefixItems) return `[${schema.prefixItems.map(kind).join(", ")}]`;
  if (schema.type === "array") return `list of ${kind(schema.items ?? {})}`;
  if (schema.additionalProperties) return `object of ${kind(schema.additionalProperties)}`;
  if (schema.format === "binary") return "file";
  return schema.type ?? "anything";
}

function fields(schema) {
  const list = make("dl");
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const term = make("dt"), what = make("dd");
    term.append(make("code", name));
    what.append(kind(field));
    const optional = schema.required && !schema.required.includes(name);
    what.append(make("span", [field.description && ` – ${field.description}`, optional && " (optional)"].filter(Boolean).join("")));
    list.append(term, what);
  }
  return list;
}

function path(url, verb, operation) {
  const card = make("section", "", "card"), head = make("h2");
  head.append(make("code", verb.toUpperCase(), "verb"), make("code", url));
  card.append(head, make("p", operation.description));
  const form = operation.requestBody?.content["multipart/form-data"].schema;
  if (form) {
    const first = Object.keys(form.properties).find((name) => name.startsWith("box"));
    const value = first === "box" ? "[20, 30, 180, 300]" : "[[20, 30, 180, 300]]";
    card.append(make("pre", `curl -F file=@photo.jpg -F '${first}=${value}' ${new URL(url, location.href)}`), make("h3", "Form"), fields(form));
  }
  card.append(make("h3", "Answers"));
  const list = make("dl");
  for (const [status, answer] of Object.entries(operation.responses)) {
    const body = Object.entries(answer.content ?? {})[0];
    const term = make("dt"), what = make("dd");
    term.append(make("code", status));
    what.append(status === "200" ? (body?.[1].schema ? kind(body[1].schema) : body?.[0] ?? "") : answer.description);
    if (status !== "422" || form) list.append(term, what);
  }
  card.append(list);
  return card;
}

async function start() {
  const api = await (await fetch("openapi.json")).json();
  $("about").textContent = api.info.description;
  $("model").textContent = `version ${api.info.version}`;
  for (const [url, verbs] of Object.entries(api.paths)) {
    for (const [verb, operation] of Object.entries(verbs)) $("paths").append(path(url, verb, operation));
  }
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    if (name.startsWith("HTTPValid") || name.startsWith("Validation")) continue;
    $("schemas").append(make("h3", name), make("p", schema.description), fields(schema));
  }
}

start();
