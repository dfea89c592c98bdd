//! Policies: what is read, what is refused, and which witnesses are enough.

use super::*;
use crate::signing::SecretKey;
use crate::types::Digest;

const LOG: &str = "corpex.example/log";

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}
fn witness_key(seed: u8) -> WitnessKey {
    WitnessKey::new(&format!("w{seed}.example"), key(seed).public()).unwrap()
}
fn log_key() -> VerifierKey {
    VerifierKey::new(LOG, key(3).public()).unwrap()
}
fn at(seconds: i64) -> Instant {
    Instant::from_unix_micros(seconds * 1_000_000)
}
fn policy(rest: &str) -> Result<Policy> {
    let witnesses = [11, 12, 13].map(|seed| format!("witness W{seed} {}\n", witness_key(seed))).concat();
    format!("# whom we trust\nlog {}\n{witnesses}{rest}", log_key()).parse()
}
/// A checkpoint cosigned by the witnesses with these seeds, at that second.
fn cosigned(by: &[(u8, i64)]) -> String {
    let checkpoint = Checkpoint::sign(LOG, 1, Digest::of("root"), &key(3)).unwrap();
    let mut note: Note = checkpoint.note.parse().unwrap();
    for (seed, second) in by {
        let line = cosignature::cosign(&note.text, &format!("w{seed}.example"), &key(*seed), at(*second)).unwrap();
        note.signatures.push(line);
    }
    note.to_string()
}
fn refusal(policy: &Policy, note: &str) -> String {
    policy.open(note, at(0)).unwrap_err().detail
}

#[test]
fn a_longer_policy_is_not_read() {
    let start = format!("log {}\nquorum none\n#", log_key());
    let longest = format!("{start}{}", "x".repeat(MAX_BYTES - start.len()));
    longest.parse::<Policy>().unwrap();
    let error = format!("{longest}x").parse::<Policy>().unwrap_err();
    assert_eq!((error.field.as_deref(), &*error.detail), (Some("policy"), "a policy has at most 1048576 bytes"));
}

#[test]
fn a_quorum_of_nobody_asks_for_the_log_alone() {
    let policy = policy("quorum none\n").unwrap();
    assert!(policy.needs_nobody());
    assert_eq!(policy.open(&cosigned(&[]), at(0)).unwrap().by, []);
    assert_eq!(Policy::of_log(log_key()).open(&cosigned(&[(11, 5)]), at(0)).unwrap().by, []);
}

#[test]
fn the_witnesses_of_a_checkpoint_are_named_with_their_times() {
    let policy = policy("quorum W12\n").unwrap();
    let witnessed = policy.open(&cosigned(&[(12, 6), (11, 5)]), at(0)).unwrap();
    assert_eq!(witnessed.by, [("W11".to_string(), at(5)), ("W12".to_string(), at(6))]);
    assert_eq!(witnessed.checkpoint.tree_size, 1);
}

#[test]
fn groups_count_their_members_groups_among_them() {
    let text = "group two 2 W11 W12 W13\n\tgroup both  all two W13 \n\nquorum both\n";
    let policy = policy(text).unwrap();
    for (by, enough) in [
        (vec![11, 13], true),
        (vec![12, 13], true),
        (vec![11, 12], false),
        (vec![13], false),
        (vec![11, 12, 13], true),
        (vec![], false),
    ] {
        let by: Vec<_> = by.into_iter().map(|seed| (seed, 5)).collect();
        assert_eq!(policy.open(&cosigned(&by), at(0)).is_ok(), enough, "{by:?}");
    }
    let why = refusal(&policy, &cosigned(&[(11, 5)]));
    assert!(why.ends_with("there are [W11], and [W12, W13] are missing or stale"), "{why}");
}

#[test]
fn a_stale_witness_does_not_count() {
    let policy = policy("quorum W11\n").unwrap();
    let recorded = at(100).plus(CLOCK_SKEW);
    assert!(policy.open(&cosigned(&[(11, 100)]), recorded).is_ok());
    assert!(policy.open(&cosigned(&[(11, 99)]), recorded).unwrap_err().detail.contains("missing or stale"));
}

