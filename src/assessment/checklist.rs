//! What compliance staff check before a version may be listed, and how the answers decide.
//!
//! The items follow what Chinese law asks of training corpora: the Interim Measures for Generative AI Services
//! (生成式人工智能服务管理暂行办法), the basic security requirements TC260-003, the Personal Information Protection Law,
//! the Data Security Law, and the Regulations on the Protection of Minors in Cyberspace.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Decision;
use crate::error::{Error, Result};
use crate::text_enum;
use crate::types::{Digest, text};

const MAX_EVIDENCE: usize = 50;
const MAX_NAME_CHARS: usize = 255;
const MAX_NOTE_CHARS: usize = 2000;

/// One thing to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChecklistItem {
    /// The name by which answers refer to it. Its meaning never changes.
    pub key: &'static str,
    /// The item's title in Chinese.
    pub title_zh: &'static str,
    /// The item's title in English.
    pub title_en: &'static str,
    /// What is asked, in Chinese.
    pub question_zh: &'static str,
    /// What is asked, in English.
    pub question_en: &'static str,
}

/// Every item; an assessment answers each exactly once.
pub const CHECKLIST: &[ChecklistItem] = &[
    ChecklistItem {
        key: "lawful_source",
        title_zh: "来源合法性",
        title_en: "Lawful source",
        question_zh: "语料来源是否合法，授权、许可或采集记录是否齐全？",
        question_en: "Was every source obtained lawfully, with authorisations, licences or collection records at hand?",
    },
    ChecklistItem {
        key: "traceability",
        title_zh: "来源可追溯性",
        title_en: "Traceability",
        question_zh: "能否由每个数据文件追溯至其来源及加工过程？",
        question_en: "Can every shard be traced to its sources and to the processing it went through?",
    },
    ChecklistItem {
        key: "personal_information",
        title_zh: "个人信息保护",
        title_en: "Personal information",
        question_zh: "含个人信息的，是否取得个人同意或者具有其他合法性基础，敏感个人信息是否取得单独同意？",
        question_en: "Is there consent or another lawful basis for personal information, and separate consent where it is sensitive?",
    },
    ChecklistItem {
        key: "intellectual_property",
        title_zh: "知识产权",
        title_en: "Intellectual property",
        question_zh: "是否存在侵害他人著作权、商标权、专利权或商业秘密的情形，权利链条是否完整？",
        question_en: "Is the chain of rights complete, without infringing copyright, trade marks, patents or trade secrets?",
    },
    ChecklistItem {
        key: "content_safety",
        title_zh: "内容安全",
        title_en: "Content safety",
        question_zh: "是否已过滤违法和不良信息，人工抽检与技术抽检合格率是否达到要求？",
        question_en: "Is unlawful and harmful content filtered out, and do manual and automated samples reach the required rate?",
    },
    ChecklistItem {
        key: "minors_protection",
        title_zh: "未成年人保护",
        title_en: "Protection of minors",
        question_zh: "涉及未成年人个人信息的，是否取得监护人同意；是否不含危害未成年人身心健康的内容？",
        question_en: "Have guardians consented to the use of minors' information, and is content harmful to minors absent?",
    },
    ChecklistItem {
        key: "important_data",
        title_zh: "重要数据与数据出境",
        title_en: "Important data and export",
        question_zh: "是否完成重要数据识别；涉及重要数据或者数据出境的，是否已履行评估、备案等程序？",
        question_en: "Were important data identified, and were assessments or filings made where such data or an export is involved?",
    },
    ChecklistItem {
        key: "annotation_quality",
        title_zh: "标注质量",
        title_en: "Annotation quality",
        question_zh: "标注规则、标注人员培训与抽检记录是否齐全，标注准确率是否达到声明的水平？",
        question_en: "Are annotation rules, training and sample checks recorded, and is the stated accuracy reached?",
    },
    ChecklistItem {
        key: "data_quality",
        title_zh: "数据质量",
        title_en: "Data quality",
        question_zh: "语料的真实性、准确性、客观性、多样性是否与说明一致，格式是否完整可读？",
        question_en: "Do veracity, accuracy, objectivity and diversity match the description, and is every file complete and readable?",
    },
];

text_enum! {
    /// What was found for an item.
    pub enum Finding {
        /// 符合.
        Compliant = "compliant",
        /// 不符合.
        NonCompliant = "non_compliant",
        /// 不适用.
        NotApplicable = "not_applicable",
    }
}

impl Finding {
    /// The finding as compliance staff write it.
    pub fn chinese(self) -> &'static str {
        match self {
            Self::Compliant => "符合",
            Self::NonCompliant => "不符合",
            Self::NotApplicable => "不适用",
        }
    }
}

/// A document that a finding rests on, known by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// What it is, 1 to 255 characters.
    pub name: String,
    /// SHA-256 of the file.
    pub sha256: Digest,
}

/// The answer to one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The item.
    pub key: String,
    /// What was found.
    pub finding: Finding,
    /// The documents on which the finding rests; at most 50.
    pub evidence: Vec<Evidence>,
    /// A remark, at most 2,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Checks that `answers` cover the checklist, and that `decision` follows from them.
