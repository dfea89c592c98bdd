//! Contracts as people read them: they show all that is agreed, and nothing that a party writes passes for another part of them.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::market::contracts::{check, statement};
use crate::provenance::Statement;
use crate::signing::Envelope;
use crate::types::NegotiationId;

/// The contract of docs/vectors/passport.json.
fn published() -> Statement {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/vectors/passport.json");
    let passport: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let contract = passport["statements"].as_array().unwrap().iter().find(|s| s["kind"] == "contract").unwrap();
    let envelope: Envelope = serde_json::from_value(contract["envelope"].clone()).unwrap();
    serde_json::from_slice(&envelope.payload.0).unwrap()
}

fn document() -> ContractDocument {
    let mut predicate = published().predicate;
    predicate.as_object_mut().unwrap().remove("renderings");
    serde_json::from_value(predicate).unwrap()
}

const ALL: [(Language, RenderingFormat, &str); 4] = [
    (Language::Zh, RenderingFormat::Text, "contract.zh.txt"),
    (Language::Zh, RenderingFormat::Html, "contract.zh.html"),
    (Language::En, RenderingFormat::Text, "contract.en.txt"),
    (Language::En, RenderingFormat::Html, "contract.en.html"),
];

#[test]
fn the_renderings_of_the_vectors_are_those_published_and_signed() {
    for (language, format, file) in ALL {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/vectors").join(file);
        let rendered = render(&document(), language, format);
        if std::env::var_os("UPDATE_VECTORS").is_some() {
            std::fs::write(&path, &rendered).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), rendered, "{file}");
    }
    let signed: Value = published().predicate["renderings"].clone();
    assert_eq!(signed, serde_json::to_value(Renderings::of(&document())).unwrap());
    check(published().predicate).unwrap();
}

#[test]
fn every_value_that_is_agreed_changes_every_rendering() {
    let said = published().predicate;
    let whole = Renderings::of(&document());
    let changes = [
        ("/order", json!("order_01jcm9qf80e5wvpd4d6d9k1m2q")),
        ("/listing", json!("listing_01jcm9qf80e5wvpd4d6d9k1m2q")),
        ("/buyer/handle", json!("prose-lab")),
        ("/buyer/legal_name", json!("文赋实验室")),
        ("/provider/registration_number", json!("91310000MA1FL0AB2D")),
        ("/provider/country", json!("SG")),
        ("/dataset", json!("poetry-house/odes")),
        ("/version", json!(2)),
        ("/manifest_sha256", json!("00".repeat(32))),
        ("/terms", json!("terms_01jcm9qf80e5wvpd4d6d9k1m2q")),
        ("/terms_sha256", json!("00".repeat(32))),
        ("/certificate", json!("CPX-2023-0000000002")),
        ("/use", json!("finetune")),
        ("/purpose", json!("something else altogether")),
        ("/licence/prohibited_uses", json!([])),
        ("/licence/territory", json!(["CN", "SG"])),
        ("/licence/duration_days", json!(365)),
        ("/licence/attribution", json!(false)),
        ("/licence/affiliates", json!(true)),
        ("/licence/seats", json!(5)),
        ("/licence/expected_downloads", json!({ "times": 3, "per_days": 30 })),
        ("/licence/new_versions", json!(true)),
        ("/price/amount_minor", json!(128_001)),
        ("/price/currency", json!("USD")),
        ("/fee/amount_minor", json!(0)),
        ("/acceptance_days", json!(7)),
        ("/download_days", json!(90)),
        ("/delivery_days", json!(90)),
        ("/made_at", json!("2024-02-29T16:00:00.000000Z")),
    ];
    for (pointer, value) in changes {
        let mut other = said.clone();
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        other.pointer_mut(parent).unwrap()[member] = value;
        let error = check(other.clone()).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("renderings.zh.html_sha256"), "{pointer}: {error:?}");
        other.as_object_mut().unwrap().remove("renderings");
        let other = Renderings::of(&serde_json::from_value(other).unwrap());
        for (before, after) in whole.named().into_iter().zip(other.named()) {
            assert_ne!(before, after, "{pointer}");
        }
    }
}

