//! Searches of the board, and the cursors that lead on.
//!
//! What is refused names its parameter. The pages of a search are its whole, in the same order; one more filter finds no
//! more; what is counted is there.
#![no_main]

use std::sync::LazyLock;

use corpex::catalog::{Dataset, Domain, Modality};
use corpex::error::Kind;
use corpex::market::search::{BoardIndex, Entry, LookedUp, Reach, Reading, SearchQuery, Sort};
use corpex::terms::Use;
use corpex::types::{Currency, Cursor, DatasetId, Instant, ListingId, Money, OrganisationId, TermsId, VersionId};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

const TITLES: &[&str] =
    &["全唐詩 poems", "Spring dawn", "語料 一", "naïve Poems of spring", "a-b c_d 12:30", "東京 の 夜"];
const MOST: i64 = 100;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    words: Option<&'a str>,
    facets: Vec<(u8, &'a str)>,
    max_price: Option<u64>,
    sort: u8,
    cursor: Option<&'a str>,
    limit: i64,
}

static BOARD: LazyLock<Reading> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join("corpex-fuzz-search");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder for the index");
    let mut index = BoardIndex::create(&folder).expect("an index");
    let entries: Vec<Entry> = (0..60).map(entry).collect();
    index.add(&entries).expect("it is added");
    index.commit(Reach(None)).expect("it is there");
    index.reading()
});

fuzz_target!(|input: Input| {
    let mut query =
        SearchQuery { q: input.words.map(String::from), max_price: input.max_price, ..SearchQuery::default() };
    for (facet, value) in input.facets.iter().take(4) {
        let place = match facet % 9 {
            0 => &mut query.modality,
            1 => &mut query.language,
            2 => &mut query.domain,
            3 => &mut query.r#use,
            4 => &mut query.price,
            5 => &mut query.size,
            6 => &mut query.format,
            7 => &mut query.provider,
            _ => &mut query.organisation,
        };
        *place = Some(value.to_string());
    }
    query.sort = Sort::ALL.get(usize::from(input.sort)).copied();
    let asked = SearchQuery { cursor: input.cursor.map(String::from), limit: Some(input.limit), ..query.clone() };
    let _ = look_up(&asked);
    query.limit = Some(MOST);
    let Some(whole) = look_up(&query) else { return };
    assert_eq!(whole.listings.len() as u64, whole.total);
    assert!(whole.next.is_none());
    assert!(whole.facets.values().flatten().all(|counted| (1..=whole.total).contains(&counted.count)));
    let size = input.limit.rem_euclid(30) + 5;
    let (mut pages, mut next) = (Vec::new(), Some(None));
    while let Some(cursor) = next {
        let page = SearchQuery { cursor, limit: Some(size), ..query.clone() };
        let page = look_up(&page).expect("the exchange's own cursor is read");
        assert_eq!(page.total, whole.total);
        pages.extend(page.listings);
        next = page.next.map(|Cursor(text)| Some(text));
        assert!(pages.len() <= whole.listings.len());
    }
    assert_eq!(pages, whole.listings);
    let narrower = SearchQuery { modality: Some("text".into()), ..query.clone() };
    if query.modality.is_none() {
        let narrower = look_up(&narrower).expect("one facet more is no fault");
        assert!(narrower.listings.iter().all(|listing| whole.listings.contains(listing)));
    }
});

fn look_up(query: &SearchQuery) -> Option<LookedUp> {
    match BOARD.look_up(query) {
        Ok(found) => Some(found),
        Err(error) => {
            assert!(error.kind == Kind::Invalid && error.field.is_some(), "{error:?}");
            None
        }
    }
}

fn entry(n: u8) -> Entry {
    let now = Instant::from_unix_micros(1_700_000_000_000_000 + i64::from(n) / 2);
    let one = |many: usize| usize::from(n) % many;
    let dataset = Dataset {
        id: DatasetId::from_u128((0x0190_u128 << 112 | 7 << 76 | 2 << 62) + u128::from(n)),
        organisation_id: OrganisationId::first_at(now),
        handle: format!("provider-{}", one(3)),
        name: format!("corpus-{n}"),
        title: TITLES[one(TITLES.len())].to_string(),
        modality: Modality::ALL[one(Modality::ALL.len())],
        domain: Domain::ALL[one(Domain::ALL.len())],
        languages: vec![["zh-Hans", "en", "zh-Hant", "de"][one(4)].to_string()],
        created_at: now,
    };
    Entry {
        card: format!("---\ntags: [{}]\n---\n{} spring 春\n", TITLES[one(5)].replace(':', ""), TITLES[one(4)]),
        listing: ListingId::from_u128((0x0190_u128 << 112 | 7 << 76 | 2 << 62) + u128::from(n)),
        version_id: VersionId::first_at(now),
        terms_id: TermsId::first_at(now),
        dataset,
        version: 1,
        provider: format!("Provider {} Ltd", one(3)),
        size_bytes: 1 << one(44),
        price: Money::new(10_i64.pow(u32::from(n) % 10), Currency::CNY),
        uses: Use::ALL.iter().copied().filter(|wanted| (*wanted as u8 + n) % 2 == 0).collect(),
        formats: vec![["jsonl", "parquet", "tar"][one(3)].to_string()],
        not_applicable: vec!["personal_information".to_string()],
        columns: Vec::new(),
    }
}
