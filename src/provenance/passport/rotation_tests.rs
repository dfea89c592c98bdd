//! Passports over rotations: of the exchange's own keys, and of an organisation's.

use super::*;
use crate::keys::KeyRole;
use crate::provenance::exchange_keys::{KeyEvent, Succession};

impl Story {
    pub(super) fn succeed(&mut self, role: KeyRole, event: KeyEvent) {
        let (old, new) = self.keys.of(role);
        let new = new.unwrap();
        self.succession(role, event, old.clone(), new.clone());
    }

    fn succession(&mut self, role: KeyRole, event: KeyEvent, old: SecretKey, new: SecretKey) {
        let kind = StatementKind::ExchangeKey;
        let says = Succession { role, event, public_key: new.public(), replaces: old.public() };
        let envelope = Statement::new(kind, says.subjects(), json!(says)).cosign(&[&old, &new]).unwrap();
        let now = at(10 + i64::try_from(self.recorded.len()).unwrap());
        let leaf = Leaf::new(kind, &envelope, old.public().key_id(), None, now).unwrap();
        self.recorded.push((kind, envelope, None, leaf));
    }

    /// A manifest before, terms during, an assessment after: both keys of the exchange are rotated in between.
    fn of_a_rotation() -> (Self, ExchangeKeys) {
        let mut story = Self::new();
        let (provider, old) = (story.provider.clone(), story.keys.clone());
        let manifest = story.record(StatementKind::Manifest, Some(provider.clone()), json!({}));
        story.keys.statement_next = Some(SecretKey::from_seed([11; 32]));
        story.keys.log_next = Some(SecretKey::from_seed([12; 32]));
        story.succeed(KeyRole::Statement, KeyEvent::Activated);
        story.succeed(KeyRole::Log, KeyEvent::Activated);
        story.record(StatementKind::Terms, Some(provider), json!({}));
        story.succeed(KeyRole::Statement, KeyEvent::Retired);
        story.succeed(KeyRole::Log, KeyEvent::Retired);
        story.keys.statement = story.keys.statement_next.take().unwrap();
        story.keys.log = story.keys.log_next.take().unwrap();
        story.record(StatementKind::Assessment, None, json!({"manifest_sha256": manifest}));
        (story, old)
    }

    fn checked_by_one_who_trusts(&self, statement: &SecretKey, log: &SecretKey) -> Result<Report> {
        verify_with(&self.passport().to_bytes().unwrap(), &trust(statement, log), &lenient)
    }
}

fn trust(statement: &SecretKey, log: &SecretKey) -> Trust {
    let log = Policy::of_log(VerifierKey::new(ORIGIN, log.public()).unwrap());
    Trust { log: Some(log), exchange_keys: vec![statement.public()] }
}

#[test]
fn whoever_trusts_the_old_keys_or_the_new_ones_accepts_what_was_signed_before_during_and_after() {
    let (story, old) = Story::of_a_rotation();
    let new = &story.keys;
    for (statement, log) in
        [(&old.statement, &old.log), (&new.statement, &new.log), (&old.statement, &new.log), (&new.statement, &old.log)]
    {
        let report = story.checked_by_one_who_trusts(statement, log).unwrap();
        assert_eq!(report.statements.len(), 7);
        assert!(report.statements[1..3].iter().all(|statement| statement.signed_by == ["exchange"]));
    }
    check(&story.passport().to_bytes().unwrap()).unwrap();
    let stranger = SecretKey::from_seed([9; 32]);
    let said = reason(story.checked_by_one_who_trusts(&stranger, &old.log));
    assert!(said.starts_with("exchange_key: trusted exchange"), "{said}");
    let said = reason(story.checked_by_one_who_trusts(&old.statement, &stranger));
    assert!(said.starts_with("log_vkey: trusted log"), "{said}");
}

#[test]
fn a_passport_from_before_a_rotation_is_accepted_with_the_old_keys_alone() {
    let story = Story::bought();
    let old = story.keys.clone();
    story.checked_by_one_who_trusts(&old.statement, &old.log).unwrap();
    let (later, _) = Story::of_a_rotation();
    let said = reason(verify_with(
        &story.passport().to_bytes().unwrap(),
        &trust(&later.keys.statement, &later.keys.log),
        &lenient,
    ));
    assert!(said.contains("nor does that vouch for it"), "{said}");
}

