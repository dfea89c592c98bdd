//! However much is found, an answer is what looking at every listing would give.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::*;
use crate::catalog::{Dataset, Domain, Modality};
use crate::market::search::{BoardIndex, Counted, Entry, Facet, Reach, SearchQuery};
use crate::terms::Use;
use crate::types::{Currency, DatasetId, Instant, ListingId, Money, OrganisationId, TermsId, VersionId};

const LISTINGS: usize = 700;

/// One in so many has the word there: in the title, among the tags, in the text of the card.
const WORDS: [(&str, [usize; 3]); 4] =
    [("spring", [2, 5, 1]), ("autumn", [7, 3, 2]), ("rarely", [400, 350, 150]), ("nowhere", [usize::MAX; 3])];

/// What else is asked for, and which listings that leaves.
type Filter = (fn(&mut SearchQuery), fn(&Entry) -> bool);

const FILTERS: [Filter; 3] = [
    (|_| {}, |_| true),
    (|query| query.max_price = Some(9), |entry| entry.price.amount_minor <= 9),
    (
        |query| query.modality = Some(format!("{},{}", Modality::ALL[0], Modality::ALL[1])),
        |entry| entry.dataset.modality != Modality::ALL[2],
    ),
];

fn has(n: usize, word: &str, place: usize) -> bool {
    WORDS.iter().any(|(known, every)| *known == word && n % every[place] == 1 % every[place])
}

fn entry(n: usize) -> Entry {
    let now = Instant::from_unix_micros(1_800_000_000_000_000);
    let said = |place: usize| WORDS.map(|(word, _)| if has(n, word, place) { word } else { "x" }).join(" ");
    let tags = said(1).split(' ').map(|tag| format!("\"{tag}\"")).collect::<Vec<_>>().join(", ");
    let dataset = Dataset {
        id: DatasetId::new(now),
        organisation_id: OrganisationId::new(now),
        handle: format!("provider-{}", n % 90),
        name: format!("corpus-{n}"),
        title: said(0),
        modality: Modality::ALL[n % 3],
        domain: Domain::ALL[n % 7],
        languages: vec!["en".to_string()],
        created_at: now,
    };
    Entry {
        listing: ListingId::new(now),
        version_id: VersionId::new(now),
        terms_id: TermsId::new(now),
        dataset,
        version: 1,
        card: format!("---\ntags: [{tags}]\n---\n{}", said(2)),
        provider: "A provider".to_string(),
        size_bytes: u64::try_from(n % 50).unwrap(),
        price: Money::new(i64::try_from(n % 20).unwrap(), Currency::CNY),
        uses: vec![Use::Pretrain],
        formats: Vec::new(),
        not_applicable: Vec::new(),
        columns: Vec::new(),
    }
}

/// What a listing is sorted by, if it has all words.
fn value(n: usize, entry: &Entry, words: &str, sort: Sort) -> Option<u64> {
    let of_word = |word: &str| {
        let anywhere = (0..3).any(|place| has(n, word, place));
        anywhere.then(|| 1 + 8 * u64::from(has(n, word, 0)) + 4 * u64::from(has(n, word, 1)))
    };
    let relevance: Option<Vec<u64>> = words.split_whitespace().map(of_word).collect();
    let relevance = relevance?.into_iter().sum();
    Some(match sort {
        Sort::Relevance => relevance,
        Sort::Newest => 0,
        Sort::Size => entry.size_bytes,
        Sort::Price => u64::MAX - u64::try_from(entry.price.amount_minor).unwrap(),
    })
}

/// How many of these have each value of a facet.
fn counted(found: &[(u64, ListingId, &Entry)], value: impl Fn(&Entry) -> String) -> Vec<Counted> {
    let mut each: BTreeMap<String, u64> = BTreeMap::new();
    found.iter().for_each(|(_, _, entry)| *each.entry(value(entry)).or_default() += 1);
    let mut counted: Vec<_> = each.into_iter().map(|(value, count)| Counted { value, count }).collect();
    counted.sort_by_key(|counted| Reverse(counted.count)); // stable: by name among equals
    counted.truncate(50);
    counted
}

/// Three segments, of which two were built side by side, and from which listings were removed again.
fn board(folder: &std::path::Path) -> (BoardIndex, Vec<(usize, Entry)>) {
    let mut entries: Vec<(usize, Entry)> = (0..LISTINGS).map(|n| (n, entry(n))).collect();
    let mut parts = entries.chunks(300).map(|part| part.iter().map(|(_, e)| e.clone()).collect::<Vec<Entry>>());
    let index = BoardIndex::create(folder).unwrap();
    let mut builders = index.builders(2);
    for builder in &mut builders {
        builder.add(&parts.next().unwrap()).unwrap();
        builder.end().unwrap();
    }
    index.assemble(builders, Reach(None)).unwrap();
    let mut index = BoardIndex::open(folder).unwrap();
    index.add(&parts.next().unwrap()).unwrap();
    index.commit(Reach(None)).unwrap();
    let gone: Vec<DatasetId> = entries.iter().filter(|(n, _)| n % 10 == 4).map(|(_, e)| e.dataset.id).collect();
    index.remove(&gone).unwrap();
    index.commit(Reach(None)).unwrap();
    entries.retain(|(n, _)| n % 10 != 4);
    (index, entries)
}

#[test]
fn every_page_is_what_looking_at_each_listing_gives() {
    let folder = tempfile::tempdir().unwrap();
    let (index, entries) = board(folder.path());
    for words in ["", "spring", "autumn", "rarely", "spring autumn", "rarely spring", "spring rarely autumn", "nowhere"]
    {
        for (sort, (narrow, fits)) in Sort::ALL.iter().flat_map(|sort| FILTERS.map(|filter| (*sort, filter))) {
            let fitting = entries.iter().filter(|(_, e)| fits(e));
            let valued = fitting.filter_map(|(n, e)| Some((value(*n, e, words, sort)?, e.listing, e)));
            let mut expected: Vec<_> = valued.collect();
            expected.sort_by_key(|(value, listing, _)| Reverse((*value, *listing)));
            let mut query =
                SearchQuery { q: Some(words.to_string()), sort: Some(sort), limit: Some(37), ..SearchQuery::default() };
            narrow(&mut query);
            let (mut found, mut pages) = (Vec::new(), 0);
            loop {
                let answer = index.reading().look_up(&query).unwrap();
                assert_eq!(answer.total, u64::try_from(expected.len()).unwrap(), "{words:?}");
                assert_eq!(answer.facets[&Facet::Modality], counted(&expected, |e| e.dataset.modality.to_string()));
                assert_eq!(answer.facets[&Facet::Provider], counted(&expected, |e| e.dataset.handle.clone()));
                found.extend(answer.listings);
                pages += 1;
                match answer.next {
                    Some(next) if pages < 5 => query.cursor = Some(next.0),
                    _ => break,
                }
            }
            let expected: Vec<ListingId> = expected.iter().map(|(_, listing, _)| *listing).take(pages * 37).collect();
            assert_eq!(found, expected, "{words:?} by {sort}");
        }
    }
}
