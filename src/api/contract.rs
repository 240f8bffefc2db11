//! The contract of the wire as an [OpenAPI 3.1](https://spec.openapis.org/oas/v3.1.0)
//! document: `schemas/cosmos.openapi.json`.
//!
//! It is made of the types that cross the wire and of one table of endpoints, and
//! a test holds it against the router. Only tests build this: the document is in
//! the repository, and the program does without it.

use std::{collections::BTreeMap, fs, path::Path};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::wire::{
    About, BUILD_HEADER, Cleared, Containers, Copied, Credentials, Curl, Down, Edits, ErrorBody,
    Event, ExchangeLine, ExchangeList, Following, Found, Founding, FoundingReply, History,
    Invitation, LiveLine, Newest, OneExchange, Ordered, PREFIX, PlanReport, PullImage, PutFiles,
    RemoveFiles, Replayed, Restored, Rollback, Rotated, RunCommand, Session, StartAdhoc, Status,
    Version, Wait, Waited, Wanted, Watching, Why, Wish,
};
use crate::traffic::Code;

/// Makes the schema of one type.
type Typed = fn(&mut SchemaGenerator) -> Schema;

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What a request carries.
enum Body {
    Nothing,
    Json(Typed),
    /// Bytes without a bound, of this media type.
    Stream(&'static str),
}

/// What a good answer carries.
enum Answer {
    Json(Typed),
    /// Lines of JSON, an [`Event`] each, as they happen.
    Events,
    /// Lines of JSON of this type, for as long as somebody listens.
    Lines(Typed),
    Bytes(&'static str),
}

struct Endpoint {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    query: Option<Typed>,
    body: Body,
    answer: Answer,
    /// Statuses of refusals that are this endpoint's own, beside the gate's.
    refusals: &'static [u16],
}

impl Endpoint {
    const fn new(
        method: &'static str,
        path: &'static str,
        summary: &'static str,
        answer: Answer,
    ) -> Self {
        Self {
            method,
            path,
            summary,
            query: None,
            body: Body::Nothing,
            answer,
            refusals: &[],
        }
    }

    const fn asking(self, query: Typed) -> Self {
        Self {
            query: Some(query),
            ..self
        }
    }

    const fn taking(self, body: Body) -> Self {
        Self { body, ..self }
    }

