//! The contract in Chinese: 语料数据交易合同.

use std::time::Duration;

use super::{item, said, to_the_second};
use crate::catalog::{Part, Selection};
use crate::market::contracts::amounts::{in_capitals, in_groups};
use crate::market::contracts::document::{ContractDocument, Party, PricedBy, PricedIn};
use crate::market::contracts::rendering::{Line, Paper};
use crate::terms::{ExpectedDownloads, Use};
use crate::types::{Instant, Money};

/// Beijing time is ahead of UTC, all year.
const BEIJING: Duration = Duration::from_secs(8 * 3600);

pub(in crate::market::contracts) fn paper(document: &ContractDocument) -> Paper {
    Paper {
        language: "zh-CN",
        colon: "：",
        title: "语料数据交易合同",
        head: head(document),
        clauses: vec![
            ("第一条　交易标的", subject_matter(document)),
            ("第二条　用途", purpose(document)),
            ("第三条　价款与支付", price(document)),
            ("第四条　交付与验收", delivery(document)),
            ("第五条　授权期限与地域", term(document)),
            ("第六条　权利限制", limits(document)),
            ("第七条　合规与保证", warranties()),
            ("第八条　争议解决", disputes()),
            ("第九条　签署与效力", effect(document)),
        ],
        foot: vec![
            said("甲方（电子签名）　　　　乙方（电子签名）　　　　交易所（电子会签）"),
            said("本文本由合同文件生成，其摘要载于合同文件；签名见合同文件。"),
        ],
    }
}

fn head(document: &ContractDocument) -> Vec<Line> {
    let mut lines =
        vec![item("合同编号", document.order), item("制作时间", beijing(document.made_at) + "（北京时间）")];
    lines.extend(party("甲方（提供方）", &document.provider));
    lines.extend(party("乙方（需求方）", &document.buyer));
    lines
        .push(said("甲乙双方经语料交易所达成本合同。交易所提供登记、挂牌、交付、资金托管与清结算服务，并会签本合同。"));
    lines
}

fn party(role: &'static str, party: &Party) -> [Line; 4] {
    [
        item(role, &party.legal_name),
        item("　　交易所账号", &party.handle),
        item("　　统一社会信用代码或登记号", &party.registration_number),
        item("　　注册国家或地区", &party.country),
    ]
}

fn subject_matter(document: &ContractDocument) -> Vec<Line> {
    let mut lines = vec![
        item("语料名称", &document.dataset),
        item("版本", document.version),
        item("清单摘要（SHA-256）", document.manifest_sha256),
        item("登记凭证编号", &document.certificate),
        item("挂牌编号", document.listing),
    ];
    if let Some(Part { selection, shards, paths_sha256 }) = &document.part {
        lines.push(item("许可部分", part(selection)));
        lines.push(item("该部分的分片数", shards));
        lines.push(item("其分片路径的摘要（SHA-256）", paths_sha256));
        lines.push(said("仅许可清单中符合该部分的分片。"));
    }
    lines.push(said("标的以甲方签名的清单为准：清单列明每一分片的路径、大小与摘要。"));
    lines
}

fn part(selection: &Selection) -> String {
    let domains: Vec<String> = selection.domains.iter().map(ToString::to_string).collect();
    let lists = [("语言", &selection.languages), ("领域", &domains), ("许可证", &selection.licences)];
    let named = lists.iter().filter(|(_, values)| !values.is_empty());
    named.map(|(name, values)| format!("{name} {}", values.join("、"))).collect::<Vec<_>>().join("；")
}

