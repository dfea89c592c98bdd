//! The README.md of a commit: the provider's card, with what the Hub's clients need in its front matter.
//!
//! Without `configs`, clients guess which files are data, and take whatever else lies in the repository for some. So the
//! configs are written from the shards, unless the provider's own name files that are there. Otherwise the provider's
//! keys win, where clients can read them at all.

use std::collections::{BTreeMap, BTreeSet};

use yaml_serde::{Mapping, Value};

use super::yaml;
use crate::catalog::card::Card;
use crate::catalog::glob::{self, Pattern};
use crate::catalog::{Dataset, Shard};
use crate::error::Result;

/// The card as clients get it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Readme {
    /// The front matter.
    pub front_matter: Mapping,
    /// The whole file.
    pub text: String,
}

impl Readme {
    /// Writes the README.md of a sealed version.
    pub fn write(dataset: &Dataset, card: &str, shards: &[Shard]) -> Result<Self> {
        let card = Card::parse(card)?;
        let front_matter = front_matter(dataset, &card.front_matter, shards);
        let body = if card.body.trim().is_empty() { format!("# {}\n", dataset.title) } else { card.body.to_string() };
        let text = format!("---\n{}---\n{body}", yaml::write(&front_matter));
        Ok(Self { front_matter, text })
    }

    /// The values of a key that holds a text or a list of texts.
    pub fn texts(&self, key: &str) -> Vec<String> {
        match self.front_matter.get(key) {
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Sequence(items)) => items.iter().filter_map(|item| item.as_str().map(str::to_string)).collect(),
            _ => Vec::new(),
        }
    }
}

fn front_matter(dataset: &Dataset, own: &Mapping, shards: &[Shard]) -> Mapping {
    let mut merged: Mapping = own
        .iter()
        .filter(|(key, value)| is_plain_key(key) && is_plain(value))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let mut steps = MOST_STEPS;
    if !merged.get("configs").is_some_and(|configs| name_files(configs, shards, &mut steps)) {
        // What a provider says of the features and splits of other configs is void with them.
        merged.remove("configs");
        merged.remove("dataset_info");
        let configs = configs(shards, &mut steps);
        if !configs.is_empty() {
            merged.insert("configs".into(), Value::Sequence(configs));
        }
    }
    let languages = dataset.languages.iter().map(|tag| Value::from(tag.as_str())).collect();
    for (key, value) in [
        ("pretty_name", Value::from(dataset.title.as_str())),
        ("license", Value::from("other")),
        ("language", Value::Sequence(languages)),
        ("size_categories", Value::Sequence(size_category(shards).map(Value::from).into_iter().collect())),
        ("tags", Value::Sequence(vec![dataset.domain.as_str().into(), dataset.modality.as_str().into()])),
    ] {
        let says_nothing = matches!(&value, Value::Sequence(items) if items.is_empty());
        if !says_nothing && !merged.contains_key(key) {
            merged.insert(key.into(), value);
        }
    }
    merged
}

/// Names of parameters and methods of the clients' own object for a card: a key of such a name would take the place of what they
/// call.
const TAKEN: &[&str] = &["self", "ignore_metadata_errors", "get", "pop", "to_dict", "to_yaml"];

/// The longest key, in bytes: Python's readers of YAML look for a colon among the next 1024 characters, escapes counted, and
/// read nothing where there is none.
const LONGEST_KEY: usize = 128;

/// True for keys that become keyword arguments and attributes in Python.
fn is_plain_key(key: &Value) -> bool {
    key.as_str().is_some_and(|key| {
        yaml::is_bare(key)
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
            && key.len() <= LONGEST_KEY
            && !TAKEN.contains(&key)
    })
}

/// True for values without tags and with keys that are short texts: safe readers of YAML refuse others.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Tagged(_) => false,
        Value::Sequence(items) => items.iter().all(is_plain),
        Value::Mapping(entries) => entries
            .iter()
            .all(|(key, value)| key.as_str().is_some_and(|key| key.len() <= LONGEST_KEY) && is_plain(value)),
        _ => true,
    }
}

/// The most configs of a provider that are looked at, and the most patterns of each.
const MOST_CONFIGS: usize = 100;
const MOST_PATTERNS: usize = 100;
/// The most letters of patterns and paths that are compared for one README: a provider may have made them slow to compare. A
/// pattern that would take longer fits nothing.
const MOST_STEPS: u64 = 100_000_000;