    const fn refusing(self, refusals: &'static [u16]) -> Self {
        Self { refusals, ..self }
    }
}

fn endpoints() -> Vec<Endpoint> {
    let new = Endpoint::new;
    vec![
        new(
            "post",
            "/container",
            "Start, stop or restart an ad-hoc container. The one call that needs no token.",
            Answer::Json(of::<FoundingReply>),
        )
        .taking(Body::Json(of::<Founding>))
        .refusing(&[404, 409, 429, 500, 502, 503, 507]),
        new(
            "get",
            "/_cosmos/v1/version",
            "What this proxy is.",
            Answer::Json(of::<Version>),
        ),
        new(
            "get",
            "/_cosmos/v1/metrics",
            "What was counted, as OpenMetrics 1.0.",
            Answer::Bytes("application/openmetrics-text"),
        ),
        new(
            "get",
            "/_cosmos/v1/workspaces",
            "Every workspace that is up, and how it is.",
            Answer::Json(of::<Vec<Status>>),
        )
        .refusing(&[500, 503]),
        new(
            "get",
            "/_cosmos/v1/workspaces/{key}",
            "How one workspace is.",
            Answer::Json(of::<Status>),
        )
        .refusing(&[404, 500, 503]),
        new(
            "put",
            "/_cosmos/v1/workspaces/{key}",
            "Declare a workspace, and make it true. Whoever hangs up leaves it to be done.",
            Answer::Events,
        )
        .taking(Body::Json(of::<Wish>)),
        new(
            "delete",
            "/_cosmos/v1/workspaces/{key}",
            "Take a workspace down.",
            Answer::Events,
        )
        .asking(of::<Down>),
        new(
            "post",
            "/_cosmos/v1/workspaces/{key}/plan",
            "What would be done. Nothing is.",
            Answer::Json(of::<PlanReport>),
        )
        .taking(Body::Json(of::<Wish>))
        .refusing(&[409, 500, 503]),
        new(
            "get",
            "/_cosmos/v1/workspaces/{key}/plan",
            "What is still to be done of what was declared last.",
            Answer::Json(of::<PlanReport>),
        )
        .refusing(&[404, 409, 500, 503]),
        new(
            "get",
            "/_cosmos/v1/workspaces/{key}/wait",
            "Answer once services and commands are as is asked for.",
            Answer::Json(of::<Waited>),
        )
        .asking(of::<Wait>)
        .refusing(&[404, 409, 500, 503, 504]),
        new(
            "post",
            "/_cosmos/v1/workspaces/{key}/rollback",
            "Apply an earlier revision.",
            Answer::Events,
        )
        .taking(Body::Json(of::<Rollback>)),
        new(
            "get",
            "/_cosmos/v1/workspaces/{key}/history",
            "What was done, newest first.",
            Answer::Json(of::<History>),
        )
        .asking(of::<Newest>)
        .refusing(&[404, 500]),
        new(
            "get",
            "/_cosmos/v1/workspaces/{key}/services/{service}/why",
            "Why a service is as it is.",
            Answer::Json(of::<Why>),
        )
        .refusing(&[404, 500, 503]),
        new(
            "post",
            "/_cosmos/v1/workspaces/{key}/commands/{command}/run",
            "Create the container of a command, unstarted.",
            Answer::Json(of::<BTreeMap<String, String>>),
        )
        .taking(Body::Json(of::<RunCommand>))
        .refusing(&[404, 409, 500, 502, 503, 507]),
        new(
            "put",
            "/_cosmos/v1/workspaces/{key}/services/{service}/files",
            "Unpack a tar in every container of a service.",
            Answer::Json(of::<Copied>),
        )
        .asking(of::<PutFiles>)
        .taking(Body::Stream("application/x-tar"))
        .refusing(&[404, 409, 500, 503]),
        new(
            "post",
            "/_cosmos/v1/workspaces/{key}/services/{service}/files/remove",
            "Remove files in every container of a service.",
            Answer::Json(of::<Copied>),
        )
        .taking(Body::Json(of::<RemoveFiles>))
        .refusing(&[404, 409, 500, 503]),
        new(
            "get",
            "/_cosmos/v1/state",
            "A copy of the state, without secrets.",
            Answer::Bytes("application/vnd.sqlite3"),
        )
        .refusing(&[500, 507]),
        new(
            "put",
            "/_cosmos/v1/state",
            "Put a copy of the state in the place of the state.",
            Answer::Json(of::<Restored>),
        )
        .taking(Body::Stream("application/vnd.sqlite3"))
        .refusing(&[409, 500, 503, 507]),
        new(
            "get",
            "/_cosmos/v1/live",
            "How everything is, and how it comes to be.",
            Answer::Lines(of::<LiveLine>),
        )
        .asking(of::<Watching>)
        .refusing(&[503]),
        new(
            "post",
            "/_cosmos/v1/session/invite",
            "A code with which the dashboard is opened: once, within two minutes.",
            Answer::Json(of::<Invitation>),
        )
        .refusing(&[500, 503]),
        new(
            "post",
            "/_cosmos/v1/session",
            "Redeem a code, which is the bearer of this call, for a session.",
            Answer::Json(of::<Session>),
        )
        .refusing(&[401, 503]),
        new(
            "get",
            "/_cosmos/v1/exchanges",
            "The newest exchanges, without secrets.",
            Answer::Json(of::<ExchangeList>),
        )
        .asking(of::<Wanted>)
        .refusing(&[400, 503]),
        new(
            "delete",
            "/_cosmos/v1/exchanges",
            "Forget all exchanges that are over.",
            Answer::Json(of::<Cleared>),
        )
        .refusing(&[503]),
        new(
            "get",
            "/_cosmos/v1/exchanges/follow",
            "Each exchange that is new or has changed, in its newest state.",
            Answer::Lines(of::<ExchangeLine>),
        )
        .asking(of::<Following>)
        .refusing(&[400, 503]),
        new(
            "get",
            "/_cosmos/v1/exchanges/har",
            "The newest exchanges as an HTTP Archive, version 1.2.",
            Answer::Json(of::<BTreeMap<String, Value>>),
        )
        .asking(of::<Wanted>)
        .refusing(&[400, 503]),
        new(
            "get",
            "/_cosmos/v1/exchanges/{number}",
            "All that is kept of one exchange.",
            Answer::Json(of::<OneExchange>),
        )
        .refusing(&[404, 503]),
        new(
            "get",
            "/_cosmos/v1/exchanges/{number}/curl",
            "An exchange's request as a command for a shell.",
            Answer::Json(of::<Curl>),
        )
        .refusing(&[404, 503]),
        new(
            "post",
            "/_cosmos/v1/exchanges/{number}/replay",
            "Send an exchange's request again, as it was or edited.",
            Answer::Json(of::<Replayed>),
        )
        .taking(Body::Json(of::<Edits>))
        .refusing(&[404, 409, 503]),
        new(
            "post",
            "/_cosmos/v1/token/rotate",
            "Put another token in the place of this one. It is read through the engine.",
            Answer::Json(of::<Rotated>),
        )
        .refusing(&[500, 507]),
        new(
            "put",
            "/_cosmos/v1/images",
            "Build an image of the context that is the body.",
            Answer::Events,
        )
        .taking(Body::Stream("application/x-tar")),
        new(
            "post",
            "/_cosmos/v1/images/pull",
            "Fetch an image, even if it is there.",
            Answer::Events,
        )
        .taking(Body::Json(of::<PullImage>)),
        new(
            "post",
            "/_cosmos/v1/logins",
            "Logins at registries, by host. Kept in memory only.",
            Answer::Json(of::<BTreeMap<String, String>>),
        )
        .taking(Body::Json(of::<BTreeMap<String, Credentials>>)),
        new(
            "get",
            "/_cosmos/v1/containers",
            "Every container of ours.",
            Answer::Json(of::<Containers>),
        )
        .refusing(&[500, 503]),
        new(
            "post",
            "/_cosmos/v1/containers",
            "Start an ad-hoc container.",
            Answer::Events,
        )
        .taking(Body::Json(of::<StartAdhoc>)),
        new(
            "get",
            "/_cosmos/v1/containers/{reference}",
            "What a name, an id or a prefix of one means.",
            Answer::Json(of::<Found>),
        )
        .asking(of::<About>)
        .refusing(&[404, 409, 500, 503]),
        new(
            "delete",
            "/_cosmos/v1/containers/{reference}",
            "Remove a container.",
            Answer::Json(of::<Ordered>),
        )
        .asking(of::<About>)
        .refusing(&[404, 409, 500, 503, 507]),
        new(
            "post",
            "/_cosmos/v1/containers/{reference}/{order}",
            "Give an order: start, stop, restart, refresh, release or scale.",
            Answer::Json(of::<Ordered>),
        )
        .asking(of::<About>)
        .refusing(&[404, 409, 500, 503, 507]),
        new(
            "get",
            "/_cosmos/v1/containers/{reference}/logs",
            "What a container says, in Docker's frames.",
            Answer::Bytes("application/vnd.docker.multiplexed-stream"),
        )
        .asking(of::<super::server::LogQuery>)
        .refusing(&[404, 409, 500, 503]),
        new(
            "get",
            "/_cosmos/v1/containers/{reference}/wait",
            "The exit code of a container, once it ended.",
            Answer::Json(of::<i64>),
        )
        .refusing(&[404, 409, 500, 503]),
    ]
}

/// The whole document.
fn document() -> Value {
    let settings = |settings: SchemaSettings| {
        let settings = settings.with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        settings.into_generator()
    };
    // What may be left out differs between what is read and what is written.
    let mut asked = settings(SchemaSettings::draft2020_12().for_deserialize());
    let mut answered = settings(SchemaSettings::draft2020_12().for_serialize());
    let mut paths = Map::new();
    for endpoint in endpoints() {
        let operation = operation(&endpoint, &mut asked, &mut answered);
        let path = paths
            .entry(endpoint.path)
            .or_insert_with(|| json!({}))
            .as_object_mut()
            .unwrap();
        path.insert(endpoint.method.to_owned(), operation);
    }
    // Lines of streams are no body that a document could describe by itself.
    let _ = answered.subschema_for::<Event>();
    let shared = shared_refusals(&mut answered);
    let mut paths = Value::Object(paths);
    let mut schemas = asked.take_definitions(true);
    let renamed = join(&mut schemas, answered.take_definitions(true));
    redirect(&mut paths, &renamed);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Cosmos",
            "summary": "What a proxy of Cosmos answers on the names of its machine.",
            "version": "1",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "http://localhost:8080" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "responses": shared,
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "What `/var/lib/cosmos/token` of the state volume holds." },
            },
        },
    })
}

