//! Edits to a document that is good, each at a place counted in document order.

use corpex::signing::Bytes;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use serde_json::Value;

#[derive(Debug, Arbitrary)]
pub enum Edit<'a> {
    /// Takes the member or item away.
    Remove,
    /// Puts what stands at another place here.
    Copy(u16),
    /// Changes one bit of a text, or of the bytes that a base64 text stands for.
    Flip(u16, bool),
    /// Writes something else here.
    Text(&'a str),
    /// Writes a number here.
    Number(i64),
}

/// Makes an edit at a place.
pub fn apply(document: &mut Value, place: usize, edit: &Edit) {
    let count = places(document);
    let place = place % count;
    let copied = match edit {
        Edit::Copy(from) => at(document, &mut (usize::from(*from) % count)).cloned(),
        _ => None,
    };
    let Some(found) = at(document, &mut place.clone()) else { return };
    match edit {
        Edit::Remove => *found = Value::Null,
        Edit::Copy(_) => *found = copied.unwrap_or(Value::Null),
        Edit::Text(text) => *found = (*text).into(),
        Edit::Number(number) => *found = (*number).into(),
        Edit::Flip(bit, decode) => {
            let Some(text) = found.as_str() else { return };
            let decoded = text.parse::<Bytes>().ok().filter(|_| *decode);
            let mut bytes = decoded.as_ref().map_or_else(|| text.as_bytes().to_vec(), |bytes| bytes.0.clone());
            let length = bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(usize::from(*bit) / 8 % length) {
                *byte ^= 1 << (*bit % 8);
            }
            let flipped = if decoded.is_some() { Ok(Bytes(bytes).to_string()) } else { String::from_utf8(bytes) };
            *found = flipped.unwrap_or_default().into();
        }
    }
    without_nulls(document);
}

/// How many values a document holds, itself included.
fn places(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(places).sum(),
        Value::Object(members) => members.values().map(places).sum(),
        _ => 0,
    }
}

/// The value at a place, counted in document order from 0.
fn at<'a>(value: &'a mut Value, place: &mut usize) -> Option<&'a mut Value> {
    if *place == 0 {
        return Some(value);
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| at(item, place)),
        Value::Object(members) => members.values_mut().find_map(|member| at(member, place)),
        _ => None,
    }
}

/// No document of ours holds a null: taking something away writes one first.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(without_nulls);
        }
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(without_nulls);
        }
        _ => {}
    }
}