///
/// # Errors
/// `Invalid`, naming the answer and field.
pub(super) fn check(answers: &[Answer], decision: Decision) -> Result<()> {
    for (index, answer) in answers.iter().enumerate() {
        check_answer(answer, answers.get(..index).unwrap_or_default())
            .map_err(|(field, detail)| Error::invalid(format!("checklist[{index}].{field}"), detail))?;
        check_evidence(&answer.evidence).map_err(|error| error.field(format!("checklist[{index}].evidence")))?;
    }
    if let Some(open) = CHECKLIST.iter().find(|item| answers.iter().all(|answer| answer.key != item.key)) {
        let detail = format!("the item {} ({} {}) is not answered", open.key, open.title_zh, open.title_en);
        return Err(Error::invalid("checklist", detail).remedy("answer every item of GET /v1/checklist"));
    }
    let faults: Vec<&str> =
        answers.iter().filter(|a| a.finding == Finding::NonCompliant).map(|a| a.key.as_str()).collect();
    match decision {
        Decision::Passed if !faults.is_empty() => {
            let detail = format!("a version with non-compliant items cannot pass: {}", faults.join(", "));
            Err(Error::invalid("decision", detail))
        }
        Decision::Failed if faults.is_empty() => {
            Err(Error::invalid("decision", "a failed assessment must say which item is not compliant"))
        }
        _ => Ok(()),
    }
}

/// Refuses documents that are too many, or without a readable name.
///
/// # Errors
/// `Invalid`, naming `evidence`.
pub fn check_evidence(evidence: &[Evidence]) -> Result<()> {
    if evidence.len() > MAX_EVIDENCE {
        let detail = format!("these are {} documents; at most {MAX_EVIDENCE} are taken", evidence.len());
        return Err(Error::invalid("evidence", detail).remedy("name those that matter most"));
    }
    evidence.iter().try_for_each(|document| text::readable("evidence", &document.name, MAX_NAME_CHARS).map(drop))
}

fn check_answer(answer: &Answer, before: &[Answer]) -> Result<(), (&'static str, String)> {
    if CHECKLIST.iter().all(|item| item.key != answer.key) {
        return Err(("key", format!("{:?} is not an item of the checklist", answer.key)));
    }
    if before.iter().any(|other| other.key == answer.key) {
        return Err(("key", format!("{} is answered twice", answer.key)));
    }
    match &answer.note {
        Some(note) if !(1..=MAX_NOTE_CHARS).contains(&note.chars().count()) => {
            Err(("note", format!("a note is 1 to {MAX_NOTE_CHARS} characters; leave it out where there is none")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Answers every item with the same finding.
    pub(in super::super) fn answers(finding: Finding) -> Vec<Answer> {
        let evidence = vec![Evidence { name: "合规评估报告.pdf".into(), sha256: Digest::of("report") }];
        let answer =
            |item: &ChecklistItem| Answer { key: item.key.into(), finding, evidence: evidence.clone(), note: None };
        CHECKLIST.iter().map(answer).collect()
    }

    #[test]
    fn every_item_has_its_own_key_and_words_in_both_languages() {
        let keys: std::collections::HashSet<_> = CHECKLIST.iter().map(|item| item.key).collect();
        assert_eq!(keys.len(), CHECKLIST.len());
        for item in CHECKLIST {
            assert!(item.title_zh.chars().all(|c| !c.is_ascii()) && item.question_zh.ends_with('？'), "{}", item.key);
            assert!(item.title_en.is_ascii() && item.question_en.ends_with('?'), "{}", item.key);
        }
    }

    #[test]
    fn a_version_passes_only_without_a_non_compliant_finding() {
        check(&answers(Finding::Compliant), Decision::Passed).unwrap();
        check(&answers(Finding::NotApplicable), Decision::Passed).unwrap();
        for index in 0..CHECKLIST.len() {
            let mut one_fault = answers(Finding::Compliant);
            one_fault[index].finding = Finding::NonCompliant;
            check(&one_fault, Decision::Failed).unwrap();
            let error = check(&one_fault, Decision::Passed).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("decision"));
            assert!(error.detail.contains(CHECKLIST[index].key), "{error}");
        }
        assert!(check(&answers(Finding::Compliant), Decision::Failed).is_err());
    }

    #[test]
    fn each_item_is_answered_exactly_once() {
        let whole = answers(Finding::Compliant);
        assert_eq!(check(&[], Decision::Passed).unwrap_err().field.as_deref(), Some("checklist"));
        assert_eq!(check(&whole[1..], Decision::Passed).unwrap_err().field.as_deref(), Some("checklist"));
        let twice = [&whole[..], &whole[..1]].concat();
        let error = check(&twice, Decision::Passed).unwrap_err();
        assert_eq!(error.field, Some(format!("checklist[{}].key", whole.len())));
        let mut unknown = whole;
        unknown[0].key = "astrology".into();
        assert_eq!(check(&unknown, Decision::Passed).unwrap_err().field.as_deref(), Some("checklist[0].key"));
    }

    #[test]
    fn oversized_answers_are_refused() {
        let edited = |edit: fn(&mut Answer)| {
            let mut answers = answers(Finding::Compliant);
            edit(&mut answers[0]);
            check(&answers, Decision::Passed).unwrap_err().field.unwrap()
        };
        assert_eq!(edited(|a| a.note = Some("注".repeat(2001))), "checklist[0].note");
        assert_eq!(edited(|a| a.note = Some(String::new())), "checklist[0].note");
        assert_eq!(edited(|a| a.evidence[0].name = String::new()), "checklist[0].evidence");
        assert_eq!(edited(|a| a.evidence = vec![a.evidence[0].clone(); 51]), "checklist[0].evidence");
    }
}
