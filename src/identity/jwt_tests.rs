//! Attacks on access tokens, and the tokens that pass.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://exchange.example";

fn now() -> Instant {
    Instant::from_unix_micros(1_800_000_000_000_000)
}
fn later(seconds: u64) -> Instant {
    now().plus(Duration::from_secs(seconds))
}
fn claims() -> Value {
    let (token, _) =
        issue(&ExchangeKeys::generate(), ISSUER, UserId::new(now()), SessionId::new(now()), now()).unwrap();
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}
fn refusal(keys: &ExchangeKeys, token: &str, at: Instant) -> String {
    let error = verify(keys, ISSUER, token, at).unwrap_err();
    assert_eq!(error.kind, Kind::Unauthenticated);
    error.detail
}
/// A token put together by hand, as an attacker would.
fn forged(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(sign(message.as_bytes())))
}

#[test]
fn an_issued_token_is_believed_for_ten_minutes_and_the_leeway() {
    let keys = ExchangeKeys::generate();
    let (user, session) = (UserId::new(now()), SessionId::new(now()));
    let (token, issued) = issue(&keys, ISSUER, user, session, now()).unwrap();
    assert_eq!(issued.expires_at(), later(600));
    for at in [now(), later(599), later(604)] {
        let claims = verify(&keys, ISSUER, &token, at).unwrap();
        assert_eq!((claims.sub, claims.sid), (user, session));
    }
    assert!(refusal(&keys, &token, later(605)).contains("expired"));
}

#[test]
fn either_published_key_is_believed_and_no_other() {
    let keys = ExchangeKeys::generate();
    for key in [&keys.access, &keys.access_next] {
        verify(&keys, ISSUER, &encode(key, TYPE, &claims()).unwrap(), now()).unwrap();
    }
    let stranger = SecretKey::generate();
    assert!(refusal(&keys, &encode(&stranger, TYPE, &claims()).unwrap(), now()).contains("does not have"));
    let header = json!({"alg": "EdDSA", "typ": TYPE, "kid": keys.access.public().key_id()});
    let token = forged(&header, &claims(), |message| stranger.sign(message).to_vec());
    assert!(refusal(&keys, &token, now()).contains("not signed by this exchange"));
}

#[test]
fn a_token_without_signature_or_with_another_algorithm_is_refused() {
    let keys = ExchangeKeys::generate();
    let public = keys.access.public();
    let header = |alg: &str| json!({"alg": alg, "typ": TYPE, "kid": public.key_id()});
    for alg in ["none", "None", "", "HS256", "RS256", "ES256", "PS512"] {
        refusal(&keys, &forged(&header(alg), &claims(), |_| Vec::new()), now());
    }
    let with_public_key_as_secret = |message: &[u8]| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&public.to_bytes()).unwrap();
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    };
    let detail = refusal(&keys, &forged(&header("HS256"), &claims(), with_public_key_as_secret), now());
    assert!(detail.contains("EdDSA"), "{detail}");
    let unsigned = forged(&header("EdDSA"), &claims(), |_| Vec::new());
    assert!(refusal(&keys, &unsigned, now()).contains("not signed"));
}

#[test]
fn a_longer_token_is_not_read() {
    let keys = ExchangeKeys::generate();
    assert!(refusal(&keys, &"a".repeat(MAX_LENGTH), now()).contains("is neither a JSON Web Token"));
    assert!(refusal(&keys, &"a".repeat(MAX_LENGTH + 1), now()).contains("is longer than any"));
}

/// The library asks once more, with the algorithm that the header names.
#[test]
fn what_signs_and_verifies_does_so_with_ed25519_alone() {
    only_ed25519(Algorithm::EdDSA, AlgorithmFamily::Ed).unwrap();
    for (algorithm, family) in [
        (Algorithm::HS256, AlgorithmFamily::Hmac),
        (Algorithm::RS256, AlgorithmFamily::Rsa),
        (Algorithm::EdDSA, AlgorithmFamily::Hmac),
        (Algorithm::HS256, AlgorithmFamily::Ed),
    ] {
        assert!(only_ed25519(algorithm, family).is_err(), "{algorithm:?}");
    }
}

#[test]
fn a_token_of_another_type_or_with_an_unknown_extension_is_refused() {
    let keys = ExchangeKeys::generate();
    for media_type in ["JWT", "at+JWT", "", "dpop+jwt"] {
        assert!(refusal(&keys, &encode(&keys.access, media_type, &claims()).unwrap(), now()).contains("access token"));
    }
    let kid = keys.access.public().key_id();
    for header in
        [json!({"alg": "EdDSA", "kid": kid}), json!({"alg": "EdDSA", "kid": kid, "typ": TYPE, "crit": ["b64"]})]
    {
        refusal(&keys, &forged(&header, &claims(), |message| keys.access.sign(message).to_vec()), now());
    }
}

#[test]
fn every_claim_is_required() {
    let keys = ExchangeKeys::generate();
    for name in ["iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name).unwrap();
        assert!(refusal(&keys, &encode(&keys.access, TYPE, &claims).unwrap(), now()).contains("claim"), "{name}");
        let token = encode(&keys.access, TYPE, &with(name, Value::Null)).unwrap();
        assert!(refusal(&keys, &token, now()).contains("claim"), "{name}");
    }
}

#[test]
fn a_token_for_another_time_or_audience_is_refused() {
    let keys = ExchangeKeys::generate();
    let (seconds, _) = now().unix();
    for (name, value, expected) in [
        ("nbf", json!(seconds + 6), "not valid yet"),
        ("iat", json!(seconds + 6), "not valid yet"),
        ("exp", json!(seconds - 5), "expired"),
        ("exp", json!(u64::MAX), "longer"),
        ("exp", json!(-1), "claim"),
        ("aud", json!("https://other.example"), "somebody else"),
        ("aud", json!([ISSUER, "https://other.example"]), "claim"),
        ("iss", json!("https://other.example"), "somebody else"),
        ("sub", json!("org_00000000000000000000000000"), "claim"),
    ] {
        let detail = refusal(&keys, &encode(&keys.access, TYPE, &with(name, value)).unwrap(), now());
        assert!(detail.contains(expected), "{name}: {detail}");
    }
    verify(&keys, ISSUER, &encode(&keys.access, TYPE, &with("nbf", json!(seconds + 5))).unwrap(), now()).unwrap();
}

#[test]
fn text_that_is_no_token_is_refused() {
    let keys = ExchangeKeys::generate();
    for text in ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "é.é.é", &"a".repeat(3000), &"e30.".repeat(700)] {
        refusal(&keys, text, now());
    }
    let (token, _) = issue(&keys, ISSUER, UserId::new(now()), SessionId::new(now()), now()).unwrap();
    for broken in [format!("{token}A"), format!(" {token}"), token[..token.len() - 1].to_string(), format!("{token}=")]
    {
        refusal(&keys, &broken, now());
    }
}

#[test]
fn the_key_set_publishes_both_public_keys() {
    let keys = ExchangeKeys::generate();
    let set = serde_json::to_value(key_set(&keys)).unwrap();
    assert_eq!(set["keys"].as_array().unwrap().len(), 2);
    assert_eq!(set["keys"][0]["kid"], keys.access.public().key_id().to_string());
    assert_eq!(set["keys"][1]["x"], URL_SAFE_NO_PAD.encode(keys.access_next.public().to_bytes()));
    assert!(!set.to_string().contains("\"d\""));
}
