//! The catalogue in the W3C's Data Catalog Vocabulary, version 3, with the fields of its European application profile.
//!
//! A corpus is a `dcat:Dataset` whose listed versions are Datasets too (DCAT 3, section 11): each tells of which it is a
//! version, and which came before it. What a version holds of one media type is a Distribution: one file, with its digest,
//! or many. The licence of each is an Offer.
//!
//! A page is the whole catalogue by name and a part of it by content, as Hydra has it: the triples of all pages together
//! are the catalogue. A page is written dataset by dataset as the client takes it, so that memory does not grow with it.

use std::collections::VecDeque;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::{agent, named, summary, typed};
use crate::catalog::card::Card;
use crate::catalog::{self, Dataset, Domain, Media, Seal};
use crate::db::Conn;
use crate::error::Result;
use crate::hub;
use crate::identity::{self, Organisation};
use crate::market::{self, Listing};
use crate::terms::{self, odrl};
use crate::types::{Cursor, DatasetId, PageQuery, VersionId};

/// Where the catalogue is served.
pub const PATH: &str = "/v1/catalog";
/// The most listings of one dataset that are looked at: those of its newest versions on the board.
const MAX_LISTINGS: i64 = 1000;
const THEMES: &str = "http://publications.europa.eu/resource/authority/data-theme";
const RESTRICTED: &str = "http://publications.europa.eu/resource/authority/access-right/RESTRICTED";
const MEDIA_TYPES: &str = "https://www.iana.org/assignments/media-types/";
/// What media types consist of that may stand in an IRI as it is.
const IN_MEDIA_TYPES: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'+');

/// A page of the catalogue that is being written.
#[derive(Debug)]
pub struct Page {
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
    /// How large pages were asked for.
    limit: Option<i64>,
    public_url: String,
    left: VecDeque<DatasetId>,
    written: Written,
}

/// How far a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Nothing,
    Head,
    Datasets,
    All,
}

/// Begins a page: the datasets of which a version is on the board, newest first.
///
/// # Errors
/// `Invalid`, naming the parameter.
pub fn page(c: &mut Conn, query: &PageQuery, public_url: String) -> Result<Page> {
    let limit = query.limit()?;
    let before = query.cursor.as_deref().map(str::parse::<DatasetId>).transpose();
    let before = before.map_err(|error| error.field("cursor"))?;
    let found = market::listed_datasets(c, before, limit.saturating_add(1))?;
    let page = crate::types::Page::new(found, limit, DatasetId::to_string);
    let left = page.items.into();
    Ok(Page { next: page.next, limit: query.limit, public_url, left, written: Written::Nothing })
}

impl Page {
    /// The next piece of the document; `None` after the last.
    ///
    /// # Errors
    /// Those of the database.
    pub fn next_piece(&mut self, c: &mut Conn) -> Result<Option<Vec<u8>>> {
        let piece = match self.written {
            Written::All => return Ok(None),
            Written::Nothing => {
                self.written = Written::Head;
                self.head()
            }
            Written::Head | Written::Datasets => match self.left.pop_front() {
                Some(id) => {
                    let mut piece = String::new();
                    for resource in dataset(c, &self.public_url, id)? {
                        piece.push_str(if self.written == Written::Datasets { ",\n" } else { "\n" });
                        piece.push_str(&resource.to_string());
                        self.written = Written::Datasets;
                    }
                    piece
                }
                None => {
                    self.written = Written::All;
                    "\n]}\n".to_string()
                }
            },
        };
        Ok(Some(piece.into_bytes()))
    }

