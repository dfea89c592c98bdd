//! Terms in the W3C's Open Digital Rights Language 2.2, as JSON-LD.
//!
//! Terms by themselves are a *Set* of rules over whatever the exchange lists under them; a listing makes an *Offer* of
//! them, over one version. Where ODRL has no word, those of our own [`profile`] are used: it is served where its terms
//! are named, and says of each action which of ODRL's it is included in.
//!
//! Each document brings its own context, so that a reader needs nothing from elsewhere.
//!
//! Invariant: rules are atomic, each with one action, one target and its parties, as ODRL's Information Model asks of
//! what is processed (section 2.7).

use serde_json::{Map, Value, json};

use super::{EVERYWHERE, ExpectedDownloads, Price, Terms, TermsDocument, Use};
use crate::identity::Organisation;
use crate::types::{Money, TermsId};

/// Where the profile is served.
pub const PROFILE_PATH: &str = "/v1/odrl-profile";
/// The namespace of ODRL.
const ODRL: &str = "http://www.w3.org/ns/odrl/2/";
/// The codes of ISO 3166, as ISO publishes them.
const COUNTRIES: &str = "https://www.iso.org/obp/ui/#iso:code:3166:";
/// The codes of ISO 4217, as the Publications Office of the European Union names them.
const CURRENCIES: &str = "http://publications.europa.eu/resource/authority/currency/";

/// The prefixes that policies are written with.
pub fn context(public_url: &str) -> Map<String, Value> {
    let prefixes = [
        ("odrl", ODRL.to_string()),
        ("cx", format!("{public_url}{PROFILE_PATH}#")),
        ("dct", "http://purl.org/dc/terms/".to_string()),
        ("foaf", "http://xmlns.com/foaf/0.1/".to_string()),
        ("xsd", "http://www.w3.org/2001/XMLSchema#".to_string()),
    ];
    prefixes.into_iter().map(|(prefix, iri)| (prefix.to_string(), Value::String(iri))).collect()
}

/// A document of its own: the context, and what `node` says.
pub fn document(public_url: &str, node: Value) -> Value {
    let mut document = Map::from_iter([("@context".to_string(), Value::Object(context(public_url)))]);
    if let Value::Object(members) = node {
        document.extend(members);
    }
    Value::Object(document)
}

/// The name of the rules that terms make, as a policy.
pub fn set_iri(public_url: &str, terms: TermsId) -> String {
    format!("{public_url}/v1/terms/{terms}/odrl")
}

/// The name of all that the exchange lists under these terms, as a collection of assets.
pub fn collection_iri(public_url: &str, terms: TermsId) -> String {
    format!("{}#corpora", set_iri(public_url, terms))
}

/// Terms as a Set of rules over the collection of what is listed under them: a document.
pub fn set(public_url: &str, provider: &Organisation, terms: &Terms) -> Value {
    let target = json!({
        "@id": collection_iri(public_url, terms.id), "@type": "odrl:AssetCollection",
        "dct:description": "The corpora that the exchange lists under these terms.",
    });
    let policy = Policy { public_url, iri: set_iri(public_url, terms.id), provider, terms, target };
    document(public_url, policy.write("odrl:Set"))
}

/// Terms as an Offer, named `iri`, of one asset: a node, to be put into a [`document`] or into another one.
pub fn offer(public_url: &str, iri: String, provider: &Organisation, terms: &Terms, target: &str) -> Value {
    let target = json!({ "@id": target, "@type": "odrl:Asset" });
    Policy { public_url, iri, provider, terms, target }.write("odrl:Offer")
}

/// The name of an organisation.
pub fn organisation_iri(public_url: &str, handle: &str) -> String {
    format!("{public_url}/v1/organisations/{handle}")
}

/// The ODRL action of a use; one of our profile where ODRL has none.
fn action(used: Use) -> &'static str {
    match used {
        Use::Pretrain => "cx:pretrain",
        Use::Finetune => "cx:finetune",
        Use::Evaluate => "cx:evaluate",
        Use::Retrieve => "cx:retrieve",
        Use::Redistribute => "odrl:distribute",
        Use::Derive => "odrl:derive",
    }
}

/// What a policy is written from.
struct Policy<'a> {
    public_url: &'a str,
    iri: String,
    provider: &'a Organisation,
    terms: &'a Terms,
    target: Value,
}

