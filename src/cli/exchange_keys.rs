//! `corpex key exchange`: the exchange's own signing keys, rotated directly on its database and keys directory.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::text_at;
use super::output::Out;
use super::parse_word;
use crate::app::App;
use crate::config::Config;
use crate::error::Result;
use crate::keys::{self, KeyRole};
use crate::provenance::exchange_keys;
use crate::provenance::routes::ExchangeKeyView;

const ORDER: &str = "A rotation, in this order: `rotate`; restart every instance and worker; when all run again, `retire`; restart \
    them once more. They read their keys when they start. In between nothing has to happen at once: one that still signs \
    with the old key alone is right until `retire`, and refuses to sign after it; one that holds both keys signs with \
    both, and with the new one alone after `retire`. Where instances have copies of the keys directory, bring them up to \
    date before each restart. Cut off anywhere, each command can be given again.";

#[derive(Debug, Args)]
#[command(after_help = ORDER)]
pub(super) struct ExchangeKeyArgs {
    #[command(subcommand)]
    command: ExchangeKeyCommand,
}

#[derive(Debug, Subcommand)]
enum ExchangeKeyCommand {
    /// List the exchange's keys: current, next and retired
    List {
        #[command(flatten, next_help_heading = "Settings of the exchange")]
        config: Config,
    },
    /// Make a new key that signs together with the current one
    #[command(after_help = ORDER)]
    Rotate(Which),
    /// End the overlap: the old key no longer signs, and its file is set aside
    #[command(after_help = ORDER)]
    Retire(Which),
    /// Make missing keys, except those that sign statements or the log: after an upgrade that requires it, or when one was
    /// lost, or was stolen and its file set aside
    MakeMissing {
        #[command(flatten, next_help_heading = "Settings of the exchange")]
        config: Config,
    },
}

#[derive(Debug, Args)]
struct Which {
    /// Which key: statement (statements, receipts, contracts, passports) or log (checkpoints)
    #[arg(value_parser = parse_word::<KeyRole>, value_name = "statement | log")]
    role: KeyRole,
    #[command(flatten, next_help_heading = "Settings of the exchange")]
    config: Config,
}

impl ExchangeKeyArgs {
    pub(super) async fn run(self, out: &Out) -> Result<()> {
        match self.command {
            ExchangeKeyCommand::List { config } => {
                let app = App::open_standing(config).await?;
                let keys = app.db.read(exchange_keys::exchange_keys).await?;
                let views = ExchangeKeyView::of_all(&keys, &app.config.log_origin)?;
                let document = json!({ "items": views });
                out.result(&document, || listing(&document))
            }
            ExchangeKeyCommand::Rotate(Which { role, config }) => {
                let app = App::open_standing(config).await?;
                let next = keys::load_or_create_next(&app.config.keys_dir(), role)?;
                let (exchange, now, public) = (app.keys.clone(), app.clock.now(), next.public());
                let activate = move |c: &mut _| exchange_keys::activate(c, &exchange, role, &next, now);
                let changed = app.db.write(activate).await?;
                let document =
                    json!({ "role": role, "key_id": public.key_id(), "public_key": public, "changed": changed });
                out.result(&document, || match changed {
                    true => {
                        format!(
                            "{role} key {} signs beside the present one: restart every instance and worker",
                            public.key_id()
                        )
                    }
                    false => format!("{role} key {} signs beside the present one already", public.key_id()),
                })
            }
            ExchangeKeyCommand::Retire(Which { role, config }) => {
                let app = App::open_standing(config).await?;
                let (exchange, origin, now) = (app.keys.clone(), app.config.log_origin.clone(), app.clock.now());
                let retire = move |c: &mut _| exchange_keys::retire(c, &exchange, role, &origin, now);
                let changed = app.db.write(retire).await?;
                let retired = app.keys.of(role).0.public().key_id();
                keys::promote_next(&app.config.keys_dir(), role, retired)?;
                let document = json!({ "role": role, "retired": retired, "changed": changed });
                out.result(&document, || format!("{role} key {retired} is retired: restart every instance and worker"))
            }
            ExchangeKeyCommand::MakeMissing { config } => {
                let made = keys::make_missing(&config.keys_dir())?;
                out.result(&json!({ "made": made }), || match made.as_slice() {
                    [] => "no key is missing".to_string(),
                    made => format!("made {}: back them up, and restart every instance and worker", made.join(", ")),
                })
            }
        }
    }
}

fn listing(keys: &Value) -> String {
    let line = |key: &Value| {
        let text = |name: &str| text_at(key, &format!("/{name}"));
        let since = if text("activated_at").is_empty() { "the beginning" } else { text("activated_at") };
        let until =
            if text("retired_at").is_empty() { String::new() } else { format!(" until {}", text("retired_at")) };
        format!("{:<9}  {:<7}  {}  since {since}{until}", text("role"), text("state"), text("key_id"))
    };
    super::client::items(keys).iter().map(line).collect::<Vec<_>>().join("\n")
}
