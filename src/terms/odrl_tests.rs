//! Terms as ODRL: what each of their members becomes, and that no word is used which nobody defines.

use std::collections::BTreeSet;

use super::*;
use crate::terms::{RevenueShare, Unit};
use crate::types::{Currency, Digest, Instant, Json, OrganisationId, StatementId, TermsId};

const URL: &str = "https://exchange.example";

/// The words of ODRL 2.2 that policies may use here, by where they stand: from the vocabulary at
/// <https://www.w3.org/ns/odrl/2/ODRL22.ttl> (<https://www.w3.org/TR/2018/REC-odrl-vocab-20180215/>), deprecated ones
/// left out.
const ACTIONS: &str = "acceptTracking aggregate annotate anonymize archive attribute compensate concurrentUse delete derive \
    digitize display distribute ensureExclusivity execute extract give grantUse include index inform install modify move \
    nextPolicy obtainConsent play present print read reproduce reviewPolicy sell stream synchronize textToSpeech transfer \
    transform translate uninstall use watermark";
const LEFT_OPERANDS: &str = "absolutePosition absoluteSize absoluteSpatialPosition absoluteTemporalPosition count dateTime \
    delayPeriod deliveryChannel elapsedTime event fileFormat industry language media meteredTime payAmount percentage \
    product purpose recipient relativePosition relativeSize relativeSpatialPosition relativeTemporalPosition resolution \
    spatial spatialCoordinates systemDevice timeInterval unitOfCount version virtualLocation";
const OPERATORS: &str = "eq gt gteq hasPart isA isAllOf isAnyOf isNoneOf isPartOf lt lteq neq";
const CLASSES: &str = "Action Asset AssetCollection Constraint Duty LeftOperand Offer Party Permission Prohibition Set";
const PROPERTIES: &str = "action assigner attributedParty compensatedParty conflict constraint duty includedIn leftOperand \
    operator permission profile prohibition refinement rightOperand target unit";
const STRATEGIES: &str = "invalid perm prohibit";

/// The words of a list, with ODRL's prefix.
fn words(lists: &[&str]) -> BTreeSet<String> {
    lists.iter().flat_map(|list| list.split_whitespace()).map(|word| format!("odrl:{word}")).collect()
}

fn own_words() -> BTreeSet<String> {
    WORDS.iter().map(|(_, name, ..)| format!("cx:{name}")).collect()
}

fn provider() -> Organisation {
    let now = Instant::from_unix_micros(0);
    Organisation {
        id: OrganisationId::new(now),
        handle: "poetry-house".into(),
        legal_name: "诗词馆".into(),
        registration_number: "1".into(),
        country: "CN".into(),
        affiliations: Json(Vec::new()),
        state: crate::identity::OrganisationState::Verified,
        created_at: now,
        verified_at: Some(now),
    }
}

fn terms(document: TermsDocument) -> Terms {
    let now = Instant::from_unix_micros(0);
    Terms {
        id: TermsId::new(now),
        organisation_id: OrganisationId::new(now),
        sha256: Digest::of("terms"),
        document,
        statement_id: StatementId::new(now),
        published_at: now,
    }
}

fn plain() -> TermsDocument {
    TermsDocument {
        territory: vec!["*".into()],
        duration_days: None,
        attribution: false,
        price: Price::Free {},
        ..crate::terms::tests::document(&[Use::Pretrain], &[])
    }
}

/// Terms with everything that terms may have.
fn rich() -> TermsDocument {
    TermsDocument {
        prohibited_uses: vec![Use::Redistribute],
        permitted_uses: Use::ALL.to_vec(),
        territory: vec!["CN".into(), "DE".into()],
        duration_days: Some(365),
        attribution: true,
        affiliates: true,
        seats: Some(3),
        price: Price::PerUnit { unit: Unit::Token, amount: Money::new(150, Currency::CNY), per: 1_000_000 },
        divisible: true,
        preview: true,
        evaluation_days: Some(14),
        expected_downloads: Some(ExpectedDownloads { times: 3, per_days: 30 }),
        revenue_shares: Some(vec![RevenueShare { organisation: "poetry-house".into(), basis_points: 10_000 }]),
        derivative_royalty_basis_points: Some(725),
    }
}

fn policy(document: TermsDocument) -> Value {
    set(URL, &provider(), &terms(document))
}

/// Calls `look` with each member of each object below.
fn each_member<'a>(value: &'a Value, look: &mut impl FnMut(&'a str, &'a Value)) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            look(name, value);
            each_member(value, look);
        }),
        Value::Array(items) => items.iter().for_each(|item| each_member(item, look)),
        _ => {}
    }
}

/// Every `@id` and `@type` directly below a value, or below the items of a list.
fn names(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().flat_map(names).collect(),
        Value::String(name) => vec![name],
        value => value["@id"].as_str().into_iter().collect(),
    }
}

