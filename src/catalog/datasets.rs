//! Datasets: what they are called and how they are described.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Dataset, queries};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{self, Caller, Role};
use crate::text_enum;
use crate::types::{DatasetId, Instant, OrganisationId, Page, PageQuery};

const MAX_NAME_LENGTH: usize = 96;
const MAX_TITLE_CHARS: usize = 200;
const MAX_LANGUAGES: usize = 100;

text_enum! {
    /// The kind of data.
    pub enum Modality {
        /// Text.
        Text = "text",
        /// Images.
        Image = "image",
        /// Sound.
        Audio = "audio",
        /// Moving images.
        Video = "video",
        /// Several kinds that belong together.
        Multimodal = "multimodal",
        /// Tables.
        Tabular = "tabular",
        /// Series of measurements.
        TimeSeries = "time_series",
        /// Program code.
        Code = "code",
        /// Places, maps, trajectories.
        Geospatial = "geospatial",
        /// Point clouds, meshes, scenes.
        ThreeD = "3d",
        /// Graphs.
        Graph = "graph",
    }
}

text_enum! {
    /// The trade or field a dataset is about.
    pub enum Domain {
        /// No field in particular.
        General = "general",
        /// Manufacturing.
        Manufacturing = "manufacturing",
        /// Medicine and the life sciences.
        Biomedicine = "biomedicine",
        /// Integrated circuits.
        IntegratedCircuits = "integrated_circuits",
        /// Education.
        Education = "education",
        /// Finance.
        Finance = "finance",
        /// Design.
        Design = "design",
        /// Autonomous driving.
        AutonomousDriving = "autonomous_driving",
        /// Robotics.
        Robotics = "robotics",
        /// Government.
        Government = "government",
        /// Law.
        Law = "law",
        /// Science and research.
        Science = "science",
        /// Software.
        Software = "software",
        /// Culture, literature and the arts.
        Culture = "culture",
        /// News and media.
        Media = "media",
        /// Agriculture.
        Agriculture = "agriculture",
        /// Energy.
        Energy = "energy",
        /// Transport and logistics.
        Transport = "transport",
        /// Telecommunications.
        Telecommunications = "telecommunications",
        /// Trade and consumption.
        Commerce = "commerce",
        /// Tourism.
        Tourism = "tourism",
        /// Geography, climate and the environment.
        Environment = "environment",
        /// Anything else.
        Other = "other",
    }
}

/// What is stated about a dataset when it is registered.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDataset {
    /// The handle of the organisation that offers it.
    pub organisation: String,
    /// 1 to 96 letters, digits, '.', '_' and '-'.
    pub name: String,
    /// The title that people read, at most 200 characters.
    pub title: String,
    /// What kind of data it is.
    pub modality: Modality,
    /// What it is about.
    pub domain: Domain,
    /// In which languages: BCP 47 tags, for example zh-Hans.
    #[serde(default)]
    pub languages: Vec<String>,
}

/// Which datasets are wanted.
#[derive(Debug, Clone, Default)]
pub struct DatasetQuery {
    /// The `next` of the page before; absent for the first page.
    pub cursor: Option<String>,
    /// The most items wanted, 1 to 1000; 100 when absent.
    pub limit: Option<i64>,
    /// The handle of the organisation.
    pub organisation: Option<String>,
}

/// Registers a dataset.
///
/// # Errors
/// `NotFound` or `Forbidden` for those who may not; `WrongState` while the organisation is not verified; `Invalid`
/// naming the field; `AlreadyExists` when the name is taken, in whatever case.
pub fn create(c: &mut Conn, caller: &Caller, input: &NewDataset, now: Instant) -> Result<Dataset> {
    let organisation = identity::for_member(c, caller, &input.organisation, Role::DEALERS)?;
    identity::require_verified(&organisation)?;
    check(input)?;
    if queries::has_dataset_named(c, organisation.id, &input.name)? {
        let detail = format!("{} has a dataset named {:?} already", organisation.handle, input.name);
        return Err(Error::new(Kind::AlreadyExists, detail).field("name").remedy("choose another name"));
    }
    let dataset = Dataset {
        id: DatasetId::new(now),
        organisation_id: organisation.id,
        handle: organisation.handle,
        name: input.name.clone(),
        title: input.title.trim().to_string(),
        modality: input.modality,
        domain: input.domain,
        languages: input.languages.clone(),
        created_at: now,
    };
    queries::insert_dataset(c, &dataset)?;
    history::record(c, dataset.id, None, "registered", caller.user_id, "registered", now)?;
    Ok(dataset)
}

/// The datasets that `caller` may see, newest first.
///
/// # Errors
/// `Invalid`, naming the parameter.
pub fn list(c: &mut Conn, caller: Option<&Caller>, query: &DatasetQuery) -> Result<Page<Dataset>> {
    let page = PageQuery { cursor: query.cursor.clone(), limit: query.limit };
    let limit = page.limit()?;
    let before = page.cursor.as_deref().map(str::parse::<DatasetId>).transpose();
    let before = before.map_err(|error| error.field("cursor"))?;
    if query.organisation.as_deref().is_some_and(|handle| handle.contains('\0')) {
        return Err(Error::invalid("organisation", "a handle contains no NUL"));
    }
    let filter = queries::DatasetFilter { sees: sees(caller), handle: query.organisation.clone(), before };
    let rows = queries::list_datasets(c, &filter, limit.saturating_add(1))?;
    Ok(Page::new(rows, limit, |dataset| dataset.id.to_string()))
}

