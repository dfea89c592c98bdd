//! What a passport proves of the licence: that its provider gave it, for which shards, and that those were delivered.

use super::tamper_tests::expect;
use super::*;

const ENTITLEMENT: usize = 4;

/// A purchase of a part: what contract and entitlement say of it, of a manifest with a shard in each of two languages.
fn divided(agreed: &Value, granted: &Value) -> Story {
    let mut story = Story::new();
    let (provider, lab) = (story.provider.clone(), story.lab.clone());
    let shards = ["en", "zh-Hant"].map(|language| (format!("{language}.jsonl"), Digest::of(language), language));
    let subjects = shards.iter().map(|(path, sha256, _)| ResourceDescriptor::new(path, *sha256)).collect();
    let described = shards.iter().map(|(path, sha256, language)| {
        json!({"path": path, "sha256": sha256, "language": language, "domain": "law", "licence": "MIT"})
    });
    let said = json!({"dataset": "provider/poems", "version": 1, "shards": described.collect::<Vec<_>>()});
    let manifest = story.record_about(StatementKind::Manifest, Some(provider.clone()), subjects, said);
    let terms = story.record(StatementKind::Terms, Some(provider), json!({"organisation": "provider"}));
    let with = |mut said: Value, part: &Value| {
        said["manifest_sha256"] = json!(manifest);
        if !part.is_null() {
            said["part"] = part.clone();
        }
        said
    };
    let contract = with(json!({"provider": {"handle": "provider"}, "terms_sha256": terms}), agreed);
    let contract = story.record(StatementKind::Contract, Some(lab), contract);
    let entitlement = json!({"entitlement": id("entitlement"), "contract_sha256": contract, "granted_at": at(13)});
    story.record(StatementKind::Entitlement, None, with(entitlement, granted));
    for receipt in &mut story.receipts {
        (receipt["path"], receipt["sha256"]) = (json!("zh-Hant.jsonl"), json!(Digest::of("zh-Hant")));
    }
    story.record_batch();
    story
}

fn part(selection: Value, paths: &[&str]) -> Value {
    let text: String = paths.iter().map(|path| format!("{path}\n")).collect();
    json!({"selection": selection, "shards": paths.len(), "paths_sha256": Digest::of(text)})
}

#[test]
fn a_contract_binds_nobody_but_who_signed_its_manifest_and_its_terms() {
    let sold = |terms_of: &str, more: Value| Story::bought_of(terms_of, more).forged(|_| {});
    sold("provider", json!({})).unwrap();
    expect(
        "somebody else's terms",
        sold("lab", json!({})),
        "statements/3 (contract): provider: it names terms of lab, and provider as its provider",
    );
    let shill = json!({"provider": {"handle": "lab"}});
    expect(
        "somebody else's dataset",
        sold("lab", shill),
        "statements/3 (contract): provider: it names a manifest of provider, and lab as its provider",
    );
}

#[test]
fn whoever_names_a_manifest_names_its_dataset_and_its_version() {
    for (more, named) in [(json!({"dataset": "provider/prose"}), "dataset"), (json!({"version": 2}), "version")] {
        let reason = format!("statements/3 (contract): chain: {named} is not that of the manifest it names");
        expect(named, Story::bought_of("provider", more).forged(|_| {}), &reason);
        let other = if named == "version" { json!(2) } else { json!("provider/prose") };
        let granted = Story::bought().resigned(ENTITLEMENT, |entitlement| entitlement["predicate"][named] = other);
        let reason = format!("statements/4 (entitlement): chain: {named} is not that of the manifest it names");
        expect(named, granted.forged(|_| {}), &reason);
    }
}