impl Policy<'_> {
    fn write(&self, kind: &str) -> Value {
        let Terms { document, sha256, published_at, .. } = self.terms;
        let mut permissions: Vec<Value> =
            document.permitted_uses.iter().map(|used| self.permission(action(*used), Vec::new())).collect();
        if document.affiliates {
            let affiliates = constraint("odrl:recipient", "odrl:isA", named("cx:Affiliate"));
            permissions.push(self.permission("odrl:grantUse", vec![affiliates]));
        }
        self.impose(&mut permissions);
        let mut policy = json!({
            "@id": self.iri, "@type": kind,
            "odrl:profile": named(&format!("{}{PROFILE_PATH}", self.public_url)),
            "odrl:conflict": named("odrl:prohibit"),
            "dct:source": named(&format!("{}/v1/terms/{}", self.public_url, self.terms.id)),
            "dct:issued": typed(&published_at.to_string(), "xsd:dateTime"),
            "cx:termsSha256": sha256, "cx:divisible": document.divisible, "cx:preview": document.preview,
            "cx:newVersions": matches!(document.price, Price::Subscription { .. }),
            "odrl:permission": permissions,
        });
        let prohibited = document.prohibited_uses.iter();
        let prohibitions: Vec<Value> = prohibited.map(|used| self.rule("odrl:Prohibition", action(*used))).collect();
        if let Some(days) = document.evaluation_days {
            set_member(&mut policy, "cx:evaluationDays", json!(days));
        }
        if let Some(ExpectedDownloads { times, per_days }) = document.expected_downloads {
            set_member(&mut policy, "cx:expectedDownloads", json!(times));
            set_member(&mut policy, "cx:expectedDownloadDays", json!(per_days));
        }
        for (name, values) in [("odrl:prohibition", prohibitions), ("cx:revenueShare", self.revenue_shares())] {
            if !values.is_empty() {
                set_member(&mut policy, name, Value::Array(values));
            }
        }
        policy
    }

    /// A rule, with its action, its target and the party that makes it.
    fn rule(&self, kind: &str, action: &str) -> Value {
        json!({
            "@type": kind, "odrl:action": named(action), "odrl:target": self.target, "odrl:assigner": self.party(),
        })
    }

    /// The provider, as the same node in every rule.
    fn party(&self) -> Value {
        json!({
            "@id": organisation_iri(self.public_url, &self.provider.handle), "@type": "odrl:Party",
            "foaf:name": self.provider.legal_name,
        })
    }

    fn permission(&self, action: &str, more: Vec<Value>) -> Value {
        let mut permission = self.rule("odrl:Permission", action);
        let constraints = [constraints(&self.terms.document), more].concat();
        if !constraints.is_empty() {
            set_member(&mut permission, "odrl:constraint", Value::Array(constraints));
        }
        permission
    }

    /// Puts the duties under the permissions. A duty with a name is one duty wherever it stands, so that it is fulfilled
    /// once: the first permission describes it, and the others refer to it.
    fn impose(&self, permissions: &mut [Value]) {
        let duties = self.duties();
        let mut is_first = true;
        for permission in permissions {
            let mut own: Vec<Value> = match is_first {
                true => duties.clone(),
                false => duties.iter().map(|duty| json!({ "@id": duty["@id"] })).collect(),
            };
            is_first = false;
            if permission.pointer("/odrl:action/@id").is_some_and(|found| found == action(Use::Derive)) {
                own.extend(self.royalty());
            }
            if !own.is_empty() {
                set_member(permission, "odrl:duty", Value::Array(own));
            }
        }
    }

    fn duty(&self, name: &str, action: Value, role: &str) -> Value {
        json!({ "@id": format!("{}#{name}", self.iri), "@type": "odrl:Duty", "odrl:action": action, role: self.party() })
    }

    fn duties(&self) -> Vec<Value> {
        let document = &self.terms.document;
        let attribution =
            document.attribution.then(|| self.duty("attribution", named("odrl:attribute"), "odrl:attributedParty"));
        let refinements = match document.price {
            Price::Free {} => None,
            Price::OneOff { amount } => Some(vec![amount_paid(amount)]),
            Price::PerUnit { unit, amount, per } => Some(vec![
                amount_paid(amount),
                constraint("odrl:unitOfCount", "odrl:eq", named(&format!("cx:{unit}"))),
                constraint("cx:unitsPerAmount", "odrl:eq", json!(per)),
            ]),
            Price::Subscription { amount, per_days } => Some(vec![
                amount_paid(amount),
                constraint("odrl:unitOfCount", "odrl:eq", named("cx:day")),
                constraint("cx:unitsPerAmount", "odrl:eq", json!(per_days)),
            ]),
        };
        let compensation = refinements.map(|refinements| {
            self.duty("compensation", refined("odrl:compensate", refinements), "odrl:compensatedParty")
        });
        attribution.into_iter().chain(compensation).collect()
    }

    fn royalty(&self) -> Option<Value> {
        let points = self.terms.document.derivative_royalty_basis_points?;
        let percent = typed(&format!("{}.{:02}", points / 100, points % 100), "xsd:decimal");
        let refinements = vec![constraint("cx:percentOfSale", "odrl:eq", percent)];
        Some(self.duty("royalty", refined("cx:payRoyalty", refinements), "odrl:compensatedParty"))
    }

    fn revenue_shares(&self) -> Vec<Value> {
        let shares = self.terms.document.revenue_shares.iter().flatten();
        shares
            .map(|share| {
                let organisation = organisation_iri(self.public_url, &share.organisation);
                json!({ "@type": "cx:RevenueShare", "cx:organisation": named(&organisation), "cx:basisPoints": share.basis_points })
            })
            .collect()
    }
}