/// Adds the forms of answers to those of requests. A type whose two forms differ is
/// called `..Answer` in answers; says which those are.
fn join(schemas: &mut Map<String, Value>, answers: Map<String, Value>) -> Vec<String> {
    let differs = |name: &String, schema: &Value, schemas: &Map<String, Value>| {
        schemas.get(name).is_some_and(|asked| asked != schema)
    };
    let mut renamed: Vec<String> = answers
        .iter()
        .filter(|(name, schema)| differs(name, schema, schemas))
        .map(|(name, _)| name.clone())
        .collect();
    // Whoever holds one that differs, differs too.
    loop {
        let mut more: Vec<String> = Vec::new();
        for (name, schema) in &answers {
            let holds = renamed.iter().any(|one| {
                schema
                    .to_string()
                    .contains(&format!("\"#/components/schemas/{one}\""))
            });
            if holds && schemas.contains_key(name) && !renamed.contains(name) {
                more.push(name.clone());
            }
        }
        if more.is_empty() {
            break;
        }
        renamed.extend(more);
    }
    for (name, mut schema) in answers {
        redirect(&mut schema, &renamed);
        match renamed.contains(&name) {
            true => schemas.insert(format!("{name}Answer"), schema),
            false => schemas.insert(name, schema),
        };
    }
    renamed
}