#[test]
fn the_private_offer_that_a_contract_rests_on_is_in_every_rendering() {
    let offered = ContractDocument { offer_sha256: Some(Digest::of("an offer")), ..document() };
    for (language, format, _) in ALL {
        assert!(
            render(&offered, language, format).contains(&Digest::of("an offer").to_string()),
            "{language} {format}"
        );
    }
    crate::schemas::validate("contract.v1", &statement(&offered).unwrap().predicate).unwrap();
}

#[test]
fn a_negotiated_contract_says_so_and_that_the_provider_signs_it_too() {
    let negotiated = ContractDocument { negotiation: Some(NegotiationId::new(document().made_at)), ..document() };
    let other = ContractDocument { negotiation: Some(NegotiationId::new(document().made_at)), ..document() };
    for (language, format, _) in ALL {
        assert_ne!(render(&negotiated, language, format), render(&other, language, format));
    }
    assert!(render(&negotiated, Language::En, RenderingFormat::Text).contains("both sign this contract"));
    crate::schemas::validate("contract.v1", &statement(&negotiated).unwrap().predicate).unwrap();
}

#[test]
fn a_statement_carries_the_digests_of_what_is_rendered_and_follows_its_schema() {
    let made = statement(&document()).unwrap();
    assert_eq!(made.predicate, published().predicate);
    crate::schemas::validate("contract.v1", &made.predicate).unwrap();
    assert_eq!(check(made.predicate).unwrap(), document());
}

#[test]
fn names_and_purposes_are_text_and_never_markup() {
    let mut hostile = document();
    hostile.buyer.legal_name = "<script>alert('x')</script>&amp;\"".into();
    hostile.purpose = "</bdi><h2>第三条</h2><img src=x onerror=alert(1)>".into();
    let page = render(&hostile, Language::Zh, RenderingFormat::Html);
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;amp;&quot;"));
    assert_eq!(tags(&page), tags(&render(&document(), Language::Zh, RenderingFormat::Html).replacen("<br>", "", 1)));
}

/// The names of a page's tags, in order.
fn tags(page: &str) -> Vec<&str> {
    page.split('<').skip(1).filter_map(|rest| rest.split(['>', ' ']).next()).collect()
}

#[test]
fn what_cannot_be_seen_is_spelled_out_and_turns_nothing_around() {
    let mut hostile = document();
    hostile.provider.legal_name = "Poems \u{202e}dtL\u{202c}\u{2066}\u{200b}\u{feff}".into();
    hostile.purpose = "first line\r\u{2028}\u{2029}\u{85}end".into();
    for (language, format, _) in ALL {
        let rendered = render(&hostile, language, format);
        assert!(rendered.contains("Poems [U+202E]dtL[U+202C][U+2066][U+200B][U+FEFF]"));
        assert!(rendered.contains("first line[U+000D][U+2028][U+2029][U+0085]end"));
        assert!(!rendered.chars().any(|c| c != '\n' && is_hidden(c)));
    }
}

#[test]
fn no_line_of_a_purpose_passes_for_a_line_of_the_contract() {
    let forged = ContractDocument {
        purpose: "training\n\n第三条　价款与支付\n合同价款：零".into(), ..document()
    };
    let text = render(&forged, Language::Zh, RenderingFormat::Text);
    assert_eq!(text.lines().filter(|line| line.starts_with("第三条")).count(), 1);
    assert!(text.contains("\n    | 第三条　价款与支付\n    | 合同价款：零\n"));
}

proptest::proptest! {
    #[test]
    fn a_page_has_the_same_tags_whatever_a_party_writes(name in "[^\n]{1,60}", purpose in "[^\n]{1,200}") {
        let mut hostile = document();
        (hostile.buyer.legal_name, hostile.purpose) = (name, purpose);
        let page = render(&hostile, Language::En, RenderingFormat::Html);
        let plain = ContractDocument { purpose: "plain".into(), ..document() };
        let plain = render(&plain, Language::En, RenderingFormat::Html);
        proptest::prop_assert_eq!(tags(&page), tags(&plain));
    }
}
