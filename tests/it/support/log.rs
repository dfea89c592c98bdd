//! Reading the public log as anybody can: from its tiles.

use std::collections::BTreeMap;

use corpex::cli::client::Client;
use serde_json::Value;

/// How many entries of each kind the public log holds, read from its tiles.
pub async fn kinds_in_log(anyone: &Client) -> BTreeMap<String, usize> {
    let checkpoint = anyone.get("/log/checkpoint").text().await.unwrap();
    let size: u64 = checkpoint.lines().nth(1).unwrap().parse().unwrap();
    let mut kinds = BTreeMap::new();
    for tile in 0..size.div_ceil(256) {
        assert!(tile < 1000, "this reader knows three-digit tiles only");
        let width = (size - tile * 256).min(256);
        let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
        let response = anyone.get(format!("/log/tile/entries/{tile:03}{partial}")).response().await.unwrap();
        let bytes = response.bytes().await.unwrap();
        let mut rest = &bytes[..];
        while let [high, low, after @ ..] = rest {
            let (entry, more) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            let leaf: Value = serde_json::from_slice(entry).unwrap();
            *kinds.entry(leaf["kind"].as_str().unwrap().to_string()).or_insert(0) += 1;
            rest = more;
        }
    }
    kinds
}
