//! A version as MLCommons' Croissant 1.1, which tools that load data can read.
//!
//! Each shard is a FileObject with its digest, at the address where the Hub's clients get it: a licensee sends its token as
//! the password. Where the columns are known there are records, too: one RecordSet for each file, which tools load from
//! here; above [`MAX_RECORD_SETS`] files, one for all of a format, which they load from a folder after a download. Columns
//! are those that the exchange found when it [inspected](inspection) the version, and until then those that the card names.
//!
//! Licence terms are Offers of ODRL under `usageInfo`, what the version was made from is told in PROV-O, and what the card
//! says under `rai` goes into the vocabulary of that name.
//!
//! A version may have a hundred thousand files: they are written some at a time, as the client takes them, so that memory
//! does not grow with them.

mod rai;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use yaml_serde::Value as Yaml;

use self::rai::rai;
use super::{agent, iri, named, summary, typed};
use crate::catalog::card::Card;
use crate::catalog::inspection::{self, ColumnType, Findings, NamedType, Packing};
use crate::catalog::lineage::{self, Parent};
use crate::catalog::{self, Dataset, Seal, Shard};
use crate::db::Conn;
use crate::error::Result;
use crate::hub;
use crate::identity::{self, Organisation};
use crate::market;
use crate::terms::odrl;
use crate::types::VersionId;

/// Files that are written at a time: more than have a RecordSet each.
const FILES: i64 = 1000;
/// The most files that have a RecordSet each.
pub const MAX_RECORD_SETS: usize = 100;
/// The most parents that are told of.
const MAX_PARENTS: i64 = 1000;

/// A column of the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What its values are, in Croissant's words: `sc:Text`, `sc:Integer` …
    pub data_type: &'static str,
}

/// A description that is being written.
#[derive(Debug)]
pub struct Description {
    public_url: String,
    /// `org/name`.
    dataset: String,
    version_id: VersionId,
    commit: String,
    known: Known,
    /// What stands before the files, until it is written.
    head: String,
    /// How many files are written, the path of the last, and how they hold their records.
    count: usize,
    after: String,
    formats: BTreeSet<Format>,
    ended: bool,
}

/// Begins to describe a sealed version, whoever asks: the caller of this function authorises.
///
/// # Errors
/// Those of the database.
pub fn croissant(
    c: &mut Conn,
    (dataset, number, seal): (&Dataset, i32, &Seal),
    public_url: &str,
) -> Result<Description> {
    let card = catalog::card_of(c, seal.version_id)?;
    let card = Card::parse(&card)?;
    let provider = identity::organisation(c, dataset.organisation_id)?;
    let parents = lineage::parents_of(c, seal.version_id, -1, MAX_PARENTS)?;
    let parents: Vec<Parent> = parents.into_iter().map(|link| link.parent).collect();
    let listings = market::listed(c, &[seal.version_id])?;
    let path = dataset.version_path(number);
    let offer = |listing| market::odrl::offer_of(c, listing, &path, public_url).map(used);
    let offers: Vec<Value> = listings.iter().map(offer).collect::<Result<_>>()?;
    let licences: Vec<Value> =
        listings.iter().map(|listing| json!(format!("{public_url}/v1/terms/{}", listing.terms_id))).collect();
    let about = About { public_url, dataset, number, seal, provider: &provider };
    let mut members = about.described(&card, licences);
    members.extend(about.provenance(&parents));
    members.extend(rai(&card));
    if !offers.is_empty() {
        members.insert("usageInfo".to_string(), Value::Array(offers));
    }
    let found = inspection::find(c, seal.version_id)?;
    let found = found.map(|inspection| inspection::findings(c, &inspection)).transpose()?.map(|(findings, _)| findings);
    let said = Value::Object(members).to_string();
    Ok(Description {
        public_url: public_url.to_string(),
        dataset: dataset.full_name(),
        version_id: seal.version_id,
        commit: hub::commit_of(seal),
        known: Known { found, named: named_columns(&card) },
        head: format!("{},\"distribution\":[", said.strip_suffix('}').unwrap_or(&said)),
        count: 0,
        after: String::new(),
        formats: BTreeSet::new(),
        ended: false,
    })
}

impl Description {
    /// The next piece of the document; `None` after the last.
    ///
    /// # Errors
    /// Those of the database.
    pub fn next_piece(&mut self, c: &mut Conn) -> Result<Option<Vec<u8>>> {
        if self.ended {
            return Ok(None);
        }
        let shards = catalog::shards(c, self.version_id, &self.after, FILES)?;
        self.ended = i64::try_from(shards.len()).is_ok_and(|read| read < FILES);
        if let Some(last) = shards.last() {
            self.after.clone_from(&last.path);
        }
        Ok(Some(self.write(&shards).into_bytes()))
    }

