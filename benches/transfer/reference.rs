//! The programs of others that the exchange is measured against, and those that measure.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant as Stopwatch};

/// Each program, and the Debian package that brings it.
const PROGRAMS: &[(&str, &str)] =
    &[("nginx", "nginx-light"), ("wrk", "wrk"), ("curl", "curl"), ("openssl", "openssl"), ("sync", "coreutils")];

/// Where a program lies: on the search path, or where Debian keeps what serves.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

pub fn require_programs() {
    let missing: Vec<_> =
        PROGRAMS.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    assert!(missing.is_empty(), "programs are missing: apt-get install {}", missing.join(" "));
}

pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(find(program).unwrap()).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// An nginx that serves files of a folder.
pub struct Nginx {
    folder: tempfile::TempDir,
    port: u16,
    process: Child,
}

impl Nginx {
    /// Serves files of these names and sizes.
    pub fn start(files: &[(&str, usize)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, size) in files {
            super::shop::write_random(&folder.path().join("files").join(name), *size);
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = folder.path().display();
        let user = if run("id", &["-u"]).trim() == "0" { "user root;" } else { "" };
        let config = format!(
            "daemon off; {user} worker_processes auto; pid {at}/pid; error_log {at}/error.log;
             events {{ worker_connections 1024; }}
             http {{
                 access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; open_file_cache max=16;
                 client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
                 uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
                 server {{ listen 127.0.0.1:{port}; root {at}/files; }}
             }}"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let process =
            Command::new(find("nginx").unwrap()).arg("-c").arg(file).arg("-p").arg(folder.path()).spawn().unwrap();
        let nginx = Self { folder, port, process };
        for _ in 0..100 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return nginx;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("nginx did not start: {:?}", std::fs::read_to_string(nginx.folder.path().join("error.log")));
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with the master, if that is asked and not killed.
        let _ = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}

/// What `wrk` found.
pub struct Wrk {
    pub answers: f64,
    pub p99: Duration,
}

impl Wrk {
    /// Asks for one address again and again, on so many connections.
    pub fn run(url: &str, authorization: &str, connections: usize, during: Duration) -> Self {
        let (connections, seconds) = (format!("-c{connections}"), format!("-d{}s", during.as_secs()));
        let header = format!("Authorization: {authorization}");
        let said = run("wrk", &["-t2", &connections, &seconds, "--latency", "-H", &header, url]);
        assert!(!said.contains("Non-2xx"), "{said}");
        let after = |word: &str| {
            let line = said.lines().find_map(|line| line.trim().strip_prefix(word));
            line.unwrap_or_else(|| panic!("wrk said nothing of {word}: {said}")).trim()
        };
        Self { answers: after("Requests/sec:").parse().unwrap(), p99: duration(after("99%")) }
    }
}

/// Reads `1.23ms`, as `wrk` writes it.
fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap());
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => panic!("wrk wrote {text:?}"),
    };
    Duration::from_secs_f64(number.parse::<f64>().unwrap() * seconds)
}

/// Begins a download whose bytes nobody keeps.
pub fn begin_fetch(url: &str, authorization: &str) -> Child {
    let header = format!("Authorization: {authorization}");
    let mut curl = Command::new(find("curl").unwrap());
    curl.args(["-sSf", "--noproxy", "*", "-H", &header, "-o", "/dev/null", url]).spawn().unwrap()
}

/// How long it takes to fetch something so many times at once.
pub fn fetch_at_once(url: &str, authorization: &str, times: usize) -> Duration {
    let started = Stopwatch::now();
    let fetching: Vec<_> = (0..times).map(|_| begin_fetch(url, authorization)).collect();
    for mut one in fetching {
        assert!(one.wait().unwrap().success(), "{url} cannot be fetched");
    }
    started.elapsed()
}

/// How long it takes to hash the files of a folder and to copy them durably.
pub fn hash_and_copy(files: &Path, to: &Path) -> Duration {
    std::fs::create_dir_all(to).unwrap();
    let paths = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path().display().to_string()).collect()
    };
    let from = paths(files);
    let with = |first: &[&str], paths: &[String], last: &[&str]| -> Vec<String> {
        let paths = paths.iter().map(String::as_str);
        first.iter().copied().chain(paths).chain(last.iter().copied()).map(str::to_string).collect()
    };
    let run_all = |program: &str, args: Vec<String>| {
        run(program, &args.iter().map(String::as_str).collect::<Vec<_>>());
    };
    let started = Stopwatch::now();
    run_all("openssl", with(&["dgst", "-sha256"], &from, &[]));
    run_all("cp", with(&[], &from, &[&to.display().to_string()]));
    run_all("sync", paths(to));
    let took = started.elapsed();
    std::fs::remove_dir_all(to).unwrap();
    took
}