fn purpose(document: &ContractDocument) -> Vec<Line> {
    vec![
        item("许可用途", use_name(document.r#use)),
        item("乙方声明的使用场景", &document.purpose),
        said("乙方仅可将标的用于上述用途。"),
    ]
}

fn price(document: &ContractDocument) -> Vec<Line> {
    let mut lines = vec![item("合同价款", amount(document.price))];
    if let Some(PricedBy { unit, count, amount, per }) = &document.priced_by {
        let name = match unit {
            PricedIn::Record => "条记录",
            PricedIn::Byte => "字节",
            PricedIn::Token => "个词元",
            PricedIn::Day => "日",
        };
        lines.push(item("计价", format!("{count}{name}，每{per}{name}{}", in_groups(*amount))));
    }
    lines.extend([
        item("其中交易服务费", amount(document.fee)),
        said("乙方将价款支付至交易所托管账户。验收后，交易所扣除交易服务费，将余款结算给甲方。"),
    ]);
    lines
}

fn delivery(document: &ContractDocument) -> Vec<Line> {
    let mut lines = vec![item("验收期（自全部交付之日起，日）", document.acceptance_days)];
    lines.extend(document.download_days.map(|days| item("开始下载的期限（自支付之日起，日）", days)));
    lines.extend(document.delivery_days.map(|days| item("完成下载的期限（自支付之日起，日）", days)));
    lines.push(said("价款托管后，甲方通过交易所的限时签名链接交付，每次交付留有回执。"));
    lines.push(said(
        "乙方核对所交付分片的摘要与清单是否一致，在验收期内验收，或者说明理由拒收；逾期未拒收的，视为验收合格。",
    ));
    lines.extend(
        document.download_days.map(|_| said("乙方逾期未开始下载的，经交易所事先通知，视为验收合格；授权不受影响。")),
    );
    lines.extend(
        document
            .delivery_days
            .map(|_| said("乙方逾期未完成下载且未拒收的，经交易所事先通知，视为验收合格；授权不受影响。")),
    );
    lines
}

fn term(document: &ContractDocument) -> Vec<Line> {
    let duration = match (document.licence.duration_days, document.renews) {
        (Some(days), Some(renewed)) => format!("续期{days}日，自合同{renewed}项下授权期满时起"),
        (Some(days), None) => format!("自授权授予之日起{days}日"),
        (None, _) => "自授权授予之日起永久".to_string(),
    };
    let territory = match document.licence.territory.as_slice() {
        [everywhere] if everywhere == "*" => "全球".to_string(),
        countries => countries.join("、"),
    };
    let mut lines = vec![item("授权期限", duration), item("授权地域", territory)];
    if document.licence.new_versions {
        lines.push(item("订阅", "授权期限内，甲方以订阅条款挂牌的该语料后续版本一并授权"));
        lines.push(said(
            "后续版本的挂牌条款不窄于本合同的，由交易所出具声明并入本授权；价款为全部期限的价款，在上述版本验收时一次结算。",
        ));
    }
    lines
}

fn limits(document: &ContractDocument) -> Vec<Line> {
    let licence = &document.licence;
    let prohibited = match licence.prohibited_uses.as_slice() {
        [] => "除许可用途外的一切用途".to_string(),
        uses => format!(
            "除许可用途外的一切用途，尤其是{}",
            uses.iter().map(|of| use_name(*of)).collect::<Vec<_>>().join("、")
        ),
    };
    let affiliates = if licence.affiliates {
        "乙方的关联方可以在同等条件下使用"
    } else {
        "不得提供给乙方的关联方"
    };
    let attribution = if licence.attribution { "乙方应当注明甲方为语料来源" } else { "不要求" };
    let mut lines = vec![item("禁止用途", prohibited), item("关联方", affiliates)];
    lines.extend(licence.seats.map(|seats| item("席位数（可同时使用本授权的 API 令牌）", seats)));
    lines.push(item("署名", attribution));
    if let Some(ExpectedDownloads { times, per_days }) = licence.expected_downloads {
        lines.push(item("预期下载量", format!("每{per_days}日内下载许可字节数的{times}倍")));
        lines.push(said("超出预期的下载不予拒绝：交易所向乙方提示，并告知双方。"));
    }
    lines.push(said("本授权为非独占授权，乙方不得转让。"));
    lines
}

fn warranties() -> Vec<Line> {
    vec![
        said("甲方保证其有权提供标的，且其在清单中就来源、许可、同意与个人信息所作的陈述属实。"),
        said("标的被依法要求下架或召回的，乙方应当按交易所的通知停止使用、删除或者申报。"),
    ]
}

fn disputes() -> Vec<Line> {
    vec![said("因本合同发生争议的，双方先行协商；协商不成的，可以在交易所规则规定的期限内提请交易所调解。")]
}

fn effect(document: &ContractDocument) -> Vec<Line> {
    let mut lines = vec![item("许可条款编号", document.terms), item("许可条款摘要（SHA-256）", document.terms_sha256)];
    if let Some(offer) = document.offer_sha256 {
        lines.push(item("定向要约摘要（SHA-256）", offer));
    }
    if let Some(negotiation) = document.negotiation {
        lines.push(item("议价编号", negotiation));
        lines.push(said("甲方签名的许可条款除价款外是本合同的组成部分；价款由双方议定，双方均签署本合同。"));
    } else if document.offer_sha256.is_some() {
        lines.push(said(
            "甲方签名的许可条款除价款外是本合同的组成部分；定向交易中，甲方对要约的签名即甲方对本合同的签署。",
        ));
    } else {
        lines.push(said("甲方签名的许可条款是本合同的组成部分；挂牌交易中，该签名即甲方对本合同的签署。"));
    }
    lines
        .push(said("本合同经双方电子签名、交易所会签并计入公开日志后生效。本文本与合同文件不一致的，以合同文件为准。"));
    lines
}

fn amount(of: Money) -> String {
    match in_capitals(of) {
        Some(capitals) => format!("{}（大写：{capitals}）", in_groups(of)),
        None => in_groups(of),
    }
}

fn beijing(at: Instant) -> String {
    to_the_second(at.plus(BEIJING))
}

fn use_name(of: Use) -> &'static str {
    match of {
        Use::Pretrain => "预训练",
        Use::Finetune => "微调",
        Use::Evaluate => "评测",
        Use::Retrieve => "检索增强",
        Use::Redistribute => "再分发",
        Use::Derive => "加工衍生语料",
    }
}