    /// Writes the next files, and the end where it has come.
    fn write(&mut self, shards: &[Shard]) -> String {
        let files: Vec<File<'_>> = (self.count..).zip(shards).map(|(index, shard)| File::new(index, shard)).collect();
        self.count = self.count.saturating_add(files.len());
        self.formats.extend(files.iter().filter_map(|file| file.format.clone()));
        let are_many = self.count > MAX_RECORD_SETS;
        let sets = if self.ended && are_many { file_sets(&self.formats) } else { Vec::new() };
        let mut separator = if self.head.is_empty() { "," } else { "" };
        let mut piece = std::mem::take(&mut self.head);
        for object in files.iter().map(|file| self.file_object(file)).chain(sets.iter().map(FileSet::describe)) {
            piece.push_str(separator);
            piece.push_str(&object.to_string());
            separator = ",";
        }
        if self.ended {
            let records = record_sets(&files, &sets, &self.known);
            let records = if records.is_empty() { String::new() } else { format!(",\"recordSet\":{}", json!(records)) };
            piece.push_str(&format!("]{records}}}\n"));
        }
        piece
    }

    fn file_object(&self, file: &File<'_>) -> Value {
        let Shard { path, size_bytes, sha256, media_type, .. } = file.shard;
        let address = hub::file_path(&self.dataset, &self.commit, path);
        json!({
            "@type": "cr:FileObject", "@id": file.id, "name": path,
            "contentUrl": format!("{}{address}", self.public_url), "contentSize": format!("{size_bytes} B"),
            "encodingFormat": file.format.as_ref().map_or_else(|| json!(media_type), Format::media_types), "sha256": sha256,
        })
    }
}

/// An Offer as Croissant wants it: usage information of schema.org, and an Offer of ODRL.
fn used(mut offer: Value) -> Value {
    if let Some(members) = offer.as_object_mut() {
        members.insert("@type".to_string(), json!(["sc:CreativeWork", "odrl:Offer"]));
    }
    offer
}

/// What is described.
struct About<'a> {
    public_url: &'a str,
    dataset: &'a Dataset,
    number: i32,
    seal: &'a Seal,
    provider: &'a Organisation,
}