/// Leads references in answers to the form that answers have.
fn redirect(value: &mut Value, renamed: &[String]) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| redirect(value, renamed)),
        Value::Object(keys) => {
            for (key, value) in keys.iter_mut() {
                let name = value
                    .as_str()
                    .and_then(|text| text.strip_prefix("#/components/schemas/"))
                    .map(str::to_owned);
                match name {
                    Some(name) if key == "$ref" && renamed.contains(&name) => {
                        *value = json!(format!("#/components/schemas/{name}Answer"));
                    }
                    // A request has its own form.
                    _ if key == "requestBody" || key == "parameters" => {}
                    _ => redirect(value, renamed),
                }
            }
        }
        _ => {}
    }
}

fn operation(
    endpoint: &Endpoint,
    asked: &mut SchemaGenerator,
    answered: &mut SchemaGenerator,
) -> Value {
    let mut operation = json!({
        "summary": endpoint.summary,
        "operationId": operation_id(endpoint),
        "parameters": parameters(endpoint, asked),
        "responses": responses(endpoint, answered),
    });
    let body = match endpoint.body {
        Body::Nothing => None,
        Body::Json(typed) => Some(("application/json", typed(asked).to_value())),
        Body::Stream(media) => Some((media, json!({ "type": "string", "format": "binary" }))),
    };
    if let Some((media, schema)) = body {
        operation["requestBody"] =
            json!({ "required": true, "content": { media: { "schema": schema } } });
    }
    if endpoint.path == "/container" {
        // With the token, or without any.
        operation["security"] = json!([{ "token": [] }, {}]);
    }
    operation
}