    /// The document up to its datasets, which come last.
    fn head(&self) -> String {
        let url = &self.public_url;
        let mut catalog = json!({
            "@id": format!("{url}{PATH}"), "@type": "dcat:Catalog",
            "dct:title": "Corpus Exchange", "dct:description": "The corpora that are listed on this exchange.",
            "dct:publisher": { "@id": format!("{url}/"), "@type": "foaf:Agent", "foaf:name": "Corpus Exchange" },
            "dct:language": language("en"), "foaf:homepage": named(format!("{url}/docs/")),
            "dcat:themeTaxonomy": { "@id": THEMES, "@type": "skos:ConceptScheme", "dct:title": "Data theme" },
        });
        if let (Some(Cursor(next)), Some(members)) = (&self.next, catalog.as_object_mut()) {
            let limit = self.limit.map(|limit| format!("limit={limit}&")).unwrap_or_default();
            let next = named(format!("{url}{PATH}?{limit}cursor={next}"));
            let view = json!({ "@type": "hydra:PartialCollectionView", "hydra:next": next });
            members.insert("hydra:view".to_string(), view);
        }
        let mut head = json!({ "@context": context(url) });
        if let (Some(head), Value::Object(catalog)) = (head.as_object_mut(), catalog) {
            head.extend(catalog);
        }
        let head = head.to_string();
        format!("{},\n\"dcat:dataset\":[", head.strip_suffix('}').unwrap_or(&head))
    }
}

fn context(public_url: &str) -> Map<String, Value> {
    let mut prefixes = odrl::context(public_url);
    for (prefix, namespace) in [
        ("adms", "http://www.w3.org/ns/adms#"),
        ("dcat", "http://www.w3.org/ns/dcat#"),
        ("hydra", "http://www.w3.org/ns/hydra/core#"),
        ("schema", "http://schema.org/"),
        ("skos", "http://www.w3.org/2004/02/skos/core#"),
        ("spdx", "http://spdx.org/rdf/terms#"),
        ("vcard", "http://www.w3.org/2006/vcard/ns#"),
    ] {
        prefixes.insert(prefix.to_string(), Value::String(namespace.to_string()));
    }
    prefixes
}

/// A version that is on the board.
struct Listed {
    number: i32,
    seal: Seal,
    listings: Vec<Listing>,
}

/// A dataset and its listed versions, newest first; nothing if none is on the board any more.
fn dataset(c: &mut Conn, public_url: &str, id: DatasetId) -> Result<Vec<Value>> {
    let listings = market::listed_of(c, id, MAX_LISTINGS)?;
    let ids: Vec<VersionId> = listings.iter().map(|listing| listing.version_id).collect();
    let of = |seal: &Seal| listings.iter().filter(|listing| listing.version_id == seal.version_id).cloned().collect();
    let listed: Vec<Listed> = catalog::sealed_among(c, &ids)?
        .into_iter()
        .map(|(_, number, seal)| Listed { number, listings: of(&seal), seal })
        .collect();
    let Some(newest) = listed.first() else { return Ok(Vec::new()) };
    let (dataset, _) = catalog::version(c, newest.seal.version_id)?;
    let card = catalog::card_of(c, newest.seal.version_id)?;
    let provider = identity::organisation(c, dataset.organisation_id)?;
    let description = summary(Card::body_of(&card)).unwrap_or_else(|| dataset.title.clone());
    let writer = Writer { public_url, dataset: &dataset, provider: &provider, description };
    let media = catalog::media_of(c, &listed.iter().map(|version| version.seal.version_id).collect::<Vec<_>>())?;
    terms::load_terms(c, listings.iter().map(|listing| listing.terms_id))?;
    let mut resources = vec![writer.whole(&listed, newest)];
    for (index, version) in listed.iter().enumerate() {
        let earlier = listed.get(index.saturating_add(1));
        let media = media.iter().filter(|media| media.version_id == version.seal.version_id);
        let path = dataset.version_path(version.number);
        let offers = version.listings.iter().map(|listing| market::odrl::offer_of(c, listing, &path, public_url));
        let offers = offers.collect::<Result<Vec<Value>>>()?;
        resources.push(writer.version(version, earlier, media.collect(), offers));
    }
    Ok(resources)
}

/// What a dataset's resources have in common.
struct Writer<'a> {
    public_url: &'a str,
    dataset: &'a Dataset,
    provider: &'a Organisation,
    description: String,
}

