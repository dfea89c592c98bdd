//! The contract in English.

use super::{item, said, to_the_second};
use crate::catalog::Part;
use crate::market::contracts::amounts::{in_capitals, in_groups};
use crate::market::contracts::document::{ContractDocument, Party, PricedBy};
use crate::market::contracts::rendering::{Line, Paper};
use crate::terms::{ExpectedDownloads, Use};
use crate::types::Money;

pub(in crate::market::contracts) fn paper(document: &ContractDocument) -> Paper {
    Paper {
        language: "en",
        colon: ": ",
        title: "Corpus Data Trading Contract",
        head: head(document),
        clauses: vec![
            ("1. Subject matter", subject_matter(document)),
            ("2. Use", purpose(document)),
            ("3. Price and payment", price(document)),
            ("4. Delivery and acceptance", delivery(document)),
            ("5. Term and territory", term(document)),
            ("6. Limits of the licence", limits(document)),
            ("7. Compliance and warranties", warranties()),
            ("8. Disputes", disputes()),
            ("9. Signatures and effect", effect(document)),
        ],
        foot: vec![
            said("Party A (electronic signature)    Party B (electronic signature)    The exchange (countersignature)"),
            said(
                "This text is generated from the contract document, which holds its digest; the signatures are in the contract document.",
            ),
        ],
    }
}

fn head(document: &ContractDocument) -> Vec<Line> {
    let mut lines =
        vec![item("Contract number", document.order), item("Made at", to_the_second(document.made_at) + " UTC")];
    lines.extend(party("Party A (the provider)", &document.provider));
    lines.extend(party("Party B (the buyer)", &document.buyer));
    lines.push(said(
        "The parties conclude this contract through the exchange, which registers, lists, delivers, holds the price in escrow, settles it, and countersigns this contract.",
    ));
    lines
}

fn party(role: &'static str, party: &Party) -> [Line; 4] {
    [
        item(role, &party.legal_name),
        item("    Handle on the exchange", &party.handle),
        item("    Registration number", &party.registration_number),
        item("    Country", &party.country),
    ]
}

fn subject_matter(document: &ContractDocument) -> Vec<Line> {
    let mut lines = vec![
        item("Dataset", &document.dataset),
        item("Version", document.version),
        item("Manifest digest (SHA-256)", document.manifest_sha256),
        item("Registration certificate", &document.certificate),
        item("Listing", document.listing),
    ];
    if let Some(Part { selection, shards, paths_sha256 }) = &document.part {
        lines.push(item("Part that is licensed", selection));
        lines.push(item("Shards in that part", shards));
        lines.push(item("Digest of their paths (SHA-256)", paths_sha256));
        lines.push(said("That part alone is licensed: the shards of the manifest that match it."));
    }
    lines.push(said(
        "The manifest signed by Party A decides what is sold: it names the path, size and digest of every shard.",
    ));
    lines
}

