//! Listings: `corpex listing` puts versions on the board, takes them off and shows them; and which listing other commands
//! act on.
//!
//! Its commands can be repeated: what stands already is told, and nothing is done twice.

use std::str::FromStr;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::Client;
use super::output::Out;
use super::preview::newest_sealed;
use super::reference::DatasetRef;
use crate::error::{Error, Result};
use crate::market::ListingState;
use crate::market::listings::Withdrawal;
use crate::types::{Instant, ListingId, Money, TermsId};

#[derive(Debug, Args)]
pub(super) struct ListingArgs {
    #[command(subcommand)]
    command: ListingCommand,
}

#[derive(Debug, Subcommand)]
enum ListingCommand {
    /// Announce an assessed version for the board, under terms of its provider
    ///
    /// It can be bought when its public notice is over and no objection is open.
    Open(Open),
    /// Take a listing off the board for a while; licences stay as they are
    Pause(Which),
    /// Put a paused listing back on the board
    Resume(Which),
    /// Withdraw a listing for ever; licences stay as they are
    Withdraw(Withdraw),
    /// List what is or was on the board of a dataset, with its terms, price and state
    List(List),
}

#[derive(Debug, Args)]
struct Open {
    /// ORG/NAME, or ORG/NAME@VERSION; by default the newest version that is sealed
    #[arg(value_name = "ORG/NAME[@VERSION]")]
    dataset: DatasetRef,
    /// The terms (terms_…), as `corpex publish` prints them
    #[arg(long, value_name = "ID")]
    terms: TermsId,
}

#[derive(Debug, Args)]
struct Which {
    /// The listing (listing_…), or its dataset if only one of its listings was not withdrawn
    #[arg(value_name = "LISTING | ORG/NAME[@VERSION]")]
    listing: Named,
}

#[derive(Debug, Args)]
struct Withdraw {
    #[command(flatten)]
    which: Which,
    /// The reason, in 1 to 400 characters: everybody sees it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Another listing of the same provider (listing_…) that takes its place
    #[arg(long, value_name = "ID")]
    successor: Option<ListingId>,
}

#[derive(Debug, Args)]
struct List {
    /// ORG/NAME, or ORG/NAME@VERSION
    #[arg(value_name = "ORG/NAME[@VERSION]")]
    dataset: DatasetRef,
}

/// How a listing is named.
#[derive(Debug, Clone)]
enum Named {
    Id(ListingId),
    Of(DatasetRef),
}

/// A listing, as the exchange shows it.
#[derive(Deserialize, Serialize)]
pub(super) struct Listing {
    pub(super) id: ListingId,
    dataset: String,
    pub(super) version: i32,
    pub(super) terms_id: TermsId,
    price: Money,
    permitted_uses: Vec<String>,
    state: ListingState,
    notice_ends_at: Instant,
    created_at: Instant,
}

impl ListingArgs {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<()> {
        use ListingState::{Delisted, Listed, Paused};
        match self.command {
            ListingCommand::Open(open) => open.run(client, out).await,
            ListingCommand::Pause(which) => which.advance(client, out, ("pause", Paused), None).await,
            ListingCommand::Resume(which) => which.advance(client, out, ("resume", Listed), None).await,
            ListingCommand::Withdraw(Withdraw { which, reason, successor }) => {
                let why = Withdrawal { reason, successor };
                which.advance(client, out, ("withdraw", Delisted), Some(why)).await
            }
            ListingCommand::List(list) => list.run(client, out).await,
        }
    }
}

impl Open {
    async fn run(self, client: &Client, out: &Out) -> Result<()> {
        let version = match self.dataset.version {
            Some(version) => version,
            None => newest_sealed(client, &self.dataset).await?,
        };
        let is_wanted =
            |one: &Listing| one.version == version && one.terms_id == self.terms && one.state != ListingState::Delisted;
        if let Some(standing) = listings_of(client, &self.dataset).await?.into_iter().find(is_wanted) {
            return standing.tell(out, false);
        }
        let wanted = json!({ "dataset": self.dataset.full_name(), "version": version, "terms_id": self.terms });
        let sent = client.post("/v1/listings").json(&wanted)?.send().await;
        let opened: Listing = sent.map_err(by_option)?;
        opened.tell(out, true)
    }
}

impl Which {
    /// Takes a listing to the state that a step leads to, unless it is in it.
    async fn advance(
        self,
        client: &Client,
        out: &Out,
        (step, to): (&str, ListingState),
        why: Option<Withdrawal>,
    ) -> Result<()> {
        let standing = self.listing.find(client).await?;
        if standing.state == to {
            return standing.tell(out, false);
        }
        let request = client.post(format!("/v1/listings/{}/{step}", standing.id));
        let sent = match why {
            Some(why) => request.json(&why)?.send().await,
            None => request.send().await,
        };
        let advanced: Listing = sent.map_err(by_option)?;
        advanced.tell(out, true)
    }
}