/// Whether a provider's `configs` can be loaded: each names data files, and every pattern fits at least one shard.
fn name_files(configs: &Value, shards: &[Shard], steps: &mut u64) -> bool {
    let named = configs.as_sequence().filter(|configs| (1..=MOST_CONFIGS).contains(&configs.len()));
    let Some(configs) = named else { return false };
    configs.iter().all(|config| {
        let folder = config.get("data_dir").and_then(Value::as_str);
        let Some(patterns) = config.get("data_files").and_then(patterns) else { return false };
        let fits_some = |pattern: &String| {
            let within = folder.map(|folder| format!("{}/{pattern}", folder.trim_end_matches('/')));
            let pattern = Pattern::new(within.as_ref().unwrap_or(pattern));
            shards.iter().any(|shard| pattern.matches(&shard.path, steps) == Some(true))
        };
        config.get("config_name").is_some_and(Value::is_string)
            && (1..=MOST_PATTERNS).contains(&patterns.len())
            && patterns.iter().all(fits_some)
    })
}

/// Every pattern of a `data_files`: a text, a list of texts, or a list of splits with such paths.
fn patterns(data_files: &Value) -> Option<Vec<String>> {
    match data_files {
        Value::String(pattern) => Some(vec![pattern.clone()]),
        Value::Sequence(items) => {
            let each: Option<Vec<Vec<String>>> = items.iter().map(patterns).collect();
            each.map(|each| each.concat())
        }
        Value::Mapping(split) if split.get("split").is_some_and(Value::is_string) => patterns(split.get("path")?),
        _ => None,
    }
}

/// The files of one format, by split.
#[derive(Default)]
struct Group<'a> {
    bytes: i64,
    splits: BTreeMap<Split, Vec<&'a str>>,
}

/// One config for each format, the one with the most bytes first, under the name that is loaded when none is given.
fn configs(shards: &[Shard], steps: &mut u64) -> Vec<Value> {
    let mut groups: BTreeMap<Format, Group<'_>> = BTreeMap::new();
    for shard in shards {
        let Some(format) = Format::of(&shard.path) else { continue };
        let group = groups.entry(format).or_default();
        group.bytes = group.bytes.saturating_add(shard.size_bytes);
        group.splits.entry(Split::of(&shard.path)).or_default().push(&shard.path);
    }
    let mut groups: Vec<(Format, Group<'_>)> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.bytes));
    let largest = groups.first().map(|(format, _)| *format);
    let config = |(format, group): (Format, Group<'_>)| {
        let data_files = group.splits.into_iter().map(|(split, paths)| {
            let path = patterns_for(&paths, shards, steps).into_iter().map(Value::from).collect();
            mapping([("split", split.as_str().into()), ("path", Value::Sequence(path))])
        });
        let name = if Some(format) == largest { "default" } else { format.0 };
        mapping([("config_name", name.into()), ("data_files", Value::Sequence(data_files.collect()))])
    };
    groups.into_iter().map(config).collect()
}

fn mapping<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Mapping(entries.into_iter().map(|(key, value)| (Value::from(key), value)).collect())
}

/// Patterns that fit these paths and no other shard: with a `*` in the place of each number if that says it shorter, else
/// the paths themselves.
fn patterns_for(paths: &[&str], shards: &[Shard], steps: &mut u64) -> Vec<String> {
    let patterns: BTreeSet<String> = paths.iter().map(|path| numbers_as_stars(path)).collect();
    let wanted: BTreeSet<&str> = paths.iter().copied().collect();
    let is_shorter = patterns.len() <= paths.len().div_ceil(2) && patterns.len() <= 20;
    let read: Vec<Pattern> = patterns.iter().take(20).map(|pattern| Pattern::new(pattern)).collect();
    let mut fits = |path| read.iter().try_fold(false, |fits, pattern| Some(fits || pattern.matches(path, steps)?));
    if is_shorter && shards.iter().all(|shard| Some(wanted.contains(shard.path.as_str())) == fits(&shard.path)) {
        return patterns.into_iter().collect();
    }
    paths.iter().map(|path| glob::escape(path)).collect()
}

