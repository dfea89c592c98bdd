//! Headers that are believed and headers that are not, roles, and what is remembered for how long.

use super::*;

fn now() -> Instant {
    Instant::from_unix_micros(1_800_000_000_000_000)
}
fn after(seconds: u64) -> Instant {
    now().plus(Duration::from_secs(seconds))
}
fn member(role: Role) -> (OrganisationId, Caller) {
    let organisation_id = OrganisationId::new(now());
    let membership = Membership { organisation_id, handle: "acme".into(), role, verified: true };
    let caller = Caller {
        user_id: UserId::new(now()),
        email: "a@acme.example".into(),
        platform_role: None,
        scope: Scope::Write,
        credential: Credential::Token(TokenId::new(now())),
        memberships: vec![membership],
    };
    (organisation_id, caller)
}

#[test]
fn bearer_and_basic_hold_a_credential() {
    let token = TokenText::generate();
    let basic = |pair: String| format!("Basic {}", BASE64.encode(pair));
    for header in [
        format!("Bearer {}", token.reveal()),
        format!("bearer   {} ", token.reveal()),
        basic(format!("anyone:{}", token.reveal())),
        basic(format!(":{}", token.reveal())),
    ] {
        assert_eq!(Presented::read(header.as_bytes()).unwrap(), Presented::ApiToken(token.clone()), "{header}");
    }
    assert_eq!(Presented::read(b"Bearer a.b.c").unwrap(), Presented::AccessToken("a.b.c".into()));
}

#[test]
fn header_tricks_are_refused_as_unauthenticated() {
    let basic = |text: &[u8]| format!("Basic {}", BASE64.encode(text)).into_bytes();
    let tricks: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"Bearer".to_vec(),
        b"Bearer ".to_vec(),
        b"Bearer\tx".to_vec(),
        b"Digest username=x".to_vec(),
        b"Bearer cpx_short".to_vec(),
        b"\xff\xfe \xfd".to_vec(),
        "Bearer é\u{202e}".as_bytes().iter().rev().copied().collect(),
        [b"Bearer ".to_vec(), vec![b'a'; 5000]].concat(),
        b"Basic %%%".to_vec(),
        basic(b"no colon"),
        basic(b"user:password"),
        basic(b"\xff:\xff"),
    ];
    for header in tricks {
        let error = Presented::read(&header).unwrap_err();
        assert_eq!(error.kind, Kind::Unauthenticated, "{header:?}");
        assert!(error.remedy.is_some(), "{header:?}");
    }
}

#[test]
fn a_longer_header_is_not_read() {
    let bearer = |length: usize| Presented::read(format!("Bearer {}", "a".repeat(length - 7)).as_bytes());
    assert_eq!(bearer(LONGEST_HEADER).unwrap(), Presented::AccessToken("a".repeat(LONGEST_HEADER - 7)));
    assert!(bearer(LONGEST_HEADER + 1).unwrap_err().detail.contains("is too long"));
}

#[test]
fn a_refusal_never_repeats_the_credential() {
    let secret = format!("{}X", TokenText::generate().reveal());
    let error = Presented::read(format!("Bearer {secret}").as_bytes()).unwrap_err();
    assert!(!format!("{error:?}").contains(&secret));
}

#[test]
fn roles_do_what_the_table_says() {
    for (role, wanted, allowed) in [
        (Role::Admin, &[Role::Signer][..], true),
        (Role::Signer, &[Role::Signer, Role::Trader][..], true),
        (Role::Trader, &[Role::Signer][..], false),
        (Role::Reader, &[Role::Admin][..], false),
        (Role::Reader, &[][..], true),
    ] {
        let (id, caller) = member(role);
        assert_eq!(caller.may(id, wanted).is_ok(), allowed, "{role} {wanted:?}");
    }
}

#[test]
fn a_stranger_learns_nothing_and_a_member_learns_which_role_it_takes() {
    let (id, caller) = member(Role::Reader);
    assert_eq!(caller.may(OrganisationId::new(now()), &[]).unwrap_err().kind, Kind::NotFound);
    let error = caller.may(id, &[Role::Signer]).unwrap_err();
    assert_eq!(error.kind, Kind::Forbidden);
    assert_eq!(error.detail, "this takes the role signer or admin in acme; yours is reader");
    assert_eq!(caller.may_for(id, "acme", &[Role::Signer]).unwrap_err().detail, error.detail);
    let error = caller.may_for(OrganisationId::new(now()), "rival", &[]).unwrap_err();
    assert_eq!((error.kind, error.detail.as_str()), (Kind::Forbidden, "only members of rival may do this"));
}

#[test]
fn platform_roles_do_not_stand_in_for_each_other() {
    let (_, mut caller) = member(Role::Admin);
    assert!(caller.require_operator().is_err() && caller.require_compliance().is_err());
    caller.platform_role = Some(PlatformRole::Operator);
    assert!(caller.require_operator().is_ok() && caller.require_compliance().is_err());
}

fn signed_in(expires_at: Instant) -> Arc<SignedIn> {
    Arc::new(SignedIn { caller: member(Role::Reader).1, expires_at })
}

#[test]
fn a_caller_is_remembered_for_seconds_and_never_past_the_credential() {
    let cache = CallerCache::default();
    let (long, short) = (Digest::of("long"), Digest::of("short"));
    cache.remember(long, signed_in(after(600)), now());
    cache.remember(short, signed_in(after(2)), now());
    assert!(cache.find(long, after(3)).is_some());
    assert!(cache.find(long, after(4)).is_none());
    assert!(cache.find(short, after(1)).is_some());
    assert!(cache.find(short, after(2)).is_none());
    assert!(cache.find(Digest::of("other"), now()).is_none());
}

#[test]
fn one_request_looks_a_caller_up_again_before_the_others_would_have_to() {
    let (cache, digest) = (CallerCache::default(), Digest::of("one"));
    cache.remember(digest, signed_in(after(60)), now());
    let is_found = |seconds| cache.find_or_renew(digest, after(seconds)).is_some();
    assert_eq!([2, 3, 3, 4].map(is_found), [true, false, true, false]);
    assert!(cache.find(digest, after(3)).is_some(), "whoever only asks who it is looks nobody up");
    cache.remember(digest, signed_in(after(60)), after(3));
    assert_eq!([5, 6, 6].map(is_found), [true, false, true]);
}

#[test]
fn a_forgotten_user_is_looked_up_again() {
    let cache = CallerCache::default();
    let (one, other) = (signed_in(after(600)), signed_in(after(600)));
    cache.remember(Digest::of("one"), one.clone(), now());
    cache.remember(Digest::of("other"), other, now());
    cache.clone().forget_user(one.caller.user_id);
    assert!(cache.find(Digest::of("one"), now()).is_none());
    assert!(cache.find(Digest::of("other"), now()).is_some());
}

#[test]
fn the_memory_of_callers_is_bounded() {
    let cache = CallerCache::default();
    let one = signed_in(after(600));
    for number in 0..=MOST_REMEMBERED {
        cache.remember(Digest::of(number.to_string()), one.clone(), now());
    }
    assert!(cache.lock().len() <= MOST_REMEMBERED);
}
