//! Dataset cards, and the README.md that the Hub's clients get of them.
//!
//! What is read of a card is a part of it. The README's front matter reads as it was meant, holds nothing but what safe
//! readers of YAML take, and a README made of a README is the same.
#![no_main]

use std::sync::LazyLock;

use corpex::catalog::card::Card;
use corpex::catalog::facets::Facets;
use corpex::catalog::{Dataset, Domain, ManifestShard, Modality, Shard};
use corpex::hub::Readme;
use corpex::types::{DatasetId, Digest, Instant, ObjectId, OrganisationId, VersionId};
use libfuzzer_sys::fuzz_target;

static DATASET: LazyLock<Dataset> = LazyLock::new(|| {
    let now = Instant::from_unix_micros(0);
    Dataset {
        id: DatasetId::new(now),
        organisation_id: OrganisationId::new(now),
        handle: "shici".into(),
        name: "tang".into(),
        title: "全唐詩".into(),
        modality: Modality::Text,
        domain: Domain::Culture,
        languages: vec!["no".into(), "zh-Hant".into()],
        created_at: now,
    }
});

static SHARDS: LazyLock<Vec<Shard>> = LazyLock::new(|| {
    let now = Instant::from_unix_micros(0);
    let shard = |path: &str| Shard {
        version_id: VersionId::new(now),
        path: path.to_string(),
        object_id: ObjectId::new(now),
        sha256: Digest::of(path),
        size_bytes: 9,
        media_type: String::new(),
        records: Some(600),
        language: None,
        domain: None,
        licence: None,
        tokens: None,
    };
    ["data/train-00000.jsonl", "data/train-00001.jsonl", "test/a.jsonl.zst", "notes.txt", "a[1].bin"].map(shard).into()
});

fuzz_target!(|text: &str| {
    let Ok(card) = Card::parse(text) else { return };
    assert!(text.ends_with(card.body));
    let _ = (card.origin(), card.parents());
    if let Ok(facets) = Facets::of(&card) {
        let mut shards: Vec<ManifestShard> = SHARDS.iter().map(ManifestShard::from).collect();
        if facets.describe(&mut shards).is_ok() {
            let once = shards.clone();
            facets.describe(&mut shards).expect("it did before");
            assert_eq!(shards, once);
        }
    }
    let readme = Readme::write(&DATASET, text, &SHARDS).expect("the card was read");
    let read = Card::parse(&readme.text).expect("what is written is read");
    assert_eq!(read.front_matter, readme.front_matter);
    let body = if card.body.trim().is_empty() { "# 全唐詩\n" } else { card.body };
    assert_eq!(read.body, body);
    let again = Readme::write(&DATASET, &readme.text, &SHARDS).expect("what is written is read");
    assert_eq!(again, readme);
});
