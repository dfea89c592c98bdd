//! A small corpus that the demonstration writes itself.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::shards;
use crate::error::{Error, Kind, Result};

const SHARDS: usize = 3;
const RECORDS_PER_SHARD: usize = 2_000;

const CARD: &str = "---
pretty_name: Spring poems, made by a machine
language: [zh, en]
license: other
modality: text
domain: education
provenance:
  collection_method: machine_generated
  source_licence: none (generated for a demonstration)
  consent: not required
  personal_data: none
---
# Spring poems

Lines that a small program put together. They prove the way from a provider to a lab, and nothing about poetry.
";

/// What the terms ask, in fen.
pub(super) const PRICE_FEN: i64 = 128_000;

const TERMS: &str = r#"{
  "permitted_uses": ["pretrain", "finetune", "evaluate"],
  "prohibited_uses": ["redistribute"],
  "territory": ["*"],
  "duration_days": 365,
  "attribution": true,
  "affiliates": false,
  "price": { "model": "one_off", "amount": { "amount_minor": 128000, "currency": "CNY" } }
}
"#;

/// Writes the corpus, its card and its terms below `folder`.
pub(super) fn write(folder: &Path) -> Result<PathBuf> {
    let data = folder.join("corpus").join("data");
    fs::create_dir_all(&data)?;
    for shard in 0..SHARDS {
        let mut lines = String::new();
        for record in 0..RECORDS_PER_SHARD {
            let number = shard * RECORDS_PER_SHARD + record;
            let (season, thing) =
                (pick(&["春", "夏", "秋", "冬"], number), pick(&["风", "月", "山", "水", "花"], number / 4));
            let text =
                format!("{season}{thing}入夜来，第{number}声。 Verse {number}: {season}{thing} comes with the night.");
            writeln!(lines, "{}", serde_json::json!({ "id": number, "text": text }))
                .map_err(|_| Error::internal("writing to memory"))?;
        }
        fs::write(data.join(format!("poems-{shard:05}.jsonl")), lines)?;
    }
    fs::write(folder.join("corpus").join("README.md"), CARD)?;
    fs::write(folder.join("terms.json"), TERMS)?;
    Ok(folder.to_path_buf())
}

fn pick(words: &[&'static str], index: usize) -> &'static str {
    words.get(index % words.len()).copied().unwrap_or_default()
}

/// Compares every shard with its copy, byte for byte.
pub(super) fn compare(source: &Path, copy: &Path) -> Result<usize> {
    let (_, files) = shards::scan(source)?;
    for file in &files {
        if fs::read(&file.file)? != fs::read(copy.join(&file.path))? {
            return Err(Error::new(Kind::DigestMismatch, format!("{} differs from what was published", file.path)));
        }
    }
    Ok(files.len())
}

/// Changes one byte in the middle of a file; doing it twice puts it back.
pub(super) fn flip_one_byte(file: &Path) -> Result<()> {
    Ok(fs::write(file, with_one_byte_flipped(&fs::read(file)?))?)
}

pub(super) fn with_one_byte_flipped(bytes: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    let middle = changed.len() / 2;
    if let Some(byte) = changed.get_mut(middle) {
        *byte ^= 1;
    }
    changed
}