fn numbers_as_stars(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
    let mut pattern = String::new();
    for c in glob::escape(name).chars() {
        match c {
            '0'..='9' if pattern.ends_with('*') => {}
            '0'..='9' => pattern.push('*'),
            _ => pattern.push(c),
        }
    }
    if folder.is_empty() { pattern } else { format!("{}/{pattern}", glob::escape(folder)) }
}

/// The name of the loader that clients read a file with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Format(&'static str);

impl Format {
    /// By the end of its name, that of a compression left off; nothing for what is no data to any loader.
    fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next()?.to_ascii_lowercase();
        let name = ["gz", "zst", "xz", "bz2", "lz4"].iter().find_map(|end| name.strip_suffix(end)?.strip_suffix('.'));
        let lower = path.to_ascii_lowercase();
        let (_, end) = name.unwrap_or(&lower).rsplit_once('.')?;
        let loader = match end {
            "parquet" | "geoparquet" => "parquet",
            "jsonl" | "json" | "ndjson" => "json",
            "csv" => "csv",
            "tsv" => "tsv",
            "arrow" => "arrow",
            "txt" => "text",
            "tar" => "webdataset",
            "xml" => "xml",
            "png" | "jpg" | "jpeg" | "gif" | "webp" | "bmp" | "tif" | "tiff" => "imagefolder",
            "wav" | "mp3" | "flac" | "ogg" | "opus" | "m4a" => "audiofolder",
            "mp4" | "mkv" | "mov" | "avi" | "webm" => "videofolder",
            _ => return None,
        };
        Some(Self(loader))
    }
}

/// Which part of the data a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Split {
    Train,
    Validation,
    Test,
}