impl About<'_> {
    fn described(&self, card: &Card<'_>, licences: Vec<Value>) -> Map<String, Value> {
        let Self { public_url, dataset, number, seal, provider } = self;
        // Tools put named nodes together with whatever else is said of them, so the publisher has no name here, and the
        // document another one than the version, which is the target of Offers.
        let organisation = json!({
            "@type": "sc:Organization", "name": provider.legal_name,
            "url": odrl::organisation_iri(public_url, &provider.handle),
        });
        let address = format!("{public_url}{}", dataset.version_path(*number));
        let members = json!({
            "@context": context(public_url), "@type": "sc:Dataset", "@id": format!("{address}/croissant"),
            "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
            "name": dataset.title, "alternateName": dataset.full_name(),
            "description": summary(card.body).unwrap_or_else(|| dataset.title.clone()),
            "url": address, "sameAs": address, "creator": organisation, "publisher": organisation,
            "datePublished": seal.sealed_at, "version": format!("{number}.0.0"),
            "license": if licences.is_empty() { vec![json!(address)] } else { licences },
            "inLanguage": dataset.languages, "keywords": [dataset.domain.as_str(), dataset.modality.as_str()],
            "isLiveDataset": false,
        });
        match members {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    /// Where the version comes from, in PROV-O.
    fn provenance(&self, parents: &[Parent]) -> Map<String, Value> {
        let sealing = json!({
            "@type": "prov:Activity", "rdfs:label": "sealed with the provider's signed manifest",
            "prov:endedAtTime": typed(self.seal.sealed_at, "xsd:dateTime"),
        });
        let mut members = Map::from_iter([
            ("prov:wasGeneratedBy".to_string(), sealing),
            ("prov:wasAttributedTo".to_string(), agent(self.public_url, self.provider)),
        ]);
        let sources: Vec<Value> = parents.iter().map(|parent| self.entity(parent)).collect();
        if !sources.is_empty() {
            members.insert("prov:wasDerivedFrom".to_string(), Value::Array(sources));
        }
        members
    }

    fn entity(&self, parent: &Parent) -> Value {
        let mut entity = Map::from_iter([("@type".to_string(), json!("prov:Entity"))]);
        let mut say = |name: &str, value: Value| {
            entity.insert(name.to_string(), value);
        };
        match parent {
            Parent::Version(version) => {
                let path = format!("/v1/datasets/{}/versions/{}", version.dataset, version.version);
                say("@id", json!(format!("{}{path}", self.public_url)));
                say("rdfs:label", json!(format!("{}@{}", version.dataset, version.version)));
            }
            Parent::Source(source) => {
                if let Some(url) = &source.url {
                    say("prov:atLocation", named(iri(url)));
                }
                if let Some(sha256) = source.sha256 {
                    say("sha256", json!(sha256));
                }
                if let Some(title) = &source.title {
                    say("rdfs:label", json!(title));
                }
                if let Some(licence) = &source.licence {
                    say("license", json!(licence));
                }
            }
        }
        Value::Object(entity)
    }
}

/// The words of Croissant's own namespace that stand without a prefix.
const CROISSANT_WORDS: &[&str] = &[
    "arrayShape",
    "citeAs",
    "column",
    "containedIn",
    "equivalentProperty",
    "extract",
    "field",
    "fileObject",
    "fileProperty",
    "fileSet",
    "format",
    "includes",
    "isArray",
    "isLiveDataset",
    "jsonPath",
    "key",
    "md5",
    "parentField",
    "path",
    "recordSet",
    "references",
    "regex",
    "repeated",
    "replace",
    "samplingRate",
    "separator",
    "source",
    "subField",
    "transform",
];

/// The context of Croissant 1.1, and the prefixes of the other vocabularies.
fn context(public_url: &str) -> Map<String, Value> {
    let mut context = odrl::context(public_url);
    context.extend(CROISSANT_WORDS.iter().map(|word| ((*word).to_string(), json!(format!("cr:{word}")))));
    for (name, value) in [
        ("@language", json!("en")),
        ("@vocab", json!("https://schema.org/")),
        ("sc", json!("https://schema.org/")),
        ("cr", json!("http://mlcommons.org/croissant/")),
        ("rai", json!("http://mlcommons.org/croissant/RAI/")),
        ("prov", json!("http://www.w3.org/ns/prov#")),
        ("rdfs", json!("http://www.w3.org/2000/01/rdf-schema#")),
        ("conformsTo", json!("dct:conformsTo")),
        ("data", json!({ "@id": "cr:data", "@type": "@json" })),
        ("dataType", json!({ "@id": "cr:dataType", "@type": "@vocab" })),
        ("description", json!({ "@container": "@language" })),
        ("examples", json!({ "@id": "cr:examples", "@type": "@json" })),
        ("name", json!({ "@container": "@language" })),
    ] {
        context.insert(name.to_string(), value);
    }
    context
}

/// How the files with some ending hold their records.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Format {
    ending: String,
    holds: inspection::Format,
    packing: Option<Packing>,
}

impl Format {
    /// The format of a file, if it is one that holds records.
    fn of(path: &str) -> Option<Self> {
        let (holds, packing) = inspection::Format::of(path);
        if holds == inspection::Format::Other {
            return None;
        }
        let dots = if packing.is_some() { 1 } else { 0 };
        let (start, _) = path.rmatch_indices('.').nth(dots)?;
        Some(Self { ending: path.get(start.saturating_add(1)..)?.to_string(), holds, packing })
    }

    /// What Croissant calls it. Tools read what is packed with gzip as what it unpacks to.
    fn media_types(&self) -> Value {
        let holds = match self.holds {
            inspection::Format::Parquet => "application/x-parquet",
            inspection::Format::JsonLines | inspection::Format::Other => "application/jsonlines",
        };
        match self.packing {
            None => json!(holds),
            Some(Packing::Gzip) => json!([holds, "application/gzip"]),
            Some(Packing::Zstd) => json!([holds, "application/zstd"]),
        }
    }
}

/// A shard as a FileObject.
#[derive(Debug)]
struct File<'a> {
    id: String,
    shard: &'a Shard,
    format: Option<Format>,
}

impl<'a> File<'a> {
    /// Names are opaque: a path may hold what an identifier may not.
    fn new(index: usize, shard: &'a Shard) -> Self {
        Self { id: format!("file-{index:05}"), shard, format: Format::of(&shard.path) }
    }
}

/// All files of a format: they are found by how they end, in whatever folder.
#[derive(Debug)]
struct FileSet {
    id: String,
    format: Format,
}

