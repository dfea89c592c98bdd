//! Shards, as a provider may make them: JSON Lines, plain or packed with gzip or Zstandard, and Parquet with every codec and
//! encoding.
//!
//! Whatever the bytes are, reading them keeps to the limits of memory and says the same each time. What is drawn is JSON that
//! is there. Lines that are packed are the same lines.
#![no_main]

mod table;

use std::alloc::System;
use std::sync::{Arc, LazyLock};

use cap::Cap;
use corpex::catalog::inspection::draw::{MAX_RECORDS, rank};
use corpex::catalog::inspection::{Limits, Source, Survey};
use corpex::types::Digest;
use libfuzzer_sys::arbitrary::{Arbitrary as _, Unstructured};
use libfuzzer_sys::fuzz_target;

use table::Table;

/// The reader says that it holds 512 MiB of pages at a time; a row stands beside them as the library has it, and as JSON.
const MOST_BYTES: usize = 2 << 30;
/// Small enough to be met.
const LIMITS: Limits = Limits { unpacked_bytes: 8 << 20, ratio: 300, record_bytes: 1 << 16 };

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, MOST_BYTES);

/// The library that reads Parquet may panic: the exchange catches that. Whatever else panics is a finding.
static QUIET: LazyLock<()> = LazyLock::new(|| {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|location| location.file().contains("/parquet-")) {
            told(panic);
        }
    }));
});

fuzz_target!(|bytes: &[u8]| {
    LazyLock::force(&QUIET);
    // After these letters a table is made up, so that one gets to its pages.
    let made_up = bytes.strip_prefix(b"PAGE").map(|parts| Table::arbitrary_take_rest(Unstructured::new(parts)));
    let made_up = made_up.and_then(|table| Some(table.ok()?.to_bytes()));
    let bytes = made_up.as_deref().unwrap_or(bytes);
    let path = match bytes {
        [0x1f, 0x8b, ..] => "a.jsonl.gz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => "a.jsonl.zst",
        [b'P', b'A', b'R', b'1', ..] => "a.parquet",
        _ => "a.jsonl",
    };
    let found = survey(path, bytes);
    assert_eq!(found, survey(path, bytes));
    if path == "a.jsonl" && bytes.len() < 1 << 17 {
        let packed = survey("a.jsonl.zst", &frame(bytes));
        assert_eq!((&packed.columns, packed.records), (&found.columns, found.records));
        assert_eq!(packed.reasons, found.reasons);
    }
});

#[derive(Debug, PartialEq)]
struct Found {
    columns: String,
    records: u64,
    reasons: Vec<String>,
    drawn: Vec<(u64, Vec<u8>)>,
}

fn survey(path: &str, bytes: &[u8]) -> Found {
    let (seed, sha256) = (Digest::of("seed"), Digest::of(bytes));
    let source: Arc<dyn Source> = Arc::new(bytes::Bytes::copy_from_slice(bytes));
    let mut survey = Survey::new(seed, LIMITS);
    survey.read(path, sha256, &source);
    let records = survey.columns.records();
    let told = survey.formats().iter().map(|share| share.records).sum::<u64>();
    assert_eq!(survey.unreadable_shards, u64::from(!survey.unreadable.is_empty()));
    assert!(told == records || survey.unreadable_shards == 1);
    let drawn = survey.draw.finish();
    let expected = usize::try_from(records).map_or(MAX_RECORDS, |records| records.min(MAX_RECORDS));
    assert!(drawn.len() == expected || drawn.iter().map(|one| one.bytes.len()).sum::<usize>() > 1 << 20);
    for one in &drawn {
        assert!(one.index < records && one.rank == rank(seed, sha256, one.index));
        serde_json::from_slice::<serde_json::Value>(&one.bytes).expect("a record is JSON");
    }
    let columns = survey.columns.finish();
    assert!(columns.len() <= 256);
    assert!(columns.iter().all(|column| column.nulls <= records));
    Found {
        columns: format!("{columns:?}"),
        records,
        reasons: survey.unreadable.into_iter().map(|shard| shard.reason).collect(),
        drawn: drawn.into_iter().map(|one| (one.index, one.bytes)).collect(),
    }
}

/// Bytes in a frame of Zstandard (RFC 8878) that packs nothing: its window, then one raw block.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let size = u32::try_from(bytes.len()).expect("they are few") << 3 | 1;
    [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38], &size.to_le_bytes()[..3], bytes].concat()
}
