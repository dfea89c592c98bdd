//! What the API's description says beside its operations, and of all of them alike: the parameters of their paths, and the answers
//! that they give whatever they do.

use std::collections::HashSet;

use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, Content, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required,
    Response, ResponseBuilder, Schema,
};

use super::admission;
use crate::error::PROBLEM_JSON;

/// A refusal that operations share.
struct Refusal {
    name: &'static str,
    status: &'static str,
    why: &'static str,
    /// Whether an operation, at its path, may be refused so.
    concerns: fn(&str, &Operation) -> bool,
}

const REFUSALS: [Refusal; 4] = [
    Refusal {
        name: "RateLimited",
        status: "429",
        why: "too many requests in the last minute: `Retry-After` says when to come back, `RateLimit` what is left",
        concerns: |path, _| !admission::is_uncounted(path),
    },
    Refusal {
        name: "Refused",
        status: "default",
        why: "refused, or failed: the problem says what was wrong, where, and what to do",
        concerns: |_, _| true,
    },
    Refusal {
        name: "TooLarge",
        status: "413",
        why: "the body is larger than any that is read here",
        concerns: |_, operation| takes_json(operation),
    },
    Refusal {
        name: "Unavailable",
        status: "503",
        why: "not possible at the moment, and nothing was changed: `Retry-After` says when to try again",
        concerns: |_, _| true,
    },
];

/// What a description says beside its operations.
pub(super) fn head() -> OpenApi {
    let mut head = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Corpus Exchange")
                .version("1")
                .description(Some(
                    "Where AI training corpora are listed, licensed, delivered and accounted for. Errors are RFC 9457 \
                     problems naming the field and the remedy. Lists are paged by `cursor`; `Link` leads to the next page. Requests that move money \
                     or make agreements carry an `Idempotency-Key`.",
                ))
                .license(Some(
                    LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build(),
                ))
                .build(),
        )
        .build();
    let mut components = Components::new();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An access token from `POST /v1/sessions`, or an API token (`cpx_…`)"))
        .build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    head.components = Some(components);
    head
}

/// Completes a description whose operations say what is their own.
pub(super) fn complete(api: &mut OpenApi) {
    if let Some(components) = &mut api.components {
        for Refusal { name, why, .. } in REFUSALS {
            let whole = ResponseBuilder::new().description(why).content(PROBLEM_JSON, problem()).build();
            components.responses.insert(name.to_string(), RefOr::T(whole));
        }
    }
    for (path, item) in &mut api.paths.paths {
        for operation in operations(item) {
            name_path_parameters(path, operation);
            name_refusals(operation);
            for Refusal { name, status, concerns, .. } in REFUSALS {
                if concerns(path, operation) {
                    let refused = || RefOr::Ref(Ref::from_response_name(name));
                    operation.responses.responses.entry(status.to_string()).or_insert_with(refused);
                }
            }
        }
    }
}

fn takes_json(operation: &Operation) -> bool {
    matches!(&operation.request_body, Some(RefOr::T(body)) if body.content.contains_key("application/json"))
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.head, &mut item.patch]
        .into_iter()
        .flatten()
}

fn problem() -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build()
}

/// Adds what stands in braces in the path, where the operation does not describe it.
fn name_path_parameters(path: &str, operation: &mut Operation) {
    let described: HashSet<_> = operation.parameters.iter().flatten().filter_map(in_path).collect();
    let missing: Vec<_> = path
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split(['}', ':']).next())
        .filter(|name| !described.contains(*name))
        .map(|name| {
            let text = ObjectBuilder::new().schema_type(Type::String).build();
            let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
            RefOr::T(parameter.schema(Some(Schema::Object(text))).build())
        })
        .collect();
    if !missing.is_empty() {
        operation.parameters.get_or_insert_default().extend(missing);
    }
}

fn in_path(parameter: &RefOr<utoipa::openapi::path::Parameter>) -> Option<String> {
    match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Path => Some(parameter.name.clone()),
        _ => None,
    }
}

/// Gives every problem its media type.
fn name_refusals(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        let RefOr::T(Response { content, .. }) = response else { continue };
        let is_problem = content.get("application/json").is_some_and(is_problem);
        if is_problem && let Some(body) = content.shift_remove("application/json") {
            content.insert(PROBLEM_JSON.to_string(), body);
        }
    }
}

fn is_problem(content: &RefOr<Content>) -> bool {
    let RefOr::T(Content { schema: Some(RefOr::Ref(schema)), .. }) = content else { return false };
    schema.ref_location.ends_with("/Problem")
}
