//! How fast the index of a million listings is built from the database, follows changes, and is searched in Chinese and
//! English with all facets counted.
//!
//! `cargo bench --bench search` fills an SQLite file in a temporary folder, and fails when the figures are not met.
//! `CORPEX_BENCH_ROWS` makes the number of listings smaller.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_precision_loss)]
#![allow(clippy::print_stdout, clippy::cast_sign_loss)]

#[path = "search/board.rs"]
mod board;
mod measure;

use std::path::Path;
use std::time::{Duration, Instant as Stopwatch};

use corpex::app::App;
use corpex::catalog::{Dataset, Domain, Modality};
use corpex::cli::client::Client;
use corpex::config::Config;
use corpex::db::Db;
use corpex::market::search::{self, BoardIndex, Entry, Reach, SearchQuery, Sort};
use corpex::server::Running;
use corpex::terms::Use;
use corpex::types::{Clock, Currency, DatasetId, Instant, ListingId, Money, OrganisationId, TermsId, VersionId};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tokio_util::sync::CancellationToken;

use measure::Figure;

const PROVIDERS: usize = 5_000;
const ENGLISH_WORDS: usize = 20_000;
const QUERIES: usize = 2_000;
const BATCHES: usize = 20;
const BATCH: usize = 1_000;
const P99_AT_MOST: Duration = Duration::from_millis(15);
const BUILT_WITHIN: Duration = Duration::from_secs(30);
const FOLLOWED_AT_LEAST: f64 = 1_000.0;
const READY_WITHIN: Duration = Duration::from_millis(200);
const STARTS: usize = 5;
/// Words of the trade, each of which jieba knows.
const CHINESE: &str = "语料 数据 中文 英文 自动 驾驶 医学 影像 教育 试题 金融 新闻 法律 文书 诗歌 古籍 小说 对话 语音 识别 翻译 平行 \
    标注 图像 视频 卫星 遥感 地图 交通 车辆 行人 工业 制造 机器 设备 故障 诊断 芯片 设计 代码 软件 测试 开源 论文 科学 化学 物理 \
    生物 基因 药物 临床 病历 医院 学校 学生 教师 课程 考试 银行 股票 基金 保险 合同 法院 判决 政府 政策 公告 气象 气候 农业 \
    作物 土壤 能源 电力 电网 石油 煤炭 物流 仓库 商品 评论 用户 搜索 推荐 广告 旅游 酒店 景点 文化 音乐 歌曲 电影 美术 书法";

fn main() {
    // `cargo test --all-targets` and `cargo bench` both run this; only the latter says so.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let rows: usize = std::env::var("CORPEX_BENCH_ROWS").ok().map_or(1_000_000, |rows| rows.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut maker = Maker::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut figures = vec![runtime.block_on(build(folder.path(), &mut maker, rows))];
    figures.push(runtime.block_on(start(folder.path())));
    drop(runtime);
    let mut index = BoardIndex::open(&folder.path().join("search/0/index")).unwrap();
    figures.push(follow(&mut index, &mut maker));
    figures.extend(look_up(&index, &maker));
    figures.push(Figure::noted("MiB resident", (measure::resident_kib("self") / 1024) as f64));
    measure::require(&figures);
}

/// As the index of an exchange is built that was lost: until the first search is answered.
async fn build(folder: &Path, maker: &mut Maker, rows: usize) -> Figure {
    let mut config = Config::embedded(folder);
    config.no_worker = true;
    let started = Stopwatch::now();
    Db::open(&config.database_url(), 1).unwrap().migrate().await.unwrap();
    board::fill(&folder.join("corpex.sqlite3"), rows, || maker.title_and_card());
    println!("{rows} listings put on the board in {:.1?}", started.elapsed());
    let app = App::open(config).await.unwrap();
    let stop = CancellationToken::new();
    let started = Stopwatch::now();
    let follower = tokio::spawn(search::follow(app.clone(), stop.clone()));
    let all = SearchQuery { sort: Some(Sort::Newest), ..SearchQuery::default() };
    let found = loop {
        if let Ok(found) = search::search(&app, &all).await {
            break found;
        }
    };
    let took = started.elapsed();
    assert_eq!(found.total, rows as u64);
    stop.cancel();
    follower.await.unwrap();
    let what = format!("s until {} listings are read and indexed", found.total);
    Figure::at_most(&what, took.as_secs_f64(), BUILT_WITHIN.as_secs_f64())
}

/// As an exchange with all of these listings starts, until it says that it is ready.
async fn start(folder: &Path) -> Figure {
    let mut took = Vec::new();
    for _ in 0..STARTS {
        let started = Stopwatch::now();
        let running = Running::start(Config::embedded(folder)).await.unwrap();
        let client = Client::new(&running.url, None).unwrap();
        while client.get("/readyz").text().await.is_err() {}
        took.push(started.elapsed().as_secs_f64());
        running.stop().await.unwrap();
    }
    Figure::at_most("s from the start until ready", measure::median(took), READY_WITHIN.as_secs_f64())
}

