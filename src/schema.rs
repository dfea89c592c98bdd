//! The one diesel schema: the tables of `migrations/`, which explain them.

#![allow(missing_docs)]

diesel::table! {
    evaluations (id) {
        id -> Text,
        listing_id -> Text,
        version_id -> Text,
        organisation_id -> Text,
        provider_id -> Text,
        terms_id -> Text,
        user_id -> Text,
        purpose -> Text,
        statement_id -> Text,
        granted_at -> Timestamp,
        expires_at -> Timestamp,
    }
}

diesel::table! {
    inspections (version_id) {
        version_id -> Text,
        statement_id -> Text,
        sample_object_id -> Nullable<Text>,
        refusal -> Nullable<Text>,
        inspected_at -> Timestamp,
    }
}

diesel::table! {
    jobs (id) {
        id -> Text,
        payload -> Text,
        is_long -> Bool,
        state -> Text,
        run_at -> Timestamp,
        attempts -> Integer,
        lease_owner -> Nullable<Text>,
        leased_until -> Nullable<Timestamp>,
        last_error -> Nullable<Text>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    sweeps (name) {
        name -> Text,
        swept_at -> Timestamp,
    }
}

diesel::table! {
    idempotency_keys (principal, idempotency_key) {
        principal -> Text,
        idempotency_key -> Text,
        request_sha256 -> Text,
        answer -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    drawn_guards (sha256) {
        sha256 -> Text,
    }
}

diesel::table! {
    transitions (id) {
        id -> Text,
        subject -> Text,
        from_state -> Nullable<Text>,
        to_state -> Text,
        actor -> Text,
        reason -> Text,
        at -> Timestamp,
    }
}

diesel::table! {
    outbox (transition_id) {
        transition_id -> Text,
    }
}

diesel::table! {
    event_lease (name) {
        name -> Text,
        owner -> Text,
        leased_until -> Timestamp,
    }
}

diesel::table! {
    events (organisation_id, position) {
        organisation_id -> Text,
        position -> BigInt,
        id -> Text,
        event_type -> Text,
        subject -> Text,
        from_state -> Nullable<Text>,
        to_state -> Text,
        occurred_at -> Timestamp,
    }
}

diesel::table! {
    webhooks (id) {
        id -> Text,
        organisation_id -> Text,
        url -> Text,
        types -> Text,
        generation -> Integer,
        overlap_until -> Nullable<Timestamp>,
        position -> BigInt,
        failures -> Integer,
        due_at -> Nullable<Timestamp>,
        disabled_at -> Nullable<Timestamp>,
        disabled_because -> Nullable<Text>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    webhook_attempts (id) {
        id -> Text,
        webhook_id -> Text,
        event_id -> Text,
        status -> Nullable<Integer>,
        failure -> Nullable<Text>,
        attempted_at -> Timestamp,
    }
}

diesel::joinable!(outbox -> transitions (transition_id));

diesel::table! {
    organisations (id) {
        id -> Text,
        handle -> Text,
        legal_name -> Text,
        registration_number -> Text,
        country -> Text,
        affiliations -> Text,
        state -> Text,
        created_at -> Timestamp,
        verified_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    affiliations (handle, affiliate) {
        handle -> Text,
        affiliate -> Text,
    }
}

diesel::table! {
    users (id) {
        id -> Text,
        email -> Text,
        password_phc -> Nullable<Text>,
        platform_role -> Nullable<Text>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    memberships (organisation_id, user_id) {
        organisation_id -> Text,
        user_id -> Text,
        role -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    signing_keys (id) {
        id -> Text,
        organisation_id -> Text,
        key_id -> Text,
        public_key -> Text,
        registered_at -> Timestamp,
        revoked_at -> Nullable<Timestamp>,
        compromised_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    exchange_keys (key_id) {
        key_id -> Text,
        role -> Text,
        public_key -> Text,
        replaces -> Nullable<Text>,
        activated_at -> Nullable<Timestamp>,
        retired_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    sessions (id) {
        id -> Text,
        user_id -> Text,
        created_at -> Timestamp,
        expires_at -> Timestamp,
        revoked_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    refresh_tokens (token_sha256) {
        token_sha256 -> Text,
        session_id -> Text,
        created_at -> Timestamp,
        used_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    api_tokens (id) {
        id -> Text,
        user_id -> Text,
        name -> Text,
        token_sha256 -> Text,
        scope -> Text,
        created_at -> Timestamp,
        expires_at -> Timestamp,
        revoked_at -> Nullable<Timestamp>,
        minted_by -> Nullable<Text>,
    }
}

diesel::table! {
    invitations (id) {
        id -> Text,
        organisation_id -> Text,
        code_sha256 -> Text,
        role -> Text,
        invited_by -> Text,
        created_at -> Timestamp,
        expires_at -> Timestamp,
    }
}

diesel::table! {
    device_logins (device_code_sha256) {
        device_code_sha256 -> Text,
        user_code_sha256 -> Text,
        client -> Text,
        created_at -> Timestamp,
        expires_at -> Timestamp,
        polled_at -> Nullable<Timestamp>,
        decided_at -> Nullable<Timestamp>,
        user_id -> Nullable<Text>,
        token_expires_at -> Nullable<Timestamp>,
        spent_at -> Nullable<Timestamp>,
        approved_with -> Nullable<Text>,
    }
}

diesel::table! {
    ledger_accounts (id) {
        id -> Text,
        organisation_id -> Nullable<Text>,
        programme_id -> Nullable<Text>,
        kind -> Text,
        currency -> Text,
        gated_balance_minor -> Nullable<BigInt>,
        last_posting_id -> Nullable<Text>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    ledger_transactions (id) {
        id -> Text,
        kind -> Text,
        reference -> Text,
        posted_at -> Timestamp,
    }
}

diesel::table! {
    ledger_closings (account_id, last_posting_id) {
        account_id -> Text,
        last_posting_id -> Text,
        balance_minor -> BigInt,
        closed_at -> Timestamp,
    }
}

diesel::table! {
    ledger_postings (id) {
        id -> Text,
        transaction_id -> Text,
        account_id -> Text,
        amount_minor -> BigInt,
    }
}

diesel::table! {
    deposits (id) {
        id -> Text,
        organisation_id -> Text,
        amount_minor -> BigInt,
        currency -> Text,
        reference -> Text,
        state -> Text,
        proposed_by -> Text,
        recorded_at -> Timestamp,
    }
}

diesel::table! {
    withdrawals (id) {
        id -> Text,
        organisation_id -> Text,
        source -> Text,
        amount_minor -> BigInt,
        currency -> Text,
        pay_to -> Text,
        reference -> Nullable<Text>,
        state -> Text,
        proposed_by -> Text,
        requested_at -> Timestamp,
    }
}

diesel::table! {
    log_entries (id) {
        id -> Text,
        leaf -> Text,
        recorded_at -> Timestamp,
    }
}

diesel::table! {
    log_queue (entry_id) {
        entry_id -> Text,
    }
}

diesel::table! {
    log_sequence (leaf_index) {
        leaf_index -> BigInt,
        entry_id -> Text,
    }
}

diesel::table! {
    log_tiles (level, tile_index) {
        level -> Integer,
        tile_index -> BigInt,
        hashes -> Binary,
    }
}

diesel::table! {
    log_checkpoints (tree_size) {
        tree_size -> BigInt,
        root_sha256 -> Text,
        note -> Text,
        signed_at -> Timestamp,
    }
}

diesel::table! {
    log_lease (name) {
        name -> Text,
        owner -> Text,
        epoch -> BigInt,
        leased_until -> Timestamp,
        problem -> Nullable<Text>,
    }
}

diesel::table! {
    log_publications (tree_size, published_at) {
        tree_size -> BigInt,
        published_at -> Timestamp,
        note -> Text,
    }
}

diesel::table! {
    statements (id) {
        id -> Text,
        kind -> Text,
        subject -> Text,
        envelope -> Text,
        receipt -> Nullable<Text>,
        pae_sha256 -> Text,
        entry_id -> Text,
        recorded_at -> Timestamp,
    }
}

diesel::table! {
    datasets (id) {
        id -> Text,
        organisation_id -> Text,
        name -> Text,
        title -> Text,
        modality -> Text,
        domain -> Text,
        languages -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    versions (id) {
        id -> Text,
        dataset_id -> Text,
        number -> Integer,
        state -> Text,
        card -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    objects (id) {
        id -> Text,
        sha256 -> Text,
        size_bytes -> BigInt,
        storage_key -> Text,
        etag -> Text,
        verified_at -> Timestamp,
    }
}

diesel::table! {
    uploads (id) {
        id -> Text,
        version_id -> Text,
        path -> Text,
        media_type -> Text,
        records -> Nullable<BigInt>,
        size_bytes -> BigInt,
        sha256 -> Text,
        part_size_bytes -> BigInt,
        storage_key -> Text,
        multipart_id -> Text,
        state -> Text,
        refusal -> Nullable<Text>,
        created_at -> Timestamp,
        completed_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    shards (version_id, path) {
        version_id -> Text,
        path -> Text,
        object_id -> Text,
        sha256 -> Text,
        size_bytes -> BigInt,
        media_type -> Text,
        records -> Nullable<BigInt>,
        language -> Nullable<Text>,
        domain -> Nullable<Text>,
        licence -> Nullable<Text>,
        tokens -> Nullable<BigInt>,
    }
}

diesel::table! {
    seals (version_id) {
        version_id -> Text,
        statement_id -> Text,
        manifest_sha256 -> Text,
        shard_count -> BigInt,
        total_bytes -> BigInt,
        total_records -> Nullable<BigInt>,
        total_tokens -> Nullable<BigInt>,
        sealed_at -> Timestamp,
        generation -> Integer,
    }
}

diesel::table! {
    version_parents (child_id, ordinal) {
        child_id -> Text,
        ordinal -> Integer,
        child_generation -> Integer,
        parent_id -> Nullable<Text>,
        parent_generation -> Nullable<Integer>,
        source_url -> Nullable<Text>,
        source_sha256 -> Nullable<Text>,
        document -> Text,
    }
}

diesel::table! {
    offered_versions (version_id) {
        version_id -> Text,
        offered_at -> Timestamp,
    }
}

diesel::table! {
    terms (id) {
        id -> Text,
        organisation_id -> Text,
        sha256 -> Text,
        document -> Text,
        statement_id -> Text,
        published_at -> Timestamp,
    }
}

diesel::table! {
    assessments (id) {
        id -> Text,
        version_id -> Text,
        checklist -> Text,
        decision -> Text,
        assessor_id -> Text,
        statement_id -> Text,
        assessed_at -> Timestamp,
        valid_until -> Timestamp,
    }
}

diesel::table! {
    certificates (id) {
        id -> Text,
        number -> Text,
        version_id -> Text,
        assessment_id -> Text,
        statement_id -> Text,
        issued_at -> Timestamp,
    }
}

diesel::table! {
    listings (id) {
        id -> Text,
        version_id -> Text,
        terms_id -> Text,
        assessment_id -> Text,
        provider_id -> Text,
        state -> Text,
        notice_ends_at -> Timestamp,
        review_at -> Nullable<Timestamp>,
        successor_id -> Nullable<Text>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    board_changes (position) {
        position -> BigInt,
        step_id -> Text,
        dataset_id -> Text,
    }
}

diesel::table! {
    objections (id) {
        id -> Text,
        listing_id -> Text,
        objector_id -> Text,
        filed_by -> Text,
        document -> Text,
        document_sha256 -> Text,
        state -> Text,
        filed_at -> Timestamp,
    }
}

diesel::table! {
    orders (id) {
        id -> Text,
        listing_id -> Text,
        buyer_id -> Text,
        provider_id -> Text,
        version_id -> Text,
        terms_id -> Text,
        selection -> Nullable<Text>,
        shard_count -> BigInt,
        permitted_use -> Text,
        purpose -> Text,
        price_minor -> BigInt,
        fee_minor -> BigInt,
        tax_minor -> BigInt,
        currency -> Text,
        royalties -> Text,
        contract_document -> Text,
        state -> Text,
        download_days -> Integer,
        acceptance_days -> Integer,
        cure_days -> Integer,
        dispute_days -> Integer,
        dispute_until -> Nullable<Timestamp>,
        due_at -> Nullable<Timestamp>,
        announced_due_at -> Nullable<Timestamp>,
        refund_minor -> Nullable<BigInt>,
        renews -> Nullable<Text>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    offers (id) {
        id -> Text,
        listing_id -> Text,
        provider_id -> Text,
        buyer_id -> Text,
        sha256 -> Text,
        statement_id -> Text,
        uses -> Text,
        price_minor -> BigInt,
        currency -> Text,
        valid_from -> Timestamp,
        valid_until -> Timestamp,
        state -> Text,
        order_id -> Nullable<Text>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    negotiations (id) {
        id -> Text,
        listing_id -> Text,
        provider_id -> Text,
        buyer_id -> Text,
        state -> Text,
        offer_document -> Text,
        offer_sha256 -> Text,
        offer_statement_id -> Text,
        permitted_use -> Nullable<Text>,
        purpose -> Nullable<Text>,
        contract_document -> Nullable<Text>,
        royalties -> Nullable<Text>,
        agreement -> Nullable<Text>,
        order_id -> Nullable<Text>,
        termination_code -> Nullable<Text>,
        termination_reason -> Nullable<Text>,
        due_at -> Nullable<Timestamp>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    disputes (id) {
        id -> Text,
        order_id -> Text,
        opened_by -> Text,
        reason -> Text,
        evidence -> Text,
        state -> Text,
        outcome -> Nullable<Text>,
        refund_minor -> Nullable<BigInt>,
        recovered_minor -> Nullable<BigInt>,
        claims -> Nullable<Text>,
        due_at -> Nullable<Timestamp>,
        opened_at -> Timestamp,
    }
}

diesel::table! {
    contracts (id) {
        id -> Text,
        order_id -> Text,
        sha256 -> Text,
        statement_id -> Text,
        agreed_at -> Timestamp,
    }
}

diesel::table! {
    entitlements (id) {
        id -> Text,
        order_id -> Text,
        organisation_id -> Text,
        version_id -> Text,
        selection -> Nullable<Text>,
        terms_id -> Text,
        state -> Text,
        statement_id -> Text,
        granted_at -> Timestamp,
        expires_at -> Nullable<Timestamp>,
        announced_end_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    subscription_versions (entitlement_id, version_id) {
        entitlement_id -> Text,
        version_id -> Text,
        listing_id -> Text,
        joined_at -> Timestamp,
        withdrawn_at -> Nullable<Timestamp>,
        held_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    seats (id) {
        id -> Text,
        entitlement_id -> Text,
        token_id -> Text,
        user_id -> Text,
        assigned_at -> Timestamp,
        freed_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    receipt_batches (id) {
        id -> Text,
        root_sha256 -> Text,
        receipt_count -> Integer,
        statement_id -> Text,
        committed_at -> Timestamp,
    }
}

diesel::table! {
    downloads (entitlement_id, version_id, day, desk) {
        entitlement_id -> Text,
        version_id -> Text,
        day -> Text,
        desk -> Text,
        organisation_id -> Text,
        provider_id -> Text,
        listing_id -> Text,
        shards -> BigInt,
        bytes -> BigInt,
        records -> BigInt,
    }
}

diesel::table! {
    download_excesses (entitlement_id, version_id, day) {
        entitlement_id -> Text,
        version_id -> Text,
        day -> Text,
    }
}

diesel::table! {
    receipts (id) {
        id -> Text,
        batch_id -> Text,
        batch_index -> Integer,
        entitlement_id -> Text,
        version_id -> Text,
        user_id -> Text,
        path -> Text,
        sha256 -> Text,
        document -> Text,
        issued_at -> Timestamp,
    }
}

diesel::table! {
    audit_records (id) {
        id -> Text,
        day -> Text,
        user_id -> Nullable<Text>,
        outcome -> Text,
        request -> Text,
        reason -> Nullable<Text>,
        times -> BigInt,
        recorded_at -> Timestamp,
        address -> Nullable<Text>,
    }
}

diesel::table! {
    audit_days (day) {
        day -> Text,
        records -> BigInt,
        sha256 -> Text,
        closed_at -> Timestamp,
    }
}

diesel::table! {
    models (id) {
        id -> Text,
        organisation_id -> Text,
        name -> Text,
        model_version -> Text,
        sha256 -> Text,
        declared_use -> Text,
        trained_from -> Nullable<Text>,
        trained_to -> Nullable<Text>,
        statement_id -> Text,
        statement_sha256 -> Text,
        declared_at -> Timestamp,
    }
}

diesel::table! {
    model_versions (model_id, ordinal) {
        model_id -> Text,
        ordinal -> Integer,
        version_id -> Text,
        dataset_id -> Text,
        provider_id -> Text,
        entitlement_id -> Nullable<Text>,
    }
}

diesel::table! {
    takedowns (id) {
        id -> Text,
        version_id -> Text,
        provider_id -> Text,
        filed_by -> Text,
        claim -> Text,
        claim_sha256 -> Text,
        counter -> Nullable<Text>,
        state -> Text,
        filed_at -> Timestamp,
    }
}

diesel::table! {
    holds (cause) {
        cause -> Text,
        version_id -> Text,
        placed_at -> Timestamp,
    }
}

diesel::table! {
    recalls (id) {
        id -> Text,
        takedown_id -> Text,
        entitlement_id -> Text,
        organisation_id -> Text,
        state -> Text,
        due_at -> Timestamp,
        declaration -> Nullable<Text>,
        attestation_id -> Nullable<Text>,
        issued_at -> Timestamp,
    }
}

diesel::table! {
    conflicts (id) {
        id -> Text,
        sha256 -> Text,
        path -> Text,
        earlier_version_id -> Text,
        later_version_id -> Text,
        flagged_at -> Timestamp,
    }
}

diesel::table! {
    voucher_programmes (id) {
        id -> Text,
        funder_id -> Text,
        name -> Text,
        currency -> Text,
        rate_basis_points -> BigInt,
        cap_minor -> BigInt,
        domains -> Text,
        starts_at -> Timestamp,
        ends_at -> Timestamp,
        created_at -> Timestamp,
    }
}

diesel::table! {
    voucher_movements (id) {
        id -> Text,
        programme_id -> Text,
        kind -> Text,
        order_id -> Nullable<Text>,
        buyer_id -> Nullable<Text>,
        amount_minor -> BigInt,
        moved_at -> Timestamp,
    }
}

diesel::joinable!(memberships -> organisations (organisation_id));
diesel::joinable!(memberships -> users (user_id));
diesel::joinable!(signing_keys -> organisations (organisation_id));
diesel::joinable!(sessions -> users (user_id));
diesel::joinable!(refresh_tokens -> sessions (session_id));
diesel::joinable!(api_tokens -> users (user_id));
diesel::joinable!(ledger_accounts -> organisations (organisation_id));
diesel::joinable!(ledger_postings -> ledger_transactions (transaction_id));
diesel::joinable!(ledger_postings -> ledger_accounts (account_id));
diesel::joinable!(log_queue -> log_entries (entry_id));
diesel::joinable!(log_sequence -> log_entries (entry_id));
diesel::joinable!(statements -> log_entries (entry_id));
diesel::joinable!(datasets -> organisations (organisation_id));
diesel::joinable!(versions -> datasets (dataset_id));
diesel::joinable!(uploads -> versions (version_id));
diesel::joinable!(shards -> versions (version_id));
diesel::joinable!(shards -> objects (object_id));
diesel::joinable!(seals -> versions (version_id));
diesel::joinable!(seals -> statements (statement_id));
diesel::joinable!(version_parents -> versions (child_id));
diesel::joinable!(terms -> organisations (organisation_id));
diesel::joinable!(terms -> statements (statement_id));
diesel::joinable!(assessments -> seals (version_id));
diesel::joinable!(assessments -> users (assessor_id));
diesel::joinable!(assessments -> statements (statement_id));
diesel::joinable!(certificates -> seals (version_id));
diesel::joinable!(certificates -> assessments (assessment_id));
diesel::joinable!(certificates -> statements (statement_id));
diesel::joinable!(listings -> seals (version_id));
diesel::joinable!(listings -> terms (terms_id));
diesel::joinable!(listings -> assessments (assessment_id));
diesel::joinable!(listings -> organisations (provider_id));
diesel::joinable!(objections -> listings (listing_id));
diesel::joinable!(orders -> listings (listing_id));
diesel::joinable!(orders -> seals (version_id));
diesel::joinable!(orders -> terms (terms_id));
diesel::joinable!(offers -> listings (listing_id));
diesel::joinable!(negotiations -> listings (listing_id));
diesel::joinable!(disputes -> orders (order_id));
diesel::joinable!(contracts -> orders (order_id));
diesel::joinable!(voucher_movements -> voucher_programmes (programme_id));
diesel::joinable!(contracts -> statements (statement_id));
diesel::joinable!(entitlements -> orders (order_id));
diesel::joinable!(entitlements -> organisations (organisation_id));
diesel::joinable!(entitlements -> seals (version_id));
diesel::joinable!(entitlements -> terms (terms_id));
diesel::joinable!(entitlements -> statements (statement_id));
diesel::joinable!(subscription_versions -> entitlements (entitlement_id));
diesel::joinable!(seats -> entitlements (entitlement_id));
diesel::joinable!(seats -> api_tokens (token_id));
diesel::joinable!(receipt_batches -> statements (statement_id));
diesel::joinable!(receipts -> receipt_batches (batch_id));
diesel::joinable!(receipts -> entitlements (entitlement_id));
diesel::joinable!(receipts -> users (user_id));
diesel::joinable!(audit_records -> users (user_id));
diesel::joinable!(model_versions -> models (model_id));

diesel::allow_tables_to_appear_in_same_query!(
    evaluations,
    inspections,
    jobs,
    idempotency_keys,
    outbox,
    event_lease,
    events,
    webhooks,
    webhook_attempts,
    transitions,
    organisations,
    affiliations,
    users,
    memberships,
    signing_keys,
    sessions,
    refresh_tokens,
    api_tokens,
    ledger_accounts,
    ledger_transactions,
    ledger_closings,
    ledger_postings,
    deposits,
    withdrawals,
    exchange_keys,
    log_entries,
    log_queue,
    log_sequence,
    log_tiles,
    log_checkpoints,
    log_lease,
    log_publications,
    statements,
    datasets,
    versions,
    objects,
    uploads,
    shards,
    seals,
    version_parents,
    offered_versions,
    terms,
    assessments,
    certificates,
    listings,
    board_changes,
    objections,
    orders,
    offers,
    negotiations,
    disputes,
    contracts,
    voucher_programmes,
    voucher_movements,
    entitlements,
    seats,
    subscription_versions,
    receipt_batches,
    receipts,
    downloads,
    download_excesses,
    models,
    model_versions,
    audit_records,
    audit_days,
    takedowns,
    holds,
    recalls,
    conflicts,
);