impl Writer<'_> {
    fn iri(&self) -> String {
        format!("{}{}", self.public_url, self.dataset.path())
    }

    fn version_iri(&self, number: i32) -> String {
        format!("{}{}", self.public_url, self.dataset.version_path(number))
    }

    fn described(&self, iri: String, title: String) -> Map<String, Value> {
        let dataset = self.dataset;
        let contact = json!({
            "@type": "vcard:Organization", "vcard:fn": self.provider.legal_name,
            "vcard:hasURL": named(odrl::organisation_iri(self.public_url, &self.provider.handle)),
        });
        let members = json!({
            "@id": iri, "@type": "dcat:Dataset", "dct:title": title, "dct:description": self.description,
            "dct:publisher": agent(self.public_url, self.provider), "dcat:contactPoint": contact,
            "dcat:keyword": [dataset.domain.as_str(), dataset.modality.as_str()],
            "dct:language": dataset.languages.iter().map(|tag| language(tag)).collect::<Vec<_>>(),
            "schema:inLanguage": dataset.languages,
            "dcat:theme": theme(dataset.domain).into_iter().collect::<Vec<_>>(),
            "dct:accessRights": { "@id": RESTRICTED, "@type": "dct:RightsStatement" },
            "dcat:landingPage": named(format!("{}/v1/listings?dataset={}", self.public_url, dataset.full_name())),
        });
        match members {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    /// The dataset, whatever its version.
    fn whole(&self, listed: &[Listed], newest: &Listed) -> Value {
        let mut members = self.described(self.iri(), self.dataset.title.clone());
        let versions = listed.iter().map(|version| named(self.version_iri(version.number)));
        members.extend([
            ("dct:identifier".to_string(), json!(self.dataset.full_name())),
            ("dct:issued".to_string(), typed(self.dataset.created_at, "xsd:dateTime")),
            ("dct:modified".to_string(), typed(newest.seal.sealed_at, "xsd:dateTime")),
            ("dcat:hasVersion".to_string(), versions.collect()),
            ("dcat:hasCurrentVersion".to_string(), named(self.version_iri(newest.number))),
        ]);
        Value::Object(members)
    }

    fn version(&self, version: &Listed, earlier: Option<&Listed>, media: Vec<&Media>, offers: Vec<Value>) -> Value {
        let Listed { number, seal, listings } = version;
        let iri = self.version_iri(*number);
        let mut members = self.described(iri.clone(), format!("{}, version {number}", self.dataset.title));
        let distributions = media.iter().map(|media| self.distribution(&iri, version, media));
        let identifier =
            json!({ "@type": "adms:Identifier", "skos:notation": format!("sha256:{}", seal.manifest_sha256) });
        members.extend([
            ("dct:identifier".to_string(), json!(seal.version_id)),
            ("adms:identifier".to_string(), identifier),
            ("dct:issued".to_string(), typed(seal.sealed_at, "xsd:dateTime")),
            ("dcat:version".to_string(), json!(number.to_string())),
            ("dcat:isVersionOf".to_string(), named(self.iri())),
            ("dcat:distribution".to_string(), distributions.collect()),
            ("odrl:hasPolicy".to_string(), Value::Array(offers)),
            ("odrl:partOf".to_string(), listings.iter().map(|listing| self.collection(listing)).collect()),
        ]);
        if let Some(earlier) = earlier {
            members.insert("dcat:previousVersion".to_string(), named(self.version_iri(earlier.number)));
        }
        Value::Object(members)
    }

    /// The collection of all that is listed under the same terms: the target of the terms by themselves.
    fn collection(&self, listing: &Listing) -> Value {
        named(odrl::collection_iri(self.public_url, listing.terms_id))
    }

    /// What a version holds of one media type.
    fn distribution(&self, version_iri: &str, version: &Listed, media: &Media) -> Value {
        let Media { media_type, files, total_bytes, .. } = media;
        let url = self.public_url;
        let terms = version.listings.iter().map(|listing| format!("{url}/v1/terms/{}", listing.terms_id));
        let licences = terms.map(|iri| json!({ "@id": iri, "@type": "dct:LicenseDocument" }));
        let plural = if *files == 1 { "file" } else { "files" };
        let mut distribution = json!({
            "@id": format!("{version_iri}#{}", utf8_percent_encode(media_type, IN_MEDIA_TYPES)),
            "@type": "dcat:Distribution", "dct:title": media_type, "dct:description": format!("{files} {plural} of {media_type}"),
            "dcat:mediaType": { "@id": media_iri(media_type), "@type": "dct:MediaType" },
            "dcat:byteSize": typed(total_bytes, "xsd:nonNegativeInteger"),
            "dcat:accessURL":
                version.listings.iter().map(|listing| named(format!("{url}/v1/listings/{}", listing.id))).collect::<Vec<_>>(),
            "dct:license": licences.take(1).collect::<Vec<_>>(),
            "odrl:hasPolicy":
                version.listings.iter().map(|listing| named(market::odrl::offer_iri(url, listing))).collect::<Vec<_>>(),
        });
        if let (Some((path, sha256)), Some(members)) = (&media.only_file, distribution.as_object_mut()) {
            let path = hub::file_path(&self.dataset.full_name(), &hub::commit_of(&version.seal), path);
            members.insert("dcat:downloadURL".to_string(), named(format!("{url}{path}")));
            let checksum = json!({
                "@type": "spdx:Checksum", "spdx:algorithm": named("spdx:checksumAlgorithm_sha256"),
                "spdx:checksumValue": typed(sha256, "xsd:hexBinary"),
            });
            members.insert("spdx:checksum".to_string(), checksum);
        }
        distribution
    }
}

/// A media type, by its IRI at IANA, which knows of no parameters.
fn media_iri(media_type: &str) -> String {
    let essence = media_type.split(';').next().unwrap_or_default().trim_end();
    format!("{MEDIA_TYPES}{}", utf8_percent_encode(essence, IN_MEDIA_TYPES))
}

/// A language, by the IRI that DCAT asks for: the Library of Congress's of ISO 639-1 where the language has two letters,
/// and that of ISO 639-3 at lexvo.org where it has three, which names more languages than ISO 639-2 does.
fn language(tag: &str) -> Value {
    let primary = tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
    let iri = match primary.len() {
        2 => format!("http://id.loc.gov/vocabulary/iso639-1/{primary}"),
        3 => format!("http://lexvo.org/id/iso639-3/{primary}"),
        _ => return json!({ "@type": "dct:LinguisticSystem", "skos:notation": tag }),
    };
    json!({ "@id": iri, "@type": "dct:LinguisticSystem" })
}

/// The European data theme that a domain belongs to, if there is one.
fn theme(domain: Domain) -> Option<Value> {
    use Domain::*;
    let (code, label) = match domain {
        Agriculture => ("AGRI", "Agriculture, fisheries, forestry and food"),
        Commerce | Finance | Manufacturing | Tourism => ("ECON", "Economy and finance"),
        Culture | Design | Education | Media => ("EDUC", "Education, culture and sport"),
        Energy => ("ENER", "Energy"),
        Environment => ("ENVI", "Environment"),
        Government => ("GOVE", "Government and public sector"),
        Biomedicine => ("HEAL", "Health"),
        Law => ("JUST", "Justice, legal system and public safety"),
        IntegratedCircuits | Robotics | Science | Software | Telecommunications => ("TECH", "Science and technology"),
        AutonomousDriving | Transport => ("TRAN", "Transport"),
        General | Other => return None,
    };
    Some(json!({ "@id": format!("{THEMES}/{code}"), "@type": "skos:Concept", "skos:prefLabel": label }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_has_an_iri_whatever_it_consists_of() {
        for (media_type, name) in [
            ("application/jsonl+gzip", "application/jsonl+gzip"),
            ("text/plain ; charset=utf-8", "text/plain"),
            ("x/a^b#c|d%e", "x/a%5Eb%23c%7Cd%25e"),
        ] {
            assert_eq!(media_iri(media_type), format!("{MEDIA_TYPES}{name}"));
        }
    }
}