impl FileSet {
    fn describe(&self) -> Value {
        json!({
            "@type": "cr:FileSet", "@id": self.id, "name": format!("All {} files", self.format.ending),
            "encodingFormat": self.format.media_types(), "includes": format!("*.{}", self.format.ending),
        })
    }
}

fn file_sets(formats: &BTreeSet<Format>) -> Vec<FileSet> {
    let set = |format: &Format| FileSet { id: format!("files-{}", format.ending), format: format.clone() };
    formats.iter().map(set).collect()
}

/// What is known of the columns.
#[derive(Debug, Default)]
struct Known {
    /// What the exchange found in the version; none while it was not inspected.
    found: Option<Findings>,
    /// What the card names.
    named: Option<Vec<Field>>,
}

impl Known {
    fn columns_of(&self, file: &File<'_>) -> Vec<Field> {
        self.columns(|found| found.columns_of(&file.shard.path))
    }

    fn columns_of_set(&self, FileSet { format, .. }: &FileSet) -> Vec<Field> {
        self.columns(|found| found.columns_of_format((format.holds, format.packing)))
    }

    fn columns(&self, of: impl FnOnce(&Findings) -> Option<&[NamedType]>) -> Vec<Field> {
        match &self.found {
            Some(found) => of(found).unwrap_or_default().iter().filter_map(Field::found).collect(),
            None => self.named.clone().unwrap_or_default(),
        }
    }
}

/// The records, as far as their columns are known: of each set of files if there are any, of each file otherwise.
fn record_sets(files: &[File<'_>], sets: &[FileSet], known: &Known) -> Vec<Value> {
    let each =
        |file: &File<'_>| record_set(&file.id, &json!({ "fileObject": named(&file.id) }), known.columns_of(file));
    let set = |set: &FileSet| record_set(&set.id, &json!({ "fileSet": named(&set.id) }), known.columns_of_set(set));
    match sets {
        [] => files.iter().filter(|file| file.format.is_some()).filter_map(each).collect(),
        sets => sets.iter().filter_map(set).collect(),
    }
}

fn record_set(of: &str, source: &Value, columns: Vec<Field>) -> Option<Value> {
    let id = format!("records-of-{of}");
    let field = |(index, Field { name, data_type }): (usize, Field)| {
        let mut source = source.clone();
        if let Some(members) = source.as_object_mut() {
            members.insert("extract".to_string(), json!({ "column": name }));
        }
        json!({ "@type": "cr:Field", "@id": format!("{id}/{index}"), "name": name, "dataType": data_type, "source": source })
    };
    let fields: Vec<Value> = columns.into_iter().enumerate().map(field).collect();
    (!fields.is_empty())
        .then(|| json!({ "@type": "cr:RecordSet", "@id": id, "name": format!("The records of {of}"), "field": fields }))
}

impl Field {
    /// A column that was found; none if it is of a type that Croissant has no word for, such as a list.
    fn found(column: &NamedType) -> Option<Self> {
        let data_type = match column.kind {
            ColumnType::String => "sc:Text",
            ColumnType::Integer => "sc:Integer",
            ColumnType::Number => "sc:Float",
            ColumnType::Boolean => "sc:Boolean",
            ColumnType::Date => "sc:Date",
            ColumnType::DateTime => "sc:DateTime",
            ColumnType::Binary | ColumnType::Array | ColumnType::Object | ColumnType::Mixed | ColumnType::Null => {
                return None;
            }
        };
        Some(Self { name: column.name.clone(), data_type })
    }
}

/// The columns that a card names, as on the Hub: `features` of a single `dataset_info`. A column of a type that Croissant
/// has no word for, such as a list, is left out.
fn named_columns(card: &Card<'_>) -> Option<Vec<Field>> {
    let features = card.front_matter.get("dataset_info")?.get("features")?.as_sequence()?;
    let column = |feature: &Yaml| {
        let name = feature.get("name")?.as_str()?.to_string();
        let data_type = match feature.get("dtype")?.as_str()? {
            "string" | "large_string" => "sc:Text",
            "bool" => "sc:Boolean",
            "float16" | "float32" | "float64" => "sc:Float",
            "date32" | "date64" => "sc:Date",
            number if number.trim_start_matches('u').starts_with("int") => "sc:Integer",
            _ => return None,
        };
        Some(Field { name, data_type })
    };
    Some(features.iter().filter_map(column).collect())
}

#[cfg(test)]
#[path = "croissant_tests.rs"]
mod tests;