#[test]
fn an_entitlement_grants_what_its_contract_agrees_on() {
    let chinese = part(json!({"languages": ["zh"]}), &["zh-Hant.jsonl"]);
    let whole = part(json!({"domains": ["law"]}), &["en.jsonl", "zh-Hant.jsonl"]);
    let report = divided(&chinese, &chinese).forged(|_| {}).unwrap();
    let licensed: Vec<_> = report.shards.iter().map(|licensed| licensed.shard.name.as_str()).collect();
    assert_eq!(licensed, ["zh-Hant.jsonl"]);
    assert_eq!(divided(&Value::Null, &Value::Null).forged(|_| {}).unwrap().shards.len(), 2);
    for (agreed, granted) in [(&chinese, &whole), (&chinese, &Value::Null), (&Value::Null, &chinese)] {
        let reason = "statements/3 (entitlement): licence: part is not what the contract agrees on";
        expect("another part", divided(agreed, granted).forged(|_| {}), reason);
    }
    let order =
        Story::bought().resigned(ENTITLEMENT, |entitlement| entitlement["predicate"]["order"] = json!("another"));
    expect("another order", order.forged(|_| {}), "(entitlement): licence: order is not what the contract agrees on");
}

#[test]
fn an_entitlement_is_granted_when_the_log_takes_it_in() {
    for (granted_at, why) in [
        (json!(at(13)), "it says that this was at "),
        (json!(at(15)), "it says that this was at "),
        (Value::Null, "invalid type: null"),
    ] {
        let granted =
            Story::bought().resigned(ENTITLEMENT, |entitlement| entitlement["predicate"]["granted_at"] = granted_at);
        let reason = format!("statements/4 (entitlement): time: {why}");
        expect("another time", granted.forged(|_| {}), &reason);
    }
}

#[test]
fn a_shard_is_told_once_however_many_entitlements_cover_it() {
    let mut story = divided(&Value::Null, &Value::Null);
    let [manifest, contract] = [0, 2].map(|number: usize| story.recorded[number].1.pae_sha256());
    let other = "entitlement_01jcm9qf80e5wvpd4d6d9k1m2p";
    let more = json!({
        "entitlement": other, "contract_sha256": contract, "manifest_sha256": manifest, "granted_at": at(15),
    });
    story.record(StatementKind::Entitlement, None, more);
    assert_eq!(story.forged(|_| {}).unwrap().shards.len(), 2);
}

#[test]
fn a_part_is_what_its_selection_takes_from_the_manifest() {
    let selection = || json!({"languages": ["zh"]});
    for (what, part) in [
        ("another path", part(selection(), &["en.jsonl"])),
        ("a path more", part(selection(), &["en.jsonl", "zh-Hant.jsonl"])),
        ("another selection", part(json!({"licences": ["mit"]}), &["zh-Hant.jsonl"])),
    ] {
        let reason = "statements/3 (entitlement): part: it is not what its selection takes from the manifest";
        expect(what, divided(&part, &part).forged(|_| {}), reason);
    }
    let chinese = part(selection(), &["zh-Hant.jsonl"]);
    let mut elsewhere = divided(&chinese, &chinese);
    elsewhere = elsewhere.resigned(0, |manifest| manifest["predicate"]["shards"][0]["path"] = json!("fr.jsonl"));
    let manifest = json!(elsewhere.recorded[0].1.pae_sha256());
    elsewhere = elsewhere.resigned(2, |contract| contract["predicate"]["manifest_sha256"] = manifest.clone());
    let contract = json!(elsewhere.recorded[2].1.pae_sha256());
    elsewhere = elsewhere.resigned(3, |entitlement| {
        entitlement["predicate"]["manifest_sha256"] = manifest;
        entitlement["predicate"]["contract_sha256"] = contract;
    });
    let reason = "statements/0 (manifest): part: the shards that it describes are not its subjects";
    expect("shards that are not the subjects", elsewhere.forged(|_| {}), reason);
}

