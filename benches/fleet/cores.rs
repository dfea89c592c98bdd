//! Which cores run what, as `taskset` of util-linux sets it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One for each instance, with whoever asks it.
pub const CORES: [u32; 2] = [0, 1];
/// What `scripts/with-services` says of its services.
const SAID: [&str; 4] = ["TEST_DATABASE_URL", "TEST_S3_ENDPOINT", "WITH_POSTGRES_DATA", "WITH_GARAGE_PID"];

/// The PostgreSQL and the Garage of `scripts/with-services`.
pub struct Services {
    postmaster: PathBuf,
    garage: String,
}

impl Services {
    pub fn of_the_environment() -> Self {
        let missing: Vec<_> = SAID.iter().filter(|name| std::env::var_os(name).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?} are missing: run `scripts/with-services cargo bench --bench fleet`");
        Self {
            postmaster: PathBuf::from(std::env::var_os("WITH_POSTGRES_DATA").unwrap()).join("postmaster.pid"),
            garage: std::env::var("WITH_GARAGE_PID").unwrap(),
        }
    }

    /// Has all that belongs to them run on these cores.
    pub fn keep_to(&self, cores: &[u32]) {
        let told = std::fs::read_to_string(&self.postmaster).unwrap();
        let postmaster = told.lines().next().unwrap().trim();
        for process in [postmaster, &self.garage] {
            assign(&["--all-tasks"], process, cores);
        }
        // Children that come later inherit it.
        let children = std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap();
        for process in children.split_whitespace() {
            assign(&["--all-tasks"], process, cores);
        }
    }
}

/// Does something on a thread of its own that keeps to a core, as do the processes that it starts.
pub fn on<T: Send>(core: u32, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let working = scope.spawn(move || {
            keep_to(core);
            work()
        });
        working.join().unwrap()
    })
}

/// Has this thread, and those that it starts, keep to a core.
pub fn keep_to(core: u32) {
    let thread = std::fs::read_link("/proc/thread-self").unwrap();
    assign(&[], thread.file_name().unwrap().to_str().unwrap(), &[core]);
}

/// Has a thread, or a process with all of its threads, run on these cores; one that has ended meanwhile needs none.
fn assign(all: &[&str], id: &str, cores: &[u32]) {
    let cores: Vec<_> = cores.iter().map(u32::to_string).collect();
    let done = Command::new("taskset").args(all).args(["--cpu-list", "--pid", &cores.join(","), id]).output().unwrap();
    let is_there = Path::new("/proc").join(id).exists();
    assert!(done.status.success() || !is_there, "{}", String::from_utf8_lossy(&done.stderr));
}