/// As changes are followed: listings a second, durable and found.
fn follow(index: &mut BoardIndex, maker: &mut Maker) -> Figure {
    let batches: Vec<Vec<Entry>> = (0..BATCHES).map(|_| (0..BATCH).map(|_| maker.entry()).collect()).collect();
    let started = Stopwatch::now();
    for entries in batches {
        let datasets: Vec<DatasetId> = entries.iter().map(|entry| entry.dataset.id).collect();
        index.remove(&datasets).unwrap();
        index.add(&entries).unwrap();
        index.commit(Reach(None)).unwrap();
    }
    let rate = (BATCHES * BATCH) as f64 / started.elapsed().as_secs_f64();
    Figure::at_least(&format!("listings/s followed, {BATCH} to a commit"), rate, FOLLOWED_AT_LEAST)
}

fn look_up(index: &BoardIndex, maker: &Maker) -> Vec<Figure> {
    let mut random = StdRng::seed_from_u64(7);
    let mut figures = Vec::new();
    for (name, words) in [("English", 1), ("English", 2), ("Chinese", 1), ("Chinese", 2), ("both", 2)] {
        let mut took = Vec::with_capacity(QUERIES);
        let mut found = 0;
        for at in 0..QUERIES {
            let chosen: Vec<&str> = (0..words)
                .map(|nth| match name == "Chinese" || (name == "both" && nth == 0) {
                    true => *maker.chinese.choose(&mut random).unwrap(),
                    false => maker.english(&mut random),
                })
                .collect();
            let query = SearchQuery {
                q: Some(chosen.join(" ")),
                sort: Some(Sort::ALL[at % Sort::ALL.len()]),
                ..SearchQuery::default()
            };
            let started = Stopwatch::now();
            let answer = index.reading().look_up(&query).unwrap();
            took.push(started.elapsed());
            found += answer.total;
        }
        took.sort_unstable();
        let (median, p99) = (took[QUERIES / 2], took[QUERIES * 99 / 100]);
        let mean = found as usize / QUERIES;
        println!("{words} word(s), {name}: median {median:.2?}; {mean} found on average");
        let what = format!("p99 of a search, {words} word(s), {name}, ms");
        figures.push(Figure::at_most(&what, p99.as_secs_f64() * 1000.0, P99_AT_MOST.as_secs_f64() * 1000.0));
    }
    figures
}

/// Makes listings up.
struct Maker {
    random: StdRng,
    now: Instant,
    english: Vec<String>,
    chinese: Vec<&'static str>,
    providers: Vec<OrganisationId>,
}

impl Maker {
    fn new() -> Self {
        let (mut random, now) = (StdRng::seed_from_u64(1), Clock::default().now());
        let syllables =
            ["ba", "co", "du", "fen", "gri", "hal", "jo", "kar", "lim", "mo", "ner", "pal", "qui", "ros", "tun", "vex"];
        let mut word = || (0..3).map(|_| *syllables.choose(&mut random).unwrap()).collect::<String>();
        let english = (0..ENGLISH_WORDS).map(|_| word()).collect();
        let providers = (0..PROVIDERS).map(|_| OrganisationId::new(now)).collect();
        Self { random, now, english, chinese: CHINESE.split_whitespace().collect(), providers }
    }

    /// A word; as in real texts, few are frequent and most are rare.
    fn english<'a>(&'a self, random: &mut StdRng) -> &'a str {
        let x: f64 = random.random();
        &self.english[((self.english.len() as f64).powf(x) as usize).min(self.english.len() - 1)]
    }

    fn text(&self, random: &mut StdRng, english: usize, chinese: usize) -> String {
        let mut text: String = (0..english).map(|_| self.english(random).to_string() + " ").collect();
        text.extend((0..chinese).map(|_| *self.chinese.choose(random).unwrap()));
        text
    }

    /// What a listing is called, and its card.
    fn title_and_card(&mut self) -> (String, String) {
        let mut random = StdRng::from_rng(&mut self.random);
        let title = self.text(&mut random, 3, 3);
        (title, format!("---\ntags: [{}]\n---\n{}", self.text(&mut random, 1, 1), self.text(&mut random, 20, 10)))
    }

    fn entry(&mut self) -> Entry {
        let (title, card) = self.title_and_card();
        let mut random = StdRng::from_rng(&mut self.random);
        let provider = random.random_range(0..PROVIDERS);
        let now = self.now;
        let dataset = Dataset {
            id: DatasetId::new(now),
            organisation_id: self.providers[provider],
            handle: format!("provider-{provider}"),
            name: format!("corpus-{}", random.random_range(0..1_000_000)),
            title,
            modality: *Modality::ALL.choose(&mut random).unwrap(),
            domain: *Domain::ALL.choose(&mut random).unwrap(),
            languages: vec![(*["zh-Hans", "en", "zh-Hant", "de", "ja"].choose(&mut random).unwrap()).to_string()],
            created_at: now,
        };
        let uses: Vec<Use> = Use::ALL.iter().copied().filter(|_| random.random_bool(0.5)).collect();
        Entry {
            card,
            listing: ListingId::new(now),
            version_id: VersionId::new(now),
            terms_id: TermsId::new(now),
            dataset,
            version: 1,
            provider: format!("Provider {provider} Ltd"),
            size_bytes: 1 << random.random_range(10..44),
            price: Money::new(10_i64.pow(random.random_range(0..10)), Currency::CNY),
            uses,
            formats: vec![(*["jsonl", "parquet", "tar"].choose(&mut random).unwrap()).to_string()],
            not_applicable: vec!["personal_information".to_string()],
            columns: Vec::new(),
        }
    }
}