/// Where, for how long and by how many a permission may be used.
fn constraints(document: &TermsDocument) -> Vec<Value> {
    let mut constraints = Vec::new();
    if !document.territory.iter().any(|code| code == EVERYWHERE) {
        let countries = document.territory.iter().map(|code| named(&format!("{COUNTRIES}{code}"))).collect();
        constraints.push(constraint("odrl:spatial", "odrl:isAnyOf", Value::Array(countries)));
    }
    if let Some(days) = document.duration_days {
        constraints.push(constraint("odrl:elapsedTime", "odrl:lteq", typed(&format!("P{days}D"), "xsd:duration")));
    }
    if let Some(seats) = document.seats {
        constraints.push(constraint("cx:seats", "odrl:lteq", json!(seats)));
    }
    constraints
}

fn amount_paid(amount: Money) -> Value {
    let mut paid = constraint("odrl:payAmount", "odrl:eq", typed(&amount.decimal(), "xsd:decimal"));
    set_member(&mut paid, "odrl:unit", named(&format!("{CURRENCIES}{}", amount.currency)));
    paid
}

fn constraint(left: &str, operator: &str, right: Value) -> Value {
    json!({
        "@type": "odrl:Constraint",
        "odrl:leftOperand": named(left), "odrl:operator": named(operator), "odrl:rightOperand": right,
    })
}

/// An action that is narrowed: ODRL writes its name as an RDF value.
fn refined(action: &str, refinements: Vec<Value>) -> Value {
    json!({ "http://www.w3.org/1999/02/22-rdf-syntax-ns#value": named(action), "odrl:refinement": refinements })
}

fn named(iri: &str) -> Value {
    json!({ "@id": iri })
}

fn typed(value: &str, kind: &str) -> Value {
    json!({ "@value": value, "@type": kind })
}

fn set_member(node: &mut Value, name: &str, value: Value) {
    if let Some(members) = node.as_object_mut() {
        members.insert(name.to_string(), value);
    }
}

/// A word of our profile: its class, its name, the action that includes it if it is an action, its labels in English and in
/// Chinese, and its definition.
type Word = (&'static str, &'static str, Option<&'static str>, [&'static str; 2], &'static str);

