//! Envelopes, keys and canonical JSON, honest and otherwise.

use super::*;

fn signed() -> (SecretKey, Envelope) {
    let key = SecretKey::from_seed([7; 32]);
    let payload = canonical_json(&serde_json::json!({"b": 1, "a": "é"})).unwrap();
    let envelope = key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, payload);
    (key, envelope)
}

#[test]
fn the_pae_is_the_one_of_the_dsse_specification() {
    let envelope = Envelope {
        payload_type: "http://example.com/HelloWorld".into(),
        payload: Bytes(b"hello world".to_vec()),
        signatures: vec![],
    };
    assert_eq!(envelope.pae(), b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
}

#[test]
fn a_signed_envelope_verifies_with_its_key_alone() {
    let (key, envelope) = signed();
    envelope.verify(key.public(), IN_TOTO_PAYLOAD_TYPE).unwrap();
    let other = SecretKey::from_seed([8; 32]);
    let error = envelope.verify(other.public(), IN_TOTO_PAYLOAD_TYPE).unwrap_err();
    assert!(error.detail.contains("no signature by key"), "{error}");
}

#[test]
fn a_payload_of_another_type_or_with_other_bytes_is_refused() {
    let (key, envelope) = signed();
    let error = envelope.verify(key.public(), "text/plain").unwrap_err();
    assert_eq!(error.field.as_deref(), Some("payloadType"));
    let mut tampered = envelope;
    tampered.payload.0[0] ^= 1;
    let error = tampered.verify(key.public(), IN_TOTO_PAYLOAD_TYPE).unwrap_err();
    assert_eq!(error.field.as_deref(), Some("signature"));
}

#[test]
fn json_that_is_not_canonical_is_refused_even_when_signed() {
    let key = SecretKey::from_seed([7; 32]);
    for payload in [r#"{"b":1,"a":2}"#, r#"{"a":1,"a":1}"#, r#"{ "a":1}"#, r#"{"a":1.0}"#] {
        let envelope = key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, payload.as_bytes().to_vec());
        let error = envelope.verify(key.public(), IN_TOTO_PAYLOAD_TYPE).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("payload"), "{payload}");
    }
}

#[test]
fn integers_that_a_reader_may_round_are_refused() {
    for exact in ["9007199254740991", "-9007199254740991", "1e+21", "0.1", "[0,-1,{\"a\":5e-324}]"] {
        read_canonical_json(exact.as_bytes()).unwrap();
    }
    for (inexact, why) in [
        ("9007199254740992", "keeps exact"),
        ("{\"a\":[-9007199254740994]}", "keeps exact"),
        ("100000000000000000000", "keeps exact"),
        // The nearest double has another spelling.
        ("9007199254740993", "not canonical"),
        ("18446744073709551615", "not canonical"),
    ] {
        let refusal = read_canonical_json(inexact.as_bytes()).unwrap_err();
        assert!(refusal.contains(why), "{inexact}: {refusal}");
    }
}

#[test]
fn every_point_of_small_order_is_refused_as_a_key() {
    let order_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let other_order_8 = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
    let minus_one = format!("ec{}7f", "ff".repeat(30));
    let mut weak: Vec<[u8; 32]> = [&"00".repeat(32), &format!("01{}", "00".repeat(31)), &minus_one]
        .into_iter()
        .chain([&order_8.to_string(), &other_order_8.to_string()])
        .map(|point| hex::decode(point).unwrap().try_into().unwrap())
        .collect();
    // Those whose x is not zero have a twin with the other sign.
    for at in [0, 3, 4] {
        let mut twin = weak[at];
        twin[31] |= 0x80;
        weak.push(twin);
    }
    assert_eq!(weak.len(), 8);
    for point in weak {
        assert!(PublicKey::from_bytes(&point).unwrap_err().detail.contains("weak"), "{}", hex::encode(point));
    }
}