/// Of which organisations a caller sees what is not yet assessed: the list form of [`super::is_insider`].
pub(super) fn sees(caller: Option<&Caller>) -> queries::Sees {
    match caller {
        Some(caller) if caller.is_staff() => queries::Sees::Everything,
        Some(caller) => queries::Sees::AllOf(caller.organisations()),
        None => queries::Sees::AllOf(Vec::<OrganisationId>::new()),
    }
}

fn check(input: &NewDataset) -> Result<()> {
    check_name(&input.name)?;
    let title = input.title.trim();
    if title.is_empty() || title.chars().count() > MAX_TITLE_CHARS || title.chars().any(char::is_control) {
        let detail = format!("a title is 1 to {MAX_TITLE_CHARS} characters, without control characters");
        return Err(Error::invalid("title", detail));
    }
    if input.languages.len() > MAX_LANGUAGES {
        return Err(Error::invalid("languages", format!("a dataset names at most {MAX_LANGUAGES} languages")));
    }
    for (index, tag) in input.languages.iter().enumerate() {
        let field = format!("languages[{index}]");
        check_language(tag).map_err(|error| error.field(&field))?;
        if input.languages.iter().take(index).any(|earlier| earlier.eq_ignore_ascii_case(tag)) {
            return Err(Error::invalid(field, format!("{tag:?} is named twice")));
        }
    }
    Ok(())
}

/// Checks a dataset's name by the rules of the Hugging Face Hub: 1 to 96 of `A-Za-z0-9._-`, neither starting nor
/// ending with `.` or `-`, without `--` and `..`, not ending in `.git`.
///
/// # Errors
/// `Invalid`, field `name`.
pub fn check_name(name: &str) -> Result<()> {
    let refused = |why: String| Err(Error::invalid("name", format!("the name {name:?} {why}")));
    if name.is_empty() || name.len() > MAX_NAME_LENGTH {
        return refused(format!("is not 1 to {MAX_NAME_LENGTH} characters long"));
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        return refused("may only contain letters a to z, digits, '.', '_' and '-'".to_string());
    }
    if name.starts_with(['.', '-']) || name.ends_with(['.', '-']) {
        return refused("may not start or end with '.' or '-'".to_string());
    }
    if name.contains("--") || name.contains("..") {
        return refused("may not contain '--' or '..'".to_string());
    }
    if name.to_ascii_lowercase().ends_with(".git") {
        return refused("may not end in '.git'".to_string());
    }
    Ok(())
}

/// Checks that a tag has the shape of a BCP 47 language tag (RFC 5646): a language of 2 to 8 letters, then subtags
/// of 1 to 8 letters and digits, or a private tag `x-…`.
pub(super) fn check_language(tag: &str) -> Result<()> {
    let mut subtags = tag.split('-');
    let language = subtags.next().unwrap_or_default();
    let private = language.eq_ignore_ascii_case("x") && tag.len() > 2;
    let named = (2..=8).contains(&language.len()) && language.bytes().all(|b| b.is_ascii_alphabetic());
    let rest = subtags.all(|tag| (1..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric()));
    if (private || named) && rest && tag.len() <= 35 {
        return Ok(());
    }
    Err(Error::invalid("", format!("{tag:?} is not a language tag of BCP 47 such as zh, zh-Hans or en-GB")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_the_hub() {
        for name in ["a", "tang-poems", "_private_", "Tang.Poems_2", &"a".repeat(96)] {
            check_name(name).unwrap_or_else(|error| panic!("{error}"));
        }
        for name in ["", ".a", "a.", "-a", "a-", "a--b", "a..b", "a b", "a/b", "唐诗", "a\0", "x.git", &"a".repeat(97)]
        {
            assert_eq!(check_name(name).unwrap_err().field.as_deref(), Some("name"), "{name:?}");
        }
    }

    #[test]
    fn language_tags_have_the_shape_of_bcp_47() {
        for tag in ["zh", "zh-Hans", "en-GB", "lzh", "de-1996", "x-klingon", "zh-Hant-TW", "und"] {
            check_language(tag).unwrap_or_else(|error| panic!("{error}"));
        }
        for tag in ["", "z", "x", "x-", "zh_CN", "zh-", "中文", "1a", "zh--CN", "englishlanguage"] {
            assert!(check_language(tag).is_err(), "{tag:?}");
        }
    }

    #[test]
    fn a_fault_in_a_description_names_its_field() {
        let good = NewDataset {
            organisation: "shici".into(),
            name: "tang".into(),
            title: "全唐詩".into(),
            modality: Modality::Text,
            domain: Domain::Culture,
            languages: vec!["lzh".into(), "zh-Hant".into()],
        };
        check(&good).unwrap();
        let field = |change: fn(&mut NewDataset)| {
            let mut input = good.clone();
            change(&mut input);
            check(&input).unwrap_err().field.unwrap()
        };
        assert_eq!(field(|d| d.title = " ".into()), "title");
        assert_eq!(field(|d| d.title = "a\nb".into()), "title");
        assert_eq!(field(|d| d.languages[1] = "zh_CN".into()), "languages[1]");
        assert_eq!(field(|d| d.languages[1] = "LZH".into()), "languages[1]");
        assert_eq!(field(|d| d.languages = vec!["zh".into(); 101]), "languages");
    }
}