impl List {
    async fn run(self, client: &Client, out: &Out) -> Result<()> {
        let listings = listings_of(client, &self.dataset).await?;
        out.result(&json!({ "items": listings }), || match listings.as_slice() {
            [] => "there is none".to_string(),
            some => some.iter().map(Listing::line).collect::<Vec<_>>().join("\n"),
        })
    }
}

impl FromStr for Named {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.contains('/') {
            true => text.parse().map(Self::Of),
            false => text.parse().map(Self::Id).map_err(|error: Error| error.detail),
        }
    }
}

impl Named {
    /// The listing that is meant: the one named, or else the only one of its dataset that was not withdrawn.
    async fn find(&self, client: &Client) -> Result<Listing> {
        let dataset = match self {
            Self::Id(id) => return client.get(format!("/v1/listings/{id}")).send().await,
            Self::Of(dataset) => dataset,
        };
        let mut standing = listings_of(client, dataset).await?;
        standing.retain(|one| one.state != ListingState::Delisted);
        let ids: Vec<String> = standing.iter().map(|one| one.id.to_string()).collect();
        match (standing.pop(), standing.is_empty()) {
            (Some(listing), true) => Ok(listing),
            (None, _) => Err(Error::not_found(format!("a listing of {dataset} that was not withdrawn"))
                .remedy(format!("`corpex listing list {dataset}` shows those that were"))),
            (Some(_), false) => Err(Error::invalid("LISTING", format!("{dataset} has several listings"))
                .remedy(format!("name one of {}", ids.join(", ")))),
        }
    }
}

impl Listing {
    /// Says where it is in its life, and whether something was done for that now.
    fn tell(&self, out: &Out, is_news: bool) -> Result<()> {
        let Self { id, dataset, version, terms_id, price, .. } = self;
        out.result(self, || {
            let before = if is_news { "" } else { "; nothing was done now" };
            format!("{dataset}@{version} for {price} under {terms_id}: {id} is {}{before}", self.standing())
        })
    }

    fn line(&self) -> String {
        let Self { id, dataset, version, terms_id, price, .. } = self;
        format!("{id}  {dataset}@{version}  {terms_id}  {price}  {}", self.standing())
    }

    /// Its state, and until when.
    fn standing(&self) -> String {
        match self.state {
            ListingState::PublicNotice => format!("{} until {}", self.state, self.notice_ends_at),
            state => state.to_string(),
        }
    }
}

/// An error that names a field of the request, by the option that gave it.
fn by_option(error: Error) -> Error {
    match error.field.as_deref() {
        Some("terms_id") => error.field("--terms"),
        Some("reason") => error.field("--reason"),
        Some("successor") => error.field("--successor"),
        _ => error,
    }
}

/// What is or was on the board of a dataset, or of one of its versions, oldest first.
async fn listings_of(client: &Client, dataset: &DatasetRef) -> Result<Vec<Listing>> {
    let path = format!("/v1/listings?dataset={}", dataset.full_name());
    let mut listings: Vec<Listing> = client.get_all(&path).await?;
    listings.retain(|one| dataset.version.is_none_or(|wanted| wanted == one.version));
    Ok(listings)
}

/// The only listing of the newest version on the board under these terms, or the one named.
pub(super) async fn open_listing(
    client: &Client,
    dataset: &DatasetRef,
    terms: Option<TermsId>,
    named: Option<ListingId>,
) -> Result<Listing> {
    let mut open = listings_of(client, dataset).await?;
    open.retain(|one| {
        one.state == ListingState::Listed
            && named.is_none_or(|named| named == one.id)
            && terms.is_none_or(|wanted| wanted == one.terms_id)
    });
    let newest = open.iter().map(|one| one.version).max();
    open.retain(|one| Some(one.version) == newest);
    match (open.pop(), open.is_empty()) {
        (Some(listing), true) => Ok(listing),
        (None, _) => {
            let under = terms.map(|terms| format!(" under {terms}")).unwrap_or_default();
            Err(Error::not_found(format!("an open listing of {dataset}{under}"))
                .remedy("`corpex search` finds what is on the board"))
        }
        (Some(_), false) => Err(Error::invalid("--terms", format!("{dataset} is offered under several terms"))
            .remedy(format!("choose one with --terms; `corpex listing list {dataset}` shows them"))),
    }
}