#[test]
fn a_second_encoding_of_a_point_is_refused_as_a_key() {
    let mut second_encodings = 0;
    for above in 0..19 {
        for sign in [0, 0x80] {
            // The y coordinate p + above, for p = 2^255 - 19: the same point as `above`.
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (0xed + above, 0x7f | sign);
            let refusal = PublicKey::from_bytes(&bytes).unwrap_err().detail;
            assert!(refusal.contains("not in canonical form") || refusal.contains("not a point"), "{refusal}");
            second_encodings += usize::from(refusal.contains("canonical"));
        }
    }
    assert!(second_encodings > 8, "{second_encodings}");
}

#[test]
fn a_signature_has_one_encoding() {
    let (key, message) = (SecretKey::from_seed([7; 32]), b"message");
    let good = key.sign(message);
    key.public().verify(message, &good).unwrap();

    // The same signature with the group's order added to its second half, which a lenient reader accepts.
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let (mut larger, mut carry) = (good, 0);
    for (byte, add) in larger[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    let mut small_order = good;
    small_order[..32].copy_from_slice(&[0; 32]);
    let mut not_a_point = good;
    not_a_point[..32].copy_from_slice(&[2; 32]);
    for bad in [larger, small_order, not_a_point] {
        let refusal = key.public().verify(message, &bad).unwrap_err();
        assert!(refusal.detail.contains("was not made by key"), "{refusal}");
    }
    for length in [0, 32, 63] {
        assert!(key.public().verify(message, &good[..length]).unwrap_err().detail.contains("not 64 bytes"));
    }
    for bit in 0..512 {
        let mut flipped = good;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(key.public().verify(message, &flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn a_key_id_that_names_another_key_is_not_believed() {
    let (key, mut envelope) = signed();
    let other = SecretKey::from_seed([8; 32]).public();
    envelope.signatures[0].keyid = other.key_id();
    let refusal = envelope.verify(other, IN_TOTO_PAYLOAD_TYPE).unwrap_err();
    assert!(refusal.detail.contains("was not made by key"), "{refusal}");
    let refusal = envelope.verify(key.public(), IN_TOTO_PAYLOAD_TYPE).unwrap_err();
    assert!(refusal.detail.contains("no signature by key"), "{refusal}");
}

#[test]
fn a_document_signed_as_one_type_is_not_another() {
    let (key, envelope) = signed();
    let passport = "application/vnd.corpex.passport.v1+json";
    let relabelled = Envelope { payload_type: passport.to_string(), ..envelope.clone() };
    let refusal = relabelled.verify(key.public(), passport).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("signature"));
    // Lengths are signed too: bytes cannot move from the payload into its type.
    let mut moved = envelope.clone();
    moved.payload_type.push(' ');
    moved.payload.0.remove(0);
    assert_ne!(moved.pae(), envelope.pae());
    let bare = Envelope {
        signatures: vec![Signature {
            keyid: key.public().key_id(),
            sig: Bytes(key.sign(&envelope.payload.0).to_vec()),
        }],
        ..envelope
    };
    let refusal = bare.verify(key.public(), IN_TOTO_PAYLOAD_TYPE).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("signature"), "a signature of the bare payload was accepted");
}

#[test]
fn base64_has_one_spelling() {
    for (text, bytes) in
        [("", &b""[..]), ("AA==", b"\0"), ("AAA=", b"\0\0"), ("AAAA", b"\0\0\0"), ("+/+/", b"\xfb\xff\xbf")]
    {
        assert_eq!(text.parse::<Bytes>().unwrap().0, bytes);
        assert_eq!(Bytes(bytes.to_vec()).to_string(), text);
    }
    for second in ["AA", "AA=", "AB==", "AAB=", "AA==\n", " AA==", "-_-_", "AA==AA==", "A"] {
        assert!(second.parse::<Bytes>().is_err(), "{second:?}");
    }
}