#[test]
fn one_witness_twice_is_one_witness() {
    let policy = policy("group two 2 W11 W12\nquorum two\n").unwrap();
    assert!(refusal(&policy, &cosigned(&[(11, 5), (11, 6)])).contains("too few witnesses"));
}

#[test]
fn a_cosignature_that_does_not_verify_is_an_alarm_and_not_an_absence() {
    let policy = policy("quorum none\n").unwrap();
    let mut note: Note = cosigned(&[(11, 5)]).parse().unwrap();
    note.signatures[1].signature[20] ^= 1;
    assert!(refusal(&policy, &note.to_string()).contains("w11.example does not verify"));
}

#[test]
fn a_checkpoint_of_a_log_that_is_not_named_is_refused() {
    let other = Checkpoint::sign("other.example/log", 1, Digest::of("root"), &key(4)).unwrap();
    assert!(refusal(&policy("quorum none\n").unwrap(), &other.note).contains("other.example/log"));
    let nameless: Policy = "quorum none\n".parse().unwrap();
    assert!(refusal(&nameless, &other.note).contains("names no log"));
}

#[test]
fn either_key_of_a_log_will_do_while_it_changes_keys() {
    let next = VerifierKey::new(LOG, key(4).public()).unwrap();
    let policy: Policy = format!("log {}\nlog {next}\nquorum none\n", log_key()).parse().unwrap();
    let signed = |seed| Checkpoint::sign(LOG, 1, Digest::of("root"), &key(seed)).unwrap().note;
    assert!(policy.open(&signed(3), at(0)).is_ok());
    assert!(policy.open(&signed(4), at(0)).is_ok());
}

#[test]
fn a_policy_that_can_be_misread_is_refused_with_its_line() {
    let w11 = witness_key(11);
    let again = format!("witness again {w11}\nquorum none\n");
    let taken = format!("witness W11 {}\nquorum none\n", witness_key(14));
    let named_none = format!("witness none {}\nquorum none\n", witness_key(14));
    let address = format!("witness W14 {} ftp://w14.example\nquorum none\n", witness_key(14));
    let log = format!("log {}\nquorum none\n", log_key());
    for (text, why) in [
        ("", "says no quorum"),
        ("quorum W11\nquorum W12\n", "line 7: the quorum is said twice"),
        ("quorum W14\n", "line 6: \"W14\" was not defined above"),
        ("group g all h\ngroup h all W11\nquorum g\n", "line 6: \"h\" was not defined above"),
        ("group g all none\nquorum g\n", "\"none\" was not defined above"),
        ("group g 0 W11\nquorum g\n", "a group of 1 cannot need 0"),
        ("group g 2 W11\nquorum g\n", "a group of 1 cannot need 2"),
        ("group g all\nquorum g\n", "a group of 0 cannot need 0"),
        ("group g most W11\nquorum g\n", "neither all, any nor a number"),
        ("group W11 any W12\nquorum none\n", "the name \"W11\" is taken"),
        ("mirror W11\nquorum none\n", "not a \"mirror\" line"),
        ("quorum none W11\n", "not a \"quorum\" line"),
        ("witness W15 nonsense\nquorum none\n", "not a verifier key"),
        (&again, "this witness's key stands in the policy already"),
        (&taken, "the name \"W11\" is taken"),
        (&named_none, "the name \"none\" is taken"),
        (&address, "not an http or https URL"),
        (&log, "this log's key stands in the policy already"),
    ] {
        let refused = policy(text).unwrap_err().detail;
        assert!(refused.contains(why), "{text}: {refused}");
    }
}

#[test]
fn groups_of_groups_take_no_more_than_their_lines() {
    let mut text = "group g0 all W11 W12\n".to_string();
    for level in 1..200 {
        text.push_str(&format!("group g{level} all g{} g{}\n", level - 1, level - 1));
    }
    let policy = policy(&format!("{text}quorum g199\n")).unwrap();
    assert!(policy.open(&cosigned(&[(11, 5), (12, 5)]), at(0)).is_ok());
    assert!(policy.open(&cosigned(&[(11, 5)]), at(0)).is_err());
}
