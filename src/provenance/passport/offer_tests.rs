//! Contracts that rest on a private offer, and such as only say so.

use super::*;

/// A purchase at an offer: what the offer says, who signs it, and what the contract says of the same.
fn purchase(offer: &Value, by: &str, change: impl Fn(&mut Value)) -> Story {
    let mut story = Story::new();
    let (provider, lab) = (story.provider.clone(), story.lab.clone());
    let manifest = json!({"dataset": "provider/poems", "version": 1});
    let manifest = story.record(StatementKind::Manifest, Some(provider.clone()), manifest);
    let terms = story.record(StatementKind::Terms, Some(provider.clone()), json!({"organisation": "provider"}));
    story.record(StatementKind::Assessment, None, json!({"manifest_sha256": manifest}));
    let mut said = json!({
        "organisation": by, "provider": "provider", "buyer": "lab", "listing": "listing_1",
        "manifest_sha256": manifest, "terms_sha256": terms, "price": 40_000, "uses": ["pretrain", "finetune"],
    });
    said.as_object_mut().unwrap().extend(offer.as_object().unwrap().clone());
    let offer = story.record(StatementKind::Offer, Some(if by == "lab" { lab.clone() } else { provider }), said);
    let mut contract = json!({
        "provider": {"handle": "provider"}, "buyer": {"handle": "lab"}, "listing": "listing_1", "use": "pretrain",
        "manifest_sha256": manifest, "terms_sha256": terms, "price": 40_000, "offer_sha256": offer,
    });
    change(&mut contract);
    let contract = story.record(StatementKind::Contract, Some(lab), contract);
    let entitlement = json!({
        "entitlement": id("entitlement"), "contract_sha256": contract, "manifest_sha256": manifest, "granted_at": at(15),
    });
    story.record(StatementKind::Entitlement, None, entitlement);
    story.record_batch();
    story
}

fn refusal(story: &Story) -> String {
    check(&story.passport().to_bytes().unwrap()).unwrap_err().to_string()
}

#[test]
fn a_contract_keeps_the_offer_that_it_names() {
    let report = check(&purchase(&json!({}), "provider", |_| {}).passport().to_bytes().unwrap()).unwrap();
    let contract = report.statements.iter().find(|checked| checked.kind == StatementKind::Contract).unwrap();
    assert!(contract.refers_to.contains(&StatementKind::Offer));
    let kept = [
        ("price", json!(39_999), "/price"),
        ("listing", json!("listing_2"), "/listing"),
        ("use", json!("derive"), "/use"),
    ];
    for (member, other, named) in kept {
        let refused = refusal(&purchase(&json!({}), "provider", |contract| contract[member] = other.clone()));
        assert!(refused.contains(&format!("offer: {named} is not what the offer says")), "{refused}");
    }
    let foreign = refusal(&purchase(&json!({"buyer": "another-lab"}), "provider", |_| {}));
    assert!(foreign.contains("offer: /buyer/handle is not what the offer says"), "{foreign}");
    let gone =
        refusal(&purchase(&json!({}), "provider", |contract| contract["offer_sha256"] = json!(Digest::of("another"))));
    assert!(gone.contains("chain: offer_sha256"), "{gone}");
}

#[test]
fn a_negotiated_contract_is_signed_by_both_sides_whoever_made_the_last_offer() {
    for maker in ["provider", "lab"] {
        let story = purchase(&json!({}), maker, |contract| contract["negotiation"] = json!("negotiation_1"));
        let report = check(&story.passport().to_bytes().unwrap()).unwrap();
        let contract = report.statements.iter().find(|checked| checked.kind == StatementKind::Contract).unwrap();
        assert_eq!(contract.signed_by, ["provider", "lab", "exchange"]);
        for signature in [0, 1] {
            let stripped = reason(story.forged(|passport| {
                let contract = passport.statements.iter_mut().find(|s| s.kind == StatementKind::Contract).unwrap();
                contract.envelope.signatures.remove(signature);
            }));
            assert!(stripped.contains("1 organisations' keys signed it, and 2 was expected"), "{stripped}");
        }
    }
}

#[test]
fn an_offer_that_the_buyer_made_binds_no_provider() {
    let refused = refusal(&purchase(&json!({}), "lab", |_| {}));
    assert!(refused.contains("offer: the provider did not make it"), "{refused}");
}
