//! What a request asks for, in its body and its query; what does not fit is refused by the name of the field at fault.

use std::fmt;
use std::future::{Ready, ready};
use std::ops::Deref;
use std::pin::Pin;

use actix_web::body::EitherBody;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, Responder, web};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::http::read_body;
use crate::config::MAX_JSON_BYTES;
use crate::error::{Error, Kind, Result};

/// How many parameters are looked through for the one at fault.
const MOST_PARAMETERS: usize = 64;

/// A JSON body, of a request or of an answer.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// The parameters behind the question mark.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

/// A JSON body that is being read.
pub(crate) type Reading<T> = Pin<Box<dyn Future<Output = Result<T>>>>;

impl<T> Json<T> {
    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Query<T> {
    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Json<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Deref for Query<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Serialize> Responder for Json<T> {
    type Body = EitherBody<String>;
    fn respond_to(self, request: &HttpRequest) -> HttpResponse<Self::Body> {
        web::Json(self.0).respond_to(request)
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Error;
    type Future = Reading<Self>;
    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read_json(request, payload, MAX_JSON_BYTES);
        Box::pin(async { body.await.map(Self) })
    }
}

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Error;
    type Future = Ready<Result<Self>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read_query(request.query_string()).map(Self))
    }
}

/// Reads a JSON body of at most `most` bytes.
pub(crate) fn read_json<T: DeserializeOwned + 'static>(
    request: &HttpRequest,
    payload: &mut Payload,
    most: usize,
) -> Reading<T> {
    let (declared, mut body) = (is_json(request), payload.take());
    Box::pin(async move {
        if !declared {
            return Err(Error::new(Kind::UnsupportedMediaType, "the body is not declared as JSON")
                .remedy("send a JSON body, with Content-Type: application/json"));
        }
        let too_large = || Error::new(Kind::TooLarge, format!("the body is larger than {most} bytes"));
        let bytes = read_body(&mut body, most, too_large).await?;
        serde_json::from_slice::<T>(&bytes).map_err(|error| refuse_json(&bytes, &error))
    })
}

fn is_json(request: &HttpRequest) -> bool {
    let declared = request.mime_type().ok().flatten();
    declared.is_some_and(|mime| mime.subtype() == "json" || mime.suffix().is_some_and(|suffix| suffix == "json"))
}

fn refuse_json(body: &[u8], error: &serde_json::Error) -> Error {
    if !error.is_data() {
        return Error::new(Kind::Malformed, format!("the body is not JSON in UTF-8: {error}"));
    }
    let message = error.to_string();
    let before: usize =
        body.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    let read = body.get(..before.saturating_add(error.column())).unwrap_or(body);
    let way = way(read).into_iter().chain(named_field(&message).map(str::to_string)).collect::<Vec<_>>();
    Error::invalid(way.join("."), message)
}

fn read_query<T: DeserializeOwned>(text: &str) -> Result<T> {
    let read = |text: &str| web::Query::<T>::from_query(text).map_err(|error| error.to_string());
    let message = match read(text) {
        Ok(query) => return Ok(query.into_inner()),
        Err(message) => message,
    };
    // All are refused for the first one that is, which is the last of the fewest that are refused alike.
    let ends = text.match_indices('&').map(|(at, _)| at).chain([text.len()]).take(MOST_PARAMETERS);
    let fewest = ends
        .filter_map(|end| text.get(..end))
        .find(|&fewer| read(fewer).is_err_and(|refused| refused == message))
        .unwrap_or_default();
    let last = url::form_urlencoded::parse(fewest.as_bytes()).last().map(|(name, _)| name.into_owned());
    let field = named_field(&message).map(str::to_string).or(last).unwrap_or_default();
    Err(Error::invalid(field, message.strip_prefix("Query deserialize error: ").unwrap_or(&message)))
}

/// The field that a decoder names: one that is missing, unknown or there twice stands between backticks.
fn named_field(message: &str) -> Option<&str> {
    message.split('`').nth(1).filter(|_| message.contains("field `"))
}

/// A member of an object, whose name is empty until it was read, or an item of an array, counted from zero.
enum Step {
    Member(String),
    Item(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(name) => f.write_str(name),
            Self::Item(number) => write!(f, "{number}"),
        }
    }
}

/// The way to where the beginning of a JSON document breaks off: the members and items that it stands in.
fn way(read: &[u8]) -> Vec<String> {
    let (mut steps, mut text) = (Vec::<Step>::new(), Vec::new());
    let (mut quoted, mut escaped) = (false, false);
    for byte in read {
        if quoted {
            quoted = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            if quoted {
                text.push(*byte);
            }
            continue;
        }
        match (byte, steps.last_mut()) {
            (b'"', _) => {
                quoted = true;
                text.clear();
            }
            (b'{', _) => steps.push(Step::Member(String::new())),
            (b'[', _) => steps.push(Step::Item(0)),
            (b'}' | b']', _) => drop(steps.pop()),
            (b':', Some(Step::Member(name))) => *name = String::from_utf8_lossy(&text).into_owned(),
            (b',', Some(Step::Member(name))) => name.clear(),
            (b',', Some(Step::Item(number))) => *number = number.saturating_add(1),
            _ => {}
        }
    }
    steps.iter().map(Step::to_string).filter(|step| !step.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::terms::Use;
    use crate::types::{Money, TermsId};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Wanted {
        #[serde(default)]
        uses: Vec<Use>,
        price: Option<Money>,
        limit: Option<i64>,
        terms_id: TermsId,
    }

    fn field_of(body: &str) -> Option<String> {
        let error = serde_json::from_str::<Wanted>(body).unwrap_err();
        refuse_json(body.as_bytes(), &error).field
    }

    #[test]
    fn the_field_of_a_body_that_is_at_fault_is_named_wherever_it_stands() {
        for (body, field) in [
            (r#"{"terms_id": "terms_1"}"#, "terms_id"),
            (r#"{"terms_id": 5, "uses": []}"#, "terms_id"),
            (r#"{"uses": ["pretrain", "traning"], "terms_id": "terms_1"}"#, "uses.1"),
            ("{\n  \"price\": {\n    \"currency\": \"\\\"}\",\n    \"amount_minor\": 1 } }", "price.currency"),
            (r#"{"price": {"amount_minor": 1}}"#, "price.currency"),
            (r#"{"price": {"amount_minor": 1.5, "currency": "CNY"}}"#, "price.amount_minor"),
            (r#"{"uses": [], "colour": "red"}"#, "colour"),
            (r#"{"uses": [], "uses": []}"#, "uses"),
            (r#"{"uses": []}"#, "terms_id"),
        ] {
            assert_eq!(field_of(body).as_deref(), Some(field), "{body}");
        }
        assert_eq!(field_of("[5]").as_deref(), Some("0"));
        assert_eq!(field_of("5"), None);
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Asked {
        organisation: String,
        r#use: Option<Use>,
        limit: Option<i64>,
        terms: Option<TermsId>,
    }

    #[test]
    fn the_parameter_that_is_at_fault_is_named() {
        for (query, field) in [
            ("organisation=a&limit=ten", "limit"),
            ("limit=ten&organisation=a&use=pretrain", "limit"),
            ("organisation=a&use=traning&limit=1", "use"),
            ("use=pretrain&terms=terms_1", "terms"),
            ("organisation=colour&colour=red", "colour"),
            ("limit=1", "organisation"),
            ("", "organisation"),
        ] {
            let error = read_query::<Asked>(query).unwrap_err();
            assert_eq!(error.field.as_deref(), Some(field), "{query}: {error:?}");
        }
    }
}