#[test]
fn every_word_is_defined_by_odrl_or_by_the_profile_and_stands_where_it_may() {
    let own = own_words();
    let mut used = BTreeSet::new();
    let offer = offer(URL, format!("{URL}/v1/listings/x/odrl"), &provider(), &terms(rich()), "urn:x:version");
    for document in [policy(rich()), policy(plain()), offer, profile(URL)] {
        each_member(&document, &mut |name, value| {
            let may = match name {
                "odrl:action" | "odrl:includedIn" | "http://www.w3.org/1999/02/22-rdf-syntax-ns#value" => {
                    words(&[ACTIONS])
                }
                "odrl:leftOperand" => words(&[LEFT_OPERANDS]),
                "odrl:operator" => words(&[OPERATORS]),
                "odrl:conflict" => words(&[STRATEGIES]),
                "@type" => words(&[CLASSES]),
                _ => BTreeSet::new(),
            };
            let ours = |word: &&str| word.starts_with("odrl:") || word.starts_with("cx:");
            for word in names(value).into_iter().filter(ours).filter(|_| name != "@id") {
                assert!(may.contains(word) || own.contains(word), "{word} under {name}");
                used.insert(word.to_string());
            }
            if name.starts_with("odrl:") {
                assert!(words(&[PROPERTIES]).contains(name), "{name} is no property of ODRL");
            }
            if name.starts_with("cx:") {
                assert!(own.contains(name), "{name} is not in the profile");
                used.insert(name.to_string());
            }
        });
    }
    used.extend(["cx:record".to_string(), "cx:byte".to_string(), "cx:day".to_string()]); // the other units of a price
    let unused: Vec<_> = own.difference(&used).collect();
    assert!(unused.is_empty(), "the profile defines what nothing uses: {unused:?}");
}

#[test]
fn plain_terms_are_one_permission_without_conditions() {
    let policy = policy(plain());
    assert_eq!((&policy["@type"], &policy["odrl:conflict"]["@id"]), (&json!("odrl:Set"), &json!("odrl:prohibit")));
    let [permission] = policy["odrl:permission"].as_array().unwrap().as_slice() else { panic!("{policy}") };
    assert_eq!(permission["odrl:action"]["@id"], "cx:pretrain");
    assert!(permission["odrl:target"]["@id"].as_str().unwrap().ends_with("/odrl#corpora"));
    assert_eq!(permission["odrl:assigner"]["@id"], format!("{URL}/v1/organisations/poetry-house"));
    for absent in ["odrl:constraint", "odrl:duty"] {
        assert!(permission.get(absent).is_none(), "{absent}");
    }
    assert!(policy.get("odrl:prohibition").is_none());
}

#[test]
fn what_terms_ask_becomes_constraints_and_duties() {
    let policy = policy(rich());
    let permissions = policy["odrl:permission"].as_array().unwrap();
    let actions: Vec<&str> = permissions.iter().map(|rule| rule["odrl:action"]["@id"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        ["cx:pretrain", "cx:finetune", "cx:evaluate", "cx:retrieve", "odrl:distribute", "odrl:derive", "odrl:grantUse"]
    );
    assert_eq!(policy["odrl:prohibition"][0]["odrl:action"]["@id"], "odrl:distribute");
    let limits = |rule: &Value| -> Vec<(String, Value)> {
        let constraints = rule["odrl:constraint"].as_array().unwrap().iter();
        let limit = |limit: &Value| {
            (limit["odrl:leftOperand"]["@id"].as_str().unwrap().to_string(), limit["odrl:rightOperand"].clone())
        };
        constraints.map(limit).collect()
    };
    let country = |code: &str| json!({ "@id": format!("https://www.iso.org/obp/ui/#iso:code:3166:{code}") });
    let expected = [
        ("odrl:spatial".to_string(), json!([country("CN"), country("DE")])),
        ("odrl:elapsedTime".to_string(), json!({ "@value": "P365D", "@type": "xsd:duration" })),
        ("cx:seats".to_string(), json!(3)),
    ];
    assert_eq!(limits(&permissions[0]), expected);
    assert_eq!(limits(&permissions[6])[3], ("odrl:recipient".to_string(), json!({ "@id": "cx:Affiliate" })));

    let duties = permissions[0]["odrl:duty"].as_array().unwrap();
    assert_eq!(duties[0]["odrl:action"]["@id"], "odrl:attribute");
    let refinements = duties[1]["odrl:action"]["odrl:refinement"].as_array().unwrap();
    assert_eq!(refinements[0]["odrl:rightOperand"], json!({ "@value": "1.50", "@type": "xsd:decimal" }));
    assert!(refinements[0]["odrl:unit"]["@id"].as_str().unwrap().ends_with("/currency/CNY"));
    assert_eq!(refinements[1]["odrl:rightOperand"]["@id"], "cx:token");
    assert_eq!(refinements[2]["odrl:rightOperand"], 1_000_000);
    // The same duty elsewhere is a reference; the royalty is for whoever derives.
    let derive = permissions[5]["odrl:duty"].as_array().unwrap();
    assert_eq!(derive[0], json!({ "@id": duties[0]["@id"] }));
    let royalty = &derive[2]["odrl:action"]["odrl:refinement"][0]["odrl:rightOperand"];
    assert_eq!(royalty["@value"], "7.25");
    assert_eq!(permissions[0]["odrl:duty"].as_array().unwrap().len(), 2);
}

#[test]
fn an_offer_is_of_its_asset_and_a_one_off_price_has_no_units() {
    let document = TermsDocument { price: Price::OneOff { amount: Money::new(88_800, Currency::CNY) }, ..plain() };
    let offer = offer(URL, format!("{URL}/v1/listings/x/odrl"), &provider(), &terms(document), "urn:x:version");
    assert_eq!((&offer["@type"], offer.get("@context")), (&json!("odrl:Offer"), None));
    let permission = &offer["odrl:permission"][0];
    assert_eq!(permission["odrl:target"], json!({ "@id": "urn:x:version", "@type": "odrl:Asset" }));
    let action = &permission["odrl:duty"][0]["odrl:action"];
    assert_eq!(action["odrl:refinement"].as_array().unwrap().len(), 1);
    assert_eq!(action["odrl:refinement"][0]["odrl:rightOperand"]["@value"], "888.00");
}
