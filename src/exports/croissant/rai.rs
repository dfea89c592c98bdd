//! What a card says about responsible use, in the RAI vocabulary (<http://mlcommons.org/croissant/RAI/1.0>).

use serde_json::{Map, Value, json};
use yaml_serde::Value as Yaml;

use crate::catalog::card::Card;
use crate::catalog::manifest::{CollectionMethod, Origin, PersonalData};

/// The words of the RAI vocabulary that a card may use under `rai`.
const RAI_WORDS: &[&str] = &[
    "annotationsPerItem",
    "annotatorDemographics",
    "dataAnnotationAnalysis",
    "dataAnnotationPlatform",
    "dataAnnotationProtocol",
    "dataBiases",
    "dataCollection",
    "dataCollectionMissingData",
    "dataCollectionRawData",
    "dataCollectionTimeframe",
    "dataCollectionType",
    "dataImputationProtocol",
    "dataLimitations",
    "dataManipulationProtocol",
    "dataPreprocessingProtocol",
    "dataReleaseMaintenancePlan",
    "dataSocialImpact",
    "dataUseCases",
    "machineAnnotationTools",
    "personalSensitiveInformation",
];

/// What a card says of responsible use: under `rai` in the vocabulary's own words, and under `provenance` in ours.
pub(super) fn rai(card: &Card<'_>) -> Map<String, Value> {
    let mut said = Map::new();
    if let Ok(origin) = card.origin() {
        said.extend(rai_of(&origin));
    }
    for word in RAI_WORDS {
        let value = card.front_matter.get("rai").and_then(|rai| rai.get(*word));
        let texts: Vec<Value> = match value {
            Some(Yaml::Sequence(items)) => items.iter().filter_map(text).collect(),
            Some(value) => text(value).into_iter().collect(),
            None => continue,
        };
        if !texts.is_empty() {
            said.insert(format!("rai:{word}"), Value::Array(texts));
        }
    }
    said
}

fn text(value: &Yaml) -> Option<Value> {
    match value {
        Yaml::String(text) => Some(json!(text)),
        Yaml::Number(number) => Some(json!(number.to_string())),
        _ => None,
    }
}

fn rai_of(origin: &Origin) -> Map<String, Value> {
    use CollectionMethod::*;
    let method = match origin.collection_method {
        WebScraping => "Web Scraping",
        Feeds | Syndication => "Web API",
        DataMining => "Secondary Data analysis",
        SensorOutput => "Direct measurement",
        SocialMedia | UserGeneratedContent => "User-generated content data",
        PrimaryUserSource => "Surveys",
        MachineGenerated | DataAugmentation | TransferLearning | Simulation | Other => "Others",
    };
    let people = match origin.personal_data {
        PersonalData::None => "No personal data.",
        PersonalData::Anonymised => "Personal data was removed, and cannot be restored.",
        PersonalData::Pseudonymised => "Personal data can be restored with information kept elsewhere.",
        PersonalData::Personal => "Personal data.",
        PersonalData::Sensitive => "Sensitive personal data.",
    };
    let days: Vec<&String> = origin.collected_from.iter().chain(&origin.collected_to).collect();
    let mut said = Map::from_iter([
        ("rai:dataCollectionType".to_string(), json!(method)),
        ("rai:personalSensitiveInformation".to_string(), json!(people)),
    ]);
    if !days.is_empty() {
        said.insert("rai:dataCollectionTimeframe".to_string(), json!(days));
    }
    said
}