/// `put_workspaces_key`.
fn operation_id(endpoint: &Endpoint) -> String {
    let path = endpoint.path.strip_prefix(PREFIX).unwrap_or(endpoint.path);
    let words = path
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let words: Vec<_> = std::iter::once(endpoint.method).chain(words).collect();
    words.join("_")
}

fn parameters(endpoint: &Endpoint, asked: &mut SchemaGenerator) -> Vec<Value> {
    let names = endpoint.path.split('/').filter_map(|part| {
        part.strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'))
    });
    let mut parameters: Vec<Value> = names
        .map(|name| {
            let schema = match name {
                "order" => json!({
                    "type": "string",
                    "enum": ["start", "stop", "restart", "refresh", "release", "scale"],
                }),
                _ => json!({ "type": "string", "minLength": 1 }),
            };
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    if endpoint.path.ends_with("/images") {
        parameters.push(json!({
            "name": BUILD_HEADER,
            "in": "header",
            "required": true,
            "description": "What it is built into, as JSON in base64.",
            "schema": { "type": "string", "contentEncoding": "base64" },
        }));
    }
    let Some(query) = endpoint.query else {
        return parameters;
    };
    // The query is no value of its own: each of its fields is a parameter.
    let reference = query(asked).to_value();
    let name = reference["$ref"].as_str().unwrap().rsplit('/').next();
    let table = asked.definitions_mut().remove(name.unwrap()).unwrap();
    let required: Vec<&str> = table["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, schema) in table["properties"].as_object().unwrap() {
        let mut schema = schema.clone();
        let description = schema
            .as_object_mut()
            .and_then(|it| it.remove("description"));
        without_null(&mut schema);
        parameters.push(json!({
            "name": name,
            "in": "query",
            "required": required.contains(&name.as_str()),
            "description": description,
            "schema": schema,
        }));
    }
    parameters
}

/// A query has no null: what is not said is left out.
fn without_null(schema: &mut Value) {
    let Some(keys) = schema.as_object_mut() else {
        return;
    };
    keys.retain(|key, value| key != "default" || !value.is_null());
    if let Some(Value::Array(kinds)) = keys.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            keys["type"] = only.clone();
        }
    }
    if let Some(Value::Array(forms)) = keys.get("anyOf")
        && let Some(Value::Object(only)) = forms.iter().find(|form| form["type"] != "null").cloned()
    {
        keys.shift_remove("anyOf");
        keys.extend(only);
    }
}

fn responses(endpoint: &Endpoint, answered: &mut SchemaGenerator) -> Value {
    let (media, schema, description) = match endpoint.answer {
        Answer::Json(typed) => (
            "application/json",
            typed(answered).to_value(),
            "It is so, or done.",
        ),
        Answer::Events => (
            "application/x-ndjson",
            json!({ "type": "string", "description": "Lines of JSON, each an `Event`." }),
            "What happens, a line each, as it happens. The last line says how it ended: `finished`, `failed` or what was wanted.",
        ),
        Answer::Lines(typed) => {
            // A body of many lines is of no type; each of them is.
            let line = typed(answered).to_value();
            let line = line["$ref"]
                .as_str()
                .and_then(|path| path.rsplit('/').next());
            let line = line.unwrap_or_default();
            (
                "application/x-ndjson",
                json!({ "type": "string", "description": format!("Lines of JSON, each of `{line}`.") }),
                "What happens, a line each, for as long as somebody listens.",
            )
        }
        Answer::Bytes(media) => (
            media,
            json!({ "type": "string", "format": "binary" }),
            "Bytes.",
        ),
    };
    let mut responses = Map::new();
    responses.insert(
        "200".to_owned(),
        json!({ "description": description, "content": { media: { "schema": schema } } }),
    );
    let error = of::<ErrorBody>(answered).to_value();
    for (status, description) in refusals(endpoint) {
        let is_shared = endpoint.path != "/container" && !endpoint.refusals.contains(&status);
        let response = match is_shared {
            true => json!({ "$ref": format!("#/components/responses/{status}") }),
            false => refused(&description, &error),
        };
        responses.insert(status.to_string(), response);
    }
    Value::Object(responses)
}