impl Split {
    /// By the words of its name, then of its folders; what says nothing is for training.
    fn of(path: &str) -> Self {
        let lower = path.to_lowercase();
        let mut words = lower.rsplit('/').flat_map(|segment| segment.split(|c: char| !c.is_alphabetic()));
        words
            .find_map(|word| match word {
                "train" | "training" => Some(Self::Train),
                "validation" | "valid" | "dev" | "val" => Some(Self::Validation),
                "test" | "testing" | "eval" | "evaluation" => Some(Self::Test),
                _ => None,
            })
            .unwrap_or(Self::Train)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// The Hub's word for how many records there are, if every data file says how many it holds.
fn size_category(shards: &[Shard]) -> Option<&'static str> {
    let data = shards.iter().filter(|shard| Format::of(&shard.path).is_some());
    let counts: Option<Vec<i64>> = data.map(|shard| shard.records).collect();
    let records = counts.filter(|counts| !counts.is_empty())?.into_iter().fold(0, i64::saturating_add);
    Some(match records {
        ..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        1_000_000..10_000_000 => "1M<n<10M",
        10_000_000..100_000_000 => "10M<n<100M",
        100_000_000..1_000_000_000 => "100M<n<1B",
        1_000_000_000..10_000_000_000 => "1B<n<10B",
        10_000_000_000..100_000_000_000 => "10B<n<100B",
        100_000_000_000..1_000_000_000_000 => "100B<n<1T",
        _ => "n>1T",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Domain, Modality};
    use crate::types::{DatasetId, Digest, Instant, ObjectId, OrganisationId, VersionId};

    fn shards(paths: &[(&str, i64)]) -> Vec<Shard> {
        let now = Instant::from_unix_micros(0);
        let shard = |(path, size_bytes): &(&str, i64)| Shard {
            version_id: VersionId::new(now),
            path: (*path).to_string(),
            object_id: ObjectId::new(now),
            sha256: Digest::of(path),
            size_bytes: *size_bytes,
            media_type: String::new(),
            records: Some(600),
            language: None,
            domain: None,
            licence: None,
            tokens: None,
        };
        paths.iter().map(shard).collect()
    }

    fn readme(card: &str, paths: &[(&str, i64)]) -> Readme {
        let now = Instant::from_unix_micros(0);
        let dataset = Dataset {
            id: DatasetId::new(now),
            organisation_id: OrganisationId::new(now),
            handle: "shici".into(),
            name: "tang".into(),
            title: "全唐詩".into(),
            modality: Modality::Text,
            domain: Domain::Culture,
            languages: vec!["no".into(), "zh-Hant".into()],
            created_at: now,
        };
        Readme::write(&dataset, card, &shards(paths)).unwrap()
    }

    #[test]
    fn a_card_that_says_nothing_gets_what_clients_need() {
        let (train, test) = (["data/train-00000.jsonl", "data/train-00001.jsonl"], "test/a.jsonl.zst");
        let written = readme("", &[(train[0], 9), (train[1], 9), (test, 1), ("notes.txt", 1), ("a.bin", 5)]);
        assert_eq!(written.text, EXPECTED);
    }

    // A reader of YAML 1.1 takes a bare `no`, which is Norwegian, for false.
    const EXPECTED: &str = r#"---
configs:
- config_name: default
  data_files:
  - split: train
    path:
    - data/train-*.jsonl
  - split: test
    path:
    - test/a.jsonl.zst
- config_name: text
  data_files:
  - split: train
    path:
    - notes.txt
pretty_name: 全唐詩
license: other
language:
- "no"
- zh-Hant
size_categories:
- "1K<n<10K"
tags:
- culture
- text
---
# 全唐詩
"#;

    #[test]
    fn the_providers_own_keys_win_where_they_can_be_loaded() {
        let card = "---\nlicense: mit\nconfigs:\n- config_name: small\n  data_files: data/*.jsonl\nodd: !tag x\n1: y\n---\nBody.\n";
        let own = readme(card, &[("data/a.jsonl", 1)]);
        assert_eq!(
            (own.texts("license"), own.texts("language")),
            (vec!["mit".to_string()], vec!["no".into(), "zh-Hant".into()])
        );
        assert!(own.text.contains("config_name: small") && own.text.ends_with("---\nBody.\n"), "{}", own.text);
        assert!(!own.text.contains("odd") && !own.text.contains("'1'"), "{}", own.text);
        let other = readme(card, &[("parts/a.jsonl", 1)]);
        assert!(!other.text.contains("small") && other.text.contains("parts/a.jsonl"), "{}", other.text);
    }

    #[test]
    fn keys_that_would_take_the_place_of_what_clients_call_are_left_out() {
        let card = format!("---\n{}gets: x\n---\n", TAKEN.iter().map(|key| format!("{key}: x\n")).collect::<String>());
        let written = readme(&card, &[("a.jsonl", 1)]).front_matter;
        let left: Vec<&&str> = TAKEN.iter().filter(|key| written.contains_key(**key)).collect();
        assert!(left.is_empty() && written.contains_key("gets"), "{left:?}");
    }

    #[test]
    fn a_key_that_is_too_long_to_be_read_is_left_out_wherever_it_stands() {
        let (fits, long) = ("k".repeat(LONGEST_KEY), "k".repeat(LONGEST_KEY + 1));
        let card = format!("---\n{fits}: x\n{long}: x\ninner:\n- {long}: x\nouter:\n- {fits}: x\n---\n");
        let written = readme(&card, &[("a.jsonl", 1)]).front_matter;
        let kept = [fits.as_str(), &long, "inner", "outer"].map(|key| written.contains_key(key));
        assert_eq!(kept, [true, false, false, true]);
    }

    #[test]
    fn the_configs_name_every_data_file_once() {
        let paths =
            [("a[1].parquet", 5), ("b*.parquet", 5), ("train/x.parquet", 1), ("dev-1.csv", 1), ("dev-2.csv", 1)];
        let readme = readme("", &paths);
        let patterns: Vec<String> = readme.front_matter["configs"]
            .as_sequence()
            .unwrap()
            .iter()
            .flat_map(|config| super::patterns(&config["data_files"]).unwrap())
            .collect();
        for (path, _) in paths {
            assert_eq!(
                patterns.iter().filter(|pattern| glob::matches(pattern, path)).count(),
                1,
                "{path} in {patterns:?}"
            );
        }
    }

    #[test]
    fn a_card_and_paths_that_are_slow_to_compare_hold_nobody_up() {
        // Each pattern is compared with every path at every letter, and fits the last.
        let patterns = vec![format!("'*{}b.jsonl'", "a".repeat(400)); 50].join(", ");
        let card = format!("---\nconfigs:\n- config_name: slow\n  data_files: [{patterns}]\n---\n");
        let paths: Vec<String> = (0..400).map(|n| "a".repeat(900 + n / 4) + ["c", "b"][n / 399] + ".jsonl").collect();
        let paths: Vec<(&str, i64)> = paths.iter().map(|path| (path.as_str(), 1)).collect();
        let written = readme(&card, &paths);
        assert!(written.text.contains("config_name: default") && !written.text.contains("slow"));
    }
}