/// Every word of our own.
const WORDS: &[Word] = &[
    ("odrl:Action", "pretrain", Some("odrl:use"), ["Pretrain", "预训练"], "To train a model from the beginning."),
    ("odrl:Action", "finetune", Some("odrl:use"), ["Fine-tune", "微调"], "To train an existing model further."),
    ("odrl:Action", "evaluate", Some("odrl:use"), ["Evaluate", "评测"], "To measure a model."),
    ("odrl:Action", "retrieve", Some("odrl:use"), ["Retrieve", "检索"], "To look passages up while a model answers."),
    (
        "odrl:Action",
        "payRoyalty",
        Some("odrl:compensate"),
        ["Pay a royalty", "支付分成"],
        "To pay the compensated party a part of each sale of a corpus that was made from the asset.",
    ),
    (
        "odrl:LeftOperand",
        "seats",
        None,
        ["Seats", "席位"],
        "How many of the licensee's credentials may use the licence at a time.",
    ),
    (
        "odrl:LeftOperand",
        "unitsPerAmount",
        None,
        ["Units per amount", "计价数量"],
        "For how many units of count the pay amount is asked. The total is rounded once, to the nearest minor unit, a half upwards.",
    ),
    (
        "odrl:LeftOperand",
        "percentOfSale",
        None,
        ["Percent of a sale", "销售百分比"],
        "A percentage of what the exchange's fee leaves of a sale.",
    ),
    (
        "skos:Concept",
        "record",
        None,
        ["Record", "记录"],
        "A unit of count: a record, as the signed manifest counts them.",
    ),
    ("skos:Concept", "byte", None, ["Byte", "字节"], "A unit of count: a byte."),
    ("skos:Concept", "token", None, ["Token", "词元"], "A unit of count: a token, as the signed manifest counts them."),
    ("skos:Concept", "day", None, ["Day", "天"], "A unit of count: a day of the licence's term."),
    (
        "rdfs:Class",
        "Affiliate",
        None,
        ["Affiliate", "关联方"],
        "Organisations that the exchange knows as affiliates of the licensee.",
    ),
    ("rdfs:Class", "RevenueShare", None, ["Revenue share", "收益份额"], "A co-builder's part of what a sale leaves."),
    ("rdf:Property", "revenueShare", None, ["Revenue share", "收益份额"], "From a policy to who shares the revenue."),
    ("rdf:Property", "organisation", None, ["Organisation", "机构"], "From a revenue share to whose it is."),
    ("rdf:Property", "basisPoints", None, ["Basis points", "基点"], "The size of a revenue share, in parts of 10,000."),
    (
        "rdf:Property",
        "divisible",
        None,
        ["Divisible", "可分"],
        "Whether a licensee may take some of the shards only, by language, domain or licence.",
    ),
    (
        "rdf:Property",
        "newVersions",
        None,
        ["New versions", "新版本"],
        "Whether the licence extends to later versions that come on the board while its term runs.",
    ),
    (
        "rdf:Property",
        "preview",
        None,
        ["Preview", "预览"],
        "Whether anyone who is signed in may see the first records of the sample.",
    ),
    (
        "rdf:Property",
        "evaluationDays",
        None,
        ["Days of evaluation", "试用天数"],
        "For how many days a sample may be evaluated free of charge before the purchase.",
    ),
    (
        "rdf:Property",
        "expectedDownloads",
        None,
        ["Expected downloads", "预期下载次数"],
        "How many times its bytes a licensee is expected to download within the expected download days. It may download more: both sides are told.",
    ),
    (
        "rdf:Property",
        "expectedDownloadDays",
        None,
        ["Days of expected downloads", "预期下载期间"],
        "Within how many days the expected downloads are counted, the present day included.",
    ),
    (
        "rdf:Property",
        "termsSha256",
        None,
        ["SHA-256 of the terms", "条款摘要"],
        "The SHA-256 of the terms that the provider signed, of their DSSE pre-authentication encoding.",
    ),
];

/// Our profile of ODRL: the words that policies use beside ODRL's own, and what they mean.
pub fn profile(public_url: &str) -> Value {
    let iri = format!("{public_url}{PROFILE_PATH}");
    let define = |(kind, name, included_in, [english, chinese], meaning): &Word| {
        let labels = json!([
            { "@value": english, "@language": "en" }, { "@value": chinese, "@language": "zh" },
        ]);
        let mut word = json!({
            "@id": format!("cx:{name}"), "@type": kind, "rdfs:isDefinedBy": named(&iri), "skos:prefLabel": labels,
            "skos:definition": { "@value": meaning, "@language": "en" },
        });
        if let Some(wider) = included_in {
            set_member(&mut word, "odrl:includedIn", named(wider));
        }
        word
    };
    let mut prefixes = context(public_url);
    for (prefix, namespace) in [
        ("owl", "http://www.w3.org/2002/07/owl#"),
        ("rdf", "http://www.w3.org/1999/02/22-rdf-syntax-ns#"),
        ("rdfs", "http://www.w3.org/2000/01/rdf-schema#"),
        ("skos", "http://www.w3.org/2004/02/skos/core#"),
    ] {
        prefixes.insert(prefix.to_string(), Value::String(namespace.to_string()));
    }
    let ontology = json!({
        "@id": iri, "@type": "owl:Ontology", "dct:title": "Licence terms of corpora: a profile of ODRL 2.2",
        "dct:description": "The uses of a corpus, and what its licence asks, where ODRL has no word of its own.",
    });
    let graph: Vec<Value> = std::iter::once(ontology).chain(WORDS.iter().map(define)).collect();
    json!({ "@context": prefixes, "@graph": graph })
}

#[cfg(test)]
#[path = "odrl_tests.rs"]
mod tests;
