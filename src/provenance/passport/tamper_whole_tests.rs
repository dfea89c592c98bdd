//! The passport around its statements: deliveries, keys, and the file itself, changed one thing at a time.

use super::tamper_tests::{BATCH, CONTRACT, Change, expect};
use super::*;

#[test]
fn each_part_of_a_delivery() {
    let bought = Story::bought;
    let unknown = format!(r#"{{"manifest_sha256":"{}"}}"#, Digest::of("other"));
    let cases: Vec<(&str, Result<Report>, &str)> = vec![
        ("no JSON", bought().with_receipt(b"{"), "receipt: the receipt is not JSON"),
        ("not canonical", bought().with_receipt(br#"{"a": 1}"#), "receipt: the receipt is not canonical JSON"),
        ("a member twice", bought().with_receipt(br#"{"a":1,"a":1}"#), "receipt: the receipt is not canonical JSON"),
        (
            "a large integer",
            bought().with_receipt(br#"{"size_bytes":9007199254740994}"#),
            "receipt: the receipt holds 9007199254740994",
        ),
        ("an unknown member", bought().with_receipt(unknown.as_bytes()), "receipt: "),
        (
            "a later time than that of its batch",
            bought().with_receipt(&canonical_json(&receipt(16)).unwrap()),
            "receipt: it is of a later time than the log entry of its batch",
        ),
        (
            "the receipt of another place",
            bought().forged(|p| {
                let swapped = Story::bought().receipts[2].clone();
                p.deliveries[0].receipt = Bytes(canonical_json(&swapped).unwrap());
            }),
            "receipt: the inclusion proof leads to another root",
        ),
        ("another place", bought().forged(|p| p.deliveries[0].leaf_index = 2), "receipt: the inclusion proof"),
        ("a place outside", bought().forged(|p| p.deliveries[0].leaf_index = 3), "receipt: the tree has 3 entries"),
        (
            "another count",
            bought().forged(|p| p.deliveries[0].tree_size = 4),
            "receipt: the batch has another number of receipts",
        ),
        ("no batch", bought().forged(|p| p.deliveries[0].batch = 4), "receipt: statement 4 is not a receipt batch"),
        (
            "a batch outside",
            bought().forged(|p| p.deliveries[0].batch = 6),
            "receipt: statement 6 is not a receipt batch",
        ),
        (
            "a hash less",
            bought().forged(|p| p.deliveries[0].path.truncate(1)),
            "receipt: the inclusion proof is shorter",
        ),
        (
            "a hash more",
            bought().forged(|p| p.deliveries[0].path.push(Digest::of("x"))),
            "receipt: the inclusion proof is longer",
        ),
        (
            "another hash",
            bought().forged(|p| p.deliveries[0].path[0].0[31] ^= 1),
            "receipt: the inclusion proof leads to another root",
        ),
        (
            "another root",
            bought().resigned(BATCH, |b| b["predicate"]["root_sha256"] = json!(Digest::of("x"))).forged(|_| {}),
            "receipt: the inclusion proof leads to another root",
        ),
    ];
    for (what, found, reason) in cases {
        expect(what, found, &format!("deliveries/0: {reason}"));
    }
}

#[test]
fn each_field_of_a_key() {
    let cases: &[(&str, Change<Passport>, &str)] = &[
        ("another id", |p| p.keys[0].key_id = Digest::of("x"), "keys/0 (provider): key: the key id is not the SHA-256"),
        (
            "another key",
            |p| p.keys[0].public_key = p.keys[1].public_key,
            "keys/0 (provider): key: the key id is not the SHA-256",
        ),
        (
            "another organisation",
            |p| p.keys[1].organisation = "other".into(),
            "it speaks for lab, and a key of other signed it",
        ),
        ("registered later", |p| p.keys[0].registered_at = at(11), "key validity: "),
        ("revoked before", |p| p.keys[0].revoked_at = Some(at(10)), "was revoked at"),
        ("compromised before", |p| p.keys[0].compromised_at = Some(at(10)), "was compromised at"),
        ("not there", |p| drop(p.keys.remove(1)), "statements/3 (contract): signature: there is no key"),
    ];
    let mut story = Story::bought();
    // A contract that names its buyer, as real ones do.
    story = story.resigned(CONTRACT, |s| s["predicate"]["buyer"] = json!({ "handle": "lab" }));
    let contract = story.recorded[CONTRACT].1.pae_sha256();
    story = story.resigned(CONTRACT + 1, |s| s["predicate"]["contract_sha256"] = json!(contract));
    story.forged(|_| {}).unwrap();
    for (what, change, reason) in cases {
        expect(what, story.forged(change), reason);
    }
}

#[test]
fn each_part_of_the_passport_itself() {
    let story = Story::bought();
    let good = story.passport();
    let changed = |change: Change<Value>| {
        let mut value = serde_json::to_value(&good).unwrap();
        change(&mut value);
        check(&canonical_json(&value).unwrap())
    };
    let weak = |bytes: [u8; 32]| Bytes(bytes.to_vec()).to_string();
    let cases: &[(&str, Change<Value>, &str)] = &[
        ("another version", |p| p["passport_version"] = json!(2), "its version is 2"),
        ("no version", |p| drop(p.as_object_mut().unwrap().remove("passport_version")), "missing field"),
        ("an unknown member", |p| p["note"] = json!(1), "unknown field `note`"),
        ("no statements", |p| p["statements"] = json!([]), "format: "),
        ("a null", |p| p["keys"][0]["revoked_at"] = json!(null), "not canonical JSON"),
        ("an unknown kind", |p| p["statements"][0]["kind"] = json!("promise"), "unknown variant"),
        ("a negative place", |p| p["deliveries"][0]["leaf_index"] = json!(-1), "invalid value"),
        ("a broken place", |p| p["deliveries"][0]["leaf_index"] = json!(0.5), "invalid type"),
        (
            "a place beyond 2^53",
            |p| p["deliveries"][0]["leaf_index"] = json!(9_007_199_254_740_994_u64),
            "invalid value",
        ),
        (
            "another signer",
            |p| p["signature"]["keyid"] = p["keys"][0]["key_id"].clone(),
            "passport signature: it is not by the exchange's key",
        ),
        (
            "a statement less",
            |p| drop(p["statements"].as_array_mut().unwrap().pop()),
            "deliveries/0: receipt: statement 5",
        ),
        (
            "a delivery less",
            |p| p["deliveries"] = json!([]),
            "passport signature: the passport is not what the exchange signed",
        ),
        (
            "a key more",
            |p| {
                let mut key = p["keys"][0].clone();
                let other = SecretKey::from_seed([9; 32]).public();
                (key["key_id"], key["public_key"]) = (json!(other.key_id()), json!(other));
                p["keys"].as_array_mut().unwrap().push(key);
            },
            "passport signature: the passport is not what the exchange signed",
        ),
        ("another exchange", |p| p["exchange_key"] = p["keys"][0]["public_key"].clone(), "the key is named twice"),
        (
            "a log of another name",
            |p| {
                p["log_vkey"] =
                    json!(VerifierKey::new("other.example/log", SecretKey::from_seed([2; 32]).public()).unwrap())
            },
            "is of the log \"corpex.example/log\"",
        ),
        (
            "a log with another key",
            |p| p["log_vkey"] = json!(VerifierKey::new(ORIGIN, SecretKey::from_seed([9; 32]).public()).unwrap()),
            "carries no signature by corpex.example/log",
        ),
    ];
    for (what, change, reason) in cases {
        expect(what, changed(*change), reason);
    }
    let mut small_order = [0; 32];
    small_order[0] = 1;
    let mut value = serde_json::to_value(&good).unwrap();
    value["exchange_key"] = json!(weak(small_order));
    expect("a weak key", check(&canonical_json(&value).unwrap()), "is weak (of small order)");
    value["exchange_key"] = json!(weak([0xff; 32]));
    expect("no point", check(&canonical_json(&value).unwrap()), "the public key is not");

    let text = String::from_utf8(good.to_bytes().unwrap()).unwrap();
    let twice = text.replacen(r#""passport_version":1,"#, r#""passport_version":1,"passport_version":1,"#, 1);
    expect("a member twice", check(twice.as_bytes()), "duplicate field `passport_version`");
    expect("a newline at the end", check(format!("{text}\n").as_bytes()), "not canonical JSON");
    expect("nothing", check(b""), "format: this is not a passport");
}