fn refused(description: &str, error: &Value) -> Value {
    json!({
        "description": description,
        "content": { "application/json": { "schema": error } },
    })
}

/// What the gate refuses everywhere.
fn shared_refusals(answered: &mut SchemaGenerator) -> Map<String, Value> {
    let error = of::<ErrorBody>(answered).to_value();
    let anywhere = Endpoint::new("get", "/_cosmos/v1", "", Answer::Events);
    refusals(&anywhere)
        .into_iter()
        .map(|(status, description)| (status.to_string(), refused(&description, &error)))
        .collect()
}

/// Each status of a refusal, and the codes that the gate has for it.
fn refusals(endpoint: &Endpoint) -> BTreeMap<u16, String> {
    let mut codes: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in Code::ALL {
        let is_of_traffic = matches!(code, Code::Loop);
        let is_of_container = matches!(
            code,
            Code::TokenlessOff
                | Code::NetworksUnknown
                | Code::PeerIsContainer
                | Code::PeerIsElsewhere
                | Code::NotADirectCall
                | Code::RateLimited
        );
        if !is_of_traffic && (!is_of_container || endpoint.path == "/container") {
            codes
                .entry(code.status().as_u16())
                .or_default()
                .push(code.as_str());
        }
    }
    let mut refusals: BTreeMap<u16, String> = codes
        .into_iter()
        .map(|(status, codes)| (status, format!("By the gate: `{}`.", codes.join("`, `"))))
        .collect();
    for status in endpoint.refusals {
        let own = match status {
            400 => "It cannot be read.",
            401 => "There is no such code.",
            404 => "There is no such thing.",
            409 => "Something is in the way.",
            429 => "There are too many already.",
            500 => "The engine or the state refused.",
            502 => "A registry did not give the image.",
            503 => "The engine does not answer.",
            504 => "It did not come about in time.",
            507 => "The volume with the state is full.",
            _ => "It is refused.",
        };
        refusals
            .entry(*status)
            .and_modify(|gate| *gate = format!("{own} {gate}"))
            .or_insert_with(|| own.to_owned());
    }
    refusals
}

/// As it is in the repository.
fn text() -> String {
    serde_json::to_string_pretty(&document()).unwrap() + "\n"
}

#[test]
fn the_contract_in_the_repository_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/cosmos.openapi.json");
    let text = text();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "schemas/cosmos.openapi.json is stale: run `UPDATE_SCHEMA=1 cargo test --lib contract`"
    );
}

#[test]
fn every_route_of_the_router_is_in_the_contract_and_no_other() {
    let source = include_str!("server.rs");
    let mut routed: Vec<String> = source
        .split(".route(")
        .skip(1)
        .filter_map(|after| after.split('"').nth(1))
        .map(|path| match path {
            "/container" => path.to_owned(),
            _ => format!("{PREFIX}{path}"),
        })
        .collect();
    routed.sort();
    let document = document();
    let mut described: Vec<&str> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    described.sort_unstable();
    assert_eq!(described, routed);
}

#[test]
fn every_reference_of_the_contract_leads_somewhere() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let text = document.to_string();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
}