#[test]
fn what_was_delivered_is_what_the_licence_covers() {
    let other = "entitlement_01jcm9qf80e5wvpd4d6d9k1m2p";
    let cases: &[(&str, Value, &str)] = &[
        ("entitlement", json!(other), "which the passport does not hold"),
        ("dataset", json!("provider/prose"), "does not cover \"provider/prose\" in version 1"),
        ("version", json!(2), "does not cover \"provider/poems\" in version 2"),
        ("path", json!("b.jsonl"), "covers no shard \"b.jsonl\" with the digest"),
        ("sha256", json!(Digest::of("b")), "covers no shard \"a.jsonl\" with the digest"),
    ];
    for (member, value, why) in cases {
        let mut changed = receipt(1);
        changed[*member] = value.clone();
        let found = Story::bought().with_receipt(&canonical_json(&changed).unwrap());
        expect(member, found, why);
        let mut without = receipt(1);
        without.as_object_mut().unwrap().remove(*member);
        let found = Story::bought().with_receipt(&canonical_json(&without).unwrap());
        expect(member, found, "deliveries/0: receipt: ");
    }
    expect("nothing", Story::bought().with_receipt(b"{}"), "deliveries/0: receipt: ");
    let chinese = part(json!({"languages": ["zh"]}), &["zh-Hant.jsonl"]);
    let mut english = receipt(1);
    (english["path"], english["sha256"]) = (json!("en.jsonl"), json!(Digest::of("en")));
    let mut story = divided(&chinese, &chinese);
    story.recorded.pop();
    story.receipts[1] = english;
    story.record_batch();
    expect("outside the part", story.forged(|_| {}), "deliveries/0: licence: \"entitlement_");
}

#[test]
fn a_version_that_joined_is_licensed_and_delivered_under_its_own_number() {
    let mut story = Story::bought_of("provider", json!({"licence": {"new_versions": true}}));
    let (granted, provider) = (story.recorded[ENTITLEMENT].3.pae_sha256, story.provider.clone());
    let said = json!({"dataset": "provider/poems", "version": 2});
    let manifest = story.record(StatementKind::Manifest, Some(provider), said);
    let change = |version: u8| {
        json!({
            "entitlement": id("entitlement"), "entitlement_sha256": granted, "scope": "joined", "state": "active",
            "dataset": "provider/poems", "version": version, "manifest_sha256": manifest,
        })
    };
    expect(
        "before it joined",
        story.forged(|_| {}),
        "statements/6 (manifest): licence: neither does a contract name it",
    );
    story.recorded.remove(5);
    story.receipts[1]["version"] = json!(2);
    story.record_batch();
    story.record(StatementKind::EntitlementChange, None, change(2));
    assert_eq!(story.forged(|_| {}).unwrap().shards.len(), 2);
    story.recorded.pop();
    story.record(StatementKind::EntitlementChange, None, change(3));
    expect(
        "under another number",
        story.forged(|_| {}),
        "(entitlement-change): chain: version is not that of the manifest",
    );
}

#[test]
fn a_version_that_is_held_or_was_withdrawn_is_told_of_beside_an_active_licence() {
    let mut story = Story::bought_of("provider", json!({"licence": {"new_versions": true}}));
    let (granted, provider) = (story.recorded[ENTITLEMENT].3.pae_sha256, story.provider.clone());
    let said = json!({"dataset": "provider/poems", "version": 2});
    let manifest = story.record(StatementKind::Manifest, Some(provider), said);
    for (scope, told) in
        [("joined", None), ("held", Some("held")), ("restored", None), ("withdrawn", Some("withdrawn"))]
    {
        let change = json!({
            "entitlement": id("entitlement"), "entitlement_sha256": granted, "scope": scope, "state": "active",
            "dataset": "provider/poems", "version": 2, "manifest_sha256": manifest, "changed_at": at(20),
            "reason": "a claim",
        });
        story.record(StatementKind::EntitlementChange, None, change);
        let report = story.forged(|_| {}).unwrap();
        let narrowed: Vec<_> = report.narrowed.iter().map(|one| (one.version.as_str(), one.scope.as_str())).collect();
        assert_eq!(narrowed, Vec::from_iter(told.map(|scope| ("provider/poems@2", scope))), "{scope}");
        assert_eq!(report.standing.unwrap().state, "active");
    }
}