fn purpose(document: &ContractDocument) -> Vec<Line> {
    vec![
        item("Permitted use", use_name(document.r#use)),
        item("Use declared by Party B", &document.purpose),
        said("Party B may use the corpus for this only."),
    ]
}

fn price(document: &ContractDocument) -> Vec<Line> {
    let mut lines = vec![item("Price", amount(document.price))];
    if let Some(PricedBy { unit, count, amount, per }) = &document.priced_by {
        lines.push(item("Counted as", format!("{count} {unit}s at {} for every {per}", in_groups(*amount))));
    }
    lines.extend([
        item("Of which the exchange's fee", amount(document.fee)),
        said(
            "Party B pays the price into the exchange's escrow. On acceptance the exchange keeps its fee and settles the rest to Party A.",
        ),
    ]);
    lines
}

fn delivery(document: &ContractDocument) -> Vec<Line> {
    let mut lines = vec![item("Days for acceptance, from complete delivery", document.acceptance_days)];
    lines.extend(document.download_days.map(|days| item("Days to begin the download, from payment", days)));
    lines.extend(document.delivery_days.map(|days| item("Days to complete the download, from payment", days)));
    lines.push(said(
        "Once the price is in escrow, Party A delivers by signed links of the exchange; every delivery leaves a receipt.",
    ));
    lines.push(said(
        "Party B compares the shards with the manifest, and accepts or rejects with a reason within that time; what it does not reject counts as accepted.",
    ));
    lines.extend(document.download_days.map(|_| {
        said("What Party B does not begin to download in time counts as accepted, after notice by the exchange; the licence stays.")
    }));
    lines.extend(document.delivery_days.map(|_| {
        said("What Party B has neither downloaded completely nor rejected in time counts as accepted, after notice by the exchange; the licence stays.")
    }));
    lines
}

fn term(document: &ContractDocument) -> Vec<Line> {
    let duration = match (document.licence.duration_days, document.renews) {
        (Some(days), Some(renewed)) => {
            format!("{days} days more, from the end of the licence under contract {renewed}, which is renewed")
        }
        (Some(days), None) => format!("{days} days from the grant of the licence"),
        (None, _) => "perpetual, from the grant of the licence".to_string(),
    };
    let territory = match document.licence.territory.as_slice() {
        [everywhere] if everywhere == "*" => "worldwide".to_string(),
        countries => countries.join(", "),
    };
    let mut lines = vec![item("Term", duration), item("Territory", territory)];
    if document.licence.new_versions {
        lines.push(item(
            "Subscription",
            "later versions of the dataset that Party A lists on subscription terms while the term runs are licensed too",
        ));
        lines.push(said(
            "A later version joins by a statement of the exchange, unless the terms on which it is listed allow less than this contract; the price covers the whole term, and is settled on acceptance of the version above.",
        ));
    }
    lines
}

fn limits(document: &ContractDocument) -> Vec<Line> {
    let licence = &document.licence;
    let prohibited = match licence.prohibited_uses.as_slice() {
        [] => "every use but the permitted one".to_string(),
        uses => format!(
            "every use but the permitted one, in particular {}",
            uses.iter().map(|of| use_name(*of)).collect::<Vec<_>>().join(", ")
        ),
    };
    let affiliates = if licence.affiliates {
        "Party B's affiliates may use the corpus on the same conditions"
    } else {
        "Party B's affiliates may not use the corpus"
    };
    let attribution =
        if licence.attribution { "Party B names Party A as the source of the corpus" } else { "not required" };
    let mut lines = vec![item("Prohibited uses", prohibited), item("Affiliates", affiliates)];
    lines.extend(licence.seats.map(|seats| item("Seats (API tokens that may use the licence at a time)", seats)));
    lines.push(item("Attribution", attribution));
    if let Some(ExpectedDownloads { times, per_days }) = licence.expected_downloads {
        lines.push(item("Expected downloads", format!("{times} times the licensed bytes within {per_days} days")));
        lines.push(said(
            "Further downloads are not refused: the exchange warns Party B of them, and tells both parties.",
        ));
    }
    lines.push(said("The licence is not exclusive, and Party B cannot transfer it."));
    lines
}

fn warranties() -> Vec<Line> {
    vec![
        said(
            "Party A warrants that it may provide the corpus, and that what its manifest states of sources, licences, consent and personal data is true.",
        ),
        said(
            "Where the corpus is lawfully taken down or recalled, Party B ceases to use it, deletes it or declares its use, as the exchange's notice says.",
        ),
    ]
}

fn disputes() -> Vec<Line> {
    vec![said(
        "The parties first seek agreement; failing that, either may ask the exchange for mediation within the period of its rules.",
    )]
}

fn effect(document: &ContractDocument) -> Vec<Line> {
    let mut lines = vec![
        item("Licence terms", document.terms),
        item("Digest of the licence terms (SHA-256)", document.terms_sha256),
    ];
    if let Some(offer) = document.offer_sha256 {
        lines.push(item("Digest of the private offer (SHA-256)", offer));
    }
    if let Some(negotiation) = document.negotiation {
        lines.push(item("Negotiation", negotiation));
        lines.push(said(
            "The licence terms signed by Party A are part of this contract, but for the price, which the parties negotiated; both sign this contract.",
        ));
    } else if document.offer_sha256.is_some() {
        lines.push(said(
            "The licence terms signed by Party A are part of this contract, but for the price; under a private offer, Party A's signature of that offer is its signature of this contract.",
        ));
    } else {
        lines.push(said(
            "The licence terms signed by Party A are part of this contract; under a listed offer, that signature is Party A's signature of this contract.",
        ));
    }
    lines.push(said(
        "This contract takes effect when both parties have signed it, the exchange has countersigned it, and the public log has recorded it. Where this text and the contract document differ, the contract document decides.",
    ));
    lines
}

fn amount(of: Money) -> String {
    match in_capitals(of) {
        Some(capitals) => format!("{} ({capitals})", in_groups(of)),
        None => in_groups(of),
    }
}

fn use_name(of: Use) -> &'static str {
    match of {
        Use::Pretrain => "pretraining",
        Use::Finetune => "fine-tuning",
        Use::Evaluate => "evaluation",
        Use::Retrieve => "retrieval augmentation",
        Use::Redistribute => "redistribution",
        Use::Derive => "making derived corpora",
    }
}
