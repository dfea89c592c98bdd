//! The real program in processes of its own: a server that can be killed, and clients that run commands.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::database::{CONNECTIONS, TestDatabase};

const PROGRAM: &str = env!("CARGO_BIN_EXE_corpex");

/// A served exchange: on SQLite and a folder, or, where the environment names them, PostgreSQL
/// (`TEST_DATABASE_URL`) and an S3 bucket (`TEST_S3_ENDPOINT`, `TEST_S3_BUCKET`, `TEST_S3_REGION`).
pub struct Exchange {
    pub url: String,
    pub folder: tempfile::TempDir,
    database: Arc<TestDatabase>,
    server: Option<Child>,
    settings: Vec<(&'static str, String)>,
    said: Said,
}

/// The lines that a process wrote on standard error.
type Said = Arc<Mutex<Vec<String>>>;

/// A witness in a process of its own.
pub struct WitnessProcess {
    pub vkey: String,
    pub url: String,
    process: Child,
}

/// Somebody at a command line.
#[derive(Clone)]
pub struct Person {
    config: PathBuf,
}

impl Exchange {
    pub async fn serve() -> Self {
        Self::serve_with(&[]).await
    }

    /// The same, with settings of its own.
    pub async fn serve_with(settings: &[(&'static str, &str)]) -> Self {
        Self::serve_on(Arc::new(TestDatabase::create().await), settings)
    }

    /// The same, on a database that other instances may share.
    pub fn serve_on(database: Arc<TestDatabase>, settings: &[(&'static str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings.iter().map(|(name, value)| (*name, value.to_string())).collect();
        let mut exchange = Self { url: String::new(), folder, database, server: None, settings, said: Said::default() };
        exchange.start();
        exchange
    }

    /// A command of the program with this exchange's settings.
    fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command.env_clear().env("RUST_LOG", "warn").env("CORPEX_DATA_DIR", self.folder.path().join("data"));
        command.env("CORPEX_PUBLIC_NOTICE_DAYS", "0");
        for name in ["PATH", "HOME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(url) = &self.database.url {
            command.env("DATABASE_URL", url).env("CORPEX_DATABASE_CONNECTIONS", CONNECTIONS.to_string());
        }
        for (ours, theirs) in [
            ("TEST_S3_BUCKET", "CORPEX_S3_BUCKET"),
            ("TEST_S3_ENDPOINT", "CORPEX_S3_ENDPOINT"),
            ("TEST_S3_REGION", "CORPEX_S3_REGION"),
        ] {
            if let Some(value) = std::env::var_os(ours) {
                command.env(theirs, value);
            }
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the server; at the address it had before, if it was started before.
    pub fn start(&mut self) {
        assert!(self.try_start(), "the server did not start: {:#?}", self.said.lock().unwrap());
    }

    /// The same, of a server that may end before it serves.
    pub fn try_start(&mut self) -> bool {
        let address = self.url.strip_prefix("http://").unwrap_or("127.0.0.1:0").to_string();
        let mut server = self.command().args(["serve", "--listen", &address]).stderr(Stdio::piped()).spawn().unwrap();
        self.said = Said::default();
        let announced = announced(&mut server, ["serving on "], &self.said);
        match announced {
            Some([url]) => (self.url, self.server) = (url, Some(server)),
            None => drop(server.wait()),
        }
        self.server.is_some()
    }

    /// Whether the server said so on standard error since it was started.
    pub fn has_said(&self, words: &str) -> bool {
        self.said.lock().unwrap().iter().any(|line| line.contains(words))
    }

    /// Whether the server runs; one that ended by itself is gone.
    pub fn is_running(&mut self) -> bool {
        if self.server.as_mut().is_some_and(|server| server.try_wait().unwrap().is_some()) {
            self.server = None;
        }
        self.server.is_some()
    }

    /// Waits until the server ends by itself, and gives its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        self.server.take().unwrap().wait().unwrap().code()
    }

    /// Changes a setting of the server, from its next start on.
    pub fn set(&mut self, name: &'static str, value: String) {
        self.settings.push((name, value));
    }

    /// Starts a witness of the log with this verifier key.
    pub fn witness(&self, name: &str, log_vkey: &str) -> WitnessProcess {
        let mut command = Command::new(PROGRAM);
        let (origin, _) = log_vkey.split_once('+').unwrap();
        command.env_clear().arg("witness").args(["--origin", origin, "--key", log_vkey, "--name", name]);
        command.args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(self.folder.path().join("witness"));
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let [vkey, url] = announced(&mut process, ["witness ", "serving on "], &Said::default()).unwrap();
        WitnessProcess { vkey, url, process }
    }

    /// Ends the server without warning, as a power cut would.
    pub fn kill(&mut self) {
        let mut server = self.server.take().unwrap();
        server.kill().unwrap();
        assert_eq!(server.wait().unwrap().signal(), Some(9));
    }

    /// Ends the server as [`Self::kill`] does, whether or not it has ended by itself.
    pub fn end(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// The server's process.
    pub fn server_id(&self) -> u32 {
        self.server.as_ref().unwrap().id()
    }

    /// Stops the server as an operator would, and expects that it ends well.
    pub fn stop(&mut self) {
        let status = Command::new("kill").args(["-TERM", &self.server_id().to_string()]).status().unwrap();
        assert!(status.success());
        let mut server = self.server.take().unwrap();
        let status = server.wait().unwrap();
        assert!(status.success(), "the server did not stop well: {status}: {:#?}", self.said.lock().unwrap());
    }

    /// An operator or compliance officer, made with `corpex admin`.
    pub fn platform(&self, role: &str) -> Person {
        let (email, token) = self.appoint(role);
        self.person(&email, &token)
    }

    /// The same by e-mail address and API token.
    pub fn appoint(&self, role: &str) -> (String, String) {
        let email = format!("{role}@exchange.test");
        let made = self.command().args(["admin", "create-user", "--email", &email, "--role", role]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let issued = self.command().args(["admin", "issue-token", "--email", &email]).output().unwrap();
        assert!(issued.status.success(), "{}", String::from_utf8_lossy(&issued.stderr));
        (email, String::from_utf8(issued.stdout).unwrap().trim().to_string())
    }

    /// Somebody with a token, logged in at a command line of their own.
    pub fn person(&self, name: &str, token: &str) -> Person {
        let config = self.folder.path().join("people").join(name);
        std::fs::create_dir_all(&config).unwrap();
        let person = Person { config };
        person.done(&["login", "--server", &self.url, "--token", token]);
        person
    }

    /// Runs a command on the exchange itself, as its operator does on the server.
    pub fn operate(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    /// The same, with a line on standard input, which the command reads.
    pub fn operate_with(&self, args: &[&str], line: &str) -> Output {
        let mut command = self.command();
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = command.spawn().unwrap();
        writeln!(running.stdin.take().unwrap(), "{line}").unwrap();
        running.wait_with_output().unwrap()
    }

    /// `corpex audit` finds nothing; in a folder of the test's own, no object of nobody either, however new.
    pub fn audit(&self) {
        let is_shared = std::env::var_os("TEST_S3_ENDPOINT").is_some();
        let orphans: &[&str] = if is_shared { &[] } else { &["--orphans-after", "0"] };
        let audited = self.operate(&[&["audit", "--json"], orphans].concat());
        assert!(
            audited.status.success(),
            "{}{}",
            String::from_utf8_lossy(&audited.stdout),
            String::from_utf8_lossy(&audited.stderr)
        );
    }
}

/// What a server says on standard error before it serves: a line after each of these words, in this order. `said` gets every line.
fn announced<const N: usize>(server: &mut Child, words: [&str; N], said: &Said) -> Option<[String; N]> {
    let said = said.clone();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok).inspect(move |line| {
        eprintln!("server: {line}");
        said.lock().unwrap().push(line.clone());
    });
    let found = words.map(|word| lines.find_map(|line| line.strip_prefix(word).map(str::to_string)));
    std::thread::spawn(move || lines.for_each(drop));
    found.into_iter().collect::<Option<Vec<_>>>()?.try_into().ok()
}

impl Drop for WitnessProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

impl Person {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.env_clear().env("CORPEX_CONFIG_DIR", &self.config).args(args);
        command
    }

    /// Runs a command to its end, whatever that is.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Begins a command.
    pub fn begin(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs a command that must succeed, and gives what it printed.
    pub fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "corpex {args:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must succeed, and gives its JSON document.
    pub fn json(&self, args: &[&str]) -> Value {
        let printed = self.done(&[args, &["--json"]].concat());
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("corpex {args:?} printed {printed:?}: {error}"))
    }

    /// Runs a command that must be refused with exit code 1, and gives what it said.
    pub fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "corpex {args:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    /// Sends one request to the API.
    pub fn api(&self, method: &str, path: &str, body: &Value) -> Value {
        let key = uuid::Uuid::now_v7().to_string();
        let text = body.to_string();
        let mut args = vec!["api", method, path];
        if !body.is_null() {
            args.push(&text);
        }
        if method == "POST" {
            args.extend(["--idempotency-key", &key]);
        }
        serde_json::from_str(&self.done(&args)).unwrap()
    }
}

/// Signs up a person and a verified organisation with a registered key, by commands alone.
pub fn organisation(exchange: &Exchange, operator: &Person, handle: &str) -> Person {
    affiliate(exchange, operator, handle, &[])
}

/// The same, of an organisation that declares affiliates.
pub fn affiliate(exchange: &Exchange, operator: &Person, handle: &str, affiliations: &[&str]) -> Person {
    use serde_json::json;
    let person = json!({ "email": format!("admin@{handle}.test"), "password": super::actors::PASSWORD });
    let nobody = Person { config: exchange.folder.path().join("nobody") };
    let anonymous = |method: &str, path: &str, body: &Value, token: Option<&str>| -> Value {
        let mut args = vec![
            "api".to_string(),
            method.into(),
            path.into(),
            body.to_string(),
            "--server".into(),
            exchange.url.clone(),
        ];
        if let Some(token) = token {
            args.extend(["--token".to_string(), token.to_string()]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        serde_json::from_str(&nobody.done(&args)).unwrap()
    };
    anonymous("POST", "/v1/users", &person, None);
    let session = anonymous("POST", "/v1/sessions", &person, None);
    let wanted = super::actors::token_wish("write", 30);
    let token = anonymous("POST", "/v1/tokens", &wanted, session["access_token"].as_str());
    let admin = exchange.person(handle, token["token"].as_str().unwrap());
    let organisation = json!({
        "handle": handle, "legal_name": format!("{handle} Ltd"), "registration_number": format!("REG-{handle}"),
        "country": "CN", "affiliations": affiliations,
    });
    admin.api("POST", "/v1/organisations", &organisation);
    operator.api("POST", &format!("/v1/organisations/{handle}/verification"), &Value::Null);
    admin.done(&["key", "generate", handle]);
    admin.done(&["key", "register", handle]);
    admin
}

/// Every file below `folder`, hidden ones left out, as (relative path, bytes).
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(current) = folders.pop() {
        for entry in std::fs::read_dir(current).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with('.') {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
