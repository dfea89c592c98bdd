//! A request's input, in its body and its query; invalid input is refused with the name of the field at fault.

use std::fmt;
use std::future::{Ready, ready};
use std::ops::Deref;
use std::pin::Pin;

use actix_web::body::EitherBody;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, Responder, web};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use super::body::read_body;
use crate::config::MAX_JSON_BYTES;
use crate::error::{Error, Kind, Result};

/// A JSON body, of a request or of an answer.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// The parameters behind the question mark.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

/// The future of something that a request says, while that is read or looked up.
pub(crate) type Extracting<T> = Pin<Box<dyn Future<Output = Result<T>>>>;

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
    type Future = Extracting<Self>;
    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read_json(request, payload, MAX_JSON_BYTES);
        Box::pin(async { body.await.map(Self) })
    }
}

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Error;
    type Future = Ready<Result<Self>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(decode_query(request.query_string()).map(Self))
    }
}

/// Reads a JSON body of at most `most` bytes.
pub(crate) fn read_json<T: DeserializeOwned + 'static>(
    request: &HttpRequest,
    payload: &mut Payload,
    most: usize,
) -> Extracting<T> {
    let (declared, mut body) = (is_json(request), payload.take());
    Box::pin(async move {
        if !declared {
            return Err(Error::new(Kind::UnsupportedMediaType, "the body is not declared as JSON")
                .remedy("send a JSON body, with Content-Type: application/json"));
        }
        let too_large = || Error::new(Kind::TooLarge, format!("the body is larger than {most} bytes"));
        let bytes = read_body(&mut body, most, too_large).await?;
        decode_json(&bytes)
    })
}

fn is_json(request: &HttpRequest) -> bool {
    let declared = request.mime_type().ok().flatten();
    declared.is_some_and(|mime| mime.subtype() == "json" || mime.suffix().is_some_and(|suffix| suffix == "json"))
}

fn decode_json<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let mut decoder = serde_json::Deserializer::from_slice(body);
    let decoded = serde_path_to_error::deserialize(&mut decoder).map_err(|error| match error.inner().is_data() {
        true => refuse(&error),
        false => not_json(error.inner()),
    })?;
    decoder.end().map_err(|error| not_json(&error))?;
    Ok(decoded)
}

fn not_json(error: &serde_json::Error) -> Error {
    Error::new(Kind::Malformed, format!("the body is not JSON in UTF-8: {error}"))
}

fn decode_query<T: DeserializeOwned>(query: &str) -> Result<T> {
    let parameters = url::form_urlencoded::parse(query.as_bytes());
    serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(parameters)).map_err(|error| refuse(&error))
}

/// Refuses by the way to the field at fault, as `price.currency` or `uses[1]`.
fn refuse<E: fmt::Display>(error: &serde_path_to_error::Error<E>) -> Error {
    let message = error.inner().to_string();
    let mut way = String::new();
    for step in error.path() {
        match step {
            Segment::Map { key } => join(&mut way, key),
            Segment::Seq { index } => way.push_str(&format!("[{index}]")),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    // The decoder names a field that is missing, unknown or there twice, and the way ends at that field or before it.
    if let Some(named) = named_field(&message).filter(|named| way.rsplit('.').next() != Some(named)) {
        join(&mut way, named);
    }
    Error::invalid(way, message)
}

fn join(way: &mut String, member: &str) {
    if !way.is_empty() {
        way.push('.');
    }
    way.push_str(member);
}

/// The field that a decoder names: one that is missing, unknown or there twice stands between backticks.
fn named_field(message: &str) -> Option<&str> {
    message.split('`').nth(1).filter(|_| message.contains("field `"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::terms::Use;
    use crate::types::{Currency, Instant, Money, TermsId};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[serde(default)]
        uses: Vec<Use>,
        price: Option<Money>,
        terms_id: TermsId,
    }

    fn field_of(body: &str) -> Option<String> {
        decode_json::<Wanted>(body.as_bytes()).unwrap_err().field
    }

    #[test]
    fn the_field_of_a_body_that_is_at_fault_is_named_wherever_it_stands() {
        for (body, field) in [
            (r#"{"terms_id": "terms_1"}"#, "terms_id"),
            (r#"{"terms_id": 5, "uses": []}"#, "terms_id"),
            (r#"{"uses": ["pretrain", "traning"], "terms_id": "terms_1"}"#, "uses[1]"),
            ("{\n  \"price\": {\n    \"currency\": \"\\\"}\",\n    \"amount_minor\": 1 } }", "price.currency"),
            (r#"{"price": {"amount_minor": 1}}"#, "price.currency"),
            (r#"{"price": {"amount_minor": 1.5, "currency": "CNY"}}"#, "price.amount_minor"),
            (r#"{"uses": [], "colour": "red"}"#, "colour"),
            (r#"{"uses": [], "uses": []}"#, "uses"),
            (r#"{"uses": []}"#, "terms_id"),
        ] {
            assert_eq!(field_of(body).as_deref(), Some(field), "{body}");
        }
        assert_eq!(field_of("[5]").as_deref(), Some("[0]"));
        assert_eq!(field_of("5"), None);
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        organisation: String,
        r#use: Option<Use>,
        limit: Option<i64>,
        terms: Option<TermsId>,
    }

    #[test]
    fn what_fits_is_read() {
        let (given, fen) = (TermsId::new(Instant::from_unix_micros(0)), Money::new(1, Currency::CNY));
        let body = json!({ "uses": ["pretrain"], "price": fen, "terms_id": given }).to_string();
        let Wanted { uses, price, terms_id } = decode_json(body.as_bytes()).unwrap();
        assert_eq!((uses, price, terms_id), (vec![Use::Pretrain], Some(fen), given));
        let query = format!("organisation=a&use=pretrain&limit=1&terms={given}");
        let Asked { organisation, r#use, limit, terms } = decode_query(&query).unwrap();
        let asked = (organisation.as_str(), r#use, limit, terms);
        assert_eq!(asked, ("a", Some(Use::Pretrain), Some(1), Some(given)));
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
            let error = decode_query::<Asked>(query).unwrap_err();
            assert_eq!(error.field.as_deref(), Some(field), "{query}: {error:?}");
        }
    }
}