#[test]
fn a_retired_key_signs_nothing_any_more() {
    let (mut story, old) = Story::of_a_rotation();
    let new = story.keys.clone();
    story.keys.statement = old.statement.clone();
    story.record(StatementKind::Certificate, None, json!({}));
    story.keys = new.clone();
    let said = reason(story.forged(|_| {}));
    assert!(said.starts_with("statements/7 (certificate): key validity: the exchange's key"), "{said}");
    assert!(said.contains(&format!("was retired at {}, before {}", at(14), at(17))), "{said}");

    let (mut story, _) = Story::of_a_rotation();
    (story.keys.statement, story.keys.statement_next) = (old.statement.clone(), Some(new.statement.clone()));
    story.record(StatementKind::Certificate, None, json!({}));
    story.keys = new.clone();
    story.forged(|_| {}).expect("a good key signed, too");

    story.keys.statement = old.statement;
    assert!(reason(story.forged(|_| {})).starts_with("signature: key validity"));
    story.keys = new;
    story.keys.log = old.log;
    let said = reason(story.forged(|_| {}));
    assert!(said.starts_with("statements/5 (exchange-key): log proof: the exchange's key"), "{said}");
    assert!(said.contains("was retired at"), "{said}");
}

#[test]
fn a_key_signs_nothing_before_it_is_activated() {
    let mut story = Story::new();
    let (old, provider) = (story.keys.clone(), story.provider.clone());
    let manifest = story.record(StatementKind::Manifest, Some(provider), json!({}));
    let next = SecretKey::from_seed([11; 32]);
    story.keys.statement = next.clone();
    story.record(StatementKind::Assessment, None, json!({"manifest_sha256": manifest}));
    story.keys = ExchangeKeys { statement_next: Some(next), ..old };
    story.succeed(KeyRole::Statement, KeyEvent::Activated);
    let said = reason(story.forged(|_| {}));
    assert!(said.starts_with("statements/1 (assessment): key validity: the exchange's key"), "{said}");
    assert!(said.contains("was activated only at"), "{said}");
}

#[test]
fn a_chain_that_somebody_else_made_is_refused() {
    let (mut story, old) = Story::of_a_rotation();
    let alone = reason(story.forged(|p| drop(p.statements[1].envelope.signatures.pop())));
    assert!(alone.starts_with("statements/1 (exchange-key): signature"), "{alone}");
    let mut other = Story::new();
    let stranger = SecretKey::from_seed([9; 32]);
    other.succession(KeyRole::Statement, KeyEvent::Activated, old.statement.clone(), stranger.clone());
    let swapped = other.recorded[0].1.signatures[1].clone();
    let forged = reason(story.forged(|p| p.statements[1].envelope.signatures[1] = swapped));
    assert!(forged.starts_with("statements/1 (exchange-key): signature: "), "{forged}");
    assert!(forged.contains("the envelope carries no signature by key"), "{forged}");
    story.succession(KeyRole::Statement, KeyEvent::Activated, stranger.clone(), SecretKey::from_seed([8; 32]));
    let said = reason(story.forged(|_| {}));
    assert!(said.starts_with("statements/7 (exchange-key): trusted exchange: no trusted key vouches"), "{said}");
}

#[test]
fn a_second_signature_by_one_key_is_refused() {
    let (story, _) = Story::of_a_rotation();
    let twice = |signatures: &mut Vec<Signature>| signatures.push(signatures[0].clone());
    let said = reason(story.forged(|p| twice(&mut p.statements[6].envelope.signatures)));
    assert!(said.starts_with("statements/6 (assessment): signature: the key"), "{said}");
    let said = reason(story.forged(|p| twice(&mut p.statements[0].receipt.as_mut().unwrap().signatures)));
    assert!(said.starts_with("statements/0 (manifest): signature: the key") && said.contains("signs twice"), "{said}");
}

#[test]
fn a_registration_is_signed_by_its_own_key_and_the_one_that_it_replaces() {
    let kind = StatementKind::KeyRegistration;
    let subject = |key: &SecretKey| vec![ResourceDescriptor::new("key", key.public().key_id())];
    let told = |signer: fn(&Story) -> SecretKey, replaces: bool| {
        let mut story = Story::new();
        let (provider, lab) = (story.provider.clone(), story.lab.clone());
        story.signers[1].organisation = "provider".into();
        let mut predicate = json!({"organisation": "provider"});
        if replaces {
            predicate["replaces"] = json!(lab.public().key_id());
        }
        let by = signer(&story);
        story.record_about(kind, Some(by), subject(&provider), predicate);
        story.record(StatementKind::Manifest, Some(provider), json!({}));
        reason(story.forged(|_| {}))
    };
    let by_another = told(|story| story.lab.clone(), false);
    assert!(by_another.contains("did not sign its own registration"), "{by_another}");
    let alone = told(|story| story.provider.clone(), true);
    assert!(alone.contains("1 organisations' keys signed it, and 2 was expected"), "{alone}");
}
