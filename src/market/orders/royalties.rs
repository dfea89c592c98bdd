//! Royalties: a provider may ask for a part of each sale of what was made from its corpus.
//!
//! The rule: of each ancestor of the version that is sold, up to five steps up its lineage, of which another organisation had
//! opened a listing when the contract was made out, the terms of the first one count. If they ask for a royalty, the
//! ancestor's provider has that part of what the exchange's fee leaves of the price. The order keeps what is owed, for no
//! clock tells later what was listed then.

use serde::{Deserialize, Serialize};

use super::super::queries;
use crate::catalog::{Dataset, Version, lineage};
use crate::db::{self, Conn};
use crate::error::{Error, Kind, Result};
use crate::terms::{self, Use};
use crate::types::{OrganisationId, VersionId};

/// How many steps up the lineage royalties are paid.
const MAX_STEPS: u32 = 5;
/// The most ancestors that are looked at, nearest first.
const MAX_ANCESTORS: usize = 100;
/// The most terms of one ancestor that are looked through for one that permits to derive.
const MAX_OFFERS: i64 = 1000;

/// A royalty: what the provider of an ancestor gets of a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Royalty {
    /// The provider.
    pub owner_id: OrganisationId,
    /// Its part of 10,000.
    pub basis_points: i64,
}

/// The ancestors of a version that count, nearest first: a sealed one never has others.
#[derive(Debug, Clone)]
struct Ancestors(Vec<VersionId>);

/// The royalties that an order of this version owes if its contract is made out now, nearest ancestor first. An ancestor of the
/// version's own provider asks for none.
pub(super) fn owed(c: &mut Conn, version: VersionId, provider: OrganisationId) -> Result<Vec<Royalty>> {
    let ancestors = db::fact(c, version, |c| {
        let walk = lineage::ancestors(c, version, MAX_ANCESTORS)?;
        let near = walk.found.into_iter().take_while(|(steps, _)| *steps <= MAX_STEPS);
        Ok::<_, Error>(Some(Ancestors(near.map(|(_, ancestor)| ancestor.version_id).collect())))
    })?;
    let mut royalties = Vec::new();
    for ancestor in ancestors.map_or_else(Vec::new, |known| known.0) {
        let load = |c: &mut Conn| queries::list_listings_of(c, ancestor, "", 1);
        let first = db::load_once(c, format_args!("first listing of {ancestor}"), load)?.pop();
        let Some(first) = first.filter(|first| first.provider_id != provider) else { continue };
        if let Some(basis_points) = terms::terms(c, first.terms_id)?.document.derivative_royalty_basis_points {
            royalties.push(Royalty { owner_id: first.provider_id, basis_points });
        }
    }
    Ok(royalties)
}

/// Refuses a version that was made from another organisation's, if that was ever listed and none of its terms permit to derive.
pub(in crate::market) fn require_derivable(c: &mut Conn, dataset: &Dataset, version: &Version) -> Result<()> {
    let walk = lineage::ancestors(c, version.id, MAX_ANCESTORS)?;
    for (_, parent) in walk.found.into_iter().take_while(|(steps, _)| *steps == 1) {
        if parent.handle == dataset.handle {
            continue;
        }
        let offers = queries::list_listings_of(c, parent.version_id, "", MAX_OFFERS)?;
        let mut forbidden = !offers.is_empty();
        for offer in offers {
            forbidden &= !terms::is_permitted(&terms::terms(c, offer.terms_id)?.document, Use::Derive);
        }
        if forbidden {
            let detail = format!(
                "{}@{} was made from {}@{}, and no terms of that one permit to derive",
                dataset.full_name(),
                version.number,
                parent.full_name(),
                parent.number
            );
            return Err(Error::new(Kind::UseNotPermitted, detail).field("version").remedy(format!(
                "have {} offer {} under terms that permit to derive, or seal a version that is not made from it",
                parent.handle,
                parent.full_name()
            )));
        }
    }
    Ok(())
}
